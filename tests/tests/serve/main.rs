//! The daemon as a process: files are edited under it, it is killed and started again, and runs go on as they began.
//!
//! * `daemon`: a daemon with folders of its own, and how it is asked
//! * `edits`: files that are saved, broken and swapped while runs are under way
//! * `deaths`: `kill -9` with runs of every kind
//! * `admission`: who may go on: groups, priorities, slots, holds
//! * `devices`: the registry of devices
//! * `http`: the control API; `client`: how it is asked
//! * `triggers`: messages, times, files and requests that start runs
//! * `repin`: a wedged run and the mended build of its codec
//! * `waiting`: many runs that wait, and a kill

mod admission;
mod client;
mod daemon;
mod deaths;
mod devices;
mod edits;
mod http;
mod repin;
mod triggers;
mod waiting;
