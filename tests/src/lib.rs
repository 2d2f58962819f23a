//! What the tests of Packhorse share.
//!
//! * `files`: files with known bytes
//! * `certificates`: an authority and what it signs
//! * `child`: one process, its output and its end
//! * `mosquitto`: a real broker that is started, stopped and killed
//! * `world`: one test's folder, services, devices and runs
//! * `control`: questions to the process that owns a data folder
//! * `client`: an MQTT client of its own, for hostile or foreign devices
//! * `http`: a server of one file, for devices that fetch it by its URL
//! * `proxy`: a TCP proxy with faults, before any service
//! * `redis`: a real Redis that is killed, frozen and put back
//! * `tls`: TLS before a service that speaks none
//! * `station`: one runner with everything around it, to be struck
//! * `keys`: a Redis server, and a client that knows nothing of ours
//! * `wire`: which bytes of a file went over the wire, as a listener sees it

pub mod certificates;
pub mod child;
pub mod client;
pub mod control;
pub mod files;
pub mod http;
pub mod keys;
pub mod mosquitto;
pub mod proxy;
pub mod redis;
pub mod station;
pub mod tls;
pub mod wire;
pub mod world;

pub use child::{Child, Ended};
pub use mosquitto::Mosquitto;
pub use redis::Redis;
pub use station::Station;
pub use world::{Service, World};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// `quick` on an ordinary day, `full` where `PACKHORSE_FULL=1` asks for the whole count.
pub fn count(quick: usize, full: usize) -> usize {
    if std::env::var("PACKHORSE_FULL").is_ok_and(|value| value == "1") { full } else { quick }
}

/// Held by tests that measure: one of them at a time in a test program.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
