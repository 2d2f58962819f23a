//! How many starts a trigger may make: a bucket of tokens, so that a workflow which triggers itself ends in a trickle.

use crate::run::WallTime;

/// Starts a minute where the workflow says nothing.
pub const MAX_RATE: u32 = 60;
/// So many minutes' worth of starts may come at once.
pub const BURST: u32 = 2;

/// Tokens of one trigger. A clock that goes back gives none and takes none.
#[derive(Debug, Clone, PartialEq)]
pub struct Rate {
    tokens: f64,
    last: WallTime,
}

impl Rate {
    /// Full.
    pub fn new(a_minute: u32, now: WallTime) -> Self {
        Self { tokens: f64::from(a_minute.saturating_mul(BURST)), last: now }
    }

    /// Takes one token.
    ///
    /// # Errors
    ///
    /// Milliseconds until there is one.
    pub fn take(&mut self, a_minute: u32, now: WallTime) -> Result<(), u64> {
        let per_ms = f64::from(a_minute.max(1)) / 60_000.0;
        let most = f64::from(a_minute.saturating_mul(BURST).max(1));
        self.tokens = (self.tokens + now.0.saturating_sub(self.last.0) as f64 * per_ms).min(most);
        self.last = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(((1.0 - self.tokens) / per_ms).ceil() as u64)
    }
}
