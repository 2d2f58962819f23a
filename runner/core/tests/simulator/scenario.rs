//! One seed, one scenario: what travels, over what link, and which troubles come when.

use packhorse_core::transfer::peer::AckStyle;
use packhorse_core::transfer::{Acks, Driver, Micros, Mode, Order, Replies};

use crate::chance::Chance;
use crate::lies::Lie;
use crate::link::LinkPlan;

/// What a scenario is there to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Independent loss each way and nothing else: what is sent can be compared with what must be.
    Loss,
    /// Nothing is lost but processes: what is sent again can be counted.
    Restarts,
    /// Everything at once.
    Chaos,
    /// Long silences.
    Offline,
    /// A device that does not tell the truth.
    Liar,
}

/// How a device learns of a push before its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offers {
    /// By the command.
    Said,
    /// The codec has no words for it, every piece carries it, and the device's codec tells it with the first.
    Embedded,
    /// Not at all: the last piece says where the file ends.
    Never,
}

/// Something that strikes once, when so many packets have been sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The device's process dies and is back after so many microseconds.
    DeviceRestart(u64),
    /// Likewise, and its storage lost part of what was durable.
    DeviceForgets(u64),
    /// The platform's process dies; `old` = its newest checkpoint is lost.
    PlatformRestart { away: u64, old: bool },
    /// The broker is away.
    Disconnect(u64),
    /// The device hears and is heard by nobody.
    Offline(u64),
    /// The device asks for silence, in milliseconds; 0 = until it speaks again.
    Pause(u32),
}

/// Everything that a world is made from.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    pub(crate) class: Class,
    pub(crate) mode: Mode,
    pub(crate) size: u64,
    pub(crate) packet: u32,
    pub(crate) window: u16,
    pub(crate) rate: Option<u64>,
    pub(crate) acks: AckStyle,
    pub(crate) spontaneous: bool,
    pub(crate) asks_past_end: u32,
    pub(crate) offers: Offers,
    /// Packets carry the session's epoch, and each end drops those of others.
    pub(crate) epochs: bool,
    /// The device tells the file's digests.
    pub(crate) tells_digests: bool,
    pub(crate) patience: Micros,
    pub(crate) down: LinkPlan,
    pub(crate) up: LinkPlan,
    /// Longest sync of either disk, in microseconds.
    pub(crate) device_sync: u64,
    pub(crate) platform_sync: u64,
    /// Sorted by the count of packets at which they strike.
    pub(crate) troubles: Vec<(u64, Trouble)>,
    pub(crate) lie: Option<Lie>,
    /// After so many packets nothing strikes any more.
    pub(crate) heals_after: u64,
}

impl Scenario {
    pub(crate) fn draw(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let c = &mut chance;
        let class = match c.from(0, 99) {
            0..=7 => Class::Loss,
            8..=17 => Class::Restarts,
            18..=23 => Class::Offline,
            24..=37 => Class::Liar,
            _ => Class::Chaos,
        };
        let packet = u32::try_from(c.from(1, 12) * c.pick(&[1, 7, 16, 32, 64])).expect("small");
        let lie = (class == Class::Liar).then(|| Lie::draw(c));
        let driver = match lie {
            Some(lie) => lie.driver(c),
            None => draw_driver(c),
        };
        let window = if class == Class::Loss { c.pick(&[8, 16, 32]) } else { c.pick(&[1, 1, 2, 4, 8, 16, 16, 32, 64]) };
        let mut mode = draw_mode(driver, packet, window, c);
        if class == Class::Loss {
            mode.order = Order::Any;
        }
        let pieces = if class == Class::Loss { c.from(300, 900) } else { draw_pieces(c) };
        let size = draw_size(pieces, packet, c).max(if lie.is_some() { u64::from(packet) * 20 } else { 0 });
        if let Some(lie) = lie {
            lie.shape(&mut mode, size);
        }
        let link = |c: &mut Chance| draw_link(class, c);
        let (down, up) = (link(c), link(c));
        let round = down.round_share() + up.round_share();
        let device_sync = c.pick(&[0, 100, 4_000, 30_000]);
        let mut scenario = Self {
            seed,
            class,
            size,
            packet,
            window,
            rate: (class == Class::Chaos && c.hit(0.15)).then(|| c.from(20_000, 2_000_000)),
            acks: draw_acks(c, round),
            spontaneous: c.hit(0.6),
            asks_past_end: c.pick(&[0, 0, 0, 1, 3]),
            offers: c.pick(&[Offers::Said, Offers::Said, Offers::Embedded, Offers::Never]),
            epochs: c.hit(0.5),
            tells_digests: c.hit(0.8),
            patience: Micros(3 * round + 2 * device_sync + 20_000),
            down,
            up,
            device_sync,
            platform_sync: c.pick(&[0, 100, 4_000, 30_000]),
            troubles: Vec::new(),
            lie,
            heals_after: 40 * (pieces + 50),
            mode,
        };
        scenario.settle(c);
        scenario.troubles = draw_troubles(&scenario, pieces, c);
        scenario
    }

    /// The time from one end to the other and back, at most, without disks.
    pub(crate) fn round(&self) -> u64 {
        self.down.round_share() + self.up.round_share()
    }

    pub(crate) fn is_push(&self) -> bool {
        matches!(self.mode.driver, Driver::PlatformPush | Driver::DevicePull)
    }

    /// Makes what was drawn possible: some protocols could not work at all.
    fn settle(&mut self, c: &mut Chance) {
        if self.mode.driver == Driver::DevicePull && self.offers == Offers::Embedded {
            self.offers = Offers::Said;
        }
        if self.mode.driver == Driver::DevicePull && self.offers == Offers::Never {
            // Without an offer only its own wish makes the device begin.
            self.spontaneous = true;
            self.offers = Offers::Said;
        }
        if let Some(lie) = self.lie {
            lie.settle(self, c);
        }
    }
}

