//! Hard weather: real processes and real services that are killed, cut off, filled up, slowed and lied to.
//!
//! * `proxy`: the chaos proxy itself
//! * `runner`: SIGKILL at every failpoint and at random moments
//! * `failing`: every failpoint that can fail, and stops
//! * `fastdfs`, `broker`, `redis`: services in bad weather
//! * `services`: every kind of bad line before every service
//! * `refusals`: brokers that forbid, limit and throw out; `few_bytes`: one that says what no real one can be made to
//! * `store`: a damaged store file, a full disk
//! * `drive`, `room`: how runs end; small disks

mod broker;
mod drive;
mod failing;
mod fastdfs;
mod few_bytes;
mod proxy;
mod redis;
mod refusals;
mod room;
mod runner;
mod services;
mod store;
