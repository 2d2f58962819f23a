//! A workflow as written: the types that the JSON Schema is generated from and that each map of a file is read into.
//!
//! One level is read at a time: what is below a key that is judged by its own rules stays JSON here.

use super::raw_trigger::RawTrigger;
use super::{Exhausted, InputKind, OnError};
use crate::admission::{OnConflict, Priority};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A workflow file.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Workflow", extend("x-later" = ["secrets"]))]
#[expect(dead_code, reason = "every field is in the schema; some are read from the tree, with their places")]
pub(super) struct RawWorkflow {
    /// Always `workflow/v1`, in the first line.
    #[schemars(required, schema_with = "kind")]
    pub(super) kind: Option<String>,
    /// Name of the workflow, kebab-case; the file is called the same with `.yaml`.
    #[schemars(required, extend("format" = "kebab", "pattern" = "^[a-z][a-z0-9]*(-[a-z0-9]+)*$", "maxLength" = 64))]
    pub(super) name: Option<String>,
    /// What it is for, for people.
    pub(super) description: Option<String>,
    /// For searching.
    pub(super) labels: Option<BTreeMap<String, String>>,
    /// What a run must or may be given.
    #[schemars(with = "Option<BTreeMap<String, RawInput>>")]
    pub(super) inputs: Option<Map<String, Value>>,
    /// The plugin that speaks to the device; text or an expression over `inputs` and `device`.
    #[schemars(with = "Option<String>", extend("x-expression" = true, "minLength" = 1))]
    pub(super) codec: Option<Value>,
    /// Variables for the codec; text or expressions over `inputs` and `device`.
    #[schemars(with = "Option<BTreeMap<String, String>>", extend("x-expression" = "below"))]
    pub(super) vars: Option<Map<String, Value>>,
    /// What starts runs by itself in a daemon.
    #[schemars(with = "Option<Vec<RawTrigger>>")]
    pub(super) triggers: Option<Vec<Value>>,
    /// How many runs of a group are begun at a time.
    pub(super) concurrency: Option<RawConcurrency>,
    /// How urgent a run is: critical, high, normal, low, bulk, or 1 to 5; text or an expression over `inputs` and `device`. normal where
    /// it is not given.
    #[schemars(with = "Option<Urgency>", extend("x-expression" = true))]
    pub(super) priority: Option<Value>,
    /// What of the device a push fills: a newer image ends a waiting older one for the same slot. `firmware` where it is not given.
    #[schemars(extend("x-expression" = true, "minLength" = 1, "maxLength" = 64))]
    pub(super) slot: Option<String>,
    /// Bound of the whole run; 7d where it is not given.
    #[schemars(extend("format" = "duration"))]
    pub(super) timeout: Option<String>,
    /// What steps do that do not say it themselves.
    pub(super) defaults: Option<RawDefaults>,
    /// What a run does, in this order.
    #[schemars(required, with = "Option<Vec<RawStep>>", extend("minItems" = 1))]
    pub(super) steps: Option<Vec<Value>>,
    /// Run after a failure.
    #[schemars(with = "Option<Vec<RawStep>>")]
    pub(super) on_failure: Option<Vec<Value>>,
    /// Run at the end in any case.
    #[schemars(with = "Option<Vec<RawStep>>")]
    pub(super) finally: Option<Vec<Value>>,
    /// Outputs of the run; expressions over everything.
    #[schemars(extend("x-expression" = "below"))]
    pub(super) outputs: Option<Map<String, Value>>,
}

fn kind(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "string", "const": "workflow/v1" })
}

/// What a run must or may be given.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Input")]
pub(super) struct RawInput {
    /// Type of the value.
    #[schemars(required)]
    pub(super) r#type: Option<InputKind>,
    /// Used where none is given.
    pub(super) default: Option<Value>,
    /// May be absent, and is `null` then.
    pub(super) optional: Option<bool>,
    /// Allowed values.
    #[schemars(extend("minItems" = 1))]
    pub(super) r#enum: Option<Vec<Value>>,
    /// Regular expression that text must match as a whole.
    pub(super) pattern: Option<String>,
    /// Lower bound of a number, size, rate or duration.
    #[schemars(with = "Option<Bound>")]
    pub(super) min: Option<Value>,
    /// Upper bound of a number, size, rate or duration.
    #[schemars(with = "Option<Bound>")]
    pub(super) max: Option<Value>,
    /// For people.
    pub(super) description: Option<String>,
}

/// A number, or text with a unit.
#[derive(Debug)]
pub(super) struct Bound;

impl JsonSchema for Bound {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Bound".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["number", "string"] })
    }
}

