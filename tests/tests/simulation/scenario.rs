//! One seed, one scenario: which devices, runs and runners there are, over what links, and which troubles come when.

use crate::chance::Chance;
use crate::files::BlobFault;
use crate::lies::Lie;
use crate::weather::LinkPlan;

/// What a scenario is there to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Nothing is lost but processes and connections: what is sent again can be counted.
    Quiet,
    /// Everything at once.
    Chaos,
    /// Long silences.
    Offline,
    /// A device that does not tell the truth.
    Liar,
    /// Two runners, of which one stops and wakes.
    Takeover,
}

/// Something that strikes once, when so many packets have been published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    RunnerCrash {
        runner: usize,
        away: u64,
    },
    RunnerParks {
        away: u64,
    },
    /// Stopped for so long, then goes on as if nothing had been.
    RunnerFreezes {
        for_us: u64,
    },
    BrokerRestart {
        away: u64,
        lost: bool,
    },
    BusDrops {
        runner: usize,
        away: u64,
    },
    DeviceRestart {
        device: usize,
        away: u64,
    },
    DeviceForgets {
        device: usize,
    },
    DeviceOffline {
        device: usize,
        away: u64,
    },
    DevicePauses {
        device: usize,
        millis: u32,
    },
    WallJumps(i64),
    WallStops,
    StoreFails {
        made: bool,
        away: u64,
    },
    StoreSlow,
    StoreLoses {
        writes: usize,
        away: u64,
    },
    ProgressLost {
        away: u64,
    },
    RecordFlips {
        away: u64,
    },
    Blob(BlobFault),
    Cancel(usize),
    Pause(usize),
}

/// One device.
#[derive(Debug, Clone)]
pub(crate) struct DevicePlan {
    pub(crate) acme: bool,
    pub(crate) down: LinkPlan,
    pub(crate) up: LinkPlan,
    pub(crate) session: bool,
    pub(crate) lie: Option<Lie>,
    pub(crate) drips: bool,
    pub(crate) log: u64,
}

/// One run.
#[derive(Debug, Clone)]
pub(crate) struct RunPlan {
    pub(crate) at: u64,
    pub(crate) workflow: usize,
    pub(crate) device: usize,
    pub(crate) size: u64,
    pub(crate) window: u16,
    /// The file of an earlier run again.
    pub(crate) same_as: Option<usize>,
}

/// Everything that a world is made from.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    pub(crate) class: Class,
    pub(crate) runners: usize,
    pub(crate) devices: Vec<DevicePlan>,
    pub(crate) runs: Vec<RunPlan>,
    /// Microseconds that a commit takes, from and to.
    pub(crate) commit: (u64, u64),
    pub(crate) spool_sync: u64,
    pub(crate) device_sync: u64,
    pub(crate) quantum: u64,
    pub(crate) max_packet: Option<u32>,
    /// Sorted by the count of packets at which they strike.
    pub(crate) troubles: Vec<(u64, Trouble)>,
    /// After so many packets nothing strikes any more.
    pub(crate) heals_after: u64,
}

const SECOND: u64 = 1_000_000;
const DAY: u64 = 86_400 * SECOND;

impl Scenario {
    pub(crate) fn draw(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let c = &mut chance;
        let class = match c.from(0, 99) {
            0..=14 => Class::Quiet,
            15..=22 => Class::Offline,
            23..=34 => Class::Liar,
            35..=46 => Class::Takeover,
            _ => Class::Chaos,
        };
        let devices: Vec<DevicePlan> = (0..c.from(1, 3)).map(|_| draw_device(class, c)).collect();
        let count = c.from(2, 7) as usize;
        let mut runs: Vec<RunPlan> = (0..count).map(|index| draw_run(index, devices.len(), class, c)).collect();
        for at in 0..runs.len() {
            if let Some(of) = runs[at].same_as {
                runs[at].size = runs[of].size;
            }
        }
        let pieces: u64 = runs.iter().map(|run| run.size / 640 + 2).sum::<u64>()
            + runs.iter().filter(|run| run.workflow == 1).map(|run| devices[run.device].log / 640 + 2).sum::<u64>();
        let mut scenario = Self {
            seed,
            class,
            runners: if class == Class::Takeover { 2 } else { 1 },
            devices,
            runs,
            commit: c.pick(&[(20, 100), (200, 4_000), (1_000, 30_000)]),
            spool_sync: c.pick(&[0, 100, 4_000, 10_000]),
            device_sync: c.pick(&[0, 100, 4_000, 30_000]),
            quantum: c.pick(&[100, 1_000, 1_000, 4_000]),
            max_packet: c.pick(&[None, None, Some(1_200), Some(4_096)]),
            troubles: Vec::new(),
            heals_after: 8 * (pieces + 200),
        };
        scenario.troubles = draw_troubles(&scenario, pieces, c);
        scenario
    }