fn draw_driver(c: &mut Chance) -> Driver {
    let push = Driver::PlatformPush;
    c.pick(&[push, push, push, Driver::DevicePull, Driver::DevicePush, Driver::PlatformPull])
}

fn draw_pieces(c: &mut Chance) -> u64 {
    match c.from(0, 19) {
        0 => 0,
        1 => 1,
        2..=6 => c.from(2, 12),
        7..=17 => c.from(13, 300),
        18 => c.from(300, 1_000),
        _ => c.from(1_000, 4_000),
    }
}

fn draw_size(pieces: u64, packet: u32, c: &mut Chance) -> u64 {
    let full = pieces * u64::from(packet);
    if c.hit(0.3) || pieces == 0 { full } else { full - c.from(0, u64::from(packet) - 1) }
}

fn draw_mode(driver: Driver, packet: u32, window: u16, c: &mut Chance) -> Mode {
    let acks = match driver {
        Driver::PlatformPush => Acks::Message,
        Driver::DevicePull => c.pick(&[Acks::NextRequest, Acks::NextRequest, Acks::Message]),
        Driver::DevicePush => c.pick(&[Acks::Message, Acks::Message, Acks::None]),
        Driver::PlatformPull => Acks::NextRequest,
    };
    let sequential = driver != Driver::DevicePush && c.hit(0.1);
    Mode {
        driver,
        packet_min: 1,
        packet_max: 65_536,
        packet_default: packet,
        packet_align: 1,
        grid: c.hit(0.3),
        window_default: window,
        window_max: if window == 1 { 1 } else { 64 },
        overhead_fixed: 48,
        overhead_per_mille: 1000,
        replies: c.pick(&[Replies::Once, Replies::Resend]),
        acks,
        order: if sequential { Order::Sequential } else { Order::Any },
        confirms: c.hit(0.5),
        can_query: c.hit(0.6),
        can_cancel: c.hit(0.5),
        file_max: 0,
    }
}

fn draw_acks(c: &mut Chance, round: u64) -> AckStyle {
    if c.hit(0.6) {
        return AckStyle::EachPacket;
    }
    let packets = u32::try_from(c.from(2, 16)).expect("small");
    AckStyle::Batch { packets, within: Micros(c.from(1_000, 1_000 + round)) }
}

fn draw_link(class: Class, c: &mut Chance) -> LinkPlan {
    let latency = c.pick(&[50, 1_000, 10_000, 80_000]);
    let quiet = LinkPlan { latency, jitter: c.from(0, latency), ..LinkPlan::default() };
    match class {
        Class::Restarts => quiet,
        Class::Loss => LinkPlan {
            loss: c.pick(&[0.01, 0.05, 0.1, 0.2, 0.3]),
            latency: latency.min(10_000),
            jitter: quiet.jitter.min(latency / 8),
            ..quiet
        },
        Class::Chaos | Class::Offline | Class::Liar => {
            let rough = if class == Class::Chaos { 1.0 } else { 0.3 };
            let some = |c: &mut Chance, p: f64, high: f64| if c.hit(p) { c.share(0.0, high) * rough } else { 0.0 };
            LinkPlan {
                loss: some(c, 0.8, 0.5),
                burst: some(c, 0.3, 0.02),
                burst_len: c.pick(&[1_000, 50_000, 500_000]),
                duplicate: some(c, 0.5, 0.3),
                copies: c.from(1, 5),
                reorder: some(c, 0.5, 0.4),
                hold: c.pick(&[1_000, 20_000, 200_000]),
                corrupt: some(c, 0.5, 0.2),
                alien: some(c, 0.4, 0.2),
                ..quiet
            }
        }
    }
}

fn draw_troubles(scenario: &Scenario, pieces: u64, c: &mut Chance) -> Vec<(u64, Trouble)> {
    let count = match scenario.class {
        Class::Loss => 0,
        Class::Liar => c.from(0, 1),
        Class::Restarts => c.from(1, 5),
        Class::Offline => c.from(1, 2),
        Class::Chaos => c.from(0, 6),
    };
    let mut troubles: Vec<_> = (0..count).map(|_| (c.from(1, 4 + 3 * pieces), draw_trouble(scenario, c))).collect();
    troubles.sort_by_key(|(at, _)| *at);
    troubles
}

fn draw_trouble(scenario: &Scenario, c: &mut Chance) -> Trouble {
    let away = c.pick(&[0, 1_000, 100_000, 3_000_000]);
    let platform = Trouble::PlatformRestart { away, old: c.hit(0.4) };
    let mode = &scenario.mode;
    // A device may only forget where the protocol lets the platform find out before the end.
    let tells = scenario.acks != AckStyle::EachPacket || scenario.offers != Offers::Never;
    let forgetful = mode.driver == Driver::PlatformPush && mode.confirms && mode.can_query && tells;
    match scenario.class {
        Class::Restarts => c.pick(&[Trouble::DeviceRestart(away), platform]),
        Class::Offline => Trouble::Offline(c.pick(&[20, 600, 86_400]) * 1_000_000),
        Class::Loss | Class::Liar | Class::Chaos => match c.from(0, 9) {
            0..=2 => Trouble::DeviceRestart(away),
            3..=5 => platform,
            6 => Trouble::Disconnect(c.from(1, 5_000_000)),
            7 => Trouble::Offline(c.from(1, 40_000_000)),
            8 if forgetful && scenario.class == Class::Chaos => Trouble::DeviceForgets(away),
            _ => Trouble::Pause(u32::try_from(c.pick(&[0, 5, 300, 4_000])).expect("small")),
        },
    }
}
