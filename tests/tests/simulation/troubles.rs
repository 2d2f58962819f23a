//! What strikes a world.

use crate::counts::Struck;
use crate::ground::{Happening, Violation};
use crate::runner::Runner;
use crate::scenario::Trouble;
use crate::world::World;
use packhorse_core::run::RunEvent;

/// How often a runner looks for runs that nobody works on.
pub(crate) const LOOKS: u64 = 15_000_000;
const HOUR: u64 = 3_600 * 1_000_000;

impl World {
    pub(crate) fn strike(&mut self, trouble: Trouble) -> Result<(), Violation> {
        self.out.ground.tell(3, || format!("!! {trouble:?}"));
        match trouble {
            Trouble::RunnerCrash { runner, away } => return self.crash(runner, away),
            Trouble::RunnerParks { away } => {
                self.away = away;
                if self.runners[0].works() {
                    return self.guard(0, Runner::park);
                }
            }
            Trouble::RunnerFreezes { for_us } => self.freeze(for_us),
            Trouble::BrokerRestart { away, lost } => return self.broker_restarts(away, lost),
            Trouble::BusDrops { runner, away } => return self.bus_drops(runner, away),
            Trouble::DeviceRestart { device, away } => {
                self.interrupt(device);
                self.devices[device].die(away, &mut self.out);
            }
            Trouble::DeviceForgets { device } => self.devices[device].forget(&mut self.out),
            Trouble::DeviceOffline { device, away } => self.device_offline(device, away),
            Trouble::DevicePauses { device, millis } => {
                self.devices[device].pause(millis, &mut self.out);
                if millis == 0 {
                    self.out.ground.later(1_000_000, Happening::DeviceSpeaks(device));
                }
            }
            Trouble::WallJumps(by) => {
                self.out.ground.counts.add(Struck::WallJump);
                self.out.wall_offset += by;
                self.out.late = true;
                self.silences += 86_400 * 1_000_000;
                // Only a process that starts reads the wall.
                return self.crash(0, 1_000_000);
            }
            Trouble::WallStops => {
                self.out.ground.counts.add(Struck::WallFrozen);
                self.out.wall_frozen = Some(self.out.wall_ms());
                self.out.ground.later(HOUR, Happening::WallRuns);
                return self.crash(0, 1_000_000);
            }
            Trouble::StoreFails { made, away } => {
                self.away = away;
                self.out.store_fails = Some(made);
            }
            Trouble::StoreSlow => self.out.slow_store += 3,
            Trouble::StoreLoses { writes, away } => return self.store_loses(writes, away),
            Trouble::ProgressLost { away } => {
                self.crash(0, away)?;
                self.out.store.lose_checkpoints(&mut self.out.ground);
            }
            Trouble::RecordFlips { away } => return self.record_flips(away),
            Trouble::Blob(fault) => self.out.files.faults.push(fault),
            Trouble::Cancel(run) => return self.ask(run, RunEvent::Cancel { reason: None }),
            Trouble::Pause(run) => return self.ask(run, RunEvent::Pause),
        }
        Ok(())
    }

    /// Whatever is under way with a device is cut.
    fn interrupt(&mut self, device: usize) {
        for run in self.out.oracle.runs.iter_mut().filter(|run| run.device == device) {
            run.interruptions += 1;
        }
    }

    fn crash(&mut self, runner: usize, away: u64) -> Result<(), Violation> {
        if self.runners[runner].alive {
            self.out.ground.counts.add(Struck::RunnerCrash);
        }
        self.kill(runner, away)
    }

    fn freeze(&mut self, for_us: u64) {
        let runner = &mut self.runners[0];
        if runner.works() {
            self.out.ground.counts.add(Struck::Frozen);
            runner.frozen = true;
            self.out.ground.later(for_us, Happening::Thaw(0));
        }
    }

    /// It wakes as if nothing had been, with everything that came meanwhile.
    pub(crate) fn thaw(&mut self, runner: usize) -> Result<(), Violation> {
        let runner = &mut self.runners[runner];
        if std::mem::take(&mut runner.frozen) {
            for happening in std::mem::take(&mut runner.held) {
                self.out.ground.later(0, happening);
            }
        }
        Ok(())
    }

    /// The other runner takes up what the first one does not work on.
    pub(crate) fn take_over(&mut self, runner: usize) -> Result<(), Violation> {
        self.out.ground.later(LOOKS, Happening::TakeOver(runner));
        if !self.runners[runner].works() {
            return Ok(());
        }
        self.busy();
        let before = self.runners[runner].lanes.len();
        self.guard(runner, Runner::take_up)?;
        let more = self.runners[runner].lanes.len().saturating_sub(before);
        if more > 0 {
            self.leader = runner;
        }
        (0..more).for_each(|_| self.out.ground.counts.add(Struck::Takeover));
        Ok(())
    }

    fn broker_restarts(&mut self, away: u64, lost: bool) -> Result<(), Violation> {
        let counts = &mut self.out.ground.counts;
        counts.add(Struck::BrokerRestart);
        if lost {
            counts.add(Struck::SessionLost);
        }
        self.out.broker.restart(lost);
        self.out.ground.later(away, Happening::BrokerBack);
        for runner in 0..self.runners.len() {
            self.guard(runner, |runner, out| runner.connection(false, out))?;
        }
        Ok(())
    }

    fn bus_drops(&mut self, runner: usize, away: u64) -> Result<(), Violation> {
        self.out.ground.counts.add(Struck::BusDrop);
        for run in &mut self.out.oracle.runs {
            run.reconnects += 1;
        }
        self.out.ground.later(away, Happening::Connected(runner));
        self.guard(runner, |runner, out| runner.connection(false, out))
    }

    fn device_offline(&mut self, device: usize, away: u64) {
        self.out.ground.counts.add(if away > 20 * HOUR { Struck::LongOffline } else { Struck::Offline });
        self.out.late |= away > HOUR / 2;
        self.silences += away;
        let until = self.out.ground.now + away;
        self.out.broker.offline(device, until);
        self.out.ground.at(until, Happening::DeviceOnline(device));
    }

    /// A failover lost what was written last; the runner notices it and starts anew from what is there.
    fn store_loses(&mut self, writes: usize, away: u64) -> Result<(), Violation> {
        self.crash(0, away)?;
        self.out.oracle.rewinds = true;
        self.out.store.fail_over(writes, &mut self.out.ground);
        self.lost()
    }

    fn record_flips(&mut self, away: u64) -> Result<(), Violation> {
        let runs: Vec<_> =
            self.runners[0].lanes.keys().filter(|run| self.out.store.facts(run).len() > 2).cloned().collect();
        if let Some(run) = runs.first() {
            let place = self.out.ground.chance.from(1, 1_000);
            self.out.store.flip(run, place);
            self.crash(0, away)?;
        }
        Ok(())
    }

    fn ask(&mut self, run: usize, event: RunEvent) -> Result<(), Violation> {
        let id = self.out.oracle.runs[run].created.run.clone();
        let Some(at) = self.runners.iter().position(|runner| runner.works() && runner.lanes.contains_key(&id)) else {
            return Ok(());
        };
        if matches!(event, RunEvent::Cancel { .. }) {
            self.out.ground.counts.add(Struck::Cancelled);
            self.out.oracle.runs[run].cancelled = true;
        } else {
            self.out.ground.counts.add(Struck::Paused);
        }
        self.guard(at, |runner, out| runner.act(&id, event, out))
    }
}
