//! Transfers: one file, one device, one direction, as a machine without clock, socket or file.
//!
//! * `words`: what is said between platform and device; `routes`: topics from a codec's templates, for one device.
//! * `machine`: the machine itself; `plan`, `action`, `progress` and `checkpoint` are what it takes and gives.
//! * `push`, `serve`, `receive`: what it does under each driver; `role` chooses. `line` is what they share.
//! * `flight`, `rtt`, `rate`, `timers`: packets under way, loss, pace, deadlines. `budget`: bytes a run, a day or a month.
//! * `verify`: asks a device what it holds.
//! * `peer`: the device's end, simulated.
//! * `time`, `intervals`, `traffic`, `failure`: what they are built of.

mod action;
mod budget;
mod checkpoint;
mod failure;
mod flight;
mod intervals;
mod line;
mod machine;
pub mod peer;
mod plan;
mod progress;
mod push;
mod rate;
mod receive;
mod role;
mod routes;
mod rtt;
mod serve;
#[cfg(test)]
mod tests;
mod time;
mod timers;
mod traffic;
mod verify;
mod words;

pub use action::*;
pub use budget::{Budget, Period, day_of, least_budget, month_of};
pub use checkpoint::{CHECKPOINT_VERSION, Checkpoint};
pub use failure::code;
pub use intervals::Intervals;
pub use machine::Transfer;
pub use plan::{PieceLimit, Plan, TransferError};
pub use progress::*;
pub use routes::*;
pub use time::{Micros, Time};
pub use traffic::Traffic;
pub use verify::{Comparison, Verified, Verify, VerifyAction};
pub use words::*;
