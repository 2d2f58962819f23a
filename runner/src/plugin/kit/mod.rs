//! What stands behind `packhorse plugin build`, `inspect` and `test`.
//!
//! * `encode`: a component of a core module. `build`: cargo, `encode`, a checked load, one file.
//! * `inspect`: what a plugin is. `vectors`: golden sessions in YAML. `test`: everything that a codec must stand.

mod build;
mod encode;
mod inspect;
pub mod test;
pub mod vectors;

pub use build::{Built, build};
pub use encode::encode;
pub use inspect::{InspectedLimits, Inspection, StepInspection, inspect, inspect_step};
