//! Effects under way at a runner: waiting for a device's turn, a transfer that is driven, or a plain effect.

use crate::counts::Struck;
use crate::drive::Drive;
use crate::ground::{Happening, Stop, To};
use crate::mutant::Mutant;
use crate::outside::Outside;
use crate::plain;
use crate::runner::Runner;
use packhorse::bus::{Delivery, Message};
use packhorse::link::{Kept, LinkEnd};
use packhorse_core::effect::{Effect, Reply, Traffic, TransferRequest, TransferTask};
use packhorse_core::failure::Failure;
use packhorse_core::run::{EffectEnd, EffectId, Order, RunEvent, RunId};

/// What a job is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Control {
    Go,
    Park,
    Cancel,
}

/// How a job ended, and what it cost.
pub(crate) struct Ended {
    pub(crate) end: EffectEnd,
    pub(crate) traffic: Traffic,
}

/// What a job is doing.
pub(crate) enum Doing {
    /// Waits until nobody else has the device.
    Queued,
    /// Has the device's turn and an epoch; asks whether the run is still its runner's.
    Asking,
    Driving(Box<Drive>),
    /// Will be over at its time.
    Plain,
}

/// One effect under way.
pub(crate) struct Job {
    pub(crate) id: EffectId,
    pub(crate) ticket: u64,
    pub(crate) effect: Effect,
    pub(crate) epoch: u32,
    pub(crate) checkpoint: Option<Vec<u8>>,
    pub(crate) carried: bool,
    pub(crate) control: Control,
    pub(crate) doing: Doing,
    pub(crate) inbox: Vec<Delivery>,
    /// Something happened to it since it was looked at.
    pub(crate) touched: bool,
    pub(crate) reachable: bool,
}

impl Job {
    /// When it wants to be looked at.
    pub(crate) fn due(&self) -> Option<u64> {
        match &self.doing {
            Doing::Driving(drive) => drive.due(),
            Doing::Queued | Doing::Asking | Doing::Plain => None,
        }
    }

    fn device(&self) -> Option<&str> {
        match &self.effect {
            Effect::Transfer(request) => Some(&request.device),
            _ => None,
        }
    }
}

impl Runner {
    /// An effect begins: its facts are durable.
    pub(crate) fn launch(&mut self, run: &RunId, order: Order, out: &mut Outside) -> Result<(), Stop> {
        let Some(lane) = self.lanes.get_mut(run) else { return Ok(()) };
        out.oracle.begins(&order.id, &out.store.facts(run))?;
        if out.ground.is(Mutant::NeverAsksAgain) && out.oracle.was_taken_up(lane.index) {
            return Ok(());
        }
        self.ticket += 1;
        let (ticket, runner, life) = (self.ticket, self.id, self.life);
        let mut checkpoint = lane.course.checkpoint_for(&order.id);
        if out.ground.is(Mutant::ForgetsCheckpoint) {
            checkpoint = None;
        }
        out.ground.counts.effects += 1;
        out.ground.tell(3, || format!("runner {runner} begins {} as {ticket}: {:?}", order.id, order.effect));
        let plain = !matches!(order.effect, Effect::Transfer(_));
        lane.job = Some(Job {
            carried: checkpoint.is_some(),
            id: order.id,
            ticket,
            effect: order.effect,
            epoch: order.epoch,
            checkpoint,
            control: Control::Go,
            doing: if plain { Doing::Plain } else { Doing::Queued },
            inbox: Vec::new(),
            touched: true,
            reachable: true,
        });
        out.ground.boundary("an effect begins")?;
        if plain {
            let by = out.ground.chance.from(100, 20_000);
            out.ground.later(by, Happening::Effect { runner, life, run: run.clone(), ticket });
            return Ok(());
        }
        self.queue_up(run, ticket, out)
    }

