//! Attempts whose process dies again and again: counted as long as they get no further, and not begun once more after the third death.

use super::Run;
use super::state::{Attempt, RunState};
use crate::effect::Effect;

/// After so many deaths without progress an attempt is not begun again by itself.
const MOST: u32 = 3;
/// After so many its run is a suspect.
const SUSPICIOUS: u32 = MOST - 1;

impl Attempt {
    /// No process works on it any more. `died`: how many bytes were done, where that counts as a death of its process.
    pub(super) fn lost(&mut self, died: Option<u64>) {
        if !std::mem::take(&mut self.live) {
            return;
        }
        match died {
            Some(done) if done > self.furthest => (self.deaths, self.furthest) = (1, done),
            Some(_) => self.deaths = self.deaths.saturating_add(1),
            None => self.deaths = 0,
        }
    }

    /// Whether only a person may begin it again.
    pub(super) const fn is_poison(&self) -> bool {
        self.deaths >= MOST
    }
}

impl RunState {
    fn underway(&self) -> Option<&Attempt> {
        self.current_step().and_then(|(_, step)| step.attempt())
    }

    /// Whether one more death without progress keeps it from beginning again: see [`crate::admission::Trials`].
    pub fn is_suspect(&self) -> bool {
        self.underway().is_some_and(|attempt| attempt.deaths == SUSPICIOUS)
    }

    /// Whether this is more than its attempt under way had done at any death of its process.
    pub fn gets_further(&self, done: u64) -> bool {
        self.underway().is_some_and(|attempt| done > attempt.furthest)
    }

    /// A person lets it go on, or has mended its codec.
    pub(super) fn forget_deaths(&mut self) {
        let step = self.current.as_ref().and_then(|id| self.steps.get_mut(id));
        if let Some(attempt) = step.and_then(|step| step.attempt_mut()) {
            attempt.deaths = 0;
        }
    }
}

impl Run {
    /// What the attempt had done, where the process died while it was at work. One that waits for a message, or for a device that is not
    /// there, is hardly why; machines are switched off more than three times while it waits.
    pub(super) fn died(&self, done: u64) -> Option<u64> {
        let (step, _, attempt) = self.state.live_attempt()?;
        let waits = !attempt.reachable || matches!(self.effect(step), Some(Effect::Wait(_)));
        (!waits).then_some(done)
    }
}
