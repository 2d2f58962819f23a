//! One world from its seed to its end: runners and devices around the services, one happening after another.

use crate::broker::Broker;
use crate::chance::Chance;
use crate::counts::{Counts, Struck};
use crate::device::{Device, DeviceParts, Flash};
use crate::files::{Files, Stored};
use crate::ground::{Ground, Happening, Stop, To, Violation};
use crate::mutant::Mutant;
use crate::oracle::Oracle;
use crate::outside::{Outside, device_name};
use crate::runner::Runner;
use crate::scenario::{Class, Scenario, Trouble};
use crate::setting::Setting;
use crate::store::Store;
use crate::troubles::LOOKS;
use packhorse_core::run::{Created, RunEvent, RunId};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Virtual microseconds after which nothing strikes any more, and which a world may then still take.
const HEALS: u64 = 2 * 3_600 * 1_000_000;
const PATIENCE: u64 = 16 * 86_400 * 1_000_000;
/// Things that may happen without the clock moving.
const STANDSTILL: u64 = 100_000;
/// How soon a person looks after a run that is paused.
const PERSON: u64 = 60_000_000;

/// See the file.
pub(crate) struct World {
    pub(crate) out: Outside,
    pub(crate) runners: Vec<Runner>,
    pub(crate) devices: Vec<Device>,
    next_trouble: usize,
    /// Runs that a person is about to resume.
    seen: BTreeSet<RunId>,
    /// Begins new runs: two at one device at once would talk past each other.
    pub(crate) leader: usize,
    still: u64,
    pub(crate) silences: u64,
    healed_at: Option<(u64, u64)>,
    /// For how long a runner that stops is away.
    pub(crate) away: u64,
}

/// What became of a world.
pub(crate) struct Report {
    pub(crate) result: Result<(), Violation>,
    pub(crate) counts: Counts,
    pub(crate) trace: u64,
    pub(crate) boundaries: u64,
}

/// Lets a world live. `dies_at`: the effect boundary at which the runner dies.
pub(crate) fn run(
    scenario: Scenario,
    setting: &Setting,
    (print, mutant, dies_at): (bool, Option<Mutant>, Option<u64>),
) -> Report {
    let mut world = match World::new(scenario, setting, (print, mutant, dies_at)) {
        Ok(world) => world,
        Err(Stop::Wrong(violation)) => {
            return Report { result: Err(violation), counts: Counts::default(), trace: 0, boundaries: 0 };
        }
        Err(Stop::Died) => unreachable!("nobody lives yet"),
    };
    let result = world.live();
    let ground = &mut world.out.ground;
    ground.counts.worlds = 1;
    ground.counts.runs = world.out.oracle.runs.len() as u64;
    Report { result, counts: ground.counts.clone(), trace: ground.trace.hash(), boundaries: ground.boundaries }
}

impl World {
    fn new(
        scenario: Scenario,
        setting: &Setting,
        (print, mutant, dies_at): (bool, Option<Mutant>, Option<u64>),
    ) -> Result<Self, Stop> {
        let seed = scenario.seed;
        let scenario = Arc::new(scenario);
        let mut chance = Chance::new(seed ^ 0xf11e);
        let canary = format!("CANARY-{seed:016x}-SECRET");
        let mut ground = Ground::new(seed, print, mutant);
        ground.dies_at = dies_at;
        let wires = scenario.devices.iter().map(|plan| (plan.down.clone(), plan.up.clone(), plan.session)).collect();
        let mut out = Outside {
            ground,
            broker: Broker::new(wires, scenario.max_packet, scenario.quantum),
            store: Store::default(),
            files: Files::default(),
            flash: Vec::new(),
            oracle: Oracle::new(canary),
            scenario: Arc::clone(&scenario),
            workflows: setting.workflows.clone(),
            plugins: scenario.devices.iter().map(|plan| setting.plugin(plan.acme)).collect(),
            wall_offset: 0,
            wall_frozen: None,
            slow_store: 0,
            busy: BTreeSet::new(),
            store_fails: None,
            late: scenario.devices.iter().any(|plan| plan.drips),
        };
        let mut devices = Vec::new();
        for (id, plan) in scenario.devices.iter().enumerate() {
            let mut flash = Flash::default();
            let mut bytes = chance.bytes(plan.log);
            let canary = out.oracle.canary.as_bytes();
            if bytes.len() > canary.len() {
                bytes[..canary.len()].copy_from_slice(canary);
            }
            flash.shelf.insert("syslog".to_owned(), Stored::new(bytes));
            out.flash.push(flash);
            let round = plan.down.latency + plan.down.jitter + plan.up.latency + plan.up.jitter;
            let parts = DeviceParts {
                id,
                name: device_name(id),
                plugin: Arc::clone(&out.plugins[id]),
                vars: Vec::new(),
                lie: plan.lie,
                patience: (3 * round + 20_000).max(200_000),
                drips: plan.drips,
                size: plan.log,
            };
            devices.push(Device::new(parts, &mut out)?);
        }
        let mut world = Self {
            out,
            runners: (0..scenario.runners).map(Runner::new).collect(),
            devices,
            next_trouble: 0,
            seen: BTreeSet::new(),
            leader: 0,
            still: 0,
            silences: 0,
            healed_at: None,
            away: 100_000,
        };
        world.create(setting, &mut chance)?;
        Ok(world)
    }

