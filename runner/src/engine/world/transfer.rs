//! Transfers: the plugin that the run is pinned to, then the link.

use super::World;
use super::hello::Greetings;
use super::mirror;
use super::quarantine::Named;
use super::shelf::RunShelf;
use crate::bus::Message;
use crate::engine::{Control, Hold, Job, JobEnd, Note, Progress, TaskKind, TransferView};
use crate::link::{self, Claimed, Kept, LinkEnd, LinkNote, Meter, Order, Shelf};
use crate::store::{BoxFuture, wall};
use packhorse_core::effect::{Reply, Traffic, TransferRequest, TransferTask};
use packhorse_core::failure::Failure;
use packhorse_core::transfer::{Checkpoint, ProgressReport, WaitReason};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, watch};

/// What a transfer that its codec's traps ended has failed with.
const TRAPPED: &str = "PH6001";
/// Notes under way between link and engine; the link drops what does not fit.
const NOTES: usize = 16;

impl World {
    pub(super) async fn transfer(&self, job: Job, request: TransferRequest) -> JobEnd {
        let plugin = match self.pinned(job.run.codec.as_ref()).await {
            Ok(plugin) => plugin,
            Err(failure) => return JobEnd::Outcome(Err(failure), Traffic::default()),
        };
        let (digest, title) = (plugin.digest().to_owned(), plugin.title());
        let named = Named { digest: &digest, title: &title };
        if let Err(failure) = self.free(named).await {
            return JobEnd::Outcome(Err(failure), Traffic::default());
        }
        let device = request.device.clone();
        if let Some(failure) = self.absent(&job, &device).await {
            return JobEnd::Outcome(Err(failure), carried(&job));
        }
        let (notes, mut told) = mpsc::channel(NOTES);
        let view = TransferView::begun(&job.id.step, &request);
        let attempt = format!("{}/{}/{}", job.id.step, job.id.round, job.id.attempt);
        let meter = self.ledger.meter((job.run.id.as_str(), attempt), &request.device, request.budget);
        let name = format!("{}/{}/{}", job.run.id, job.id.step, job.id.round);
        let last = Arc::new(Mutex::new(job.checkpoint.clone()));
        let task = request.task.clone();
        let order = Order {
            run: job.run.id.to_string(),
            level: job.run.priority,
            shelf: self.shelf(&job, &name, &last),
            claim: Arc::new(job.hold.clone()),
            meter: Arc::clone(&meter) as Arc<dyn Meter>,
            name,
            request,
            plugin,
            vars: job.run.vars.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            epoch: job.epoch,
            attempt: job.id.attempt,
            checkpoint: job.checkpoint.clone().filter(|bytes| !bytes.is_empty()),
            began_with: job.run.began_with.clone(),
            first: first(&job),
            control: watched(job.control.clone()),
            heard: self.presence.as_ref().map(|presence| presence.watch(&device)),
            notes,
        };
        self.reflect_begin(&job, &task);
        let mut greetings = Greetings::default();
        let mut ear = Ear { device: device.clone(), heard: 0 };
        let mut telling = Telling { reachable: job.reachable, view, last };
        let run = self.link.run(order);
        tokio::pin!(run);
        let end = loop {
            tokio::select! {
                biased;
                Some(note) = told.recv() => {
                    self.heed(&job, &task, (&mut greetings, &mut ear), &note);
                    telling.tell(&job, note, ear.heard > 0);
                }
                end = &mut run => break end,
            }
        };
        while let Ok(note) = told.try_recv() {
            self.heed(&job, &task, (&mut greetings, &mut ear), &note);
            telling.tell(&job, note, ear.heard > 0);
        }
        self.parted(greetings, &device).await;
        self.presence.iter().for_each(|presence| presence.unwatch(&device));
        drop(meter);
        if let LinkEnd::Failed { failure, .. } = &end
            && failure.code == TRAPPED
        {
            self.trapped(named, &device, failure).await;
        }
        self.reflect_end(&job, &task, &end, telling.checkpoint());
        // Before the outcome: the commit that makes it durable takes these figures along.
        if let Err(failure) = self.ledger.write().await {
            tracing::warn!(%failure, "traffic cannot be written down; it is tried again");
        }
        ended(&job, end)
    }

