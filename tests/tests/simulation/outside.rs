//! Everything outside the runners: services, devices' flash, clocks, oracles; and what is asked of them.

use crate::broker::Broker;
use crate::device::Flash;
use crate::disk::Disk;
use crate::drive::beyond;
use crate::files::Files;
use crate::ground::{Ground, Happening, Origin, Stop, Violation};
use crate::mutant::Mutant;
use crate::oracle::Oracle;
use crate::scenario::{Class, Scenario};
use crate::store::Store;
use packhorse::bus::Message;
use packhorse::engine::Course;
use packhorse::link::LinkEnd;
use packhorse::plugin::Plugin;
use packhorse::store::Token;
use packhorse_core::effect::{TransferRequest, TransferTask};
use packhorse_core::failure::Failure;
use packhorse_core::file::FileRef;
use packhorse_core::hex;
use packhorse_core::run::{FinalStatus, Record, Run, RunId, RunState};
use packhorse_core::transfer::{Intervals, Pairs};
use packhorse_core::workflow::Workflow;
use std::collections::BTreeSet;
use std::sync::Arc;

/// 2026-03-01T00:00:00Z.
const WALL: u64 = 1_772_323_200_000;

/// See the file.
pub(crate) struct Outside {
    pub(crate) ground: Ground,
    pub(crate) broker: Broker,
    pub(crate) store: Store,
    pub(crate) files: Files,
    pub(crate) flash: Vec<Flash>,
    pub(crate) oracle: Oracle,
    pub(crate) scenario: Arc<Scenario>,
    pub(crate) workflows: Vec<Arc<Workflow>>,
    /// Of each device.
    pub(crate) plugins: Vec<Arc<Plugin>>,
    pub(crate) wall_offset: i64,
    pub(crate) wall_frozen: Option<u64>,
    pub(crate) slow_store: u32,
    /// Runs that a working runner has.
    pub(crate) busy: BTreeSet<RunId>,
    /// The next commit fails; whether it was made all the same.
    pub(crate) store_fails: Option<bool>,
    /// Time itself may end a run: a device was away for long, the clock jumped, a device lies or drips.
    pub(crate) late: bool,
}

impl Outside {
    pub(crate) fn wall_ms(&self) -> u64 {
        self.wall_frozen.unwrap_or_else(|| (WALL + self.ground.now / 1_000).saturating_add_signed(self.wall_offset))
    }

    pub(crate) fn workflow(&self, index: usize) -> Arc<Workflow> {
        Arc::clone(&self.workflows[self.scenario.runs[index].workflow])
    }

    pub(crate) fn plugin(&self, index: usize) -> Arc<Plugin> {
        Arc::clone(&self.plugins[self.oracle.runs[index].device])
    }

