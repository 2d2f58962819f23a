//! Another build of the codec for a run that is under way, or that can be retried.

use super::Run;
use super::event::{Decision, Refused};
use super::fact::{CodecPin, Fact};
use super::state::RunState;
use super::words::Moment;

impl std::fmt::Display for CodecPin {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let start: String = self.digest.chars().take(12).collect();
        write!(formatter, "{} {} (sha256 {start}…)", self.name, self.version)
    }
}

impl Refused {
    /// Whether the run, as it is, cannot be moved to that codec.
    pub const fn is_about_codec(&self) -> bool {
        matches!(self, Self::NoCodec | Self::HasCodec(_) | Self::OtherCodec(_) | Self::OtherName { .. })
    }
}

impl RunState {
    pub(super) fn repinned(&mut self, from: &CodecPin, to: &CodecPin) -> Result<(), String> {
        if self.codec.as_ref() != Some(from) {
            return Err(format!("the run is not pinned to {from}"));
        }
        if self.is_finished() && !self.may_be_retried() {
            return Err("the run has ended for good".to_owned());
        }
        self.codec = Some(to.clone());
        self.forget_deaths();
        Ok(())
    }
}

impl Run {
    /// A run that waits or is paused stays so. A transfer under way is asked to park; as nothing keeps it from it, it begins again in the
    /// same attempt, under a new epoch and from its checkpoint, through the new build.
    pub(super) fn repin(
        &mut self,
        from: &str,
        to: CodecPin,
        moment: Moment,
        decision: &mut Decision,
    ) -> Result<(), Refused> {
        let now = self.state.codec.clone().ok_or(Refused::NoCodec)?;
        if now.digest == to.digest {
            return Err(Refused::HasCodec(now));
        }
        let status = self.state.status();
        if status.is_final() && !self.state.may_be_retried() {
            return Err(Refused::Finished(status));
        }
        if now.digest != from {
            return Err(Refused::OtherCodec(now));
        }
        if now.name != to.name {
            return Err(Refused::OtherName { now: Box::new(now), to: Box::new(to) });
        }
        self.emit(Fact::Repinned { from: now, to }, moment, decision)?;
        if self.transfers() {
            self.ask_to_park(decision);
        }
        Ok(())
    }
}
