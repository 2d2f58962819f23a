//! Arguments of `hold`, `release` and `top`.

use clap::Args;
use std::path::PathBuf;

/// `hold`.
#[derive(Debug, Args)]
pub(in super::super) struct HoldArgs {
    /// Which runs: `all`, or CEL over `device`, `workflow` (its name) and `run` (`id`, `priority`, `slot`), as in
    /// "device.id == 'gw-1' || run.priority > 3".
    pub selector: String,
    /// Why, for whoever looks later.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// The data folder.
    #[arg(long, env = "PACKHORSE_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// `release`.
#[derive(Debug, Args)]
pub(in super::super) struct ReleaseArgs {
    /// Id of a hold, or its selector as it was written.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub selector: Option<String>,
    /// Ends all holds.
    #[arg(long)]
    pub all: bool,
    /// The data folder.
    #[arg(long, env = "PACKHORSE_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// `top`.
#[derive(Debug, Args)]
pub(in super::super) struct TopArgs {
    /// Seconds between two looks.
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub every: u64,
    /// The data folder.
    #[arg(long, env = "PACKHORSE_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
}
