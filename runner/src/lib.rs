//! Packhorse: runs YAML transfer workflows between a platform and its devices over MQTT.
//!
//! `packhorse_core` decides; this crate does. Rooms, and who knows whom (a test keeps it):
//!
//! * `bus` `store` `blob` `plugin`: adapters to the outside; none knows another
//! * `link`: one transfer, over bus, plugin and blob
//! * `engine`: owns runs, over link and the traits of the adapters
//! * `catalog`: workflows and plugins that are edited under a running process
//! * `trigger`: messages, times, files and requests that start runs by themselves
//! * `presence`: status topics of devices, where their wills lie
//! * `serve`: what a running process offers to others
//! * `device`: the simulated device
//! * `allocator`: two settings of the C library's, made before everything else
//! * `counts`: what is counted for Prometheus; every room may name it
//! * `failpoint`: places where tests strike this process; every room may name it
//! * `app`: builds the adapters and puts them together; `cli`, `settings`: the command line

pub mod allocator;
pub mod app;
pub mod blob;
pub mod bus;
pub mod catalog;
pub mod cli;
pub mod counts;
pub mod device;
pub mod engine;
pub mod failpoint;
pub mod link;
pub mod plugin;
pub mod presence;
pub mod serve;
pub mod settings;
pub mod store;
pub mod trigger;
