//! Workflows: from YAML as written to a checked model.
//!
//! * `source`: the text with positions.
//! * `parse`: the marked parse into a tree with places (`node`).
//! * `problem`: what is wrong, `codes` for it, and `render`, its text.
//! * `raw`, `raw_trigger`: the file as written, one type a map; `shape`: judging the tree by the schema of these types, `format`: and texts.
//! * `check`: from bytes to a model; `outline`, `names`, `inputs`, `triggers`, `steps`, `compile`: its parts.
//! * `schema`: the JSON Schema for editors.
//! * `units`: durations, sizes, rates.
//! * `expr`: CEL in values.
//! * `terms`: what a run asks of admission.
//! * `model`: what a checked workflow is.

mod check;
pub mod codes;
mod compile;
pub mod expr;
pub(crate) mod format;
mod inputs;
mod model;
mod names;
pub(crate) mod node;
mod outline;
pub(crate) mod parse;
pub(crate) mod problem;
mod raw;
mod raw_trigger;
mod render;
mod schema;
pub(crate) mod shape;
pub(crate) mod source;
mod steps;
mod terms;
mod triggers;
pub mod units;

pub use check::check;
pub(crate) use compile::bare;
pub use inputs::ResolvedInputs;
pub use model::*;
pub use outline::{MAX_NESTING, MAX_STEPS};
pub use parse::{MAX_BYTES, MAX_DEPTH, MAX_NODES};
pub use problem::{Colour, Problem, Problems, did_you_mean};
pub(crate) use schema::parameters;
pub use schema::schema;
pub use source::{Position, Span};
