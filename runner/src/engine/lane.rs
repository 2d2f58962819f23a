//! One run in the engine's hands: its decisions under way to the journal, its job, who watches it.

use super::command::Reply;
use super::course::Course;
use super::gate::Ticket;
use super::handle::{EngineError, LiveView};
use super::notes::Mailbox;
use super::performer::{Control, Progress, RunContext};
use super::telling::TransferView;
use super::told::{Cut, Told};
use crate::store::{StoredCheckpoint, Token};
use packhorse_core::admission::OnConflict;
use packhorse_core::run::{EffectId, Fact, Notable, Order, Reason, Record, Run, RunState, Stop, WallTime};
use packhorse_core::transfer::WaitReason;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// What a run waits for that may be why the process died.
const SUSPECTED: &str = "its turn: what was at work when the process died twice is taken up one after another";

/// One run.
pub(super) struct Lane {
    pub(super) course: Course,
    pub(super) context: Arc<RunContext>,
    /// Handed to the writer and not durable, oldest first.
    pub(super) pending: VecDeque<Pending>,
    /// Of a new run: its first fact and who started it, until both go to the journal.
    pub(super) first: Option<(Record, Reply<()>)>,
    /// For admission.
    pub(super) ticket: Ticket,
    pub(super) job: Option<LiveJob>,
    pub(super) wake_at: Option<WallTime>,
    watchers: Option<watch::Sender<LiveView>>,
    progress: Option<Progress>,
    transfer: Option<Box<TransferView>>,
    /// It had ended before it was read, and nobody retried it since: its end was told.
    pub(super) over: bool,
    /// A checkpoint alone is on its way to the journal: a newer one waits until it is there, so that a slow journal costs no memory.
    pub(super) saving: bool,
    /// What cut its transfer last.
    cut: Cut,
}

/// What waits for an append to be durable.
#[derive(Default)]
pub(super) struct Pending {
    pub(super) orders: Vec<(Order, Option<Stop>)>,
    pub(super) replies: Vec<Reply<()>>,
    pub(super) views: Vec<Reply<Option<LiveView>>>,
    pub(super) watchers: Vec<Reply<Option<watch::Receiver<LiveView>>>>,
    /// What is told of the facts.
    pub(super) told: Told,
}

/// A job under way; dropped with it.
pub(super) struct LiveJob {
    pub(super) id: EffectId,
    pub(super) ticket: u64,
    pub(super) control: watch::Sender<Control>,
    pub(super) abort: AbortHandle,
    pub(super) mailbox: Arc<Mailbox>,
    /// Whether it was given a checkpoint.
    pub(super) carried: bool,
}

impl Drop for LiveJob {
    fn drop(&mut self) {
        self.abort.abort();
    }
}

impl Lane {
    pub(super) fn new(run: Run, token: Token, appended: u64, checkpoint: Option<StoredCheckpoint>) -> Self {
        let context = Arc::new(context(run.state()));
        let over = run.state().is_finished();
        Self {
            course: Course::new(run, token, appended, checkpoint),
            context,
            pending: VecDeque::new(),
            first: None,
            ticket: Ticket::default(),
            job: None,
            wake_at: None,
            watchers: None,
            progress: None,
            transfer: None,
            over,
            saving: false,
            cut: Cut::default(),
        }
    }

    /// What is to be told of facts that were just decided.
    pub(super) fn told(&mut self, facts: &[Record], lines: Vec<Notable>) -> Told {
        Told::of(self.course.run.state(), facts, lines, &mut self.cut)
    }

    /// Facts of it were decided that jobs, or who is told of its end, must know of.
    pub(super) fn heed(&mut self, facts: &[Record]) {
        for record in facts {
            match record.fact {
                Fact::Repinned { .. } => self.context = Arc::new(context(self.course.run.state())),
                Fact::Retried { .. } => self.over = false,
                _ => {}
            }
        }
    }

    /// Stops the job of this name, begun or not yet begun.
    pub(super) fn stop(&mut self, id: &EffectId, stop: Stop) -> Option<u64> {
        if let Some(job) = self.job.as_ref().filter(|job| job.id == *id) {
            let control = match stop {
                Stop::Park => Control::Park,
                Stop::Cancel => Control::Cancel,
            };
            job.control.send_replace(control);
            return Some(job.ticket);
        }
        let orders = self.pending.iter_mut().flat_map(|pending| &mut pending.orders);
        for (order, wanted) in orders.filter(|(order, _)| order.id == *id) {
            debug_assert_eq!(order.id, *id);
            *wanted = Some(stop);
        }
        None
    }

