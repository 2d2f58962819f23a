//! What stands behind `packhorse plugin new`, `build`, `inspect`, `test`, `bench`, `tap`, `capture` and `replay`.
//!
//! * `new`: a codec to begin with, of `files`, which travel inside the program.
//! * `encode`: a component of a core module. `build`: cargo or `clang`, `encode`, a checked load, one file.
//! * `inspect`: what a plugin is. `vectors`: golden sessions in YAML. `test`: everything that a codec must stand. `bench`: what a packet costs; `cost`: what else does.
//! * `listen`: a conversation of others, understood. `capture`: one in a file, and what another version of the codec makes of it.

pub mod bench;
mod build;
pub mod capture;
mod clang;
mod cost;
mod encode;
mod files;
mod inspect;
pub mod listen;
mod new;
pub mod test;
pub mod vectors;

pub(super) use build::is_source;
pub use build::{Built, build, refresh};
pub use cost::Costs;
pub use encode::encode;
pub use inspect::{InspectedLimits, Inspection, StepInspection, inspect, inspect_step};
pub use new::{Begun, Language, new};
