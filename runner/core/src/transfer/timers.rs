//! Named deadlines in a small table.

use super::time::Time;

/// What a deadline is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timer {
    /// The oldest piece in flight counts as lost then.
    Loss,
    /// Nothing came back: one piece goes out again.
    Probe,
    /// A question to the device is repeated.
    Ask,
    /// A device that drives has said nothing for a while.
    Quiet,
    /// A finished upload stays a moment, for answers that were lost.
    Linger,
    /// The device's pause ends.
    Pause,
    /// The rate allows the next packet.
    Rate,
    /// Progress is old enough to be stored.
    Checkpoint,
    /// The budget is nearly spent, and what is on its way has had its time.
    Budget,
}

const COUNT: usize = 9;

/// At most one deadline of each kind.
#[derive(Debug, Default)]
pub(super) struct Timers([Option<Time>; COUNT]);

impl Timers {
    pub(super) fn set(&mut self, timer: Timer, at: Time) {
        self.0[timer as usize] = Some(at);
    }

    pub(super) fn put(&mut self, timer: Timer, at: Option<Time>) {
        self.0[timer as usize] = at;
    }

    pub(super) fn stop(&mut self, timer: Timer) {
        self.0[timer as usize] = None;
    }

    pub(super) fn clear(&mut self) {
        self.0 = [None; COUNT];
    }

    /// Whether the deadline has come; it is gone then.
    pub(super) fn due(&mut self, timer: Timer, now: Time) -> bool {
        let slot = &mut self.0[timer as usize];
        let due = slot.is_some_and(|at| at <= now);
        if due {
            *slot = None;
        }
        due
    }

    pub(super) fn next(&self) -> Option<Time> {
        self.0.iter().flatten().min().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_deadline_comes_first_and_strikes_once() {
        let mut timers = Timers::default();
        timers.set(Timer::Probe, Time(20));
        timers.set(Timer::Loss, Time(10));
        assert_eq!(timers.next(), Some(Time(10)));
        assert!(!timers.due(Timer::Loss, Time(9)));
        assert!(timers.due(Timer::Loss, Time(10)));
        assert!(!timers.due(Timer::Loss, Time(11)));
        assert_eq!(timers.next(), Some(Time(20)));
        timers.stop(Timer::Probe);
        assert_eq!(timers.next(), None);
    }
}
