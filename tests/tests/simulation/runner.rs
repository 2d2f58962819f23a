//! A runner: the engine's shell around the deciding core, as `engine::{actor, carry, lane}` have it, on virtual time.

use crate::counts::Struck;
use crate::disk::Disk;
use crate::ground::{Happening, Stop, To};
use crate::job::{Control, Ended, Job};
use crate::mutant::Mutant;
use crate::outside::Outside;
use packhorse::engine::Course;
use packhorse::store::{Append, Claim};
use packhorse_core::effect::Traffic;
use packhorse_core::run::{
    Decision, EffectEnd, EffectId, Moment, Order, Record, Refused, Run, RunEvent, RunId, Stop as RunStop, WallTime,
};
use packhorse_core::workflow::Workflow;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// For how long a run is claimed, as in the engine.
pub(crate) const CLAIM: Duration = Duration::from_secs(60);
/// How long checkpoints alone wait for company, as in the writer.
const COMPANY: u64 = 50_000;

/// One run in a runner's hands.
pub(crate) struct Lane {
    pub(crate) course: Course,
    pub(crate) index: usize,
    /// Effects of appends that are not durable yet, oldest first.
    pub(crate) pending: VecDeque<Vec<(Order, Option<RunStop>)>>,
    pub(crate) job: Option<Job>,
    pub(crate) wake_at: Option<WallTime>,
}

/// Something handed to the writer.
struct Write {
    run: RunId,
    append: Append,
    /// Nothing is written: this job asks whether the run is still its runner's.
    asks: Option<u64>,
}

/// A device's turn, as `link::turns` has it.
#[derive(Default)]
pub(crate) struct Turn {
    pub(crate) holder: Option<u64>,
    pub(crate) waiting: VecDeque<(RunId, u64)>,
}

/// See the file.
pub(crate) struct Runner {
    pub(crate) id: usize,
    pub(crate) life: u32,
    pub(crate) alive: bool,
    pub(crate) frozen: bool,
    /// What came while it was stopped.
    pub(crate) held: Vec<Happening>,
    pub(crate) connected: bool,
    pub(crate) parking: bool,
    clock: (u64, u64),
    pub(crate) lanes: BTreeMap<RunId, Lane>,
    queue: Vec<Write>,
    committing: Option<Vec<Write>>,
    pub(crate) turns: BTreeMap<String, Turn>,
    pub(crate) ticket: u64,
    /// Survives its deaths, as far as it was synced.
    pub(crate) spool: BTreeMap<String, Disk>,
}

impl Runner {
    pub(crate) fn new(id: usize) -> Self {
        Self {
            id,
            life: 0,
            alive: false,
            frozen: false,
            held: Vec::new(),
            connected: true,
            parking: false,
            clock: (0, 0),
            lanes: BTreeMap::new(),
            queue: Vec::new(),
            committing: None,
            turns: BTreeMap::new(),
            ticket: 0,
            spool: BTreeMap::new(),
        }
    }

    /// Whether it does anything at this moment.
    pub(crate) fn works(&self) -> bool {
        self.alive && !self.frozen
    }

    /// The engine's clock: the wall's at the start of the process, carried on by the monotonic one.
    pub(crate) fn now(&self, out: &Outside) -> WallTime {
        WallTime(self.clock.0 + (out.ground.now - self.clock.1) / 1_000)
    }

    fn at(&self, wall: WallTime) -> u64 {
        self.clock.1.saturating_add(wall.0.saturating_sub(self.clock.0).saturating_mul(1_000))
    }

    /// The process starts; takes up what nobody has finished.
    pub(crate) fn start(&mut self, out: &mut Outside) -> Result<(), Stop> {
        (self.alive, self.parking, self.frozen) = (true, false, false);
        self.life += 1;
        self.connected = out.broker.up;
        self.clock = (out.wall_ms(), out.ground.now);
        let (id, life) = (self.id, self.life);
        out.ground.tell(3, || format!("runner {id} starts its life {life}"));
        self.take_up(out)
    }

    /// Claims and folds every unfinished run that nobody works on.
    pub(crate) fn take_up(&mut self, out: &mut Outside) -> Result<(), Stop> {
        for run in out.store.unfinished() {
            let busy = self.lanes.contains_key(&run) || out.busy.contains(&run);
            if !busy && !out.oracle.is_quarantined(&run) {
                self.adopt(&run, out)?;
            }
        }
        Ok(())
    }

    fn claim(&self, run: &RunId, out: &Outside) -> Claim {
        Claim { run: run.clone(), owner: format!("runner-{}", self.id), ttl: CLAIM, now: self.now(out) }
    }

