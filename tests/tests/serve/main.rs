//! The daemon as a process: files are edited under it, it is killed and started again, and runs go on as they began.
//!
//! * `daemon`: a daemon with folders of its own, and how it is asked
//! * `edits`: files that are saved and broken while runs are under way; `swaps`: workflows and codecs swapped under load
//! * `deaths`: `kill -9` with runs of every kind; `kinds`: those runs
//! * `admission`: who may go on: groups, priorities, slots, holds
//! * `crashes`: a run that takes the daemon down; `paused`: a start that begins nothing
//! * `devices`: the registry of devices; `presence`: whether they are there
//! * `http`: the control API; `gates`: who is let in, and how far; `client`: how it is asked; `contract`: what it does against what its document says
//! * `reloads`: reloads without end; `generated`: files that a generator makes up, and changes that nobody was told of
//! * `remote`: the command line of another machine, from `elsewhere`; `rates`: how often the API may be asked
//! * `triggers`: messages, times, files and requests that start runs
//! * `repin`: a wedged run and the mended build of its codec
//! * `signatures`: whose plugins are taken
//! * `seen`: its log, its metrics, and a clock that is set
//! * `waiting`: many runs that wait, and a kill

mod admission;
mod client;
mod contract;
mod crashes;
mod daemon;
mod deaths;
mod devices;
mod edits;
mod elsewhere;
mod gates;
mod generated;
mod http;
mod inbox;
mod kinds;
mod paused;
mod presence;
mod rates;
mod reloads;
mod remote;
mod repin;
mod seen;
mod signatures;
mod swaps;
mod triggers;
mod waiting;
