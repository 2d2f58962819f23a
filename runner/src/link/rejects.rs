//! The last packets of a device that were rejected, with their first bytes: what `explain` shows of them.

use packhorse_core::transfer::{Fault, Time};
use std::collections::VecDeque;

/// Packets that are remembered.
const KEPT: usize = 5;
/// Bytes of each.
const HEAD: usize = 64;
/// Letters of what was said of each.
const WORDS: usize = 200;

/// A packet that was rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// When.
    pub at: Time,
    /// Why, in the words of the codec, or of the machine where the codec could read it.
    pub words: String,
    /// Its first 64 bytes; none where it is not known which packet of several it was.
    pub head: Vec<u8>,
    /// Its length in bytes.
    pub length: usize,
}

/// The last five of them, oldest first.
#[derive(Debug, Default)]
pub(super) struct Rejects(VecDeque<Rejected>);

impl Rejects {
    /// Remembers what the codec could not read. What is for somebody else is not rejected.
    pub(super) fn faulted(&mut self, fault: &Fault, payload: Option<&[u8]>, now: Time) {
        match fault {
            Fault::NotMine => {}
            Fault::Malformed(words) => self.push(words, payload, now),
            Fault::Unsupported => self.push("the codec called it unsupported", payload, now),
            Fault::Fatal(text) => self.push(&text.message, payload, now),
        }
    }

    /// Remembers one packet.
    pub(super) fn push(&mut self, words: &str, payload: Option<&[u8]>, now: Time) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        let payload = payload.unwrap_or_default();
        let head = payload[..payload.len().min(HEAD)].to_vec();
        self.0.push_back(Rejected { at: now, words: words.chars().take(WORDS).collect(), head, length: payload.len() });
    }

    pub(super) fn last(&self) -> Vec<Rejected> {
        self.0.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_five_are_kept_and_little_of_each() {
        let mut rejects = Rejects::default();
        rejects.faulted(&Fault::NotMine, Some(b"not ours"), Time(0));
        for number in 0..7_u8 {
            let words = "é".repeat(300);
            rejects.faulted(&Fault::Malformed(words), Some(&[number; 100]), Time(u64::from(number)));
        }
        rejects.push("said by the machine", None, Time(8));
        let last = rejects.last();
        let times: Vec<u64> = last.iter().map(|rejected| rejected.at.0).collect();
        assert_eq!(times, [3, 4, 5, 6, 8]);
        assert_eq!((last[0].head.len(), last[0].length, last[0].words.chars().count()), (64, 100, 200));
        assert_eq!((last[4].head.len(), last[4].length), (0, 0));
    }
}
