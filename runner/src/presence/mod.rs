//! Presence of devices in a daemon: listens to the topics on which they, or their wills, tell whether they are there.
//!
//! The topics stand in the registry of devices; what a message says is judged by `packhorse_core::presence`; what is known is kept by
//! [`crate::engine::Presences`], which also hears of all other messages of devices.
//!
//! * `follow`: the task that follows generations, and [`Presence`], its handle. `listen`: one topic. `inbox`: what came to it.

mod follow;
mod inbox;
mod listen;

pub use follow::{Parts, Presence};