    fn create(&mut self, setting: &Setting, chance: &mut Chance) -> Result<(), Stop> {
        let scenario = Arc::clone(&self.out.scenario);
        let mut images = Vec::new();
        for (index, plan) in scenario.runs.iter().enumerate() {
            let canary = self.out.oracle.canary.clone();
            let image = match plan.same_as {
                Some(of) => images.get(of).cloned(),
                None => None,
            };
            let image =
                image.unwrap_or_else(|| self.out.files.make(&format!("image-{index}.bin"), plan.size, &canary, chance));
            images.push(image.clone());
            let workflow = &setting.workflows[plan.workflow];
            let device = device_name(plan.device);
            let inputs = setting.inputs(workflow, &device, &image, plan.window).map_err(Stop::Wrong)?;
            let run: RunId = format!("run_{index:026}").parse().map_err(|error| Stop::Wrong(format!("{error}")))?;
            let created = Created {
                run,
                workflow: workflow.name.clone(),
                digest: workflow.digest.clone(),
                engine: "simulation".to_owned(),
                device: serde_json::json!({ "id": device }),
                inputs,
                trigger: serde_json::Value::Null,
                message: None,
                vars: Default::default(),
                codec: Some(setting.pin(scenario.devices[plan.device].acme)),
                plugins: Default::default(),
                terms: Default::default(),
            };
            self.out.oracle.add(created, plan.device);
            self.out.ground.at(plan.at, Happening::Begin(index));
        }
        Ok(())
    }

    fn live(&mut self) -> Result<(), Violation> {
        for runner in 0..self.runners.len() {
            self.guard(runner, |runner, out| runner.start(out))?;
        }
        if self.runners.len() > 1 {
            (0..2).for_each(|runner| self.out.ground.later(LOOKS, Happening::TakeOver(runner)));
        }
        loop {
            self.settle()?;
            if self.out.oracle.all_over() {
                return Ok(());
            }
            self.heal_when_late();
            while let Some(trouble) = self.due_trouble() {
                self.strike(trouble)?;
            }
            self.step()?;
        }
    }

    /// Everybody does what there is to do at this moment.
    fn settle(&mut self) -> Result<(), Violation> {
        for index in 0..self.runners.len() {
            if self.runners[index].works() {
                self.guard(index, |runner, out| runner.work(out))?;
                self.guard(index, |runner, out| runner.hand_over(out))?;
            }
            if self.runners[index].works() && self.runners[index].is_parked() {
                self.out.ground.counts.add(Struck::Parked);
                self.kill(index, self.away)?;
            }
        }
        for device in &mut self.devices {
            device.work(&mut self.out).map_err(wrong)?;
        }
        self.persons();
        Ok(())
    }

    /// Somebody resumes what is paused.
    fn persons(&mut self) {
        for runner in self.runners.iter().filter(|runner| runner.works()) {
            for (run, lane) in &runner.lanes {
                if lane.course.run.state().pause.is_some() && self.seen.insert(run.clone()) {
                    self.out.ground.later(PERSON, Happening::Resume(lane.index));
                }
            }
        }
    }