    /// A short run on a quiet link, at which a runner dies at each effect boundary in turn.
    pub(crate) fn short(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let c = &mut chance;
        let link = LinkPlan { latency: 1_000, jitter: 100, ..LinkPlan::default() };
        let device = DevicePlan {
            acme: c.hit(0.5),
            down: link.clone(),
            up: link,
            session: true,
            lie: None,
            drips: false,
            log: c.from(0, 3_000),
        };
        let run = RunPlan {
            at: 0,
            workflow: (seed % 4) as usize,
            device: 0,
            size: c.from(0, 4_000),
            window: c.pick(&[1, 4, 16]),
            same_as: None,
        };
        Self {
            seed,
            class: Class::Quiet,
            runners: 1,
            devices: vec![device],
            runs: vec![run],
            commit: (200, 4_000),
            spool_sync: 1_000,
            device_sync: 1_000,
            quantum: 100,
            max_packet: None,
            troubles: Vec::new(),
            heals_after: u64::MAX,
        }
    }
}

fn draw_device(class: Class, c: &mut Chance) -> DevicePlan {
    let acme = c.hit(0.5);
    let lie = (class == Class::Liar && c.hit(0.8)).then(|| Lie::draw(c));
    // Of acknowledgements that are lies nobody can tell where they are all that there is.
    let lie = lie.filter(|lie| acme || !matches!(lie, Lie::FutureAck | Lie::AckBeyondEnd));
    DevicePlan {
        acme,
        down: draw_link(class, c),
        up: draw_link(class, c),
        session: c.hit(0.5),
        lie,
        drips: class == Class::Liar && lie.is_none() && c.hit(0.3),
        log: draw_size(c),
    }
}

fn draw_run(index: usize, devices: usize, class: Class, c: &mut Chance) -> RunPlan {
    let spread = if class == Class::Quiet { 5 } else { 60 };
    RunPlan {
        at: c.from(0, spread * SECOND),
        workflow: c.pick(&[0, 0, 1, 1, 2, 3]),
        device: c.from(0, devices as u64 - 1) as usize,
        size: draw_size(c),
        window: c.pick(&[1, 2, 4, 8, 16, 16, 32, 64]),
        same_as: (index > 0 && c.hit(0.15)).then(|| c.from(0, index as u64 - 1) as usize),
    }
}

fn draw_size(c: &mut Chance) -> u64 {
    let pieces = match c.from(0, 19) {
        0 => 0,
        1 => 1,
        2..=4 => c.from(2, 12),
        5..=13 => c.from(13, 300),
        14..=18 => c.from(300, 1_200),
        _ => c.from(1_200, 3_000),
    };
    let full = pieces * 640;
    if pieces == 0 || c.hit(0.3) { full } else { full - c.from(0, 639) }
}

fn draw_link(class: Class, c: &mut Chance) -> LinkPlan {
    let latency = c.pick(&[100, 1_000, 10_000, 80_000]);
    let quiet = LinkPlan { latency, jitter: c.from(0, latency / 2), ..LinkPlan::default() };
    if class == Class::Quiet {
        return quiet;
    }
    let rough = if class == Class::Chaos { 1.0 } else { 0.3 };
    let some = |c: &mut Chance, p: f64, high: f64| if c.hit(p) { c.share(0.0, high) * rough } else { 0.0 };
    LinkPlan {
        loss: some(c, 0.8, 0.5),
        burst: some(c, 0.3, 0.02),
        burst_len: c.pick(&[1_000, 50_000, 500_000]),
        duplicate: some(c, 0.5, 0.3),
        copies: if c.hit(0.1) { 50 } else { c.from(1, 5) },
        reorder: some(c, 0.5, 0.4),
        hold: c.pick(&[1_000, 20_000, 200_000, 2_000_000]),
        corrupt: some(c, 0.5, 0.1),
        replay: some(c, 0.4, 0.1),
        ..quiet
    }
}