/// How many runs of a group are begun at a time.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Concurrency")]
#[expect(dead_code, reason = "every field is in the schema; one is read from the tree, with its place")]
pub(super) struct RawConcurrency {
    /// Runs with the same group count together, of whatever workflow; text or an expression over `inputs` and `device`.
    #[schemars(required, extend("x-expression" = true, "minLength" = 1, "maxLength" = 256))]
    pub(super) group: Option<String>,
    /// So many of them; 1 where it is not given.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) limit: Option<u32>,
    /// What becomes of one too many.
    pub(super) on_conflict: Option<OnConflict>,
}

/// A word for a priority, or its level.
#[derive(Debug)]
pub(super) struct Urgency;

impl JsonSchema for Urgency {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Priority".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let words = Priority::ALL.map(Priority::word);
        schemars::json_schema!({
            "anyOf": [{ "type": "string", "enum": words }, { "type": "integer", "minimum": 1, "maximum": 5 }],
        })
    }
}

/// What steps with `uses` do that do not say it themselves.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Defaults")]
pub(super) struct RawDefaults {
    /// How to try again.
    pub(super) retry: Option<RawRetry>,
    /// Bound of one attempt.
    #[schemars(extend("format" = "duration"))]
    pub(super) timeout: Option<String>,
}

/// How to try again.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Retry")]
pub(super) struct RawRetry {
    /// Attempts in all; 1 = no second one.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) max_attempts: Option<u32>,
    /// Stop trying after so long.
    #[schemars(extend("format" = "duration"))]
    pub(super) max_elapsed: Option<String>,
    /// How the waits grow. Each wait is drawn at random between nothing and the bound that this gives.
    pub(super) backoff: Option<RawBackoff>,
    /// Codes (`PH4102`) or classes (`transient`) that are retried; absent = every transient failure.
    pub(super) errors: Option<Vec<ErrorName>>,
    /// What happens after the last attempt.
    pub(super) on_exhausted: Option<Exhausted>,
}

/// How waits between attempts grow.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Backoff", extend("x-later" = ["jitter"]))]
pub(super) struct RawBackoff {
    /// First wait; 1s where it is not given.
    #[schemars(extend("format" = "duration"))]
    pub(super) initial: Option<String>,
    /// Growth from wait to wait; 2 where it is not given.
    #[schemars(range(min = 1.0, max = 100.0))]
    pub(super) factor: Option<f64>,
    /// Longest wait; 5m where it is not given.
    #[schemars(extend("format" = "duration"))]
    pub(super) max: Option<String>,
}

/// A code or a class of failures.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline, extend("format" = "code"))]
pub(super) struct ErrorName(pub(super) String);

/// One step: a primitive (`uses`) or a block of steps (`steps`).
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Step", extend("x-later" = ["wait", "foreach", "as", "parallel", "undo", "effect", "cancel", "no_return", "assert", "on_timeout"]))]
#[expect(dead_code, reason = "every field is in the schema; some are read from the tree, with their places")]
pub(super) struct RawStep {
    /// Name for expressions, snake_case, unique in the file; needed only where it is referred to.
    #[schemars(extend("format" = "snake", "pattern" = "^[a-z][a-z0-9_]*$", "maxLength" = 64))]
    pub(super) id: Option<String>,
    /// For people.
    pub(super) name: Option<String>,
    /// The primitive.
    pub(super) uses: Option<String>,
    /// Parameters of the primitive; values may be expressions.
    #[schemars(extend("x-expression" = "below"))]
    pub(super) with: Option<Map<String, Value>>,
    /// A block: these steps in order, tried again as a whole.
    #[schemars(with = "Option<Vec<RawStep>>", extend("minItems" = 1))]
    pub(super) steps: Option<Vec<Value>>,
    /// Bare CEL that is true or false; the step is skipped where it is false. Absent = run while no earlier step has failed.
    #[schemars(with = "Option<Cel>")]
    pub(super) r#if: Option<Value>,
    /// How to try again; what is not given here comes from `defaults`.
    pub(super) retry: Option<RawRetry>,
    /// Bound of one attempt; stops while the device is offline.
    #[schemars(extend("format" = "duration"))]
    pub(super) timeout: Option<String>,
    /// Bound of the step with all attempts.
    #[schemars(extend("format" = "duration"))]
    pub(super) deadline: Option<String>,
    /// What a failure of this step means for the run.
    pub(super) on_error: Option<OnError>,
    /// Outputs beside those of the primitive; expressions that also know `outputs`, the step's own.
    #[schemars(extend("x-expression" = "below"))]
    pub(super) outputs: Option<Map<String, Value>>,
}

/// Bare CEL.
#[derive(Debug)]
pub(super) struct Cel;

impl JsonSchema for Cel {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Cel".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A CEL expression, bare: without ${{ }}.",
            "type": ["string", "boolean"],
            "format": "cel",
        })
    }
}
