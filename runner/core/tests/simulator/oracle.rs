//! What must hold: while a world lives, and when it has ended.

use packhorse_core::transfer::{Acks, Driver, Ending, Time};

use crate::counts::Struck;
use crate::scenario::{Class, Trouble};
use crate::world::{Violation, World};

/// Virtual microseconds after which nothing strikes any more, and which a world may then still take, besides the silences that
/// it was given.
const HEALS: u64 = 3_600 * 1_000_000;
const PATIENCE: u64 = 6 * 3_600 * 1_000_000;
/// After so long a step's time-out would end what a liar keeps open.
const STEP: u64 = 2 * 3_600 * 1_000_000;
/// Things that may happen without the clock moving.
const STANDSTILL: u64 = 200_000;

/// What is watched from step to step.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    still: u64,
    steps: u64,
    silences: u64,
    healed: Option<(u64, u64)>,
    done: u64,
    delivered: u64,
    delivered_at: u64,
    /// Longest time without a new byte at the sink, while bytes were missing.
    longest_gap: u64,
    first_byte: bool,
}

impl Watch {
    pub(crate) fn moved(&mut self, stood_still: bool) -> Result<(), Violation> {
        self.still = if stood_still { self.still + 1 } else { 0 };
        if self.still > STANDSTILL { Err("spins without the clock moving".to_owned()) } else { Ok(()) }
    }

    pub(crate) fn healed(&mut self, now: u64, packets: u64) {
        self.healed = Some((now, packets));
    }

    /// Whether it is time that nothing strikes any more.
    pub(crate) fn is_late(&self, now: u64) -> bool {
        now > HEALS + self.silences
    }

    pub(crate) fn offline(&mut self, away: u64) {
        self.silences += away;
    }
}

/// After each step.
pub(crate) fn watch(world: &mut World) -> Result<(), Violation> {
    let now = world.ground.now;
    if world.scenario.lie.is_some() && now > STEP + world.watch.silences {
        world.platform.time_out(now);
    }
    ends(world, now)?;
    let delivered =
        if world.scenario.is_push() { world.device.disk.held() } else { world.platform.spool.held() }.covered();
    let watch = &mut world.watch;
    if delivered > watch.delivered {
        if watch.first_byte {
            watch.longest_gap = watch.longest_gap.max(now - watch.delivered_at);
        }
        watch.first_byte = true;
        watch.delivered_at = now;
    }
    watch.delivered = delivered;
    watch.steps += 1;
    if watch.steps.is_multiple_of(16) { progress(world, now, delivered) } else { Ok(()) }
}

/// Every world ends, soon after nothing strikes any more.
fn ends(world: &World, now: u64) -> Result<(), Violation> {
    let packets = world.ground.counts.packets;
    if now > HEALS + PATIENCE + 2 * world.watch.silences {
        return Err(format!("has not ended after {packets} packets and {} s of virtual time", now / 1_000_000));
    }
    if let Some((_, at)) = world.watch.healed
        && packets > 4 * at + 20_000
    {
        return Err(format!("sends for ever: {packets} packets, healed at {at}"));
    }
    Ok(())
}

/// Progress says no more than what is true, and goes back only where something was lost.
fn progress(world: &mut World, now: u64, delivered: u64) -> Result<(), Violation> {
    let Some(transfer) = &world.platform.transfer else { return Ok(()) };
    if world.scenario.class == Class::Liar {
        return Ok(());
    }
    let done = transfer.progress(Time(now)).done;
    let troubles = world.scenario.troubles.iter();
    let forgets = troubles.clone().any(|(_, trouble)| matches!(trouble, Trouble::DeviceForgets(_)));
    // A device that tells all that it has may tell what it had before the newest acknowledgements.
    let restarts = troubles.clone().any(|(_, trouble)| matches!(trouble, Trouble::DeviceRestart(_)));
    let retells = restarts || world.scenario.mode.can_query;
    // Of several requests that are open at once nobody knows which answers arrived.
    let mode = &world.scenario.mode;
    let guesses = mode.driver == Driver::DevicePull && mode.acks == Acks::NextRequest && mode.window_max > 1;
    if done > delivered && !forgets && !guesses {
        return Err(format!("tells {done} bytes done, {delivered} are"));
    }
    if done < world.watch.done && world.platform.ledger.deaths == 0 && !forgets && !retells && !guesses {
        return Err(format!("went back from {} to {done} bytes done", world.watch.done));
    }
    world.watch.done = done;
    Ok(())
}

