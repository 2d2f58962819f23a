//! A step as it begins, and what the fold asks of it.

use super::fact::{Wait, Work};
use super::state::{Cost, StepPhase, StepState};
use super::words::WallTime;
use crate::grant::RefusedCall;
use serde_json::Map;

/// Refused calls of a step that are shown.
const KEPT_REFUSALS: usize = 16;

impl StepState {
    pub(super) fn new(uses: &str, place: usize, at: WallTime) -> Self {
        Self {
            uses: uses.to_owned(),
            place,
            round: 1,
            phase: StepPhase::Pending,
            with: Map::new(),
            outputs: Map::new(),
            error: None,
            refused: Vec::new(),
            refusals: 0,
            attempts: 0,
            consent: false,
            tries: 0,
            offline_waits: 0,
            tried_since: None,
            deadline: None,
            began_at: at,
            ended_at: None,
            cost: Cost::default(),
        }
    }

    /// The first ones tell the most: what comes after them is only counted.
    pub(super) fn refuse(&mut self, call: &RefusedCall) {
        self.refusals = self.refusals.saturating_add(1);
        if self.refused.len() < KEPT_REFUSALS && !self.refused.contains(call) {
            self.refused.push(call.clone());
        }
    }

    pub(super) fn stands_still(&self) -> bool {
        match &self.phase {
            StepPhase::Running(attempt) => {
                matches!(attempt.work, Work::Effect { .. }) && !(attempt.live && attempt.reachable)
            }
            StepPhase::Waiting { wait, .. } => matches!(wait, Wait::DeviceOffline | Wait::TrafficBudget),
            _ => false,
        }
    }
}
