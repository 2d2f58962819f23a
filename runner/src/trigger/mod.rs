//! Triggers of a daemon: messages, times, files and requests that start runs by themselves.
//!
//! They follow the newest generation: what is new in it begins to listen, what is gone stops, what has not changed is not disturbed. What
//! something that came amounts to is decided by `packhorse_core::trigger`; what starts runs stands behind [`Starter`].
//!
//! * `starter`: what triggers ask of the process. `shared`: what they share, and how one thing that came is carried through.
//! * `follow`: the task that follows generations, and [`Triggers`], the handle. `judge`: the thread that evaluates expressions.
//! * `mqtt`, `schedule`, `file`: what listens, one task a trigger; `desk`: their queue and rate. `folder`: one look at a folder.
//! * `line`: the connection that messages come on. `inbox`: those that wait for their turn, durable.
//! * `letters`: what no run could be made of, kept for a person; `told`: how often that is logged. `books`: counts and times, for lists.

mod books;
mod desk;
mod file;
mod folder;
mod follow;
mod inbox;
mod judge;
mod letters;
mod line;
mod mqtt;
mod schedule;
mod shared;
mod starter;
#[cfg(test)]
mod tests;
mod told;

pub use books::{Counts, TriggerView};
pub use follow::{Called, Parts, Triggers};
pub use judge::Judge;
pub use letters::{KEPT, Letter, Letters, Reason};
pub use line::{Connect, Joined, Line};
pub use starter::{Asked, Begun, Key, Starter};
pub use told::Told;