    /// For people only.
    pub(super) fn tell(&mut self, progress: Option<Progress>, transfer: Option<Box<TransferView>>) {
        self.progress = progress.or_else(|| self.progress.take());
        self.transfer = transfer.or_else(|| self.transfer.take());
    }

    /// Whether it does not wait where its group is full.
    pub(super) fn may_be_refused(&self) -> bool {
        let group = self.course.run.state().created.terms.group.as_ref();
        group.is_some_and(|group| group.on_conflict == OnConflict::Reject)
    }

    /// What its transfer under way waits for.
    pub(super) fn waits_as(&self) -> Option<WaitReason> {
        let waits = self.transfer.as_ref().filter(|view| view.live)?.waits.as_ref();
        waits.map(|waits| waits.reason)
    }

    /// Of a job that is over, what was known of its transfer stays.
    pub(super) fn forget_job(&mut self) -> Option<LiveJob> {
        self.progress = None;
        self.transfer = self.transfer.take().map(|view| Box::new(view.over()));
        self.job.take()
    }

    pub(super) fn view(&self, now: WallTime) -> LiveView {
        let told = self.transfer.as_deref().cloned();
        let kept = || TransferView::kept(self.course.checkpoint()?, self.course.run.state());
        let transfer = told.or_else(|| kept().filter(|_| self.job.is_none()));
        let mut view = self.course.run.view(now);
        let parked = view.unfinished.as_mut().filter(|unfinished| unfinished.reason == Reason::Parked);
        if let (Some(unfinished), Some(other)) = (parked, &self.ticket.after) {
            unfinished.behind = Some(other.to_string());
            unfinished.waiting_for = SUSPECTED.to_owned();
        }
        LiveView { view, progress: self.progress.clone(), transfer, live: true }
    }

    pub(super) fn subscribe(&mut self, now: WallTime) -> watch::Receiver<LiveView> {
        let view = self.view(now);
        let watchers = self.watchers.get_or_insert_with(|| watch::Sender::new(view.clone()));
        // While nobody watched, nothing was shown.
        watchers.send_replace(view);
        watchers.subscribe()
    }

    /// Answers those who want to see the run, as soon as all of it is durable.
    pub(super) fn show(&mut self, mut pending: Pending, now: WallTime) {
        if let Some(later) = self.pending.back_mut() {
            later.views.append(&mut pending.views);
            later.watchers.append(&mut pending.watchers);
        }
        for reply in pending.views {
            // Who asked may have gone.
            drop(reply.send(Ok(Some(self.view(now)))));
        }
        for reply in pending.watchers {
            drop(reply.send(Ok(Some(self.subscribe(now)))));
        }
    }

    /// Shows the run to those who watch, unless something of it is not durable yet.
    pub(super) fn publish(&mut self, now: WallTime) {
        if !self.pending.is_empty() || self.watchers.as_ref().is_none_or(|watchers| watchers.receiver_count() == 0) {
            return;
        }
        let view = self.view(now);
        if let Some(watchers) = &self.watchers {
            watchers.send_replace(view);
        }
    }

    /// Whether all of it is in the journal and nothing is under way.
    pub(super) fn is_parked(&self) -> bool {
        self.pending.is_empty()
            && self.first.is_none()
            && self.job.is_none()
            && (self.course.run.is_parked() || self.course.run.state().is_finished())
    }
}

impl Pending {
    pub(super) fn refuse(self, error: impl Fn() -> EngineError) {
        for reply in self.replies {
            // Who asked may have gone.
            let _ = reply.send(Err(error()));
        }
        for reply in self.views {
            let _ = reply.send(Err(error()));
        }
        for reply in self.watchers {
            let _ = reply.send(Err(error()));
        }
    }
}

fn context(state: &RunState) -> RunContext {
    let created = &state.created;
    RunContext {
        id: created.run.clone(),
        workflow: created.workflow.clone(),
        codec: state.codec.clone(),
        began_with: created.codec.as_ref().map(|codec| codec.digest.clone()),
        vars: created.vars.clone(),
        plugins: created.plugins.clone(),
        priority: created.terms.priority.level(),
        device: created.device.get("id").and_then(|id| id.as_str()).map(str::to_owned),
        message: created.message.clone(),
    }
}
