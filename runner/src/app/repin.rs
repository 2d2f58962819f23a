//! Moves runs from one build of their codec to another: which build is meant, whether a run may speak through it, and what came of it.

use super::answers::failure;
use super::daemon::whole;
use super::exit::Stop;
use super::library::Library;
use crate::engine::{EngineError, EngineHandle, LiveView};
use crate::plugin::Plugin;
use packhorse_core::failure::{Class, Failure, chain};
use packhorse_core::run::{CodecPin, Created, Fact, Refused, RunId, RunStatus};
use packhorse_core::transfer::Pairs;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A digest, or its beginning, means no build or more than one.
const NO_SUCH_BUILD: &str = "PH6011";
/// Fewer digits of a digest may mean something else tomorrow.
const FEWEST: usize = 8;
/// Digits of a whole digest.
const DIGITS: usize = 64;

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Repin<'a> {
    /// Runs by their ids, or unambiguous beginnings of them.
    pub runs: &'a [String],
    /// SHA-256 of the build that they are pinned to now, or its beginning.
    pub from: &'a str,
    /// The same of the other one, or its NAME@VERSION.
    pub to: &'a str,
    /// Runs that nobody works on are moved too.
    pub all: bool,
}

/// What came of one run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Repinned {
    /// Its id, as far as it is known.
    pub run: String,
    /// What happened.
    pub outcome: Outcome,
    /// Its status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<RunStatus>,
    /// What it is pinned to now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codec: Option<CodecPin>,
    /// What has to happen for it to go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
}

/// What happened to a run that was to be moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is pinned to the other build.
    Repinned,
    /// It was pinned to it before.
    Unchanged,
    /// It stays as it is.
    Refused,
}

/// What came of all of them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Moved {
    /// The build to which they were to be moved.
    pub to: CodecPin,
    /// In the order in which they were named.
    pub items: Vec<Repinned>,
}

/// Moves runs; the error is about the question, each run's own is in its item.
pub async fn repin(engine: &EngineHandle, library: &Library<'_>, asked: Repin<'_>) -> Result<Moved, Failure> {
    let plugin = library.build(asked.to).await.map_err(whole)?;
    let to = CodecPin {
        name: plugin.name().to_owned(),
        version: plugin.version().to_owned(),
        digest: plugin.digest().to_owned(),
    };
    let mut found = Vec::with_capacity(asked.runs.len());
    for run in asked.runs {
        found.push((run, look(engine, run, asked.all).await));
    }
    let pins = found.iter().filter_map(|(_, look)| look.as_ref().ok()?.view.codec.as_ref());
    let from = begins_with(asked.from, pins)?;
    engine.keep(to.digest.clone(), plugin.bytes()).await.map_err(|error| failure(&error))?;
    let mut items = Vec::with_capacity(found.len());
    for (named, look) in found {
        items.push(match look {
            Ok(live) => one(engine, (&plugin, &to), &from, live).await,
            Err(error) => refused(named.clone(), None, error),
        });
    }
    Ok(Moved { to, items })
}

/// The whole digest that `text` is, or begins, among those that runs are pinned to; `text` itself where it is none of theirs.
pub fn begins_with<'a>(text: &str, pins: impl Iterator<Item = &'a CodecPin>) -> Result<String, Failure> {
    let text = text.to_ascii_lowercase();
    if !is_digest(&text) {
        let message = format!("`{text}` is neither a SHA-256 in hex nor its first {FEWEST} digits or more");
        return Err(Failure::new(NO_SUCH_BUILD, Class::Permanent, message).hint(
            "`packhorse show RUN` tells what a run is pinned to, `packhorse plugin inspect NAME` what a file is",
        ));
    }
    let found: BTreeSet<&str> =
        pins.map(|pin| pin.digest.as_str()).filter(|digest| digest.starts_with(&text)).collect();
    match found.len() {
        0 => Ok(text),
        1 => Ok(found.into_iter().collect()),
        _ => Err(ambiguous(&text)),
    }
}

/// Whether it can be a digest or its beginning.
pub(super) fn is_digest(text: &str) -> bool {
    (FEWEST..=DIGITS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn ambiguous(text: &str) -> Failure {
    Failure::new(NO_SUCH_BUILD, Class::Permanent, format!("more than one codec has a SHA-256 that begins with {text}"))
        .hint("give more digits")
}

/// The only build whose digest begins with `text`.
pub(super) fn only<'a, T>(text: &str, builds: impl Iterator<Item = (&'a str, T)>) -> Result<T, Stop> {
    let mut builds = builds.filter(|(digest, _)| digest.starts_with(text));
    let Some((digest, build)) = builds.next() else {
        let message = format!("no codec in the plugins folder has a SHA-256 that begins with {text}");
        return Err(Stop::usage(NO_SUCH_BUILD, message)
            .hint("put the mended codec there; `packhorse plugin inspect NAME` tells its digest"));
    };
    if builds.any(|(other, _)| other != digest) {
        let failure = ambiguous(text);
        return Err(Stop { failure, ..Stop::usage(NO_SUCH_BUILD, "") });
    }
    Ok(build)
}

