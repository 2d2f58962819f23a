//! Which runs may begin, which wait and for what, which stand back, and which end for the sake of another.
//!
//! Every way into a run (start, retry, resume, recovery) asks [`judge`], which sees all unfinished runs of one process at once.
//!
//! * `terms`: what a run asks for: its priority, concurrency group and slot
//! * `judge`: the decision
//! * `selector`: which runs a hold means; `hold`: what is kept of one
//! * `trial`: runs that may be why the process died, one after another

mod hold;
mod judge;
mod selector;
mod terms;
#[cfg(test)]
mod tests;
mod trial;

pub use hold::Hold;
pub use judge::{Candidate, Standing, Verdict, aged, judge};
pub use selector::Selector;
pub use terms::{Group, OnConflict, Priority, SLOT, Terms};
pub use trial::Trials;
