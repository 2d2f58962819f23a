//! How often a device has downloaded what it was offered: it may begin again three times.

use packhorse_codec::{ReadError, Reader, Writer};

/// Downloads after the first one.
const RETRIES: u64 = 3;

/// The downloads of one offer that failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Attempts {
    failed: u64,
    /// The newest failure was told by a wrong digest: a `retry` without a number that follows is about the same download.
    by_digest: bool,
}

/// What a failure of a download comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// The device may begin again.
    Again,
    /// It was told before: what the device asks for is given once more, and nothing else changes.
    Known,
    /// So many downloads failed: no more.
    GiveUp(u64),
}

impl Attempts {
    /// A download failed, the one with this number where the device counts; told again, it counts once.
    pub(crate) fn failed(&mut self, number: Option<u64>, by_digest: bool) -> Next {
        let known = match number {
            Some(number) => number <= self.failed,
            None => self.by_digest && !by_digest,
        };
        if !known {
            self.failed = number.unwrap_or(0).max(self.failed.saturating_add(1));
        }
        self.by_digest = by_digest;
        match (self.failed > RETRIES, known) {
            (true, _) => Next::GiveUp(self.failed),
            (false, true) => Next::Known,
            (false, false) => Next::Again,
        }
    }

    /// The device found the content right: whatever fails later is another failure.
    pub(crate) fn verified(&mut self) {
        self.by_digest = false;
    }

    pub(crate) fn save(self, state: &mut Writer) {
        state.u64_be(self.failed);
        state.u8(self.by_digest.into());
    }

    pub(crate) fn restore(state: &mut Reader<'_>) -> Result<Self, ReadError> {
        Ok(Self { failed: state.u64_be("failed")?, by_digest: state.u8("by digest")? == 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_retries_and_no_more() {
        let mut attempts = Attempts::default();
        let all: Vec<Next> = (0..5).map(|_| attempts.failed(None, false)).collect();
        assert_eq!(all, [Next::Again, Next::Again, Next::Again, Next::GiveUp(4), Next::GiveUp(5)]);
    }

    #[test]
    fn a_download_with_a_number_fails_once() {
        let mut attempts = Attempts::default();
        let all: Vec<Next> = [1, 1, 2, 1, 3, 3, 2].map(|number| attempts.failed(Some(number), false)).into();
        let new = [true, false, true, false, true, false, false];
        assert_eq!(all, new.map(|new| if new { Next::Again } else { Next::Known }));
        assert_eq!(attempts.failed(Some(4), false), Next::GiveUp(4));
        assert_eq!(Attempts::default().failed(Some(u64::MAX), false), Next::GiveUp(u64::MAX), "it knows best");
    }

    #[test]
    fn a_wrong_digest_and_the_retry_for_it_are_one_failure() {
        let mut attempts = Attempts::default();
        for _ in 0..3 {
            assert_eq!(attempts.failed(None, true), Next::Again);
            assert_eq!(attempts.failed(None, false), Next::Known);
        }
        assert_eq!(attempts.failed(None, true), Next::GiveUp(4));
        let mut attempts = Attempts::default();
        attempts.failed(None, true);
        attempts.verified();
        attempts.failed(None, false);
        assert_eq!(attempts.failed, 2, "the second download failed after it was verified");
    }
}