    /// Goes to the next moment at which anything happens.
    fn step(&mut self) -> Result<(), Violation> {
        let out = &self.out;
        let runners = self.runners.iter().filter(|runner| runner.works()).filter_map(Runner::due);
        let devices = self.devices.iter().enumerate();
        let devices = devices.filter_map(|(id, device)| Some(device.due()?.max(out.broker.wires[id].offline_until)));
        let Some(next) = out.ground.next_at().into_iter().chain(runners).chain(devices).min() else {
            return Err(format!("O5: nothing will ever happen again, and awaited are {:?}", out.oracle.awaited()));
        };
        let ground = &mut self.out.ground;
        self.still = if next <= ground.now { self.still + 1 } else { 0 };
        if self.still > STANDSTILL {
            let due: Vec<_> = self.runners.iter().map(Runner::due).collect();
            let devices: Vec<_> = self.devices.iter().map(Device::due).collect();
            return Err(format!("O5: spins at {next}: due are runners {due:?}, devices {devices:?}"));
        }
        ground.now = ground.now.max(next);
        self.ends()?;
        while let Some(happening) = self.out.ground.due() {
            self.happen(happening)?;
        }
        Ok(())
    }

    /// O5: every world ends, soon after nothing strikes any more.
    fn ends(&self) -> Result<(), Violation> {
        let (now, packets) = (self.out.ground.now, self.out.ground.counts.packets);
        let awaited = || self.out.oracle.awaited();
        if now > HEALS + PATIENCE + 2 * self.silences {
            return Err(format!(
                "O5: has not ended after {packets} packets and {} s: {:?}",
                now / 1_000_000,
                awaited()
            ));
        }
        // A liar may answer one question with a hundred words, and its run ends by time.
        let liar = self.out.scenario.class == Class::Liar;
        if let Some((_, at)) = self.healed_at
            && packets > if liar { 200 * at + 1_000_000 } else { 12 * at + 100_000 }
        {
            return Err(format!("O5: sends for ever: {packets} packets, healed at {at}: {:?}", awaited()));
        }
        Ok(())
    }

    fn heal_when_late(&mut self) {
        let (now, packets) = (self.out.ground.now, self.out.ground.counts.packets);
        let late = packets > self.out.scenario.heals_after || now > HEALS + self.silences;
        if late && self.healed_at.is_none() {
            self.out.ground.tell(3, || "nothing strikes any more".to_owned());
            self.healed_at = Some((now, packets));
            self.out.oracle.healed = true;
            self.out.broker.heal();
            self.out.files.faults.clear();
            self.next_trouble = self.out.scenario.troubles.len();
        }
    }

    /// Notes who works on what: a runner takes up only what nobody works on.
    pub(crate) fn busy(&mut self) {
        let working = self.runners.iter().filter(|runner| runner.works());
        self.out.busy = working.flat_map(|runner| runner.lanes.keys().cloned()).collect();
    }

    fn due_trouble(&mut self) -> Option<Trouble> {
        let packets = self.out.ground.counts.packets;
        let due = self.out.scenario.troubles.get(self.next_trouble).filter(|(at, _)| *at <= packets);
        let (_, trouble) = due?;
        self.next_trouble += 1;
        Some(*trouble)
    }

    fn happen(&mut self, happening: Happening) -> Result<(), Violation> {
        match happening {
            Happening::Arrive { to: To::Device(device), filter, message, from } => {
                self.devices[device].arrive(filter, message, from);
            }
            Happening::Arrive { to: To::Job { runner, .. }, .. }
            | Happening::Commit { runner, .. }
            | Happening::Synced { runner, .. }
            | Happening::Effect { runner, .. } => return self.at_runner(runner, happening),
            Happening::DeviceSynced { device, generation } => self.devices[device].synced(generation, &mut self.out),
            Happening::RunnerBack(runner) => {
                self.busy();
                if !self.runners[runner].alive {
                    return self.guard(runner, |runner, out| runner.start(out));
                }
            }
            Happening::Thaw(runner) => return self.thaw(runner),
            Happening::TakeOver(runner) => return self.take_over(runner),
            Happening::Connected(runner) => {
                let up = self.out.broker.up;
                return self.guard(runner, |runner, out| runner.connection(up, out));
            }
            Happening::BrokerBack => {
                self.out.broker.up = true;
                self.out.broker.redeliver(&mut self.out.ground);
                for runner in 0..self.runners.len() {
                    self.guard(runner, |runner, out| runner.connection(true, out))?;
                }
            }
            Happening::DeviceBack(device) => self.devices[device].back(&mut self.out).map_err(wrong)?,
            Happening::DeviceOnline(device) => self.out.broker.online(device, &mut self.out.ground),
            Happening::DeviceSpeaks(device) => self.devices[device].pause(1, &mut self.out),
            Happening::Begin(index) => return self.begin(index),
            Happening::Resume(index) => return self.resume(index),
            Happening::WallRuns => self.out.wall_frozen = None,
        }
        Ok(())
    }