    fn adopt(&mut self, run: &RunId, out: &mut Outside) -> Result<(), Stop> {
        let Ok(token) = out.store.claim(self.claim(run, out)) else { return Ok(()) };
        out.ground.boundary("claimed")?;
        let Ok(facts) = out.store.read(run, &out.ground) else {
            out.ground.counts.add(Struck::RecordFlip);
            out.ground.counts.quarantined += 1;
            out.oracle.quarantine(run);
            return Ok(());
        };
        let records: Result<Vec<Record>, _> = facts.iter().map(|fact| Record::decode(fact)).collect();
        let records = records.map_err(|error| Stop::Wrong(format!("C6: a stored record is believed: {error}")))?;
        let index = out.oracle.index(run)?;
        let recovered = Run::recover(self.workflow(index, out), &records);
        let recovered = recovered.map_err(|error| Stop::Wrong(format!("O10: {run} cannot be folded: {error}")))?;
        out.oracle.recovered(run, &records, &facts)?;
        let course = Course::new(recovered, token, records.len() as u64, out.store.checkpoint(run));
        let done = course.done();
        let lane = Lane { course, index, pending: VecDeque::new(), job: None, wake_at: None };
        self.lanes.insert(run.clone(), lane);
        out.oracle.runs[index].recoveries += 1;
        self.act(run, RunEvent::Recovered { done, wanted: false }, out)?;
        self.settle(run, out)
    }

    fn workflow(&self, index: usize, out: &Outside) -> Arc<Workflow> {
        let workflow = out.workflow(index);
        if !out.ground.is(Mutant::ForgetsFinally) {
            return workflow;
        }
        let mut without = (*workflow).clone();
        without.finally.clear();
        Arc::new(without)
    }

    /// A new run.
    pub(crate) fn begin(&mut self, index: usize, out: &mut Outside) -> Result<(), Stop> {
        let created = out.oracle.runs[index].created.clone();
        let run = created.run.clone();
        let claimed = out.store.claim(self.claim(&run, out));
        let Ok(token) = claimed else {
            // Somebody had begun it and died; his claim ends by time.
            out.oracle.runs[index].begun = false;
            out.ground.later(20_000_000, Happening::Begin(index));
            return Ok(());
        };
        let (created, first) = Run::create(self.workflow(index, out), created, self.now(out));
        let course = Course::new(created, token, 0, None);
        self.lanes.insert(run.clone(), Lane { course, index, pending: VecDeque::new(), job: None, wake_at: None });
        let moment = self.moment(out);
        let Some(lane) = self.lanes.get_mut(&run) else { return Ok(()) };
        let decided = lane.course.run.decide(RunEvent::Begin, moment);
        let mut decision = decided.map_err(|refused| Stop::Wrong(format!("a run cannot begin: {refused}")))?;
        decision.facts.insert(0, first);
        self.carry_out(&run, decision, out)
    }

    fn moment(&self, out: &mut Outside) -> Moment {
        Moment { now: self.now(out), random: out.ground.chance.from(0, u64::MAX) }
    }

    /// Decides about one run and carries it out.
    pub(crate) fn act(&mut self, run: &RunId, event: RunEvent, out: &mut Outside) -> Result<(), Stop> {
        let moment = self.moment(out);
        let Some(lane) = self.lanes.get_mut(run) else { return Ok(()) };
        match lane.course.run.decide(event, moment) {
            Ok(decision) => self.carry_out(run, decision, out),
            Err(Refused::Bug(illegal)) => Err(Stop::Wrong(format!("O10: {run}: {illegal}"))),
            Err(_) => Ok(()),
        }
    }

    fn carry_out(&mut self, run: &RunId, decision: Decision, out: &mut Outside) -> Result<(), Stop> {
        let Some(lane) = self.lanes.get_mut(run) else { return Ok(()) };
        lane.wake_at = decision.wake_at.filter(|_| !out.ground.is(Mutant::TimerNeverFires));
        for (id, stop) in &decision.stop {
            lane.stop(id, *stop);
        }
        if decision.facts.is_empty() {
            return Ok(());
        }
        for record in &decision.facts {
            out.ground.tell(4, || format!("{run} {:?}", record.fact));
        }
        let mut orders: Vec<_> = decision.effects.into_iter().map(|order| (order, None)).collect();
        let early = if out.ground.is(Mutant::BeginsBeforeDurable) { std::mem::take(&mut orders) } else { Vec::new() };
        lane.pending.push_back(orders);
        let append = lane.course.append(&decision.facts);
        out.oracle.written(&append)?;
        self.queue.push(Write { run: run.clone(), append, asks: None });
        self.gather(out);
        out.ground.boundary("facts handed to the writer")?;
        for (order, _) in early {
            self.launch(run, order, out)?;
        }
        Ok(())
    }

