//! The engine: owns runs; carries out what `packhorse_core::run` decides, journal first.
//!
//! One thread with a large stack gathers what happens into events, decides, and hands facts to the journal's writer; effects begin when
//! their facts are durable, as jobs on the runtime that the program gives.
//!
//! * `performer`: the trait through which effects reach the world; `notes`: how a job tells how it goes;
//!   `told`: what logs and counts are told of facts; `telling`: what is known of a transfer; `hold`: whether its run is still ours.
//! * `handle`: what the rest of the program asks of the engine; `command`: how it reaches the thread.
//! * `actor`: the thread; `carry`: carrying out what was decided; `lane`: one run in its hands;
//!   `course`: its facts and checkpoint on their way to the journal; `load`: taking runs from the journal.
//! * `gate`: admission: which runs may go on; `suspects`: those that may be why the process died, one after another; `away`: which wait for a device that is not there.
//! * `clock`: time that never goes back.
//! * `world`: the real performer.

mod actor;
mod away;
mod carry;
mod clock;
mod command;
mod course;
mod gate;
mod handle;
mod hold;
mod lane;
mod load;
mod notes;
mod performer;
mod suspects;
mod telling;
#[cfg(test)]
mod tests;
mod told;
mod world;

pub use course::Course;
pub use handle::*;
pub use hold::Hold;
pub use notes::NoteSender;
pub use performer::*;
pub use telling::*;
pub use world::{Files, Ledger, Mirror, Presences, Quarantine, World, hello_key, quarantine, release};
