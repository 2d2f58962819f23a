//! Carrying out what was decided about one run: facts to the writer, jobs begun when those are durable, stopped, and over.

use super::actor::{Actor, Due};
use super::command::{Finish, Reply, Signal};
use super::gate::matters;
use super::handle::EngineError;
use super::hold::Hold;
use super::lane::{Lane, LiveJob, Pending};
use super::notes::{NoteSender, Notes};
use super::performer::{Control, Job, JobEnd};
use crate::failpoint::Point;
use crate::store::{Committed, WriteError};
use packhorse_core::effect::Traffic;
use packhorse_core::failure::{Class, Failure};
use packhorse_core::run::{Decision, EffectEnd, EffectId, Order, Refused, RunEvent, RunId, Stop};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// A job that was asked to stop is dropped after so long.
const GRACE: Duration = Duration::from_secs(30);

/// Failure of a job that panicked.
const PANICKED: &str = "PH4006";

impl Actor {
    /// Decides about one run and carries it out.
    pub(super) fn act(&mut self, run: &RunId, event: RunEvent, reply: Option<Reply<()>>) {
        let moment = self.moment();
        let Some(lane) = self.lanes.get_mut(run) else { return };
        match lane.course.run.decide(event, moment) {
            Ok(decision) => self.carry_out(run, decision, reply),
            Err(refused) => self.refused(run, refused, reply),
        }
    }

    pub(super) fn refused(&mut self, run: &RunId, refused: Refused, reply: Option<Reply<()>>) {
        if let Refused::Bug(illegal) = &refused {
            tracing::error!(%run, %illegal, "a bug: the run is left alone until the next start");
            drop(self.let_go(run));
        }
        if let Some(reply) = reply {
            drop(reply.send(Err(EngineError::Refused { run: run.clone(), source: refused })));
        }
    }

    pub(super) fn let_go(&mut self, run: &RunId) -> Option<Lane> {
        let lane = self.lanes.remove(run)?;
        self.gate.leave(run, &lane);
        self.away.leave(run, &lane);
        Some(lane)
    }

    pub(super) fn carry_out(&mut self, run: &RunId, decision: Decision, reply: Option<Reply<()>>) {
        let Some(lane) = self.lanes.get_mut(run) else { return };
        if lane.wake_at != decision.wake_at {
            if let Some(at) = lane.wake_at {
                self.due.remove(&(at, run.clone(), Due::Tick));
            }
            lane.wake_at = decision.wake_at;
            self.due.extend(decision.wake_at.map(|at| (at, run.clone(), Due::Tick)));
        }
        for (id, stop) in &decision.stop {
            if let Some(ticket) = lane.stop(id, *stop) {
                self.due.insert((self.clock.now().after(GRACE), run.clone(), Due::Grace(ticket)));
            }
        }
        let (mut facts, mut replies) = (decision.facts, Vec::new());
        let mut lines = decision.lines;
        if let Some((first, starter)) = lane.first.take() {
            if let Some(line) = lane.course.run.state().notable(&first) {
                lines.insert(0, line);
            }
            facts.insert(0, first);
            replies.push(starter);
        }
        lane.heed(&facts);
        let barred = lane.course.run.state().bar.is_some();
        if facts.iter().any(|record| matters(&record.fact, barred)) {
            self.gate.mark(run);
        }
        self.away.note(run, lane);
        if !lane.course.run.state().is_suspect() {
            self.gate.clear(run);
        }
        if facts.is_empty() {
            match (reply, lane.pending.back_mut()) {
                (Some(reply), Some(pending)) => pending.replies.push(reply),
                (Some(reply), None) => drop(reply.send(Ok(()))),
                (None, _) => {}
            }
            return;
        }
        let orders = decision.effects.into_iter().map(|order| (order, None)).collect();
        replies.extend(reply);
        let told = lane.told(&facts, lines);
        lane.pending.push_back(Pending { orders, replies, told, ..Pending::default() });
        let append = lane.course.append(&facts);
        let (signals, run) = (self.signals.clone(), run.clone());
        self.outstanding += 1;
        self.writer.append(append, move |committed| drop(signals.send(Signal::Committed { run, committed })));
    }

