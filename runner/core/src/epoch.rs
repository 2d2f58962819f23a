//! Epochs: numbers of sessions between platform and device.
//!
//! A protocol with session numbers drops what an earlier session left on the wire. A device knows nothing of runs, so the numbers
//! grow over all transfers to it, of whatever run and runner: they are taken from the clock, and pushed on where two would be the
//! same. They wrap: compare them as serial numbers (RFC 1982).

/// Milliseconds of one epoch. Transfers to one device begin more seldom.
const TICK: u64 = 64;
/// Epoch 0 is 2026-01-01T00:00:00Z, in milliseconds since 1970.
const ORIGIN: u64 = 1_767_225_600_000;

/// Whether `a` is later than `b`: less than half the circle ahead, which is four years and a third.
pub const fn later(a: u32, b: u32) -> bool {
    a.wrapping_sub(b).cast_signed() > 0
}

/// The epoch of a session that begins at `wall` (milliseconds since 1970, UTC), after `last`; 0 = there was none. Never 0.
pub fn next(last: u32, wall: u64) -> u32 {
    let ticks = u32::try_from(wall.saturating_sub(ORIGIN) / TICK % (1 << 32)).unwrap_or(0);
    let next = if last == 0 || later(ticks, last) { ticks } else { last.wrapping_add(1) };
    next.max(1)
}

/// The epoch of a session that has its turn on a device after the session `last` (0 = there was none): pushed on where another
/// run got its epoch later and its turn sooner.
pub const fn in_turn(epoch: u32, last: u32) -> u32 {
    if last == 0 || later(epoch, last) {
        return epoch;
    }
    let next = last.wrapping_add(1);
    if next == 0 { 1 } else { next }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_follow_the_clock_and_never_go_back() {
        assert_eq!(next(0, 0), 1);
        assert_eq!(next(1, 0), 2);
        assert_eq!(next(0, ORIGIN + 640), 10);
        assert_eq!(next(3, ORIGIN + 640), 10);
        assert_eq!(next(10, ORIGIN + 640), 11);
        assert_eq!(next(50, ORIGIN + 640), 51, "the clock was set back");
    }

    #[test]
    fn who_has_its_turn_later_has_the_later_epoch() {
        assert_eq!(in_turn(10, 0), 10);
        assert_eq!(in_turn(10, 9), 10);
        assert_eq!(in_turn(10, 10), 11, "another run got its epoch at the same time");
        assert_eq!(in_turn(10, 12), 13);
        assert_eq!(in_turn(7, u32::MAX), 7, "they go round");
        assert_eq!(in_turn(u32::MAX, u32::MAX), 1, "0 is no epoch");
    }

    #[test]
    fn epochs_go_round() {
        let year = 365 * 86_400_000;
        let mut last = 0;
        for step in 0..40 {
            let epoch = next(last, ORIGIN + step * year);
            assert!(last == 0 || later(epoch, last), "{epoch} after {last}");
            last = epoch;
        }
        assert!(later(1, u32::MAX) && !later(u32::MAX, 1) && !later(7, 7));
        assert_eq!(next(u32::MAX, 0), 1, "0 is no epoch");
    }
}
