//! What a running Packhorse offers to others.
//!
//! * `control`: the control socket in the data folder, for `ps show explain cancel pause` from another terminal
//! * `audit`: who changed what
//! * `http`: the control API of a daemon

pub mod audit;
pub mod control;
pub mod http;