    /// Facts are durable: what they announce begins, who asked hears of it.
    pub(super) fn committed(&mut self, run: &RunId, committed: Committed) -> Result<(), Arc<str>> {
        if !self.judge(run, committed)? {
            return Ok(());
        }
        let Some(mut pending) = self.lanes.get_mut(run).and_then(|lane| lane.pending.pop_front()) else {
            return Ok(());
        };
        for reply in pending.replies.drain(..) {
            drop(reply.send(Ok(())));
        }
        if let Some(lane) = self.lanes.get(run) {
            std::mem::take(&mut pending.told).tell(&lane.context);
        }
        for (order, stop) in std::mem::take(&mut pending.orders) {
            match stop {
                None => self.begin(run, order),
                Some(stop) => self.effect_ended(run, order.id, stopped(stop), None),
            }
        }
        if let Some(lane) = self.lanes.get_mut(run) {
            lane.show(pending, self.clock.now());
        }
        self.settle(run);
        Ok(())
    }

    /// Whether an append was made. A run that was taken over is let go; a failed commit ends the engine.
    pub(super) fn judge(&mut self, run: &RunId, committed: Committed) -> Result<bool, Arc<str>> {
        match committed {
            Ok(_) => Ok(true),
            Err(WriteError::Refused(refused)) => {
                tracing::error!(%run, %refused, "the run is let go");
                if let Some(mut lane) = self.let_go(run) {
                    let why = refused.to_string();
                    lane.pending.drain(..).for_each(|pending| {
                        pending.refuse(|| EngineError::Unreadable { run: run.clone(), why: why.clone() });
                    });
                }
                Ok(false)
            }
            Err(WriteError::Stopped(why)) => Err(why),
        }
    }

    /// Shows the run as it is now, and lets go of it when it has finished.
    pub(super) fn settle(&mut self, run: &RunId) {
        let Some(lane) = self.lanes.get_mut(run) else { return };
        lane.publish(self.clock.now());
        if lane.pending.is_empty() && lane.course.run.state().is_finished() {
            Point::RunFinished.pass();
            let lane = self.let_go(run);
            if let (Some(lane), Some(ended)) = (lane.filter(|lane| !lane.over), &self.parts.ended) {
                // Who wanted to know may be gone.
                drop(ended.send(lane.view(self.clock.now())));
            }
        }
    }

    pub(super) fn begin(&mut self, run: &RunId, order: Order) {
        let Some(lane) = self.lanes.get_mut(run) else { return };
        Point::EffectBegin.pass();
        self.ticket += 1;
        let ticket = self.ticket;
        let (control, orders) = watch::channel(Control::Go);
        let (notes, mailbox) = NoteSender::new(run.clone(), ticket, self.signals.clone());
        let checkpoint = lane.course.checkpoint_for(&order.id);
        let carried = checkpoint.is_some();
        let first = order.first && !lane.course.has_kept(&order.id);
        let reachable = lane.course.run.state().live_attempt().is_none_or(|(_, _, attempt)| attempt.reachable);
        let id = order.id.clone();
        let job = Job {
            id: order.id,
            effect: order.effect,
            run: lane.context.clone(),
            epoch: order.epoch,
            checkpoint,
            before: order.before,
            first,
            reachable,
            control: orders,
            notes,
            hold: Hold::new(self.writer.clone(), lane.course.nothing(), self.signals.clone()),
        };
        let performer = self.parts.performer.clone();
        let work = self.parts.jobs.spawn(async move { performer.perform(job).await });
        lane.job = Some(LiveJob { id, ticket, control, abort: work.abort_handle(), mailbox, carried });
        let (signals, run) = (self.signals.clone(), run.clone());
        self.parts.jobs.spawn(async move {
            let finish = match work.await {
                Ok(end) => Finish::Ended(end),
                Err(error) => match error.try_into_panic() {
                    Ok(words) => Finish::Panicked(words_of(&*words)),
                    Err(_) => Finish::Dropped,
                },
            };
            drop(signals.send(Signal::Ended { run, ticket, finish }));
        });
    }

