//! Step plugins: what `plugin.run` runs, with host functions over the primitives of workflows.
//!
//! A [`StepPlugin`] is run on a thread of its own, where a host function may wait. What it asks for becomes an
//! [`Effect`](packhorse_core::effect::Effect), which whoever runs it carries out through [`Effects`]; what it may ask for is judged
//! by the core before.
//!
//! * `plugin`: loading one; `contract`: its bytes before they are compiled. `run`: one run.
//! * `calls`: what stands beside the instance: grants, budgets, the way out. `functions`: the host functions.
//! * `bindings`: the contract's types.

mod bindings;
mod calls;
mod contract;
mod functions;
mod plugin;
mod run;

pub use contract::STEP_CONTRACT_VERSION;
pub(crate) use contract::is_step;
pub use plugin::StepPlugin;
pub(crate) use plugin::{Threads, name_of};
pub use run::{StepCall, StepEnd, StepFailure, StepRun};

use packhorse_core::effect::{Effect, Outcome};
use packhorse_core::failure::Failure;
use packhorse_core::grant::{RefusedCall, Usage};
use std::pin::Pin;

/// Carries out what a step plugin asks for. The one way out of it.
pub trait Effects: Send + Sync + 'static {
    /// Carries one out. It is dropped in the middle where the step ends.
    fn perform(&self, effect: Effect) -> Pin<Box<dyn Future<Output = Outcome> + Send + '_>>;

    /// Writes down what the plugin will have used of its grants in this run, before it does.
    fn charge(&self, usage: Usage) -> Pin<Box<dyn Future<Output = Result<(), Failure>> + Send + '_>>;

    /// A call was refused: to be written down.
    fn refused(&self, call: RefusedCall);
}
