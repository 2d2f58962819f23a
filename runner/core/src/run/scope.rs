//! What expressions of a step may look at.

use super::fact::RunError;
use super::state::{RunState, StepState};
use crate::failure::Failure;
use crate::workflow::expr::{Condition, Scope};
use crate::workflow::{Step, StepKind, Workflow};
use serde_json::{Map, Value, json};

/// Roots for expressions of any step, as things stand: `inputs steps run trigger device vars error`.
pub(super) fn scope(workflow: &Workflow, state: &RunState) -> Scope {
    let mut steps = Map::new();
    for list in [&workflow.steps, &workflow.on_failure, &workflow.finally] {
        add_steps(list, state, &mut steps);
    }
    let created = &state.created;
    let mut scope = Map::new();
    scope.insert("inputs".to_owned(), Value::Object(created.inputs.clone()));
    scope.insert("steps".to_owned(), Value::Object(steps));
    scope.insert("run".to_owned(), run(state));
    scope.insert("device".to_owned(), created.device.clone());
    let trigger = Some(created.trigger.clone()).filter(|trigger| !trigger.is_null());
    scope.insert("trigger".to_owned(), trigger.unwrap_or_else(crate::trigger::manual));
    scope.insert("vars".to_owned(), json!(created.vars));
    let error = state.verdict.as_ref().and_then(|verdict| verdict.error.as_ref());
    scope.insert("error".to_owned(), error.map_or(Value::Null, run_error));
    scope
}

/// The same with `outputs`: what a step has just put out.
pub(super) fn with_outputs(mut scope: Scope, outputs: &Map<String, Value>) -> Scope {
    scope.insert("outputs".to_owned(), Value::Object(outputs.clone()));
    scope
}

fn run(state: &RunState) -> Value {
    json!({
        "id": state.created.run,
        "workflow": state.created.workflow,
        "digest": state.created.digest,
        // In clean-up, how the run will end is what is asked for.
        "status": state.verdict.as_ref().map_or_else(|| json!(state.status()), |verdict| json!(verdict.status)),
        "started_at": state.created_at.to_rfc3339(),
        "traffic": state.traffic(),
    })
}

fn add_steps(list: &[Step], state: &RunState, into: &mut Map<String, Value>) {
    for step in list {
        into.insert(step.id.clone(), record(state.steps.get(&step.id)));
        if let StepKind::Block(inner) = &step.kind {
            add_steps(inner, state, into);
        }
    }
}

fn record(step: Option<&StepState>) -> Value {
    match step {
        None => json!({ "status": "pending", "outputs": {}, "attempts": 0, "error": null }),
        Some(step) => json!({
            "status": step.status(),
            "outputs": step.outputs,
            "attempts": step.attempts,
            "error": step.error.as_ref().map(failure),
        }),
    }
}

fn failure(failure: &Failure) -> Value {
    json!({ "code": failure.code, "class": failure.class, "message": failure.message, "hint": failure.hint })
}

fn run_error(error: &RunError) -> Value {
    let mut value = failure(&error.failure);
    value["step"] = json!(error.step);
    value
}

/// Whether a condition asks how an earlier step went. Only such a one is put to a step after a failure: any other, as
/// `if: inputs.apply`, was written with success in mind.
pub(super) fn asks_about_failure(condition: &Condition) -> bool {
    condition.paths().iter().any(|path| match path.as_slice() {
        [root, ..] if root == "error" => true,
        [root, _, field, ..] => root == "steps" && (field == "status" || field == "error"),
        _ => false,
    })
}
