//! Whose turn it is among several brokers. Pure.

/// Brokers in turn: a wait is due when each has had its chance.
#[derive(Debug, Clone)]
pub(super) struct Rota {
    now: usize,
    /// Chances since the last wait.
    tried: usize,
    /// Which refused in a way that no repetition will change.
    hopeless: Vec<bool>,
}

/// What comes after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// The next broker, without waiting.
    AtOnce,
    /// The round is over.
    AfterWait,
}

impl Rota {
    /// `count` is above 0.
    pub(super) fn new(count: usize) -> Self {
        Self { now: 0, tried: 0, hopeless: vec![false; count] }
    }

    /// Index of the broker to try.
    pub(super) fn now(&self) -> usize {
        self.now
    }

    /// It refused, broke or could not be reached. `hopeless` when trying it again will not help.
    pub(super) fn failed(&mut self, hopeless: bool) -> Next {
        self.hopeless[self.now] = hopeless;
        self.now = (self.now + 1) % self.hopeless.len();
        self.tried += 1;
        if self.tried < self.hopeless.len() {
            return Next::AtOnce;
        }
        self.tried = 0;
        Next::AfterWait
    }

    /// It served for long: the next failure begins a new round.
    pub(super) fn served(&mut self) {
        self.tried = 0;
        self.hopeless.fill(false);
    }

    /// A broker named another one of ours.
    pub(super) fn sent_to(&mut self, index: usize) {
        self.now = index % self.hopeless.len();
    }

    /// Whether none is worth another try.
    pub(super) fn hopeless(&self) -> bool {
        self.hopeless.iter().all(|hopeless| *hopeless)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_turn_and_the_wait_is_over_the_round() {
        let mut rota = Rota::new(3);
        let mut seen = Vec::new();
        for _ in 0..6 {
            let now = rota.now();
            seen.push((now, rota.failed(false)));
        }
        use Next::{AfterWait, AtOnce};
        let round = [(0, AtOnce), (1, AtOnce), (2, AfterWait)];
        assert_eq!(seen, [round, round].concat());
        let mut alone = Rota::new(1);
        assert_eq!((alone.failed(false), alone.now()), (AfterWait, 0));
    }

    #[test]
    fn a_broker_that_served_leaves_the_whole_round_to_the_others() {
        let mut rota = Rota::new(2);
        assert_eq!(rota.failed(true), Next::AtOnce);
        rota.served();
        assert_eq!((rota.failed(false), rota.now()), (Next::AtOnce, 0));
    }

    #[test]
    fn it_is_hopeless_only_when_all_are() {
        let mut rota = Rota::new(2);
        rota.failed(true);
        assert!(!rota.hopeless());
        rota.failed(true);
        assert!(rota.hopeless());
        rota.failed(false);
        assert!(!rota.hopeless());
        rota.sent_to(1);
        assert_eq!(rota.now(), 1);
    }
}
