//! What happened in a world, as one number that a replay must give again, and as lines for people.

/// A running hash of everything that happened.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: u64,
    print: bool,
}

impl Trace {
    pub(crate) fn new(print: bool) -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, print }
    }

    /// One thing that happened at `now`; `what` is made only where lines are wanted.
    pub(crate) fn note(&mut self, now: u64, kind: u8, number: u64, what: impl FnOnce() -> String) {
        for word in [now, u64::from(kind), number] {
            self.mix(word);
        }
        if self.print {
            println!("{:>16.6} {}", now as f64 / 1e6, what());
        }
    }

    /// Bytes that travelled.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            self.mix(u64::from_le_bytes(word.try_into().expect("chunks of eight")));
        }
        words.remainder().iter().for_each(|byte| self.mix(u64::from(*byte)));
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    fn mix(&mut self, word: u64) {
        self.hash = (self.hash ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
    }
}
