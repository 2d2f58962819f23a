//! For how long finished runs are kept.

use super::fact::{Fact, Record};
use super::state::{RunState, Stage};
use super::status::RunStatus;
use super::words::WallTime;
use std::time::Duration;

/// For how long finished runs are kept, from their end on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Those that succeeded.
    pub succeeded: Duration,
    /// All others.
    pub failed: Duration,
}

impl Retention {
    /// Whether a run may be forgotten. One that is not finished never may.
    pub fn is_over(&self, state: &RunState, now: WallTime) -> bool {
        let Stage::Finished { at } = state.stage else { return false };
        let keep = if state.status() == RunStatus::Succeeded { self.succeeded } else { self.failed };
        now.since(at) > keep
    }
}

/// Digests of the objects that a run names: its workflow's, its step plugins', and those of every codec that it was ever pinned to.
pub fn objects_of(records: &[Record]) -> Vec<String> {
    let mut objects = Vec::new();
    for record in records {
        match &record.fact {
            Fact::Created(created) => {
                let codec = created.codec.as_ref().map(|codec| &codec.digest);
                objects.extend(std::iter::once(&created.digest).chain(codec).chain(created.plugins.values()).cloned());
            }
            Fact::Repinned { to, .. } => objects.push(to.digest.clone()),
            _ => {}
        }
    }
    objects
}

#[cfg(test)]
mod tests {
    use super::super::tests::{LOG, Player, T0, step, workflow};
    use super::*;
    use crate::effect::Reply;
    use crate::run::{EffectEnd, RunEvent};

    #[test]
    fn runs_are_kept_by_how_they_ended_and_unfinished_ones_for_ever() {
        let day = Duration::from_secs(86_400);
        let retention = Retention { succeeded: 30 * day, failed: 90 * day };
        let after = |days: u32| WallTime(T0).after(day * days);
        let mut player = Player::new(workflow(vec![step("a", &LOG)]));
        player.decide(RunEvent::Begin).expect("begins");
        assert!(!retention.is_over(player.run.state(), after(4_000)));
        let mut bad = Player::new(workflow(vec![step("a", &LOG)]));
        bad.decide(RunEvent::Begin).expect("begins");
        bad.decide(RunEvent::Cancel { reason: None }).expect("is not over");
        let event = bad.ended("a", EffectEnd::Cancelled);
        bad.decide(event).expect("an end is never refused");
        let event = player.ended("a", EffectEnd::Outcome(Ok(Reply::Done)));
        player.decide(event).expect("an end is never refused");
        assert!(!retention.is_over(player.run.state(), after(30)) && retention.is_over(player.run.state(), after(31)));
        assert!(!retention.is_over(bad.run.state(), after(90)) && retention.is_over(bad.run.state(), after(91)));
        assert_eq!(objects_of(&bad.journal), ["00"]);
    }
}
