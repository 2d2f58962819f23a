//! Arguments of `serve`, and of what only a daemon can be asked.

use super::{RunRef, ServiceArgs};
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `serve`.
#[derive(Debug, Args)]
pub(in super::super) struct ServeArgs {
    /// Ends with an error where a workflow, plugin or file of devices cannot be loaded at the start; otherwise the others are served.
    #[arg(long)]
    pub strict: bool,
    /// Takes everything up and begins nothing, clean-up included, until `packhorse release all`. New runs are accepted and wait, those that
    /// triggers start too. It is a hold: `packhorse holds` shows it, and it lasts through later starts with or without this flag.
    #[arg(long)]
    pub paused: bool,
    /// Where the HTTP API listens; port 0 takes a free one. Without tokens in packhorse.yaml only loopback is served.
    /// 127.0.0.1:8440 where nothing is said.
    #[arg(long, env = "PACKHORSE_LISTEN", value_name = "HOST:PORT")]
    pub listen: Option<String>,
    #[command(flatten)]
    pub services: ServiceArgs,
}

/// `token`.
#[derive(Debug, Args)]
pub(in super::super) struct TokenArgs {
    /// Who will have it.
    pub name: String,
    /// What it allows, once for each: runs:read, runs:start, runs:control, definitions:read, definitions:reload, metrics:read.
    /// Everything where nothing is said.
    #[arg(long = "scope", value_name = "SCOPE")]
    pub scopes: Vec<String>,
    /// How long it is good, such as 90d; for ever where nothing is said.
    #[arg(long, value_name = "TIME")]
    pub expires: Option<String>,
}

/// The data folder alone.
#[derive(Debug, Args)]
pub(in super::super) struct DataArgs {
    /// The data folder.
    #[arg(long, env = "PACKHORSE_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// `dead-letters`.
#[derive(Debug, Args)]
pub(in super::super) struct LettersArgs {
    #[command(subcommand)]
    pub command: Option<LettersCommand>,
    /// The data folder.
    #[arg(long, env = "PACKHORSE_DATA", value_name = "DIR", global = true)]
    pub data: Option<PathBuf>,
}

/// What can be done about dead letters.
#[derive(Debug, Clone, Copy, Subcommand)]
pub(in super::super) enum LettersCommand {
    /// Lists them, newest first; so does no command at all.
    List,
    /// Shows one, with what came.
    Show(LetterRef),
    /// Throws one away.
    Drop(LetterRef),
    /// Makes a run of one after all, by the trigger as it is now, and throws it away.
    Retry(LetterRef),
}

/// A dead letter.
#[derive(Debug, Clone, Copy, Args)]
pub(in super::super) struct LetterRef {
    /// Its number.
    pub id: u64,
}

/// `devices`.
#[derive(Debug, Args)]
pub(in super::super) struct DevicesArgs {
    #[command(subcommand)]
    pub what: Option<DevicesCommand>,
    /// The data folder: a daemon that works on it is asked.
    #[arg(long, env = "PACKHORSE_DATA", value_name = "DIR", global = true)]
    pub data: Option<PathBuf>,
    /// Where files of devices lie, where no daemon is asked.
    #[arg(long, env = "PACKHORSE_DEVICES", value_name = "DIR", global = true)]
    pub devices: Option<PathBuf>,
}

/// What is asked of the registry.
#[derive(Debug, Subcommand)]
pub(in super::super) enum DevicesCommand {
    /// Every entry, and the files whose newest content does not count.
    List,
    /// What a device id comes to: its entry, and what the device said last of itself.
    Show {
        /// The device id.
        id: String,
    },
}

/// `logs`.
#[derive(Debug, Args)]
pub(in super::super) struct LogsArgs {
    #[command(flatten)]
    pub run: RunRef,
    /// Goes on until the run has ended.
    #[arg(short, long)]
    pub follow: bool,
}
