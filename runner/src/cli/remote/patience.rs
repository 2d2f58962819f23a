//! A daemon that went away while somebody watched: how long it is waited for.

use crate::cli::print::Show;
use packhorse_core::failure::Failure;
use std::time::{Duration, Instant};

/// How long it may be away.
const AWAY: Duration = Duration::from_secs(300);
/// Between the first two tries, and the longest between two.
const FIRST: Duration = Duration::from_millis(250);
const LAST: Duration = Duration::from_secs(5);

/// Since when it is away, and how long to wait until the next try.
#[derive(Debug, Default)]
pub(in crate::cli) struct Patience(Option<(Instant, Duration)>);

impl Patience {
    /// It answers.
    pub(in crate::cli) fn calm(&mut self) {
        self.0 = None;
    }

    /// It does not: the time until the next try, told once for people.
    ///
    /// # Errors
    ///
    /// The failure, when it has been away for too long.
    pub(in crate::cli) fn wait(&mut self, failure: Failure, show: Show) -> Result<Duration, Failure> {
        let (since, wait) = *self.0.get_or_insert_with(|| {
            show.note(&format!("{failure}; trying again for {} min …", AWAY.as_secs() / 60));
            (Instant::now(), FIRST)
        });
        if since.elapsed() >= AWAY {
            return Err(failure);
        }
        self.0 = Some((since, (wait * 2).min(LAST)));
        Ok(wait)
    }
}