fn draw_troubles(scenario: &Scenario, pieces: u64, c: &mut Chance) -> Vec<(u64, Trouble)> {
    let count = match scenario.class {
        Class::Quiet => c.from(1, 6),
        Class::Chaos => c.from(2, 14),
        Class::Offline => c.from(2, 5),
        Class::Liar => c.from(0, 3),
        Class::Takeover => c.from(1, 5),
    };
    let mut draw = |_| (c.from(1, 4 + 3 * pieces), draw_trouble(scenario, c));
    let mut troubles: Vec<_> = (0..count).map(&mut draw).collect();
    if scenario.class == Class::Takeover {
        // Longer than a claim holds.
        let for_us = c.from(61 * SECOND, 240 * SECOND);
        troubles.push((c.from(1, 4 + pieces), Trouble::RunnerFreezes { for_us }));
    }
    troubles.sort_by_key(|(at, _)| *at);
    troubles
}

fn draw_trouble(scenario: &Scenario, c: &mut Chance) -> Trouble {
    let away = c.pick(&[0, 1_000, 100_000, 3_000_000, 90_000_000]);
    let runner = c.from(0, scenario.runners as u64 - 1) as usize;
    let device = c.from(0, scenario.devices.len() as u64 - 1) as usize;
    match scenario.class {
        Class::Quiet => match c.from(0, 6) {
            0..=1 => Trouble::RunnerCrash { runner, away },
            2 => Trouble::RunnerParks { away },
            3..=4 => Trouble::BusDrops { runner, away: away.min(3 * SECOND) },
            5 => Trouble::DeviceRestart { device, away: away.min(3 * SECOND) },
            _ => Trouble::StoreFails { made: c.hit(0.5), away },
        },
        Class::Offline if c.hit(0.6) => {
            let away = c.pick(&[SECOND, 20 * SECOND, 600 * SECOND, 7_200 * SECOND, DAY, 3 * DAY, 10 * DAY, 90 * DAY]);
            Trouble::DeviceOffline { device, away }
        }
        _ => any_trouble(scenario, (runner, device, away), c),
    }
}

fn any_trouble(scenario: &Scenario, (runner, device, away): (usize, usize, u64), c: &mut Chance) -> Trouble {
    let run = c.from(0, scenario.runs.len() as u64 - 1) as usize;
    let alone = scenario.runners == 1;
    match c.from(0, 29) {
        0..=3 => Trouble::RunnerCrash { runner, away },
        4 if alone => Trouble::RunnerParks { away },
        5..=6 => Trouble::BrokerRestart { away: away.min(10 * SECOND), lost: c.hit(0.5) },
        7..=8 => Trouble::BusDrops { runner, away: away.min(10 * SECOND) },
        9..=12 => Trouble::DeviceRestart { device, away },
        13..=14 if scenario.devices[device].acme => Trouble::DeviceForgets { device },
        15..=16 => Trouble::DeviceOffline { device, away: c.from(1, 40 * SECOND) },
        17 => Trouble::DevicePauses { device, millis: c.pick(&[0, 5, 300, 4_000]) },
        18 if alone => Trouble::WallJumps(c.pick(&[86_400_000, -86_400_000, -3_600_000, 3_600_000])),
        19 if alone => Trouble::WallStops,
        20 => Trouble::StoreFails { made: c.hit(0.5), away },
        21 => Trouble::StoreSlow,
        22 if alone => Trouble::StoreLoses { writes: c.from(1, 12) as usize, away },
        23 if alone => Trouble::ProgressLost { away },
        24 if alone && c.hit(0.5) => Trouble::RecordFlips { away },
        25..=26 => Trouble::Blob(c.pick(&BlobFault::ALL)),
        27 => Trouble::Cancel(run),
        28 if alone => Trouble::Pause(run),
        _ => Trouble::Blob(c.pick(&BlobFault::ALL)),
    }
}