/// After the end.
pub(crate) fn judge(world: &mut World) -> Result<(), Violation> {
    let ending = world.platform.ending.clone().ok_or("has no ending")?;
    match &ending {
        Ending::Good { size, digests_by_device, .. } => {
            if world.scenario.lie.is_some_and(|lie| lie.is_of_digest()) && digests_by_device.is_empty() {
                // The message with the digest was lost, and the ending says that nothing is known of one.
                return Ok(());
            }
            if world.scenario.lie.is_some_and(|lie| lie.must_fail()) {
                return Err(format!("ended good with a device that lies: {:?}", world.scenario.lie));
            }
            good(world, *size)
        }
        Ending::Failed(_) | Ending::Cancelled if world.scenario.lie.is_some() => Ok(()),
        Ending::Failed(failure) => Err(format!("failed with an honest device: {failure:?}")),
        Ending::Cancelled | Ending::Parked => Err(format!("ended as {ending:?}, which nobody wanted")),
    }
}

fn good(world: &World, size: u64) -> Result<(), Violation> {
    let whole = if world.scenario.is_push() {
        world.device.disk.durably_is(&world.source)
    } else {
        world.platform.spool.durably_is(&world.source)
    };
    if !whole {
        return Err("ended good, and the file is not whole and durable".to_owned());
    }
    if size != world.source.len() as u64 {
        return Err(format!("ended good with {size} bytes, the file has {}", world.source.len()));
    }
    accounts(world)?;
    resent(world)
}

/// The machine's accounts are the driver's.
fn accounts(world: &World) -> Result<(), Violation> {
    let Some(transfer) = &world.platform.transfer else { return Ok(()) };
    let (traffic, ledger) = (transfer.traffic(), &world.platform.ledger);
    let size = world.source.len() as u64;
    if traffic.payload_bytes != size {
        return Err(format!("{traffic:?}: payload is not the file's {size} bytes"));
    }
    if traffic.resumes != ledger.resumes {
        return Err(format!("{traffic:?}: resumes were {}", ledger.resumes));
    }
    if ledger.deaths > 0 || world.platform.attempts() > 1 {
        // What happened after the checkpoint that an attempt began with is not in the accounts.
        let within = traffic.wire_bytes <= ledger.wire && traffic.packets <= ledger.messages;
        return if within { Ok(()) } else { Err(format!("{traffic:?} is more than {ledger:?}")) };
    }
    if traffic.wire_bytes != ledger.wire || traffic.packets != ledger.messages {
        return Err(format!("{traffic:?} differs from {ledger:?}"));
    }
    let resent = ledger.sent_bytes - ledger.sent.covered();
    if world.scenario.is_push() && traffic.retransmitted_bytes != resent {
        return Err(format!("{traffic:?}: {resent} bytes were sent again"));
    }
    Ok(())
}

/// Where only processes die, what is sent again is bounded: a window and an uncommitted batch each time.
fn resent(world: &World) -> Result<(), Violation> {
    if world.scenario.class != Class::Restarts || world.scenario.mode.driver != Driver::PlatformPush {
        return Ok(());
    }
    let deaths = world.ground.counts.of_restarts();
    let old = world.ground.counts.of(Struck::OldCheckpoint);
    let packet = u64::from(world.scenario.packet);
    // A window, 256 packets not checkpointed yet, and the probes into silence; besides, a few sent too early while the round
    // trip is not known.
    let each = (u64::from(world.scenario.window) + 256 + 24) * packet;
    let sent = world.platform.ledger.sent_bytes;
    let most = world.source.len() as u64 + deaths * each + old * 256 * packet + 12 * packet;
    if sent > most { Err(format!("sent {sent} bytes, at most {most} after {deaths} restarts")) } else { Ok(()) }
}

/// Whether loss alone stopped a transfer that the platform drives for longer than it should. With waits that double, some
/// world always does; how many may is for the whole run to judge.
pub(crate) fn stalled(world: &World) -> Option<bool> {
    let driven = matches!(world.scenario.mode.driver, Driver::PlatformPush | Driver::PlatformPull);
    if world.scenario.class != Class::Loss || !driven {
        return None;
    }
    let most = (10 * (world.scenario.round() + world.scenario.device_sync)).max(1_000_000);
    Some(world.watch.longest_gap > most)
}

/// Bytes of file sent, and the floor: each byte once over the chance that it and its acknowledgement get through.
pub(crate) fn cost(world: &World) -> (u64, f64) {
    let (data, back) = if world.scenario.is_push() {
        (&world.scenario.down, &world.scenario.up)
    } else {
        (&world.scenario.up, &world.scenario.down)
    };
    let sent = if world.scenario.is_push() { world.platform.ledger.sent_bytes } else { world.device.sent_bytes };
    let floor = world.source.len() as f64 / ((1.0 - data.loss) * (1.0 - back.loss));
    (sent, floor)
}
