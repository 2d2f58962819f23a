//! Where the daemon is: behind the socket of a data folder, or behind the API of another machine. Commands ask either the same questions
//! and get the same answers.
//!
//! * `url`: what a daemon's URL may be. `client`: HTTP, TLS, and what goes wrong on the way
//! * `routes`: questions as requests. `runs`: those about runs. `events`: a run's journal as it grows. `patience`: waits for one that is away

mod client;
mod events;
mod patience;
mod routes;
mod runs;
mod url;

pub(super) use client::Remote;
pub(super) use events::{Ending, Heard, passes};
pub(super) use patience::Patience;

use super::args::ServerArgs;
use crate::app::exit::Stop;
use crate::serve::control::{self, Question};
use crate::settings::Settings;
use packhorse_core::failure::{Class, Failure};
use serde_json::Value;

/// A daemon on another machine cannot be reached, or an answer did not come.
const UNREACHABLE: &str = "PH8420";
/// `--server` and what goes with it cannot be used.
const UNUSABLE: &str = "PH8421";
/// What answers is no daemon.
const NO_DAEMON: &str = "PH8422";
/// The API has nothing for it.
const CANNOT: &str = "PH8423";

/// Asks the daemon that is meant. `Ok(None)`: it is the data folder that is meant, and nobody works on it.
pub(super) async fn ask(settings: &Settings, question: &Question) -> Result<Option<Value>, Failure> {
    match &settings.server {
        Some(server) => Remote::of(server)?.ask(question).await.map(Some),
        None => control::ask(&settings.data, question).await,
    }
}

/// What only this machine can do is never done here while another one is meant.
pub(super) fn here(settings: &Settings, what: &str) -> Result<(), Stop> {
    match &settings.server {
        Some(_) => Err(Stop { failure: cannot(what), ..Stop::usage(CANNOT, "") }),
        None => Ok(()),
    }
}

/// An answer that is JSON and says nothing that we know.
pub(super) fn unread(error: &serde_json::Error) -> Failure {
    Failure::new(NO_DAEMON, Class::Permanent, format!("the answer cannot be read: {error}"))
        .hint("use the same version of packhorse on both sides")
}

fn cannot(what: &str) -> Failure {
    let message = format!("`packhorse {what}` is done on the daemon's own machine: its API has nothing for it");
    Failure::new(CANNOT, Class::Permanent, message).hint(
        "do it there; or leave --server out (`--server local` where PACKHORSE_SERVER or packhorse.yaml names one)",
    )
}

/// Whether what was typed goes together: the command by its name, and where it is to be done.
pub(super) fn fits(at: &ServerArgs, command: &str) -> Result<(), Stop> {
    let elsewhere = at.server.as_deref().is_some_and(|server| server != crate::settings::LOCAL);
    if !elsewhere {
        return Ok(());
    }
    if at.data {
        let message = "--server and --data name two places";
        return Err(Stop::usage(UNUSABLE, message).hint("leave one of them out"));
    }
    let first = command.split(' ').next().unwrap_or_default();
    if command == "plugin repin" || ELSEWHERE.contains(&first) {
        return Ok(());
    }
    Err(Stop { failure: cannot(command), ..Stop::usage(CANNOT, "") })
}

/// Commands that can be asked of another machine, `plugin repin` beside them.
const ELSEWHERE: [&str; 17] = [
    "run",
    "resume",
    "reload",
    "triggers",
    "dead-letters",
    "ps",
    "top",
    "show",
    "explain",
    "cancel",
    "pause",
    "retry",
    "hold",
    "release",
    "holds",
    "logs",
    "devices",
];

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn what_cannot_be_done_elsewhere_is_refused_by_name() {
        let at = |server: Option<&str>, data| ServerArgs { server: server.map(str::to_owned), token_file: None, data };
        let code = |at: &ServerArgs, command| fits(at, command).err().map(|stop| stop.failure.code);
        let there = at(Some("https://h"), false);
        assert_eq!(
            (code(&there, "ps"), code(&there, "devices show"), code(&there, "plugin repin")),
            (None, None, None)
        );
        for command in ["gc", "doctor", "serve", "plugin release", "plugin", "validate"] {
            assert_eq!(code(&there, command).as_deref(), Some(CANNOT), "{command}");
        }
        assert!(fits(&there, "gc").unwrap_err().to_string().contains("`packhorse gc`"));
        assert_eq!(code(&at(Some("https://h"), true), "ps").as_deref(), Some(UNUSABLE));
        assert_eq!((code(&at(Some("local"), true), "gc"), code(&at(None, true), "gc")), (None, None));
        let known = super::super::args::Cli::command();
        let unknown = ELSEWHERE.iter().find(|name| known.find_subcommand(name).is_none());
        assert_eq!(unknown, None);
    }
}
