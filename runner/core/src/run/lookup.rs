//! Looking things up in the workflow and its run: steps by id, what is in a block, what has failed, what has not begun.

use super::fact::{Fact, SkipReason, SkippedStep, StopCause};
use super::state::StepPhase;
use super::{BLOCK, Run};
use crate::failure::Failure;
use crate::step::Primitive;
use crate::workflow::{OnError, Step, StepKind, Workflow};

impl Run {
    /// The first step, never a block, whose failure is its list's.
    pub(super) fn first_failure(&self, list: &[Step]) -> Option<(String, Failure)> {
        let counts = |step: &&Step| {
            let state = self.state.steps.get(&step.id);
            step.on_error != OnError::Continue && state.is_some_and(|state| state.phase == StepPhase::Failed)
        };
        let step = list.iter().find(counts)?;
        let own = || Some((step.id.clone(), self.state.steps.get(&step.id)?.error.clone()?));
        self.first_failure(inner(step)).or_else(own)
    }

    pub(super) fn skip(&self, list: &[Step], why: SkipReason) -> Fact {
        let mut steps = Vec::new();
        self.unbegun(list, &mut steps);
        Fact::StepsSkipped { steps, why }
    }

    pub(super) fn skip_unbegun(&self, list: &[Step]) -> Option<Fact> {
        let mut steps = Vec::new();
        self.unbegun(list, &mut steps);
        let why = match self.stopping() {
            Some(StopCause::Cancel) => SkipReason::Cancelled,
            Some(_) => SkipReason::Limit,
            None => SkipReason::EarlierFailure,
        };
        (!steps.is_empty()).then_some(Fact::StepsSkipped { steps, why })
    }

    fn unbegun(&self, list: &[Step], into: &mut Vec<SkippedStep>) {
        for step in list {
            let state = self.state.steps.get(&step.id);
            if state.is_none_or(|state| state.phase == StepPhase::Pending) {
                into.push(SkippedStep { id: step.id.clone(), uses: uses(step).to_owned() });
            }
            self.unbegun(inner(step), into);
        }
    }

    pub(super) fn begun_in(&self, list: &[Step], into: &mut Vec<String>) {
        for step in list {
            if self.state.steps.get(&step.id).is_some_and(|state| state.phase != StepPhase::Pending) {
                into.push(step.id.clone());
            }
            self.begun_in(inner(step), into);
        }
    }

    pub(super) fn primitive(&self, step: &str) -> Option<&'static Primitive> {
        match &self.find(step)?.kind {
            StepKind::Uses { primitive, .. } => Some(primitive),
            StepKind::Block(_) => None,
        }
    }

    pub(super) fn find(&self, id: &str) -> Option<&Step> {
        find_step(&self.workflow, id)
    }
}

/// A step by its id, wherever it stands.
pub(super) fn find_step<'a>(workflow: &'a Workflow, id: &str) -> Option<&'a Step> {
    fn within<'a>(list: &'a [Step], id: &str) -> Option<&'a Step> {
        list.iter().find_map(|step| if step.id == id { Some(step) } else { within(inner(step), id) })
    }
    [&workflow.steps, &workflow.on_failure, &workflow.finally].into_iter().find_map(|list| within(list, id))
}

/// Steps of a block; none for others.
pub(super) fn inner(step: &Step) -> &[Step] {
    match &step.kind {
        StepKind::Block(steps) => steps,
        StepKind::Uses { .. } => &[],
    }
}

/// Name of a step's primitive, or [`BLOCK`].
pub(super) fn uses(step: &Step) -> &'static str {
    match &step.kind {
        StepKind::Uses { primitive, .. } => primitive.name,
        StepKind::Block(_) => BLOCK,
    }
}
