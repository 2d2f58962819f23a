//! The only place where adapters are built and put together.
//!
//! * `exit`: exit codes, and the errors that end the program
//! * `services`: embedded servers
//! * `journal`: the journal that the settings choose
//! * `redis`: the Redis server of the settings
//! * `room`: whether there is room for a new run
//! * `start`: a whole process around one data folder
//! * `mqtt`: the connection to the broker
//! * `fit`: whether packets fit the broker
//! * `launch`: from a workflow file and inputs to a run
//! * `library`: where it takes workflows and plugins from
//! * `answers`: what the control socket answers
//! * `repin`: moves runs to another build of their codec
//! * `daemon`: a process that starts runs for others; `once`: one run for all requests with one key
//! * `heartbeat`: what a daemon does every few seconds
//! * `devices`: the folder of devices, and what they said last of themselves
//! * `holds`: which runs must not go on for now
//! * `doctor`: looks at everything that runs need
//! * `sweep`: forgets old runs; `leftovers`: and what pulls have left in the spool
//! * `tap`: what goes between a platform and a device of others
//! * `triggers`: what starts runs by itself in a daemon
//! * `trial`: a whole transfer in memory, for `plugin test`

mod answers;
mod daemon;
mod devices;
pub mod doctor;
pub mod exit;
mod fit;
mod heartbeat;
mod holds;
mod journal;
mod launch;
mod leftovers;
mod library;
mod mqtt;
mod once;
mod redis;
mod repin;
mod room;
mod services;
mod start;
mod sweep;
mod tap;
mod trial;
mod triggers;

pub use crate::link::Spool as DeviceSpool;
pub use answers::{Idle, answer, failure, find, one, unwritten};
pub use daemon::{Daemon, Rise};
pub use devices::read_devices;
pub use holds::{Kept, listed};
pub use journal::{Opened, has_runs, open_journal};
pub use launch::{Launch, Local, Prepared, launch, prepare, with_large_stack};
pub use library::{Library, find_workflow, read_workflow};
pub use mqtt::{bus_settings, connect};
pub use repin::{Moved, Outcome, Repin, Repinned, begins_with, repin};
pub use services::{SERVICES, Services, broker, start_fastdfs};
pub use start::{App, Ground, Offers, compile, device_spool, host, host_of};
pub use sweep::{Gone, sweep};
pub use tap::{Tap, TapError};
pub use trial::trial;
