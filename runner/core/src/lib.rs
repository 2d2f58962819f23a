//! The part of Packhorse that decides: workflows, runs and transfers as plain functions of state, event and time.
//!
//! Nothing here waits, reads a clock, opens a file or socket, or draws a random number.

pub mod admission;
pub mod catalog;
pub mod digest;
pub mod effect;
pub mod epoch;
pub mod failure;
pub mod file;
pub mod grant;
pub mod hex;
pub mod presence;
pub mod profile;
pub mod rate;
pub mod registry;
pub mod run;
pub mod step;
pub mod transfer;
pub mod trigger;
pub mod workflow;
