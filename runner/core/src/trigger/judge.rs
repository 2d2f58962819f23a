//! From a trigger and its context to a start, a reason to ignore it, or what is wrong.

use super::Trigger;
use crate::failure::Failure;
use crate::workflow::Workflow;
use crate::workflow::codes;
use crate::workflow::expr::Scope;
use serde_json::Value;
use std::collections::BTreeMap;

/// Longest dedupe key in bytes.
const LONGEST: usize = 1024;

/// What something that came to a trigger amounts to.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// A run is to be started.
    Start {
        /// Inputs as text, as `-i` has them; they fit the workflow.
        inputs: BTreeMap<String, String>,
        /// One run for everything with this key.
        dedupe: Option<String>,
    },
    /// Its `if` does not hold.
    Ignored,
    /// No run can be made of it.
    Malformed(Failure),
}

impl Trigger {
    /// Judges what came, as the root `trigger` tells it. Must run on a thread with [`crate::workflow::expr::STACK`] bytes of stack.
    pub fn judge(&self, workflow: &Workflow, context: &Value) -> Verdict {
        self.judged(workflow, context).unwrap_or_else(Verdict::Malformed)
    }

    fn judged(&self, workflow: &Workflow, context: &Value) -> Result<Verdict, Failure> {
        let mut scope = Scope::new();
        scope.insert("trigger".to_owned(), context.clone());
        if let Some(condition) = &self.condition
            && !condition.holds(&scope)?
        {
            return Ok(Verdict::Ignored);
        }
        let mut inputs = BTreeMap::new();
        for (name, template) in &self.inputs {
            inputs.extend(given(&template.resolve(&scope)?).map(|text| (name.clone(), text)));
        }
        let dedupe = match &self.dedupe_key {
            Some(template) => Some(key(&template.resolve(&scope)?)?),
            None => None,
        };
        workflow.resolve_inputs(&inputs).map_err(first)?;
        Ok(Verdict::Start { inputs, dedupe })
    }
}

/// An input as the command line has it; nothing for `null`.
pub fn given(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

fn key(value: &Value) -> Result<String, Failure> {
    let text = given(value).filter(|text| !text.is_empty() && text.len() <= LONGEST);
    text.ok_or_else(|| {
        let message = format!("`dedupe_key` gives nothing, or more than {LONGEST} bytes");
        Failure::new(codes::DEDUPE_KEY, crate::failure::Class::Permanent, message)
    })
}

/// The first of what is wrong, with the words of all.
fn first(failures: Vec<Failure>) -> Failure {
    let message = failures.iter().map(|failure| failure.message.as_str()).collect::<Vec<_>>().join("; ");
    match failures.into_iter().next() {
        Some(failure) => Failure { message, ..failure },
        None => Failure::new(codes::INPUT_VALUE, crate::failure::Class::Permanent, message),
    }
}