    pub(super) fn noted(&mut self, run: &RunId, notes: Notes) {
        let Some(lane) = self.lanes.get_mut(run) else { return };
        let Some(id) = lane.job.as_ref().map(|job| job.id.clone()) else { return };
        if let Some(bytes) = notes.checkpoint {
            lane.course.keep_checkpoint(&id, bytes);
            self.gate.look(lane);
        }
        lane.tell(notes.progress, notes.transfer);
        for call in notes.refused {
            self.act(run, RunEvent::CallRefused { id: id.clone(), call }, None);
        }
        if let Some(reachable) = notes.reachable {
            // Who waits for a device is hardly why a process dies.
            if !reachable {
                self.gate.clear(run);
            }
            self.act(run, RunEvent::DeviceReachable { id, reachable }, None);
        }
        if let Some(lane) = self.lanes.get_mut(run) {
            lane.publish(self.clock.now());
        }
    }

    pub(super) fn save_checkpoint(&mut self, run: &RunId) {
        let unsaved = |lane: &&mut Lane| lane.course.has_unsaved() && !lane.saving;
        let Some(lane) = self.lanes.get_mut(run).filter(unsaved) else { return };
        lane.saving = true;
        let append = lane.course.append(&[]);
        let (signals, run) = (self.signals.clone(), run.clone());
        self.outstanding += 1;
        self.writer.append(append, move |committed| drop(signals.send(Signal::Saved { run, committed })));
    }

    pub(super) fn ended(&mut self, run: &RunId, ticket: u64, finish: Finish) {
        let current = self.lanes.get(run).and_then(|lane| lane.job.as_ref()).filter(|job| job.ticket == ticket);
        let Some(job) = current else { return };
        Point::EffectEnded.pass();
        let (id, carried, control) = (job.id.clone(), job.carried, *job.control.borrow());
        if let Some(notes) = job.mailbox.take() {
            self.noted(run, notes);
        }
        if let Some(lane) = self.lanes.get_mut(run) {
            drop(lane.forget_job());
        }
        let (end, traffic) = match finish {
            Finish::Ended(JobEnd::Outcome(outcome, traffic)) => (EffectEnd::Outcome(outcome), Some((traffic, carried))),
            Finish::Ended(JobEnd::Parked(traffic)) => (EffectEnd::Parked, Some((traffic, carried))),
            Finish::Ended(JobEnd::Cancelled(traffic)) => (EffectEnd::Cancelled, Some((traffic, carried))),
            Finish::Panicked(words) => {
                tracing::error!(%run, effect = %id, %words, "a job panicked");
                (EffectEnd::Outcome(Err(Failure::new(PANICKED, Class::Bug, format!("a bug: {words}")))), None)
            }
            Finish::Dropped => (stopped(if control == Control::Park { Stop::Park } else { Stop::Cancel }), None),
        };
        self.effect_ended(run, id, end, traffic);
    }

    /// Where nobody tells what an effect cost, what is known of the step stays.
    pub(super) fn effect_ended(&mut self, run: &RunId, id: EffectId, end: EffectEnd, traffic: Option<(Traffic, bool)>) {
        let Some(lane) = self.lanes.get(run) else { return };
        let known = lane.course.run.state().steps.get(&id.step).map_or_else(Traffic::default, |step| step.cost.last);
        let (traffic, carried) = traffic.unwrap_or((known, true));
        self.act(run, RunEvent::EffectEnded { id, end, traffic, carried }, None);
        self.save_checkpoint(run);
        self.settle(run);
    }
}

fn stopped(stop: Stop) -> EffectEnd {
    match stop {
        Stop::Park => EffectEnd::Parked,
        Stop::Cancel => EffectEnd::Cancelled,
    }
}

fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no words".to_owned())
}