    /// Lets the writer begin a commit, unless one is under way.
    fn gather(&mut self, out: &mut Outside) {
        if self.committing.is_some() || self.queue.is_empty() {
            return;
        }
        let alone = self.queue.iter().all(|write| write.append.facts.is_empty() && write.asks.is_none());
        let (low, high) = out.scenario.commit;
        let mut by = out.ground.chance.from(low, high) + if alone { COMPANY } else { 0 };
        if out.slow_store > 0 {
            out.slow_store -= 1;
            out.ground.counts.add(Struck::StoreSlow);
            by += out.ground.chance.from(1_000_000, 30_000_000);
        }
        self.committing = Some(Vec::new());
        out.ground.later(by, Happening::Commit { runner: self.id, life: self.life });
    }

    /// A commit is made: everything that has gathered by now.
    pub(crate) fn commit(&mut self, out: &mut Outside) -> Result<(), Stop> {
        if self.committing.take().is_none() {
            return Ok(());
        }
        out.ground.boundary("before a commit")?;
        let batch = std::mem::take(&mut self.queue);
        if let Some(made) = out.store_fails.take() {
            out.ground.counts.add(Struck::StoreFails);
            if made {
                self.write(&batch, out)?;
            }
            return Err(Stop::Died);
        }
        let results = self.write(&batch, out)?;
        if out.ground.boundary("after a commit").is_err() {
            out.ground.counts.add(Struck::UnknownCommit);
            return Err(Stop::Died);
        }
        for (write, made) in batch.into_iter().zip(results) {
            if !made {
                self.let_go(&write.run, out);
            } else if let Some(ticket) = write.asks {
                self.confirmed(&write.run, ticket, out)?;
            } else if !write.append.facts.is_empty() {
                self.committed(&write.run, out)?;
            }
        }
        self.gather(out);
        Ok(())
    }

    fn write(&self, batch: &[Write], out: &mut Outside) -> Result<Vec<bool>, Stop> {
        let appends: Vec<Append> = batch.iter().map(|write| write.append.clone()).collect();
        let results = out.store.append(&appends, &mut out.ground)?;
        Ok(results.into_iter().map(|result| result.is_ok()).collect())
    }

    /// Facts are durable: what they announce begins.
    fn committed(&mut self, run: &RunId, out: &mut Outside) -> Result<(), Stop> {
        let Some(orders) = self.lanes.get_mut(run).and_then(|lane| lane.pending.pop_front()) else { return Ok(()) };
        for (order, stop) in orders {
            match stop {
                None => self.launch(run, order, out)?,
                Some(stop) => self.effect_ended(run, order.id, stopped(stop), None, out)?,
            }
        }
        if let Some(lane) = self.lanes.get(run).filter(|lane| lane.pending.is_empty()) {
            out.check_fold(run, &lane.course)?;
        }
        self.settle(run, out)
    }

    /// Lets go of a run when it has finished.
    pub(crate) fn settle(&mut self, run: &RunId, out: &mut Outside) -> Result<(), Stop> {
        let over =
            self.lanes.get(run).is_some_and(|lane| lane.pending.is_empty() && lane.course.run.state().is_finished());
        if over && let Some(lane) = self.lanes.remove(run) {
            self.spool.retain(|part, _| !part.starts_with(run.as_str()));
            out.finished(run, lane.index, &lane.course)?;
        }
        Ok(())
    }

    /// Another process has the run: its job is dropped in the middle.
    fn let_go(&mut self, run: &RunId, out: &mut Outside) {
        let id = self.id;
        out.ground.tell(3, || format!("runner {id} lets go of {run}"));
        if let Some(job) = self.lanes.remove(run).and_then(|lane| lane.job) {
            self.drop_job(&job, out);
        }
    }

    /// Asks whether the run is still ours, as `link::Claimed` has it.
    pub(crate) fn ask(&mut self, run: &RunId, ticket: u64, out: &mut Outside) {
        let Some(lane) = self.lanes.get(run) else { return };
        self.queue.push(Write { run: run.clone(), append: lane.course.nothing(), asks: Some(ticket) });
        self.gather(out);
    }

    /// Saves a newer checkpoint, where there is one.
    pub(crate) fn save_checkpoint(&mut self, run: &RunId, out: &mut Outside) -> Result<(), Stop> {
        let Some(lane) = self.lanes.get_mut(run).filter(|lane| lane.course.has_unsaved()) else { return Ok(()) };
        let append = lane.course.append(&[]);
        out.oracle.written(&append)?;
        self.queue.push(Write { run: run.clone(), append, asks: None });
        self.gather(out);
        Ok(())
    }

