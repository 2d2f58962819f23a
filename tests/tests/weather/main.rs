//! Hard weather: real processes and real services that are killed, cut off, filled up, slowed and lied to.
//!
//! * `proxy`: the chaos proxy itself
//! * `runner`: SIGKILL at every failpoint and at random moments
//! * `failing`: every failpoint that can fail, and stops
//! * `fastdfs`, `broker`, `redis`: services in bad weather
//! * `store`: a damaged store file, a full disk
//! * `drive`, `room`: how runs end; small disks

mod broker;
mod drive;
mod failing;
mod fastdfs;
mod proxy;
mod redis;
mod room;
mod runner;
mod store;
