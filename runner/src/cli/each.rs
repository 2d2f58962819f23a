//! `run --each FILE`: one run for each line of a file, many at once, in this one process.

use super::args::{RunArgs, ServerArgs};
use super::print::{self, Show};
use super::run::once;
use super::signals::Signals;
use crate::app::exit::{Exit, Stop};
use crate::app::{self, App, Launch, Library, Local};
use crate::engine::LiveView;
use crate::plugin::Host;
use packhorse_core::failure::Failure;
use packhorse_core::run::RunStatus;
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Bytes of the file that are read.
const LONGEST: u64 = 16 << 20;
/// How often progress is told.
const TELL: Duration = Duration::from_secs(1);

/// The end of one line's run.
#[derive(Debug, Serialize)]
struct Ended {
    device: String,
    #[serde(flatten)]
    live: LiveView,
}

/// A line of which no run could be started, or nobody knows the end.
#[derive(Debug, Serialize)]
struct Refused {
    device: String,
    #[serde(flatten)]
    failure: Failure,
}

pub(super) async fn each(args: RunArgs, list: &Path, at: &ServerArgs, show: Show) -> Result<Exit, Stop> {
    let settings = super::settings_here(&args.services, at, "run --each")?;
    let devices = read(list)?;
    let launch = Launch {
        workflow: args.workflow,
        inputs: once(args.input, "input")?,
        codec: args.codec,
        vars: once(args.vars, "variable")?,
        priority: args.priority,
        local: Local::Here,
        ..Launch::default()
    };
    if launch.inputs.contains_key("device") {
        return Err(
            Stop::usage("PH2005", "the input device is given by -i and by --each").hint("leave one of them out")
        );
    }
    let mut signals = Signals::take()?;
    let host = app::host(&settings).await?;
    // Every line is checked before anything is started: a mistake in the last one must not cost the others.
    for device in &devices {
        app::prepare(with_device(&launch, device), &settings, &Library::Folders(&host)).await?;
    }
    let app = App::start(settings, host.clone()).await?;
    super::run::announce(&app, show);
    let mut all = All {
        app: &app,
        host,
        launch,
        show,
        running: JoinSet::new(),
        ended: Vec::new(),
        refused: Vec::new(),
        begun: 0,
        told: Instant::now(),
    };
    let interrupted = tokio::select! {
        result = all.run(&devices, args.parallel, args.stop_after_failures) => result.map(|()| None),
        exit = signals.next() => Ok(Some(exit)),
    };
    let came = (std::mem::take(&mut all.ended), std::mem::take(&mut all.refused));
    let begun = all.begun;
    drop(all);
    app.stop().await?;
    told(interrupted?, &came, (&devices, begun), show)
}

/// Devices, one a line; empty lines and those that begin with `#` are left out.
fn read(list: &Path) -> Result<Vec<String>, Stop> {
    let unreadable = |why: String| Stop::usage("PH8030", format!("cannot read {}: {why}", list.display()));
    let file = std::fs::File::open(list).map_err(|error| unreadable(error.to_string()))?;
    let mut text = String::new();
    file.take(LONGEST + 1).read_to_string(&mut text).map_err(|error| unreadable(error.to_string()))?;
    if text.len() as u64 > LONGEST {
        return Err(unreadable(format!("it is longer than {LONGEST} bytes")));
    }
    let devices = lines(&text);
    if devices.is_empty() { Err(unreadable("it names no device".to_owned())) } else { Ok(devices) }
}

fn lines(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(ToOwned::to_owned).collect()
}

fn with_device(launch: &Launch, device: &str) -> Launch {
    let device = BTreeMap::from([("device".to_owned(), device.to_owned())]);
    let mut launch = launch.clone();
    launch.inputs.extend(device);
    launch
}

/// All runs of the list.
struct All<'a> {
    app: &'a App,
    host: Host,
    launch: Launch,
    show: Show,
    running: JoinSet<Result<Ended, Refused>>,
    ended: Vec<Ended>,
    refused: Vec<Refused>,
    /// Devices of the list that were begun with.
    begun: usize,
    told: Instant,
}

