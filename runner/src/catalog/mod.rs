//! Workflows, plugins and devices that are edited under a running process: folders on one side, immutable generations on the other.
//!
//! A look at the folders is the truth; what the file system tells meanwhile is only a hint to look. The process that starts runs takes
//! the newest [`Generation`]; runs that have begun hold what they began with.
//!
//! * `scan`: one look at a folder; `beside`: vectors beside plugins. `judge`: from bytes to workflows and plugins; `checker`: its thread;
//!   `judging`: which plugins are judged when. `devices`: files of devices, and which fit together. `generation`: everything that counts at one time.
//! * `watch`: hints from the file system. `keeper`: the task that looks, judges and swaps.

mod beside;
mod checker;
mod devices;
#[cfg(test)]
mod faults;
mod generation;
#[cfg(test)]
mod hints;
mod judge;
mod judging;
mod keeper;
mod scan;
#[cfg(test)]
mod shelves;
#[cfg(test)]
mod tests;
mod watch;

pub use generation::{Definition, Generation, Shelved, Told};
pub use keeper::{Catalogs, Listener, Options, Reload};
