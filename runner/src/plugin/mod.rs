//! Plugins: vendors' packet formats as sandboxed WebAssembly components.
//!
//! A [`Host`] finds and loads a [`Plugin`]; the plugin opens a [`Session`] for each transfer, which translates batches of
//! packets and commands. A guest may lie, loop, grow or trap: the call gives a [`CallError`] with its name and words, and
//! the host serves the next one.
//!
//! * `host`, `loaded`, `session`: the three nouns above. `settings`: limits. `error`: what goes wrong; `function`: in which call.
//! * `shelf`: where plugins lie; `signature`: whose are taken; `embedded`: those inside the program.
//! * `contract`: a component's bytes before they are compiled, and an adapter for each released version of the contract, which turns
//!   its types into the core's words; `describe`, `vars`: what a plugin says of itself.
//! * `compiler`: compiling, in a child process where it matters.
//! * `room`: what plugins of one profile share. `weight`: whether a component is too much for its profile.
//! * `engine`, `guest`: the engine and one instance in it; `cache`, `trusted`: compiled code between runs.
//! * `check`, `texts`: what a result may not be, and what its texts may not hold.
//! * `step`: plugins of another kind, which `plugin.run` runs: with host functions, and with a thread that may wait.
//! * `kit`: what stands behind `packhorse plugin build`, `inspect` and `test`.

mod cache;
mod check;
mod compiler;
mod contract;
mod describe;
mod embedded;
mod engine;
mod error;
mod function;
mod guest;
mod host;
pub mod kit;
mod loaded;
pub mod pin;
mod room;
mod session;
mod settings;
mod shelf;
mod signature;
mod step;
mod texts;
mod trusted;
mod vars;
mod weight;

pub use compiler::{CompileLimits, Compiler, child_of_a_compiler};
pub use contract::{CONTRACT_VERSION, Outside};
pub use error::*;
pub use function::*;
pub use host::Host;
pub use loaded::Plugin;
pub use session::{DeviceSession, Session};
pub use settings::*;
pub use shelf::{Listed, check_name, check_reference, is_path, pick};
pub use signature::Trust;
pub(crate) use signature::{MAX_SIGNATURE_BYTES, beside as signature_of};
pub use step::*;
