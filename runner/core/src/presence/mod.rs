//! Presence: whether a device is there, as all that is heard of it tells, and its status topic, where its will lies.
//!
//! * `topic`: the topic of an entry, with the device in it. `rule`: what a message on it says.
//! * `state`: what is known of a device, what an observation changes of it, and which transfers must not begin.

mod rule;
mod state;
#[cfg(test)]
mod tests;
mod topic;

pub use rule::Rule;
pub(crate) use rule::{ROOTS, WORDS};
pub use state::{By, News, Observed, Presence, REFRESH, Seen, TOLD_OFFLINE, held_back, observe};
pub use topic::Topic;
