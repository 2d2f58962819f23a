//! What a running Packhorse offers to others on this machine.
//!
//! * `control`: the control socket in the data folder, for `ps show explain cancel pause` from another terminal

pub mod control;