    fn shelf(&self, job: &Job, name: &str, last: &Arc<Mutex<Option<Vec<u8>>>>) -> Arc<dyn Shelf> {
        Arc::new(RunShelf {
            blobs: Arc::clone(&self.blobs),
            contents: Arc::clone(&self.contents),
            index: Arc::clone(&self.index),
            mirror: self.mirror.clone(),
            run: job.run.id.to_string(),
            name: name.to_owned(),
            keep: kept(job, Arc::clone(last)),
        })
    }

    /// Why the transfer must not begin now: its device is known to be gone.
    async fn absent(&self, job: &Job, device: &str) -> Option<Failure> {
        self.presence.as_ref()?.held_back(device, job.before.as_ref()).await
    }

    fn heed(&self, job: &Job, task: &TransferTask, (greetings, ear): (&mut Greetings, &mut Ear), note: &LinkNote) {
        self.reflect(job, task, note);
        match note {
            LinkNote::Hello { device, hello } => self.greeted(greetings, device, hello),
            LinkNote::Progress(report, ..) if ear.hears(report) => {
                self.presence.iter().for_each(|presence| presence.heard(&ear.device));
            }
            LinkNote::Progress(..) | LinkNote::Checkpoint(_) | LinkNote::Queued => {}
        }
    }

    /// Shows in the mirror where the file of a push lies.
    fn reflect_begin(&self, job: &Job, task: &TransferTask) {
        if let (Some(mirror), TransferTask::Push { file }) = (&self.mirror, task)
            && let Some(written) = mirror::stored(file)
        {
            mirror.put(job.run.id.as_str(), written);
        }
    }

    /// Shows a checkpoint in the mirror.
    fn reflect(&self, job: &Job, task: &TransferTask, note: &LinkNote) {
        if let (Some(mirror), LinkNote::Checkpoint(bytes)) = (&self.mirror, note)
            && let Some(checkpoint) = Kept::read(bytes).and_then(|kept| kept.checkpoint())
        {
            let written = mirror::at_checkpoint(task, &checkpoint);
            written.into_iter().for_each(|written| mirror.put(job.run.id.as_str(), written));
        }
    }

    /// Shows a good end in the mirror.
    fn reflect_end(&self, job: &Job, task: &TransferTask, end: &LinkEnd, last: Option<Checkpoint>) {
        let (Some(mirror), LinkEnd::Good(report)) = (&self.mirror, end) else { return };
        if let Some(checkpoint) = last.filter(|_| !matches!(task, TransferTask::Verify { .. })) {
            mirror.put(job.run.id.as_str(), mirror::at_end(&report.file, checkpoint.packet_size));
        }
    }
}

/// How many messages of the device were heard when that was last asked.
#[derive(Debug)]
struct Ear {
    device: String,
    heard: u64,
}

impl Ear {
    /// Whether there are more; what is for somebody else says nothing.
    fn hears(&mut self, report: &ProgressReport) -> bool {
        let heard = report.faults.heard.saturating_sub(report.faults.not_mine);
        heard > std::mem::replace(&mut self.heard, heard)
    }
}

/// The figures that the job's checkpoint carries, for one that ends before anything of it was sent.
fn carried(job: &Job) -> Traffic {
    let kept = job.checkpoint.as_deref().and_then(Kept::read);
    kept.and_then(|kept| kept.checkpoint()).map(|checkpoint| checkpoint.traffic).unwrap_or_default()
}

impl Claimed for Hold {
    fn confirm(&self) -> BoxFuture<'_, bool> {
        Box::pin(Self::confirm(self))
    }
}