    pub(crate) fn vars(&self, index: usize) -> Pairs {
        self.oracle.runs[index].created.vars.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// O8: a session publishes to its own device and to its own run's topics only.
    pub(crate) fn publish(&mut self, mut message: Message, mut from: Origin) -> Result<(), Stop> {
        if let Origin::Session { run, at, .. } = &mut from {
            *at = self.ground.now;
            let run = *run;
            let known = &self.oracle.runs[run];
            let (device, run) = (device_name(known.device), &known.created.run);
            if self.ground.is(Mutant::OtherTopic) && self.flash.len() > 1 {
                message.topic =
                    message.topic.replace(&device, &device_name((known.device + 1) % self.flash.len())).into();
            }
            let topic = &*message.topic;
            let allowed = [format!("packhorse/{device}/"), format!("acme/{device}/"), format!("sim/{run}/")];
            if !allowed.iter().any(|prefix| topic.starts_with(prefix.as_str())) {
                return Err(Stop::Wrong(format!("O8: {run} published to {topic}")));
            }
        }
        if self.ground.is(Mutant::SendsTwice) {
            self.broker.publish(message.clone(), from, &mut self.ground)?;
        }
        Ok(self.broker.publish(message, from, &mut self.ground)?)
    }

    pub(crate) fn spool_syncs(&mut self, runner: usize, life: u32, part: &str, slow: bool, generation: u32) {
        let most = self.scenario.spool_sync;
        let by = self.ground.chance.from(most / 4, most) + u64::from(slow);
        self.ground.later(by, Happening::Synced { runner, life, part: part.to_owned(), generation });
    }

    /// A failure that was caused on purpose permits the run to fail.
    pub(crate) fn excuse(&mut self, index: usize, failure: &Failure) -> Result<(), Stop> {
        self.oracle.said(&failure.to_string())?;
        if failure.code.starts_with("PH41") || failure.code == "PH5301" {
            self.oracle.runs[index].excuses.insert(failure.code.clone());
        }
        Ok(())
    }

    fn lies(&self, index: usize) -> bool {
        self.scenario.devices[self.oracle.runs[index].device].lie.is_some()
    }

    /// O3: what a push counts as done is durable on the device.
    pub(crate) fn durable_at_device(
        &self,
        index: usize,
        file: &FileRef,
        (done, before): (&Intervals, &Intervals),
    ) -> Result<(), Violation> {
        let flash = &self.flash[self.oracle.runs[index].device];
        if self.lies(index)
            || flash.forgot
            || self.goes_by_acks(index)
            || flash.files.values().any(|stored| stored.sha256 == file.sha256)
        {
            return Ok(());
        }
        let same = |told: &packhorse_core::transfer::FileInfo| {
            let ours = packhorse::link::told(file, &Default::default());
            told.digests.iter().any(|digest| ours.digests.contains(digest))
        };
        if !flash.arriving.as_ref().is_some_and(same) {
            return Ok(());
        }
        match beyond(done, before, flash.disk.held()) {
            Some(gap) => Err(format!("O3: a checkpoint of {} holds {gap:?}, not durable on the device", file.name)),
            None => Ok(()),
        }
    }

    /// O3: what the spool holds is what the device has.
    pub(crate) fn spool_is_true(&self, index: usize, disk: &Disk) -> Result<(), Stop> {
        if self.lies(index) {
            return Ok(());
        }
        let flash = &self.flash[self.oracle.runs[index].device];
        let Some(log) = flash.shelf.get("syslog") else { return Ok(()) };
        let seen = disk.seen();
        for span in disk.held().iter() {
            let (start, end) = (span.start as usize, span.end as usize);
            if end > log.bytes.len() || end > seen.len() || seen[start..end] != log.bytes[start..end] {
                return Err(Stop::Wrong(format!("O3: the spool holds {span:?}, and not as the device has it")));
            }
        }
        Ok(())
    }

    /// O1 and O2: a transfer that ended good is whole and durable at its sink, and no digest contradicts it.
    pub(crate) fn judge_end(&mut self, index: usize, request: &TransferRequest, end: LinkEnd) -> Result<LinkEnd, Stop> {
        let report = match &end {
            LinkEnd::Good(report) => report,
            LinkEnd::Failed { failure, .. } => {
                self.oracle.said(&failure.to_string())?;
                return Ok(end);
            }
            LinkEnd::Parked(_) | LinkEnd::Cancelled(_) => return Ok(end),
        };
        let device = self.oracle.runs[index].device;
        let flash = &self.flash[device];
        let verify = matches!(request.task, TransferTask::Verify { .. });
        let ours = packhorse::link::told(&report.file, &Default::default());
        let differs = report
            .device_digests
            .iter()
            .any(|told| ours.digests.iter().any(|our| our.algorithm == told.algorithm && our.value != told.value));
        if differs && !verify {
            return Err(Stop::Wrong(format!("O2: good, and the device's digest differs: {report:?}")));
        }
        let wrong = match &request.task {
            TransferTask::Push { file } => {
                let whole = flash.files.values().any(|stored| stored.sha256 == file.sha256);
                let source = self.files.local.get(&file.uri).or_else(|| self.files.stored.get(&file.uri));
                let arrived = source.is_some_and(|source| flash.disk.durably_is(&source.bytes));
                !whole && !arrived
            }
            TransferTask::Pull { .. } => {
                let stored = self.files.stored.get(&report.file.uri);
                let whole = stored.is_some_and(|stored| {
                    stored.sha256 == report.file.sha256
                        && flash.shelf.values().any(|shelf| shelf.sha256 == stored.sha256)
                });
                // Where the message with the digest was lost, nobody can tell that one byte is another.
                !(whole || self.lies(index) && report.device_digests.is_empty())
            }
            TransferTask::Verify { file } => {
                let mut held = flash.files.values().chain(flash.shelf.values());
                let held = held.any(|stored| stored.sha256 == file.sha256);
                !held && !differs && !report.device_digests.is_empty()
            }
        };
        if wrong {
            return Err(Stop::Wrong(format!("O1: reported good, and it is not there: {report:?}")));
        }
        if !verify {
            self.ground.counts.transfers += 1;
            self.ground.counts.bytes += report.file.size;
        }
        Ok(end)
    }

    /// O10: the fold of the journal is the state in memory.
    pub(crate) fn check_fold(&mut self, run: &RunId, course: &Course) -> Result<(), Stop> {
        if !self.ground.chance.hit(0.15) && !course.run.state().is_finished() {
            return Ok(());
        }
        self.ground.counts.folds += 1;
        let facts = self.store.facts(run);
        let records: Result<Vec<Record>, _> = facts.iter().map(|fact| Record::decode(fact)).collect();
        let records = records.map_err(|error| Stop::Wrong(format!("O10: {run}: {error}")))?;
        self.oracle.recovered(run, &records, &facts)?;
        let folded = RunState::fold(&records).map_err(|error| Stop::Wrong(format!("O10: {run}: {error}")))?;
        if folded == *course.run.state() {
            return Ok(());
        }
        Err(Stop::Wrong(format!("O10: the fold of {run} is not its state")))
    }

    /// A run whose last fact became durable and whose runner died before it heard of it.
    pub(crate) fn collect(&mut self, index: usize) -> Result<(), Stop> {
        let run = self.oracle.runs[index].created.run.clone();
        let facts = self.store.facts(&run);
        let records: Vec<Record> = facts.iter().filter_map(|fact| Record::decode(fact).ok()).collect();
        match Run::recover(self.workflow(index), &records) {
            Ok(folded) if folded.state().is_finished() => {
                self.finished(&run, index, &Course::new(folded, Token(0), 0, None))
            }
            _ => Ok(()),
        }
    }

    /// A run has its last fact durable.
    pub(crate) fn finished(&mut self, run: &RunId, index: usize, course: &Course) -> Result<(), Stop> {
        let state = course.run.state();
        let Some(verdict) = &state.verdict else { return Err(Stop::Wrong(format!("{run} ended without a verdict"))) };
        let counts = &mut self.ground.counts;
        match verdict.status {
            FinalStatus::Succeeded => counts.succeeded += 1,
            FinalStatus::Failed => counts.failed += 1,
            FinalStatus::Cancelled => counts.cancelled += 1,
            FinalStatus::TimedOut => counts.timed_out += 1,
            FinalStatus::Superseded => {}
        }
        let known = &self.oracle.runs[index];
        let code = verdict.error.as_ref().map(|error| error.failure.code.clone()).unwrap_or_default();
        let permitted = match verdict.status {
            FinalStatus::Succeeded => true,
            FinalStatus::Failed => {
                let misled = code == "PH0412" && (self.answers_late(index) || self.comes_again(index));
                self.late || self.lies(index) || misled || known.excuses.contains(&code)
            }
            FinalStatus::Cancelled => known.cancelled,
            FinalStatus::TimedOut => self.late || self.lies(index),
            FinalStatus::Superseded => false,
        };
        if !permitted {
            let error = &verdict.error;
            return Err(Stop::Wrong(format!("O5: {run} ended as {:?} for no reason: {error:?}", verdict.status)));
        }
        self.cleaned_up(run, index)?;
        self.resent(index)?;
        self.oracle.runs[index].over = Some(verdict.status);
        Ok(())
    }

    /// `finally` was carried out, whatever happened.
    fn cleaned_up(&self, run: &RunId, index: usize) -> Result<(), Stop> {
        let written = self.workflow(index);
        if written.finally.is_empty() || self.files.value(&format!("over:{run}")).is_some() {
            return Ok(());
        }
        Err(Stop::Wrong(format!("O5: {run} is over, and its `finally` was not carried out")))
    }

    /// How often the device threw away a part of this run's file, for the file of another run: it holds one in the making.
    fn thrown_away(&self, index: usize) -> u64 {
        let known = &self.oracle.runs[index];
        let told = |digest: &packhorse_core::transfer::Digest| {
            let text = hex::encode(&digest.value);
            let image = known.created.inputs.get("image");
            image.is_some_and(|image| [&image["md5"], &image["sha256"]].iter().any(|ours| **ours == text.as_str()))
        };
        let thrown = self.flash[known.device].thrown.iter();
        thrown.filter(|digests| digests.iter().any(told)).count() as u64
    }

    /// Whether the device may throw away what arrived, for the file of another run.
    fn throws_away(&self, index: usize) -> bool {
        let (plans, mine) = (&self.scenario.runs, &self.oracle.runs[index]);
        let other = |(at, plan): (usize, &crate::scenario::RunPlan)| {
            plan.device == mine.device
                && self.oracle.runs[at].created.inputs.get("image") != mine.created.inputs.get("image")
        };
        plans.iter().enumerate().any(other)
    }

    /// Whether only acknowledgements tell how far a push is, and an old one, from before the device threw the file away, looks like a
    /// new one. What the device holds is asked at the end.
    fn goes_by_acks(&self, index: usize) -> bool {
        !self.scenario.devices[self.oracle.runs[index].device].acme && self.throws_away(index)
    }

    /// Whether another run pushes the same file: while it arrives again, the device says that it does not hold it.
    fn comes_again(&self, index: usize) -> bool {
        let (plans, mine) = (&self.scenario.runs, &self.oracle.runs[index]);
        plans.iter().enumerate().any(|(at, plan)| {
            at != index
                && plan.device == mine.device
                && self.oracle.runs[at].created.inputs.get("image") == mine.created.inputs.get("image")
        })
    }

    /// Whether answers to a question may be old ones: json-base64 does not say which question it answers.
    fn answers_late(&self, index: usize) -> bool {
        let plan = &self.scenario.devices[self.oracle.runs[index].device];
        !plan.acme && (plan.up.replay > 0.0 || plan.up.reorder > 0.0)
    }

    /// O6: where nothing is lost but processes and connections, what is sent again is bounded.
    fn resent(&self, index: usize) -> Result<(), Stop> {
        if self.scenario.class != Class::Quiet {
            return Ok(());
        }
        let plan = &self.scenario.runs[index];
        // A window, what is not checkpointed yet, and the probes into silence, for every session and every restart.
        let packet = if self.scenario.devices[plan.device].acme { 1_000 } else { 640 };
        let each = (u64::from(plan.window.max(32)) + 256 + 24) * packet;
        let times = self.oracle.sessions(index).saturating_sub(1) + self.oracle.runs[index].interruptions;
        let anew = self.thrown_away(index) * plan.size;
        let flying = self.oracle.runs[index].reconnects * (u64::from(plan.window.max(32)) + 24) * packet;
        let most = plan.size + times * each + flying + 24 * packet + anew;
        let sent = self.oracle.sent(index);
        if sent > most && plan.workflow != 2 {
            return Err(Stop::Wrong(format!(
                "O6: sent {sent} bytes of {}, at most {most} after {times} cuts",
                plan.size
            )));
        }
        Ok(())
    }
}

/// Ids of the devices.
pub(crate) fn device_name(index: usize) -> String {
    format!("dev-{index}")
}
