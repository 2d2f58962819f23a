//! Which steps are tried again when a person resumes a pause, or retries a run that ended badly.

use super::fact::{Reopened, SkipReason};
use super::lookup::{find_step, inner};
use super::state::{Pause, RunState, StepPhase};
use crate::workflow::{OnError, Step, Workflow};

/// The step that made the run pause; where it is a block, what stopped it inside.
pub(super) fn after_pause(workflow: &Workflow, state: &RunState, pause: &Pause) -> Reopened {
    let mut reopened = Reopened::default();
    if let Some(id) = &pause.step {
        reopened.renewed.push(id.clone());
        let inner = find_step(workflow, id).map_or(&[][..], inner);
        Walk { state, found: false, reopened: &mut reopened }.list(inner);
    }
    reopened
}

/// From the step that stopped the run: it goes on, and everything after it begins anew, clean-up too. What was done stays done.
pub(super) fn after_end(workflow: &Workflow, state: &RunState) -> Reopened {
    let mut reopened = Reopened::default();
    let mut walk = Walk { state, found: false, reopened: &mut reopened };
    walk.list(&workflow.steps);
    walk.found = true;
    walk.list(&workflow.on_failure);
    walk.list(&workflow.finally);
    reopened
}

struct Walk<'a> {
    state: &'a RunState,
    found: bool,
    reopened: &'a mut Reopened,
}

impl Walk<'_> {
    fn list(&mut self, list: &[Step]) {
        list.iter().for_each(|step| self.step(step));
    }

    fn step(&mut self, step: &Step) {
        let Some(state) = self.state.steps.get(&step.id) else { return };
        let stopper = match &state.phase {
            StepPhase::Failed => step.on_error != OnError::Continue,
            StepPhase::Skipped { why } => *why != SkipReason::Condition,
            _ => false,
        };
        if self.found || (stopper && !goes_on(&state.phase, state.attempts)) {
            self.found = true;
            if state.phase != StepPhase::Pending {
                self.reopened.reset.push(step.id.clone());
            }
            self.list(inner(step));
            return;
        }
        if stopper {
            self.reopened.renewed.push(step.id.clone());
            self.list(inner(step));
            self.found = true;
        }
    }
}

/// A step that failed before its arguments were there has nothing to go on with.
fn goes_on(phase: &StepPhase, attempts: u32) -> bool {
    *phase == StepPhase::Failed && attempts > 0
}