    fn at_runner(&mut self, index: usize, happening: Happening) -> Result<(), Violation> {
        let runner = &mut self.runners[index];
        let current = runner.life;
        let of = match &happening {
            Happening::Arrive { to: To::Job { life, .. }, .. }
            | Happening::Commit { life, .. }
            | Happening::Synced { life, .. }
            | Happening::Effect { life, .. } => *life,
            _ => current,
        };
        if !runner.alive || of != current {
            return Ok(());
        }
        if runner.frozen {
            runner.held.push(happening);
            return Ok(());
        }
        match happening {
            Happening::Arrive { to: To::Job { ticket, .. }, filter, message, .. } => {
                if runner.connected {
                    runner.arrive(ticket, filter, message);
                }
                Ok(())
            }
            Happening::Commit { .. } => self.guard(index, |runner, out| runner.commit(out)),
            Happening::Synced { part, generation, .. } => self.guard(index, |runner, out| {
                runner.synced(&part, generation, out);
                Ok(())
            }),
            Happening::Effect { run, ticket, .. } => self.guard(index, |runner, out| runner.effect(&run, ticket, out)),
            _ => Ok(()),
        }
    }

    fn begin(&mut self, index: usize) -> Result<(), Violation> {
        let at = self.leader;
        if !self.runners[at].works() || self.runners[at].parking {
            self.out.ground.later(1_000_000, Happening::Begin(index));
            return Ok(());
        }
        self.out.oracle.runs[index].begun = true;
        self.guard(at, |runner, out| runner.begin(index, out))
    }

    fn resume(&mut self, index: usize) -> Result<(), Violation> {
        let run = self.out.oracle.runs[index].created.run.clone();
        self.seen.remove(&run);
        for at in 0..self.runners.len() {
            let paused =
                |runner: &Runner| runner.lanes.get(&run).is_some_and(|lane| lane.course.run.state().pause.is_some());
            if self.runners[at].works() && paused(&self.runners[at]) {
                self.guard(at, |runner, out| runner.act(&run, RunEvent::Resume, out))?;
            }
        }
        Ok(())
    }

    /// Does something at a runner; it may die of it.
    pub(crate) fn guard(
        &mut self,
        index: usize,
        act: impl FnOnce(&mut Runner, &mut Outside) -> Result<(), Stop>,
    ) -> Result<(), Violation> {
        match act(&mut self.runners[index], &mut self.out) {
            Ok(()) => Ok(()),
            Err(Stop::Died) => {
                self.out.ground.counts.add(Struck::RunnerCrash);
                self.kill(index, self.away)
            }
            Err(Stop::Wrong(violation)) => Err(violation),
        }
    }

    pub(crate) fn kill(&mut self, index: usize, away: u64) -> Result<(), Violation> {
        if !self.runners[index].alive {
            return Ok(());
        }
        self.runners[index].die(&mut self.out).map_err(wrong)?;
        self.lost()?;
        self.out.ground.later(away, Happening::RunnerBack(index));
        Ok(())
    }

    /// Runs whose first fact was not durable never were: whoever asked for them asks again.
    pub(crate) fn lost(&mut self) -> Result<(), Violation> {
        for index in 0..self.out.oracle.runs.len() {
            let known = &self.out.oracle.runs[index];
            let run = known.created.run.clone();
            let live = self.runners.iter().any(|runner| runner.lanes.contains_key(&run));
            if !known.begun || known.over.is_some() || live {
                continue;
            }
            if self.out.store.facts(&run).is_empty() {
                self.out.oracle.runs[index].begun = false;
                self.out.ground.later(2_000_000, Happening::Begin(index));
            } else {
                self.out.collect(index).map_err(wrong)?;
            }
        }
        Ok(())
    }
}

pub(crate) fn wrong(stop: Stop) -> Violation {
    match stop {
        Stop::Wrong(violation) => violation,
        Stop::Died => "a device died at a runner's boundary".to_owned(),
    }
}