impl All<'_> {
    /// Starts run after run, never more than `parallel` at once and none after `most` have failed, and waits for all.
    async fn run(&mut self, devices: &[String], parallel: usize, most: Option<u32>) -> Result<(), Stop> {
        for device in devices {
            while self.running.len() >= parallel.max(1) {
                self.next(devices.len()).await?;
            }
            if self.has_enough(most) {
                break;
            }
            self.begun += 1;
            if let Err(stop) = self.start(device).await {
                self.refused(Refused { device: device.clone(), failure: stop.failure })?;
            }
        }
        while !self.running.is_empty() {
            self.next(devices.len()).await?;
        }
        Ok(())
    }

    fn has_enough(&self, most: Option<u32>) -> bool {
        let failed = self.refused.len() + self.ended.iter().filter(|ended| !is_good(ended)).count();
        most.is_some_and(|most| failed >= most as usize)
    }

    async fn start(&mut self, device: &str) -> Result<(), Stop> {
        let launch = with_device(&self.launch, device);
        let prepared = app::prepare(launch, &self.app.settings, &Library::Folders(&self.host)).await?;
        let run = app::launch(self.app, prepared).await?;
        let (engine, world, device) = (self.app.engine.clone(), self.app.world.clone(), device.to_owned());
        self.running.spawn(async move {
            let live = match engine.wait(&run).await {
                Ok(live) => live,
                Err(error) => return Err(Refused { device, failure: app::failure(&error) }),
            };
            if live.view.status.is_final() {
                world.over(&run, live.view.status).await;
            }
            Ok(Ended { device, live })
        });
        Ok(())
    }

    /// One line's failure, while others go on; an end where nothing can be written down any more.
    fn refused(&mut self, refused: Refused) -> Result<(), Stop> {
        if self.app.engine.has_stopped() {
            return Err(Stop::journal(refused.failure.message));
        }
        self.show.note(&format!("  {}: {}", refused.device, refused.failure));
        self.refused.push(refused);
        Ok(())
    }

    /// Waits for the end of one of them.
    async fn next(&mut self, all: usize) -> Result<(), Stop> {
        let Some(ended) = self.running.join_next().await else { return Ok(()) };
        match ended.map_err(|error| Stop::bug(error.to_string()))? {
            Ok(ended) => self.ended.push(ended),
            Err(refused) => self.refused(refused)?,
        }
        if self.told.elapsed() >= TELL {
            self.told = Instant::now();
            let good = self.ended.iter().filter(|ended| is_good(ended)).count();
            let bad = self.ended.len() - good + self.refused.len();
            self.show.note(&format!("  {good} of {all} succeeded, {bad} not, {} under way", self.running.len()));
        }
        Ok(())
    }
}

fn is_good(ended: &Ended) -> bool {
    ended.live.view.status == RunStatus::Succeeded
}

fn told(
    interrupted: Option<Exit>,
    (ended, refused): &(Vec<Ended>, Vec<Refused>),
    (devices, begun): (&[String], usize),
    show: Show,
) -> Result<Exit, Stop> {
    let (all, left) = (devices.len(), &devices[begun.min(devices.len())..]);
    let good = ended.iter().filter(|ended| is_good(ended)).count();
    let value = json!({ "items": ended, "refused": refused, "asked": all, "succeeded": good, "not_started": left });
    show.result(&value, || {
        let bad = ended.iter().filter(|ended| !is_good(ended)).map(|ended| {
            let (view, device) = (&ended.live.view, &ended.device);
            let why = view.error.as_ref().map_or_else(String::new, |error| format!(": {}", error.failure));
            format!("{device}: {} {}{why}", view.run, print::status(view.status))
        });
        let bad = bad.chain(refused.iter().map(|refused| format!("{}: no run: {}", refused.device, refused.failure)));
        let unbegun = left.iter().map(|device| format!("{device}: not started"));
        bad.chain(unbegun).chain([format!("{good} of {all} succeeded")]).collect::<Vec<_>>().join("\n")
    });
    if let Some(exit) = interrupted {
        print::write_err(
            "interrupted; nothing is lost. `packhorse ps` lists the runs, `packhorse resume RUN` goes on with one",
        );
        return Ok(exit);
    }
    Ok(if good == all { Exit::Succeeded } else { Exit::Failed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_may_hold_comments_and_empty_lines() {
        assert_eq!(lines("# all\ngw-1\n\n  gw-2  \r\n"), ["gw-1", "gw-2"]);
    }
}
