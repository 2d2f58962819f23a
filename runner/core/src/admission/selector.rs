//! Which runs a hold means: bare CEL over `device`, `workflow` (its name) and `run` (`id`, `priority`, `slot`), or the word `all`.

use super::Terms;
use crate::failure::{Class, Failure};
use crate::run::Created;
use crate::workflow::codes;
use crate::workflow::expr::budget::Budget;
use crate::workflow::expr::refs::references;
use crate::workflow::expr::{Condition, Expression, Scope, engine, guard};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// What an expression may begin with.
const ROOTS: [&str; 3] = ["device", "workflow", "run"];
/// Fields of `run`.
const RUN: [&str; 3] = ["id", "priority", "slot"];
/// Which runs are meant.
#[derive(Debug, Clone, PartialEq)]
pub struct Selector(Option<Condition>);

impl Selector {
    /// Reads a selector. Must run on a thread with [`crate::workflow::expr::STACK`] bytes of stack.
    ///
    /// # Errors
    ///
    /// `PH0307` with the place, counted in characters from 1.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let text = text.trim();
        if text == "all" {
            return Ok(Self(None));
        }
        if text.is_empty() {
            return Err(unreadable(text, 0, "it is empty"));
        }
        guard::scan(text).map_err(|refusal| unreadable(text, refusal.at, &refusal.message))?;
        let program = engine::compile(text).map_err(|errors| match errors.first() {
            Some(error) => unreadable(text, error.at, &error.message),
            None => unreadable(text, 0, "this is not CEL"),
        })?;
        let named = references(&program, text);
        for path in &named.paths {
            known(&path.names).map_err(|why| unreadable(text, path.at, &why))?;
        }
        for call in &named.calls {
            if !engine::FUNCTIONS.contains(&call.name.as_str()) && !engine::METHODS.contains(&call.name.as_str()) {
                return Err(unreadable(text, call.at, &format!("there is no function `{}`", call.name)));
            }
        }
        let budget = Arc::new(Budget::new(program.expression(), &named, text));
        let expression = Expression { text: text.into(), place: "selector".into(), program: Arc::new(program), budget };
        Ok(Self(Some(Condition { expression })))
    }

    /// Whether it means this run. Must run on a thread with [`crate::workflow::expr::STACK`] bytes of stack.
    ///
    /// # Errors
    ///
    /// Where the expression fails on this run, as on a field that its device does not have: then it does not mean it.
    pub fn means(&self, run: &Created) -> Result<bool, Failure> {
        self.0.as_ref().map_or(Ok(true), |condition| condition.holds(&scope(run)))
    }
}

fn scope(run: &Created) -> Scope {
    let Terms { priority, slot, .. } = &run.terms;
    let own = json!({ "id": run.run, "priority": priority.level(), "slot": slot });
    let device = if run.device.is_null() { Value::Object(Map::new()) } else { run.device.clone() };
    let roots = [("device", device), ("workflow", json!(run.workflow)), ("run", own)];
    roots.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn known(names: &[String]) -> Result<(), String> {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    match names[..] {
        [] | ["device" | "workflow" | "run"] | ["device", ..] => Ok(()),
        ["run", field, ..] if RUN.contains(&field) => Ok(()),
        ["run", field, ..] => Err(format!("`run` has no field `{field}`: {}", RUN.join(", "))),
        ["workflow", ..] => Err("`workflow` is a name and has no fields".to_owned()),
        [root, ..] => Err(format!("unknown name `{root}`; known here: {}", ROOTS.join(", "))),
    }
}

fn unreadable(text: &str, at: usize, why: &str) -> Failure {
    let message =
        format!("the selector cannot be read at character {}: {why}\n  {text}\n  {}^", at + 1, " ".repeat(at));
    Failure::new(codes::BAD_SELECTOR, Class::Permanent, message)
        .hint("write `all`, or CEL such as device.id == 'gw-1' or workflow == 'ota-push' && run.priority > 1")
}
