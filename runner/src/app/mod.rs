//! The only place where adapters are built and put together.
//!
//! * `exit`: exit codes, and the errors that end the program
//! * `services`: embedded servers
//! * `redis`: the Redis server of the settings
//! * `start`: a whole process around one data folder
//! * `launch`: from a workflow file and inputs to a run
//! * `answers`: what the control socket answers
//! * `doctor`: looks at everything that runs need
//! * `trial`: a whole transfer in memory, for `plugin test`

mod answers;
pub mod doctor;
pub mod exit;
mod launch;
mod redis;
mod services;
mod start;
mod trial;

pub use crate::link::Spool as DeviceSpool;
pub use answers::{Nobody, answer, find, one};
pub use launch::{Launch, Prepared, find_workflow, launch, prepare, read_workflow, with_large_stack};
pub use services::{SERVICES, Services, broker, start_fastdfs};
pub use start::{App, OWNER, STORE, compile, connect, device_spool, host, open_store};
pub use trial::trial;