/// A run as it is now. A process that works on one run ends with it: it takes up no other that is unfinished.
async fn look(engine: &EngineHandle, run: &str, all: bool) -> Result<LiveView, Failure> {
    let run = super::find(engine, run).await?;
    let live = engine.view(&run).await.map_err(|error| failure(&error))?;
    if !all && !live.live && !live.view.status.is_final() {
        let message = format!("the process of this data folder does not work on {run}, and takes up no other run");
        return Err(Failure::new("PH8006", Class::Operator, message)
            .hint("ask again when that process has ended, or start a daemon with `packhorse serve`"));
    }
    Ok(live)
}

async fn one(engine: &EngineHandle, (plugin, to): (&Plugin, &CodecPin), from: &str, live: LiveView) -> Repinned {
    let run = live.view.run.clone();
    let moved = match fits(engine, plugin, &live).await {
        Ok(()) => engine.repin(&run, from, to.clone()).await,
        Err(error) => return refused(run.to_string(), Some(live), error),
    };
    let outcome = match moved {
        Ok(()) => {
            tracing::info!(%run, from, to = to.digest, "moved to another build of its codec");
            Outcome::Repinned
        }
        Err(EngineError::Refused { source: Refused::HasCodec(_), .. }) => Outcome::Unchanged,
        Err(error) => return refused(run.to_string(), Some(live), failure(&error)),
    };
    let now = engine.view(&run).await.unwrap_or(live);
    Repinned {
        run: run.to_string(),
        outcome,
        status: Some(now.view.status),
        codec: Some(to.clone()),
        next: Some(next(&now)),
        error: None,
    }
}

fn refused(run: String, live: Option<LiveView>, error: Failure) -> Repinned {
    let (status, codec) = live.map(|live| (live.view.status, live.view.codec)).unzip();
    Repinned { run, outcome: Outcome::Refused, status, codec: codec.flatten(), next: None, error: Some(error) }
}

/// What has to happen for a run that was moved to go on.
fn next(live: &LiveView) -> String {
    let (run, status) = (&live.view.run, live.view.status);
    match status {
        RunStatus::Succeeded | RunStatus::Superseded => "it has ended".to_owned(),
        _ if status.is_final() => format!("it has ended; `packhorse retry {run}` goes on with this codec"),
        RunStatus::Paused => format!("it is paused; `packhorse resume {run}` goes on with this codec"),
        _ if live.live => "it goes on by itself".to_owned(),
        _ => format!("nobody works on it now; `packhorse resume {run}` goes on with this codec"),
    }
}

/// The variables that the run was given must be ones that this build takes, as when a run is created.
async fn fits(engine: &EngineHandle, plugin: &Plugin, live: &LiveView) -> Result<(), Failure> {
    if live.view.codec.as_ref().is_none_or(|codec| codec.name != plugin.name()) {
        // Refused in other words.
        return Ok(());
    }
    let created = created(engine, &live.view.run).await?;
    let vars: Pairs = created.vars.into_iter().collect();
    for device in &live.view.devices {
        plugin.routes(device, &vars).map_err(|error| Failure::new("PH6002", Class::Permanent, chain(&error)))?;
    }
    Ok(())
}

async fn created(engine: &EngineHandle, run: &RunId) -> Result<Created, Failure> {
    let first = engine.records(run, 0, 1).await.map_err(|error| failure(&error))?.into_iter().next();
    match first.map(|record| record.fact) {
        Some(Fact::Created(created)) => Ok(*created),
        _ => Err(Failure::new(
            "PH8005",
            Class::Operator,
            format!("the journal of {run} does not begin with its creation"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pin(digest: &str) -> CodecPin {
        CodecPin { name: "acme".to_owned(), version: "1.0.0".to_owned(), digest: digest.to_owned() }
    }

    #[test]
    fn a_beginning_means_the_only_digest_that_has_it() {
        let (one, two) = ("0123456789".repeat(7)[..64].to_owned(), format!("01234567{}", "f".repeat(56)));
        let pins = [pin(&one), pin(&one), pin(&two)];
        let digest = |text: &str| begins_with(text, pins.iter()).map_err(|failure| failure.code);
        assert_eq!(digest("0123456789"), Ok(one.clone()));
        assert_eq!(digest("01234567FFFF"), Ok(two.clone()));
        assert_eq!(digest(&one), Ok(one.clone()));
        assert_eq!(digest("89abcdef"), Ok("89abcdef".to_owned()), "each run says that it is pinned to something else");
        for bad in ["01234567", "0123456", "", "acme@1.0.0", &"0".repeat(65)] {
            assert_eq!(digest(bad), Err(NO_SUCH_BUILD.to_owned()), "{bad}");
        }
    }

    #[test]
    fn a_build_is_named_by_the_beginning_of_its_digest() {
        let builds = [("aaaaaaaa11", 1), ("aaaaaaaa22", 2), ("bbbbbbbb11", 3), ("bbbbbbbb11", 4)];
        let meant = |text: &str| only(text, builds.into_iter()).map_err(|stop| stop.failure.message);
        assert_eq!(meant("aaaaaaaa2"), Ok(2));
        assert_eq!(meant("bbbbbbbb"), Ok(3), "the same bytes under two names");
        assert!(meant("aaaaaaaa").is_err_and(|words| words.contains("more than one")));
        assert!(meant("cccccccc").is_err_and(|words| words.contains("no codec in the plugins folder")));
    }
}