/// Has the last checkpoint stored once more, which makes durable what was written into the state store before.
fn kept(job: &Job, last: Arc<Mutex<Option<Vec<u8>>>>) -> Arc<dyn Fn() + Send + Sync> {
    let notes = job.notes.clone();
    Arc::new(move || {
        let last = last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(bytes) = last {
            notes.send(Note::Checkpoint(bytes));
        }
    })
}

/// The message that started the run, for its first transfer, until the codec's own state has it: later sessions would take it for something new.
fn first(job: &Job) -> Option<Message> {
    let message = job.run.message.as_ref().filter(|_| job.first)?;
    Some(Message::new(message.topic.as_str(), message.bytes()?))
}

/// The engine's control in the link's words.
fn watched(mut control: watch::Receiver<Control>) -> watch::Receiver<link::Control> {
    let (sender, receiver) = watch::channel(turned(*control.borrow_and_update()));
    tokio::spawn(async move {
        loop {
            tokio::select! {
                changed = control.changed() => if changed.is_err() { return },
                () = sender.closed() => return,
            }
            sender.send_replace(turned(*control.borrow_and_update()));
        }
    });
    receiver
}

const fn turned(control: Control) -> link::Control {
    match control {
        Control::Go => link::Control::Go,
        Control::Park => link::Control::Park,
        Control::Cancel => link::Control::Cancel,
    }
}

fn ended(job: &Job, end: LinkEnd) -> JobEnd {
    match end {
        LinkEnd::Good(report) => {
            let traffic = report.traffic;
            JobEnd::Outcome(Ok(Reply::Transfer(*report)), traffic)
        }
        LinkEnd::Failed { failure, traffic, restart } => {
            if restart {
                job.notes.send(Note::Checkpoint(Vec::new()));
            }
            JobEnd::Outcome(Err(failure), traffic)
        }
        LinkEnd::Parked(traffic) => JobEnd::Parked(traffic),
        LinkEnd::Cancelled(traffic) => JobEnd::Cancelled(traffic),
    }
}

/// What was told last, to the engine and by the link.
struct Telling {
    reachable: bool,
    view: TransferView,
    /// The last checkpoint.
    last: Arc<Mutex<Option<Vec<u8>>>>,
}

impl Telling {
    fn checkpoint(&self) -> Option<Checkpoint> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        Kept::read(last.as_deref()?)?.checkpoint()
    }

    /// `heard`: the device, since the job began.
    fn tell(&mut self, job: &Job, note: LinkNote, heard: bool) {
        match note {
            LinkNote::Checkpoint(bytes) => {
                *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(bytes.clone());
                job.notes.send(Note::Checkpoint(bytes));
            }
            // Kept, and of no use to the engine.
            LinkNote::Hello { .. } => {}
            LinkNote::Queued => job.notes.send(Note::Transfer(Box::new(self.view.queued(wall())))),
            LinkNote::Progress(report, rejected, now) => {
                let offline =
                    report.waiting.as_ref().is_some_and(|waiting| waiting.reason == WaitReason::DeviceOffline);
                // Not to have been silent for long yet does not make a device reachable that was not.
                if self.reachable == offline && (offline || heard) {
                    self.reachable = !offline;
                    job.notes.send(Note::Reachable(!offline));
                }
                self.view = self.view.told(&report, &rejected, (now, wall()));
                job.notes.send(Note::Transfer(Box::new(self.view.clone())));
                if self.view.task != TaskKind::Verify {
                    job.notes.send(Note::Progress(progress(&report)));
                }
            }
        }
    }
}

fn progress(report: &ProgressReport) -> Progress {
    let traffic = &report.traffic;
    let resent = if traffic.payload_bytes == 0 {
        0.0
    } else {
        traffic.retransmitted_bytes as f64 * 100.0 / traffic.payload_bytes as f64
    };
    let text = format!("resent {resent:.1}%  window {}  in flight {}", report.window, report.in_flight);
    Progress { done: report.done, total: report.total.unwrap_or(0), text }
}
