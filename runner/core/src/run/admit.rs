//! What admission decides about a run, as facts of it.

use super::Run;
use super::event::{Decision, Refused};
use super::fact::{Bar, Fact};
use super::state::Stage;
use super::status::RunStatus;
use super::words::{Moment, RunId};
use crate::effect::Effect;

impl Run {
    /// Whether nothing new begins until a person or the engine says so.
    pub(super) fn rests(&self) -> bool {
        // Where the stage is being ended only skipping and failing is left, which begins nothing.
        let ends = self.stopping().is_some();
        let barred = self.state.bar.is_some() && matches!(self.state.stage, Stage::Queued | Stage::Main);
        self.state.pause.is_some() || (!ends && (self.closed || barred))
    }

    pub(super) fn admitted(&mut self, moment: Moment, decision: &mut Decision) -> Result<(), Refused> {
        self.closed = false;
        self.behind = None;
        if !matches!(self.state.stage, Stage::Queued | Stage::Main) || self.state.pause.is_some() {
            return Ok(());
        }
        if self.state.bar.is_some() || (self.state.stage == Stage::Main && !self.state.seated) {
            self.emit(Fact::Admitted, moment, decision)?;
        }
        if self.state.stage == Stage::Queued {
            return self.emit(self.start(moment), moment, decision);
        }
        Ok(())
    }

    /// A step that is no transfer goes on to its end; a transfer stops at the next packet.
    pub(super) fn withhold(
        &mut self,
        why: Bar,
        behind: Option<String>,
        moment: Moment,
        decision: &mut Decision,
    ) -> Result<(), Refused> {
        let ends = self.stopping().is_some() || !matches!(self.state.stage, Stage::Queued | Stage::Main);
        if ends || self.state.pause.is_some() {
            return Ok(());
        }
        self.behind = behind;
        if self.state.bar == Some(why) {
            return Ok(());
        }
        self.emit(Fact::Withheld { why }, moment, decision)?;
        if self.transfers() {
            self.ask_to_park(decision);
        }
        Ok(())
    }

    /// Whether a transfer is under way in this process.
    pub fn transfers(&self) -> bool {
        let live = self.state.live_attempt();
        live.is_some_and(|(step, ..)| matches!(self.effect(step), Some(Effect::Transfer(_))))
    }

    pub(super) fn supersede(
        &mut self,
        by: RunId,
        status: RunStatus,
        moment: Moment,
        decision: &mut Decision,
    ) -> Result<(), Refused> {
        if status.is_final() {
            return Err(Refused::Finished(status));
        }
        if self.state.verdict.is_some() || self.state.cancel.is_some() || self.state.limit_reached {
            return Ok(());
        }
        self.emit(Fact::Superseded { by }, moment, decision)
    }
}
