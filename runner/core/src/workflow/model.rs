//! A workflow as meant: everything checked, nothing left to find out but values.

use super::expr::{Condition, Template};
use crate::admission::OnConflict;
use crate::step::Primitive;
use crate::trigger::Trigger;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// A checked workflow.
#[derive(Debug, Clone)]
pub struct Workflow {
    /// As in `name:`; kebab-case.
    pub name: String,
    /// For people.
    pub description: String,
    /// For searching.
    pub labels: BTreeMap<String, String>,
    /// In the order of the file.
    pub inputs: Vec<Input>,
    /// Which codec; an expression over `inputs` and `device`. Absent where no step needs one.
    pub codec: Option<Template>,
    /// Variables for the codec; expressions over `inputs` and `device`.
    pub vars: BTreeMap<String, Template>,
    /// What starts runs by itself, in the order of the file.
    pub triggers: Vec<Trigger>,
    /// How many runs of a group are begun at a time.
    pub concurrency: Option<Concurrency>,
    /// How urgent its runs are; an expression over `inputs` and `device`. Normal where absent.
    pub priority: Option<Template>,
    /// What of the device a push fills; an expression over `inputs` and `device`.
    pub slot: Option<Template>,
    /// Bound of the whole run.
    pub timeout: Duration,
    /// In order.
    pub steps: Vec<Step>,
    /// Run after a failure.
    pub on_failure: Vec<Step>,
    /// Run at the end in any case.
    pub finally: Vec<Step>,
    /// Outputs of the run.
    pub outputs: BTreeMap<String, Template>,
    /// SHA-256 of the source, lowercase hex.
    pub digest: String,
}

impl Workflow {
    /// The first step that speaks to a device through a codec.
    pub fn speaks(&self) -> Option<&str> {
        let lists = [&self.steps, &self.on_failure, &self.finally];
        lists.into_iter().find_map(|list| speaking(list))
    }

    /// Names of the step plugins that its steps run, each once, in the order of names.
    pub fn step_plugins(&self) -> Vec<String> {
        let lists = [&self.steps, &self.on_failure, &self.finally];
        let mut names: Vec<String> = lists.into_iter().flatten().flat_map(named).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Whether one of its main steps pushes a file to a device.
    pub fn pushes(&self) -> bool {
        self.steps.iter().any(pushes)
    }
}

fn pushes(step: &Step) -> bool {
    match &step.kind {
        StepKind::Block(steps) => steps.iter().any(pushes),
        StepKind::Uses { primitive, .. } => primitive.name == "transfer.push",
    }
}

fn speaking(steps: &[Step]) -> Option<&str> {
    steps.iter().find_map(|step| match &step.kind {
        StepKind::Block(steps) => speaking(steps),
        StepKind::Uses { primitive, .. } => primitive.name.starts_with("transfer.").then_some(step.id.as_str()),
    })
}

fn named(step: &Step) -> Vec<String> {
    match &step.kind {
        StepKind::Block(steps) => steps.iter().flat_map(named).collect(),
        StepKind::Uses { .. } => crate::step::plugin_of(step).map(str::to_owned).into_iter().collect(),
    }
}

/// How many runs of a group are begun at a time.
#[derive(Debug, Clone)]
pub struct Concurrency {
    /// Name of the group; an expression over `inputs` and `device`.
    pub group: Template,
    /// At least 1.
    pub limit: u32,
    /// What becomes of one too many.
    pub on_conflict: OnConflict,
}

/// One declared input.
#[derive(Debug, Clone)]
pub struct Input {
    /// `snake_case`.
    pub name: String,
    /// Its type.
    pub kind: InputKind,
    /// Used where none is given; already of the type.
    pub default: Option<Value>,
    /// May be absent, and is `null` then.
    pub optional: bool,
    /// Allowed values; empty = any.
    pub allowed: Vec<Value>,
    /// Regular expression that text must match as a whole.
    pub pattern: Option<String>,
    /// Lower bound (number; or bytes, seconds).
    pub min: Option<f64>,
    /// Upper bound.
    pub max: Option<f64>,
    /// For people.
    pub description: String,
}

/// Type of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words say it")]
pub enum InputKind {
    String,
    Integer,
    Number,
    Boolean,
    Duration,
    Size,
    Rate,
    File,
    List,
    Map,
}

/// One step.
#[derive(Debug, Clone)]
pub struct Step {
    /// As in `id:`, or made from its place (`_1`, `_2_1`) where the file gives none; unique in the file.
    pub id: String,
    /// For people.
    pub name: Option<String>,
    /// What it does.
    pub kind: StepKind,
    /// Run only where this holds; absent = while no earlier step has failed.
    pub condition: Option<Condition>,
    /// How to try again; from the step or from `defaults`.
    pub retry: Retry,
    /// Bound of one attempt; stops while the device is offline.
    pub timeout: Option<Duration>,
    /// Bound of the whole step with all attempts.
    pub deadline: Option<Duration>,
    /// What a failure of this step means for the run.
    pub on_error: OnError,
    /// Extra named projections over the step's own outputs (`outputs` in scope).
    pub outputs: BTreeMap<String, Template>,
    /// Line in the file, from 1, for messages.
    pub line: usize,
}

/// What a step does.
#[derive(Debug, Clone)]
pub enum StepKind {
    /// A primitive with its arguments.
    Uses {
        /// Which.
        primitive: &'static Primitive,
        /// Its arguments, each a template.
        with: BTreeMap<String, Template>,
    },
    /// A block, tried again as a whole.
    Block(Vec<Step>),
}

/// What a step's failure means for the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// The run fails.
    #[default]
    Fail,
    /// The run goes on; `steps.ID.error` tells.
    Continue,
    /// The run pauses for a person.
    Pause,
}

/// How to try again.
#[derive(Debug, Clone, PartialEq)]
pub struct Retry {
    /// Attempts in all, at least 1.
    pub max_attempts: u32,
    /// Stop trying after so long.
    pub max_elapsed: Option<Duration>,
    /// First wait.
    pub initial: Duration,
    /// Growth from wait to wait, at least 1.
    pub factor: f64,
    /// Longest wait.
    pub max: Duration,
    /// Codes or classes that are retried; empty = every transient failure.
    pub errors: Vec<String>,
    /// What happens after the last attempt.
    pub on_exhausted: Exhausted,
}

/// What happens after the last attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Exhausted {
    /// The step fails.
    #[default]
    Fail,
    /// The run pauses for a person.
    Pause,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            max_attempts: 1,
            max_elapsed: None,
            initial: Duration::from_secs(1),
            factor: 2.0,
            max: Duration::from_secs(300),
            errors: Vec::new(),
            on_exhausted: Exhausted::Fail,
        }
    }
}