    /// Takes the device's turn, or waits for it.
    fn queue_up(&mut self, run: &RunId, ticket: u64, out: &mut Outside) -> Result<(), Stop> {
        let Some(job) = self.lanes.get(run).and_then(|lane| lane.job.as_ref()) else { return Ok(()) };
        let turn = self.turns.entry(job.device().unwrap_or_default().to_owned()).or_default();
        if let Some(holder) = turn.holder {
            out.ground.counts.add(Struck::SameDevice);
            let pulls = |job: &Job| matches!(&job.effect, Effect::Transfer(request) if matches!(request.task, TransferTask::Pull { .. }));
            let other = self.lanes.values().filter_map(|lane| lane.job.as_ref()).find(|job| job.ticket == holder);
            if other.is_some_and(|other| pulls(other) != pulls(job)) {
                out.ground.counts.add(Struck::Crossing);
            }
            turn.waiting.push_back((run.clone(), ticket));
            return Ok(());
        }
        turn.holder = Some(ticket);
        self.take_turn(run, ticket, out)
    }

    fn take_turn(&mut self, run: &RunId, ticket: u64, out: &mut Outside) -> Result<(), Stop> {
        let job = self.lanes.get_mut(run).and_then(|lane| lane.job.as_mut());
        let Some(job) = job else { return Ok(()) };
        let Effect::Transfer(request) = &job.effect else { return Ok(()) };
        job.epoch = out.files.epoch(&request.device, job.epoch).map_err(|failure| Stop::Wrong(failure.to_string()))?;
        if out.ground.is(Mutant::SleepsThroughClaim) {
            return self.confirmed(run, ticket, out);
        }
        job.doing = Doing::Asking;
        self.ask(run, ticket, out);
        Ok(())
    }

    /// The run is still ours, and the session's epoch is later than all before it: the session opens.
    pub(crate) fn confirmed(&mut self, run: &RunId, ticket: u64, out: &mut Outside) -> Result<(), Stop> {
        let id = self.id;
        let Some(lane) = self.lanes.get_mut(run) else { return Ok(()) };
        let Some(job) = lane.job.as_mut().filter(|job| job.ticket == ticket) else { return Ok(()) };
        let index = lane.index;
        out.store.holds(run, lane.course.nothing().token)?;
        let Effect::Transfer(request) = job.effect.clone() else { return Ok(()) };
        let (epoch, checkpoint) = (job.epoch, job.checkpoint.clone());
        let opened = self.open(run, index, &request, (epoch, checkpoint.as_deref(), ticket), out);
        let Some(job) = self.lanes.get_mut(run).and_then(|lane| lane.job.as_mut()) else { return Ok(()) };
        match opened? {
            Ok(drive) => {
                out.ground.tell(3, || format!("runner {id} opens epoch {epoch} of {run} to {}", request.device));
                job.doing = Doing::Driving(Box::new(drive));
                job.touched = true;
                Ok(())
            }
            Err(failure) => {
                let kept = checkpoint.as_deref().and_then(Kept::read);
                let traffic =
                    kept.and_then(|kept| kept.checkpoint()).map(|checkpoint| checkpoint.traffic).unwrap_or_default();
                out.excuse(index, &failure)?;
                self.ended(run, ticket, Ended { end: EffectEnd::Outcome(Err(failure)), traffic }, out)
            }
        }
    }

    fn open(
        &mut self,
        run: &RunId,
        index: usize,
        request: &TransferRequest,
        (epoch, checkpoint, ticket): (u32, Option<&[u8]>, u64),
        out: &mut Outside,
    ) -> Result<Result<Drive, Failure>, Stop> {
        let part = self.part(run);
        let attempt = self.lanes.get(run).and_then(|lane| lane.job.as_ref()).map_or(1, |job| job.id.attempt);
        let disk = self.spool.entry(part.clone()).or_default();
        let to = To::Job { runner: self.id, life: self.life, ticket };
        Drive::open(index, request, (epoch, attempt, checkpoint), (part, disk), to, out)
    }

    /// Names the bytes of a pull in the spool.
    fn part(&self, run: &RunId) -> String {
        let job = self.lanes.get(run).and_then(|lane| lane.job.as_ref());
        job.map_or_else(String::new, |job| format!("{run}/{}/{}", job.id.step, job.id.round))
    }

