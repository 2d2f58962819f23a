//! Values in which expressions stand, and conditions: compiled once, evaluated against a scope.

use super::budget::Budget;
use super::{Scope, convert, engine};
use crate::failure::{Class, Failure};
use crate::workflow::codes;
use cel::Program;
use serde_json::{Map, Value};
use std::sync::Arc;

/// Longest text that a template may grow to.
const MAX_TEXT: usize = 64 * 1024;

/// One compiled expression.
#[derive(Clone)]
pub(crate) struct Expression {
    /// As written, without `${{ }}`.
    pub(crate) text: Arc<str>,
    /// `file:line:column`.
    pub(crate) place: Arc<str>,
    /// Compiled.
    pub(crate) program: Arc<Program>,
    /// What it may cost.
    pub(crate) budget: Arc<Budget>,
}

impl std::fmt::Debug for Expression {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} ({})", self.text, self.place)
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.place == other.place
    }
}

impl Expression {
    fn value(&self, scope: &Scope) -> Result<Value, Failure> {
        self.budget.allows(scope).map_err(|why| {
            self.permanent(codes::TOO_MUCH_WORK, format!("`{}` would take too much: {why}", self.text))
        })?;
        let value = engine::evaluate(&self.program, scope).map_err(|error| self.failure(&error))?;
        convert::to_json(&value).map_err(|why| {
            self.permanent(codes::NO_RESULT, format!("the result of `{}` cannot be used: {why}", self.text))
        })
    }

    fn permanent(&self, code: &str, message: String) -> Failure {
        Failure::new(code, Class::Permanent, format!("{message} ({})", self.place))
    }

    fn failure(&self, error: &cel::ExecutionError) -> Failure {
        let (why, hint) = super::explain::explain(error);
        let failure = self.permanent(codes::EXPRESSION_FAILED, format!("cannot evaluate `{}`: {why}", self.text));
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

/// A value in which expressions may stand; a scalar that is one expression keeps its type.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    pub(crate) part: Part,
}

/// What a template is made of.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Part {
    /// No expression within.
    Literal(Value),
    /// One expression and nothing else: keeps its type.
    Whole(Expression),
    /// Text and expressions in turn: becomes text.
    Mixed(Vec<Self>),
    /// A list with expressions in it.
    List(Vec<Self>),
    /// A map with expressions in its values.
    Map(Vec<(String, Self)>),
    /// Conditions that must all hold: becomes a list of words for those that do not.
    Require(Vec<Condition>),
}

impl Template {
    /// A value as it is; nothing in it is evaluated, even where it looks like an expression.
    pub const fn literal(value: Value) -> Self {
        Self { part: Part::Literal(value) }
    }

    /// The value where no expression is in it.
    pub const fn as_literal(&self) -> Option<&Value> {
        match &self.part {
            Part::Literal(value) => Some(value),
            Part::Whole(_) | Part::Mixed(_) | Part::List(_) | Part::Map(_) | Part::Require(_) => None,
        }
    }

    /// The conditions, where it is made of such.
    pub(crate) fn required(&self) -> Option<&[Condition]> {
        match &self.part {
            Part::Require(conditions) => Some(conditions),
            Part::Literal(_) | Part::Whole(_) | Part::Mixed(_) | Part::List(_) | Part::Map(_) => None,
        }
    }

    /// Puts values in. Text that comes from `scope` is data: it is never evaluated in turn.
    /// Must run on a thread with [`super::STACK`] bytes of stack.
    ///
    /// # Errors
    ///
    /// `PH0301` where an expression fails, `PH0303` where its result is of a type that only CEL has, `PH0304` where a
    /// list, a map or nothing would have to become part of a text, or the text would pass 64 KiB, `PH0305` where it would
    /// take too much time or memory. All are permanent.
    pub fn resolve(&self, scope: &Scope) -> Result<Value, Failure> {
        self.part.resolve(scope)
    }
}

impl Part {
    fn resolve(&self, scope: &Scope) -> Result<Value, Failure> {
        match self {
            Self::Literal(value) => Ok(value.clone()),
            Self::Whole(expression) => expression.value(scope),
            Self::Mixed(parts) => {
                let mut text = String::new();
                for part in parts {
                    part.append(scope, &mut text)?;
                }
                Ok(Value::String(text))
            }
            Self::List(parts) => {
                parts.iter().map(|part| part.resolve(scope)).collect::<Result<_, _>>().map(Value::Array)
            }
            Self::Map(parts) => {
                let fields = parts.iter().map(|(name, part)| Ok((name.clone(), part.resolve(scope)?)));
                fields.collect::<Result<Map<_, _>, _>>().map(Value::Object)
            }
            Self::Require(conditions) => super::require::unmet(conditions, scope).map(Value::from),
        }
    }

    fn append(&self, scope: &Scope, text: &mut String) -> Result<(), Failure> {
        let value = self.resolve(scope)?;
        match &value {
            Value::String(part) => text.push_str(part),
            Value::Bool(_) | Value::Number(_) => text.push_str(&value.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => return Err(self.no_text(&value)),
        }
        if text.len() > MAX_TEXT {
            let message = format!("a text made of expressions is longer than {MAX_TEXT} bytes");
            return Err(Failure::new(codes::NOT_PART_OF_TEXT, Class::Permanent, message));
        }
        Ok(())
    }

    fn no_text(&self, value: &Value) -> Failure {
        let what = crate::workflow::node::describe(value);
        let (text, place) = match self {
            Self::Whole(expression) => (expression.text.as_ref(), expression.place.as_ref()),
            Self::Literal(_) | Self::Mixed(_) | Self::List(_) | Self::Map(_) | Self::Require(_) => {
                ("a part of a text", "not an expression")
            }
        };
        let message = format!("`{text}` gives {what}, which cannot be part of a text ({place})");
        Failure::new(codes::NOT_PART_OF_TEXT, Class::Permanent, message)
            .hint("use coalesce(…, \"\") where a value may be absent")
    }
}

/// A bare CEL expression that must be boolean.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    pub(crate) expression: Expression,
}

impl Condition {
    /// Whether it holds. Must run on a thread with [`super::STACK`] bytes of stack.
    ///
    /// # Errors
    ///
    /// `PH0301` where the expression fails, `PH0302` where it gives anything but true or false. Both are permanent.
    pub fn holds(&self, scope: &Scope) -> Result<bool, Failure> {
        let value = self.expression.value(scope)?;
        value.as_bool().ok_or_else(|| {
            let what = crate::workflow::node::describe(&value);
            let message = format!("the condition `{}` gives {what}, not true or false", self.expression.text);
            self.expression
                .permanent(codes::NOT_BOOLEAN, message)
                .hint("compare it with something, as in `x == \"yes\"`")
        })
    }

    /// What it looks at: the names of each path, the root first.
    pub fn paths(&self) -> Vec<Vec<String>> {
        self.expression.budget.paths.clone()
    }

    /// As written.
    pub fn text(&self) -> &str {
        &self.expression.text
    }
}
