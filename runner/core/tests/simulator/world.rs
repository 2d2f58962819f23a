//! One world: both ends, the ground between them, the troubles that come, and the oracles that watch.

use packhorse_core::transfer::Ending;

use crate::chance::Chance;
use crate::counts::{Counts, Struck};
use crate::device::Device;
use crate::ground::{Ground, Happening};
use crate::mutant::Mutant;
use crate::oracle::{self, Watch};
use crate::platform::Platform;
use crate::scenario::{Class, Scenario, Trouble};

/// What an oracle saw, in words.
pub(crate) type Violation = String;

/// How one world went.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) counts: Counts,
    pub(crate) trace: u64,
    pub(crate) result: Result<(), Violation>,
    /// Bytes of file sent and the least that must be, where only loss struck.
    pub(crate) cost: Option<(u64, f64)>,
    /// Whether it stood still too long, where that is looked for.
    pub(crate) stalled: Option<bool>,
}

/// Both ends and what is between them.
pub(crate) struct World {
    pub(crate) scenario: Scenario,
    pub(crate) source: Vec<u8>,
    pub(crate) ground: Ground,
    pub(crate) platform: Platform,
    pub(crate) device: Device,
    pub(crate) watch: Watch,
    healed: bool,
    troubles: usize,
}

/// Runs the scenario of one seed.
pub(crate) fn run(scenario: Scenario, print: bool, mutant: Option<Mutant>) -> Report {
    let mut world = World::new(scenario, print, mutant);
    let mut result = world.live();
    if result.is_ok() {
        result = oracle::judge(&mut world);
    }
    let cost = (world.scenario.class == Class::Loss && result.is_ok()).then(|| oracle::cost(&world));
    let stalled = oracle::stalled(&world);
    let mut counts = world.ground.counts.clone();
    counts.worlds = 1;
    match world.platform.ending {
        Some(Ending::Good { .. }) => counts.good = 1,
        _ => counts.failed = 1,
    }
    Report { counts, trace: world.ground.trace.hash(), result, cost, stalled }
}

impl World {
    fn new(scenario: Scenario, print: bool, mutant: Option<Mutant>) -> Self {
        let source = Chance::new(scenario.seed ^ 0xf11e).bytes(scenario.size);
        let mut ground = Ground::new(&scenario, print);
        if scenario.rate.is_some() {
            ground.counts.add(Struck::RateLimit);
        }
        if scenario.size == 0 {
            ground.counts.add(Struck::EmptyFile);
        } else if scenario.size.is_multiple_of(u64::from(scenario.packet)) {
            ground.counts.add(Struck::ExactMultiple);
        }
        Self {
            platform: Platform::new(&scenario, &source, mutant),
            device: Device::new(&scenario, &source),
            watch: Watch::default(),
            ground,
            source,
            scenario,
            healed: false,
            troubles: 0,
        }
    }

    fn live(&mut self) -> Result<(), Violation> {
        self.platform.begin(0)?;
        loop {
            self.platform.run(&mut self.ground)?;
            self.device.run(&mut self.ground)?;
            oracle::watch(self)?;
            if self.platform.ending.is_some() {
                return Ok(());
            }
            self.strike();
            self.device.run(&mut self.ground)?;
            self.step()?;
        }
    }

    /// Goes to the next moment at which anything happens.
    fn step(&mut self) -> Result<(), Violation> {
        let (queue, platform, device) = (self.ground.next_at(), self.platform.timeout(), self.device.timeout());
        // A device that is away sleeps as well.
        let device = device.map(|at| at.max(self.ground.silent_until));
        let next = [queue, platform, device].into_iter().flatten().min();
        let Some(next) = next else {
            if self.scenario.lie.is_none() {
                return Err("nothing will ever happen again".to_owned());
            }
            self.platform.time_out(self.ground.now);
            return Ok(());
        };
        let stood_still = next <= self.ground.now;
        self.ground.now = self.ground.now.max(next);
        self.watch.moved(stood_still)?;
        if queue == Some(next) {
            let happening = self.ground.next().expect("it was peeked at");
            return self.happen(happening);
        }
        if platform == Some(next) {
            self.platform.handle_timeout(&mut self.ground);
        }
        if device == Some(next) {
            self.device.handle_timeout(&mut self.ground);
        }
        Ok(())
    }

    fn happen(&mut self, happening: Happening) -> Result<(), Violation> {
        match happening {
            Happening::ToDevice(frame) => self.device.arrive(frame, &mut self.ground),
            Happening::ToPlatform(frame) => self.platform.arrive(frame, &mut self.ground),
            Happening::DeviceSynced(generation) => self.device.synced(generation, &mut self.ground),
            Happening::PlatformSynced(generation) => self.platform.synced(generation, &mut self.ground),
            Happening::DeviceBack => self.device.back(&self.ground),
            Happening::DeviceSpeaks => self.device.speak(&mut self.ground),
            Happening::PlatformBack => return self.platform.back(&self.ground),
            Happening::Connected => {
                self.ground.connected = true;
                self.platform.connection(true, &self.ground);
            }
        }
        Ok(())
    }

    fn strike(&mut self) {
        let late = self.ground.counts.packets > self.scenario.heals_after || self.watch.is_late(self.ground.now);
        if late && !self.healed {
            self.healed = true;
            self.troubles = self.scenario.troubles.len();
            self.ground.heal();
            self.watch.healed(self.ground.now, self.ground.counts.packets);
        }
        while let Some((_, trouble)) =
            self.scenario.troubles.get(self.troubles).filter(|(at, _)| *at <= self.ground.counts.packets)
        {
            self.troubles += 1;
            let trouble = *trouble;
            self.ground.trace.note(self.ground.now, 4, 0, 0, || format!("!! {trouble:?}"));
            self.trouble(trouble);
        }
    }

    fn trouble(&mut self, trouble: Trouble) {
        let ground = &mut self.ground;
        match trouble {
            Trouble::DeviceRestart(away) => self.device.die(away, ground),
            Trouble::DeviceForgets(_) => self.device.forget(ground),
            Trouble::PlatformRestart { away, old } => self.platform.die(away, old, ground),
            Trouble::Disconnect(away) => {
                ground.counts.add(Struck::Disconnect);
                ground.connected = false;
                ground.later(away, Happening::Connected);
                self.platform.connection(false, ground);
            }
            Trouble::Offline(away) => {
                ground.counts.add(Struck::Offline);
                ground.silent_until = ground.now + away;
                self.watch.offline(away);
            }
            Trouble::Pause(millis) => {
                ground.counts.add(Struck::Pause);
                self.device.pause(millis);
                if millis == 0 {
                    ground.later(1_000_000, Happening::DeviceSpeaks);
                }
            }
        }
    }
}