    /// Looks at a run's job and does what it wishes.
    pub(crate) fn drive(&mut self, run: &RunId, out: &mut Outside) -> Result<(), Stop> {
        let now = out.ground.now;
        let connected = self.connected;
        let Some(lane) = self.lanes.get_mut(run) else { return Ok(()) };
        let Some(job) = lane.job.as_mut() else { return Ok(()) };
        if !job.touched && job.due().is_none_or(|at| at > now) {
            return Ok(());
        }
        job.touched = false;
        let (ticket, control) = (job.ticket, job.control);
        let drive = match &mut job.doing {
            Doing::Driving(drive) => drive,
            Doing::Queued | Doing::Asking | Doing::Plain if control != Control::Go => {
                let kept = job.checkpoint.as_deref().and_then(Kept::read);
                let traffic =
                    kept.and_then(|kept| kept.checkpoint()).map(|checkpoint| checkpoint.traffic).unwrap_or_default();
                let end = if control == Control::Park { EffectEnd::Parked } else { EffectEnd::Cancelled };
                return self.ended(run, ticket, Ended { end, traffic }, out);
            }
            Doing::Queued | Doing::Asking | Doing::Plain => return Ok(()),
        };
        let disk = self.spool.entry(drive.part.clone()).or_default();
        let mut inbox = std::mem::take(&mut job.inbox);
        let acted = drive.act(connected, control, &mut inbox, disk, out);
        job.inbox = inbox;
        let acted = acted?;
        for (span, generation) in acted.syncs {
            out.spool_syncs(self.id, self.life, &drive.part, span, generation);
        }
        let id = job.id.clone();
        if let Some(bytes) = acted.checkpoint {
            lane.course.keep_checkpoint(&id, bytes);
        }
        let reachable = acted.reachable.filter(|reachable| *reachable != job.reachable);
        job.reachable = reachable.unwrap_or(job.reachable);
        self.flush(run, out)?;
        self.save_checkpoint(run, out)?;
        if let Some(reachable) = reachable {
            self.act(run, RunEvent::DeviceReachable { id, reachable }, out)?;
        }
        match acted.end {
            Some(end) => self.transfer_ended(run, ticket, end, out),
            None => Ok(()),
        }
    }

    fn transfer_ended(&mut self, run: &RunId, ticket: u64, end: LinkEnd, out: &mut Outside) -> Result<(), Stop> {
        let Some(lane) = self.lanes.get_mut(run) else { return Ok(()) };
        let (index, Some(job)) = (lane.index, lane.job.as_ref()) else { return Ok(()) };
        let id = job.id.clone();
        let Effect::Transfer(request) = job.effect.clone() else { return Ok(()) };
        if let Doing::Driving(drive) = &job.doing {
            drive.accounts()?;
        }
        let end = out.judge_end(index, &request, end)?;
        let ended = match end {
            LinkEnd::Good(report) => {
                let traffic = report.traffic;
                Ended { end: EffectEnd::Outcome(Ok(Reply::Transfer(*report))), traffic }
            }
            LinkEnd::Failed { failure, traffic, restart } => {
                if restart {
                    lane.course.keep_checkpoint(&id, Vec::new());
                }
                Ended { end: EffectEnd::Outcome(Err(failure)), traffic }
            }
            LinkEnd::Parked(traffic) => Ended { end: EffectEnd::Parked, traffic },
            LinkEnd::Cancelled(traffic) => Ended { end: EffectEnd::Cancelled, traffic },
        };
        self.ended(run, ticket, ended, out)
    }

    /// Carries what a session said to the broker, while there is a connection.
    fn flush(&mut self, run: &RunId, out: &mut Outside) -> Result<(), Stop> {
        let connected = self.connected;
        let Some(job) = self.lanes.get_mut(run).and_then(|lane| lane.job.as_mut()) else { return Ok(()) };
        let Doing::Driving(drive) = &mut job.doing else { return Ok(()) };
        out.oracle.queue(drive.bus.len())?;
        if !connected || drive.bus.len() == 0 {
            return Ok(());
        }
        job.touched |= drive.is_full();
        let (from, before) = (drive.origin(), out.ground.counts.packets);
        for message in drive.bus.take() {
            out.publish(message, from)?;
        }
        drive.said += out.ground.counts.packets - before;
        out.ground.boundary("messages published")
    }