    /// A job is over.
    pub(crate) fn ended(&mut self, run: &RunId, ticket: u64, ended: Ended, out: &mut Outside) -> Result<(), Stop> {
        let Some(lane) = self.lanes.get_mut(run) else { return Ok(()) };
        if lane.job.as_ref().is_none_or(|job| job.ticket != ticket) {
            return Ok(());
        }
        let Some(job) = lane.job.take() else { return Ok(()) };
        self.drop_job(&job, out);
        out.ground.boundary("an effect has ended")?;
        if out.ground.is(Mutant::DropsOutcome) && out.ground.chance.hit(0.2) {
            return Ok(());
        }
        self.effect_ended(run, job.id, ended.end, Some((ended.traffic, job.carried)), out)
    }

    fn effect_ended(
        &mut self,
        run: &RunId,
        id: EffectId,
        end: EffectEnd,
        traffic: Option<(Traffic, bool)>,
        out: &mut Outside,
    ) -> Result<(), Stop> {
        let Some(lane) = self.lanes.get(run) else { return Ok(()) };
        let state = lane.course.run.state();
        let known = state.steps.get(&id.step).map_or_else(Traffic::default, |step| step.cost.last);
        let (traffic, carried) = traffic.unwrap_or((known, true));
        out.oracle.said(&format!("{end:?}"))?;
        self.act(run, RunEvent::EffectEnded { id, end, traffic, carried }, out)?;
        self.save_checkpoint(run, out)?;
        self.settle(run, out)
    }

    /// Does all that is due by the clock, and what jobs have to do.
    pub(crate) fn work(&mut self, out: &mut Outside) -> Result<(), Stop> {
        let now = self.now(out);
        let runs: Vec<RunId> = self.lanes.keys().cloned().collect();
        for run in runs {
            let Some(lane) = self.lanes.get_mut(&run) else { continue };
            if lane.wake_at.is_some_and(|at| at <= now) {
                lane.wake_at = None;
                self.act(&run, RunEvent::Tick, out)?;
            }
            self.drive(&run, out)?;
        }
        Ok(())
    }

    /// When it wants to do something by the clock.
    pub(crate) fn due(&self) -> Option<u64> {
        let lanes = self.lanes.values();
        let wakes = lanes.clone().filter_map(|lane| lane.wake_at.map(|at| self.at(at)));
        wakes.chain(lanes.filter_map(|lane| lane.job.as_ref()?.due())).min()
    }

    /// Stops every run at a good point, as at the end of a process; true when nothing is under way any more.
    pub(crate) fn park(&mut self, out: &mut Outside) -> Result<(), Stop> {
        self.parking = true;
        let runs: Vec<RunId> = self.lanes.keys().cloned().collect();
        runs.iter().try_for_each(|run| self.act(run, RunEvent::Park, out))
    }

    pub(crate) fn is_parked(&self) -> bool {
        self.parking
            && self.queue.is_empty()
            && self.committing.is_none()
            && self.lanes.values().all(|lane| lane.job.is_none() && lane.pending.is_empty())
    }

    /// The process is gone. What was on its way to the journal may have arrived there.
    pub(crate) fn die(&mut self, out: &mut Outside) -> Result<(), Stop> {
        if !std::mem::take(&mut self.alive) {
            return Ok(());
        }
        let id = self.id;
        out.ground.tell(3, || format!("runner {id} is dead"));
        let batch = std::mem::take(&mut self.queue);
        if self.committing.take().is_some() && !batch.is_empty() {
            let made = out.ground.chance.hit(0.5);
            out.ground.counts.add(if made { Struck::UnknownCommit } else { Struck::TornCommit });
            if made {
                self.write(&batch, out)?;
            }
        }
        self.lanes.clear();
        self.turns.clear();
        self.held.clear();
        self.spool.values_mut().for_each(Disk::crash);
        out.broker.unsubscribe(|to| matches!(to, To::Job { runner, .. } if *runner == id));
        Ok(())
    }
}

impl Lane {
    /// Stops the job of this name, begun or not yet begun.
    fn stop(&mut self, id: &EffectId, stop: RunStop) {
        if let Some(job) = self.job.as_mut().filter(|job| job.id == *id) {
            job.control = if stop == RunStop::Park { Control::Park } else { Control::Cancel };
            job.touched = true;
            return;
        }
        for (order, wanted) in self.pending.iter_mut().flatten().filter(|(order, _)| order.id == *id) {
            debug_assert_eq!(order.id, *id);
            *wanted = Some(stop);
        }
    }
}

pub(crate) fn stopped(stop: RunStop) -> EffectEnd {
    match stop {
        RunStop::Park => EffectEnd::Parked,
        RunStop::Cancel => EffectEnd::Cancelled,
    }
}
