//! CEL in values: `${{ … }}` templates and bare conditions.
//!
//! * `budget`: what an expression may cost, judged with the values that it names.
//! * `guard`: the scan that bounds an expression before CEL sees it.
//! * `engine`: CEL's environment, our extra functions, compiling and evaluating.
//! * `convert`: values between JSON and CEL.
//! * `refs`: what an expression names.
//! * `require`: conditions and what they looked at.
//! * `template`: values in which expressions stand.
//!
//! CEL's parser and evaluator are recursive. What `guard` passes needs less than 64 MiB of stack (a test measures it), so
//! whoever checks workflows, resolves templates or asks conditions does it on a thread with [`STACK`] bytes of stack.

pub(crate) mod budget;
mod convert;
pub(crate) mod engine;
mod explain;
pub(crate) mod guard;
pub(crate) mod refs;
mod require;
mod template;

pub use guard::{MAX_BRACKETS, MAX_BYTES, MAX_MACRO_DEPTH, MAX_MACROS, MAX_OPERATORS, MAX_SELECTORS};
pub use template::{Condition, Template};
pub(crate) use template::{Expression, Part};

use serde_json::{Map, Value};

/// Stack in bytes that a thread needs which checks workflows or evaluates expressions.
pub const STACK: usize = 64 * 1024 * 1024;

/// Roots of an expression by name: `inputs steps run trigger device vars error outputs file`.
pub type Scope = Map<String, Value>;

/// Every root that an expression can have, wherever it stands.
pub(crate) static ROOTS: &[&str] = &["inputs", "steps", "run", "device", "vars", "error", "outputs", "file", "trigger"];

/// Roots of the grammar that come later.
pub(crate) static LATER_ROOTS: &[&str] = &["secrets", "env", "plugins"];