    /// A plain effect's time has come.
    pub(crate) fn effect(&mut self, run: &RunId, ticket: u64, out: &mut Outside) -> Result<(), Stop> {
        let Some(lane) = self.lanes.get(run) else { return Ok(()) };
        let (index, Some(job)) = (lane.index, lane.job.as_ref().filter(|job| job.ticket == ticket)) else {
            return Ok(());
        };
        let (id, effect) = (job.id.clone(), job.effect.clone());
        let outcome = plain::perform(&id, index, effect, out)?;
        if let Err(failure) = &outcome {
            out.excuse(index, failure)?;
        }
        out.ground.boundary("an effect is done")?;
        self.ended(run, ticket, Ended { end: EffectEnd::Outcome(outcome), traffic: Traffic::default() }, out)
    }

    /// A job is over or dropped: it hears nothing any more, and the next has its device.
    pub(crate) fn drop_job(&mut self, job: &Job, out: &mut Outside) {
        let (id, ticket) = (self.id, job.ticket);
        out.broker.unsubscribe(|to| matches!(to, To::Job { runner, ticket: of, .. } if *runner == id && *of == ticket));
        let Some(device) = job.device() else { return };
        let Some(turn) = self.turns.get_mut(device) else { return };
        turn.waiting.retain(|(_, waits)| *waits != ticket);
        if turn.holder == Some(ticket) {
            turn.holder = None;
        }
    }

    /// Gives free turns to who waits longest.
    pub(crate) fn hand_over(&mut self, out: &mut Outside) -> Result<(), Stop> {
        loop {
            let free = self.turns.iter_mut().find(|(_, turn)| turn.holder.is_none() && !turn.waiting.is_empty());
            let Some((_, turn)) = free else { break };
            let Some((run, ticket)) = turn.waiting.pop_front() else { break };
            turn.holder = Some(ticket);
            self.take_turn(&run, ticket, out)?;
        }
        self.turns.retain(|_, turn| turn.holder.is_some());
        Ok(())
    }

    /// A message arrives for a job.
    pub(crate) fn arrive(&mut self, ticket: u64, filter: usize, message: Message) {
        let jobs = self.lanes.values_mut().filter_map(|lane| lane.job.as_mut());
        for job in jobs.filter(|job| job.ticket == ticket && job.inbox.len() < packhorse::bus::QUEUE_MESSAGES) {
            job.inbox.push(Delivery { filter, message: message.clone(), receipt: None });
            job.touched = true;
        }
    }

    /// The connection to the broker breaks or is back.
    pub(crate) fn connection(&mut self, up: bool, out: &mut Outside) -> Result<(), Stop> {
        if self.connected == up || !self.works() {
            return Ok(());
        }
        self.connected = up;
        let runs: Vec<RunId> = self.lanes.keys().cloned().collect();
        for run in &runs {
            let job = self.lanes.get_mut(run).and_then(|lane| lane.job.as_mut());
            let Some(job) = job else { continue };
            if let Doing::Driving(drive) = &mut job.doing {
                drive.connection(up, out);
                job.touched = true;
            }
            if up {
                self.flush(run, out)?;
            }
        }
        Ok(())
    }

    /// Bytes of a pull are on disk.
    pub(crate) fn synced(&mut self, part: &str, generation: u32, out: &mut Outside) {
        let (id, life) = (self.id, self.life);
        let Some(disk) = self.spool.get_mut(part) else { return };
        let spans =
            if out.ground.is(Mutant::SkipsSync) { disk.pretend_sync(generation) } else { disk.finish_sync(generation) };
        if let Some(generation) = disk.begin_sync() {
            out.spool_syncs(id, life, part, true, generation);
        }
        if out.ground.is(Mutant::AckBeforeDurable) {
            return;
        }
        for job in self.lanes.values_mut().filter_map(|lane| lane.job.as_mut()) {
            if let Doing::Driving(drive) = &mut job.doing
                && drive.part == part
            {
                drive.durable(&spans, out.ground.now);
                job.touched = true;
            }
        }
    }
}
