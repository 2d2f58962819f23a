//! Runs: one execution of a workflow as a fold of facts, and the decisions about what comes next.
//!
//! A [`Run`] is a checked workflow and the state that its facts tell. [`Run::decide`] takes what has happened and gives the facts
//! to append, the effects to begin once those are durable, the effects to stop, and when to look again. All CEL is
//! evaluated inside it: it must be called on a thread with a stack of 64 MiB.
//!
//! Every prefix of a run's facts is a state from which [`RunEvent::Recovered`] goes on to the same end.
//!
//! * `words`: ids, time, timers; `rfc3339`: times as text.
//! * `fact`: the records; `message`: the message that started a run.
//! * `state`: what they tell; `apply`: the one function that folds them; `fresh`: a step as it begins.
//! * `event`: what happens, what is decided.
//! * `decide`: from event to facts; `admit`: what admission decides, as facts; `next`: what follows from the state; `lookup`: finding things for it; `judge`, `retry`: what a failure means; `reopen`: what a
//!   person's retry tries again; `repin`: another build of the codec.
//! * `crashes`: attempts under which the process dies again and again.
//! * `doubt`: whether an effect may begin where it may have begun before.
//! * `retention`: for how long finished runs are kept.
//! * `scope`: what expressions see.
//! * `status`, `view`: what people see; `notable`: what a log tells. `codes`: failures of our own.

mod admit;
mod apply;
mod arguments;
mod codes;
mod crashes;
mod decide;
mod doubt;
mod event;
mod fact;
mod fresh;
mod judge;
mod lookup;
mod message;
mod next;
mod notable;
mod reopen;
mod repin;
mod retention;
mod retry;
pub mod rfc3339;
mod scope;
mod state;
mod status;
mod view;
mod words;

pub use apply::Illegal;
pub use codes::CODES;
pub use decide::Run;
pub use doubt::Durability;
pub use event::*;
pub use fact::*;
pub use message::FirstMessage;
pub use next::CLEANUP_LIMIT;
pub use notable::{Notable, Severity};
pub use retention::{Retention, objects_of};
pub use state::*;
pub use status::*;
pub use view::*;
pub use words::*;

/// What a block `uses`.
pub const BLOCK: &str = "steps";

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use tests::created as tests_created;
