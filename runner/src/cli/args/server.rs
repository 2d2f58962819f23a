//! Arguments of commands that can be asked of a daemon on another machine, and what was typed as a whole.

use super::Cli;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory as _, FromArgMatches as _};
use std::path::PathBuf;

/// A daemon on another machine.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "A daemon on another machine")]
pub(in super::super) struct ServerArgs {
    /// Asks the daemon at this URL over its API, and no data folder; also PACKHORSE_SERVER. `local`: the data folder, whatever variable and
    /// packhorse.yaml say.
    #[arg(long, global = true, value_name = "URL")]
    pub server: Option<String>,
    /// A file with the token for it; also PACKHORSE_TOKEN_FILE, or the token in PACKHORSE_TOKEN.
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Whether `--data` was typed: it comes before a server that a variable or packhorse.yaml names.
    #[arg(skip)]
    pub data: bool,
}

impl ServerArgs {
    /// The server as far as flags say it.
    pub(in super::super) fn server(&self) -> Option<String> {
        self.server.clone().or_else(|| self.data.then(|| crate::settings::LOCAL.to_owned()))
    }
}

/// What was typed, and the name of the command.
pub(in super::super) fn typed() -> Result<(Cli, String), clap::Error> {
    let matches = Cli::command().try_get_matches()?;
    let mut cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut Cli::command()))?;
    let (words, last) = command(&matches);
    cli.at.data =
        matches!(last.try_contains_id("data"), Ok(true)) && last.value_source("data") == Some(ValueSource::CommandLine);
    Ok((cli, words.join(" ")))
}

/// The words of a command, and what was typed after the last of them.
fn command(matches: &ArgMatches) -> (Vec<&str>, &ArgMatches) {
    let (mut words, mut last) = (Vec::new(), matches);
    while let Some((word, more)) = last.subcommand() {
        words.push(word);
        last = more;
    }
    (words, last)
}
