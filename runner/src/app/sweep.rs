//! Keeps the data folder and the store from filling: forgets old runs and what is left of them, at the start and each hour.

use super::exit::Stop;
use super::journal::Opened;
use super::leftovers;
use crate::engine::World;
use crate::settings::Settings;
use crate::store::{StoreError, Sweeper, Swept, steady, wall};
use packhorse_core::failure::chain;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Between two rounds.
const EVERY: Duration = Duration::from_secs(3_600);
/// Runs of one round: what it may cost the disk at a time.
const MOST: usize = 512;
/// Files of pulls that went wrong are kept so long.
const QUARANTINE: Duration = Duration::from_secs(90 * 86_400);

/// The task that sweeps; ended by `stop`.
pub(super) struct Sweeping {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Sweeping {
    pub(super) fn start(world: &World, owner: String, settings: &Settings) -> Self {
        let (journal, link, data) = (world.journal.clone(), world.link.clone(), settings.data.clone());
        let (retention, mirror) = (settings.retention, world.mirror.clone());
        let (stop, mut stopping) = watch::channel(false);
        let task = tokio::spawn(async move {
            let mut sweeper = Sweeper::new(retention, owner);
            loop {
                let (journal, link, data) = (journal.clone(), link.clone(), data.clone());
                let round = tokio::task::spawn_blocking(move || {
                    let swept = sweeper.round(&*journal, steady(), MOST);
                    let pulls = leftovers::forget(&link, &*journal, steady());
                    (sweeper, swept, pulls, old_files(&data.join("quarantine")))
                });
                let Ok((returned, swept, pulls, files)) = round.await else { return };
                sweeper = returned;
                if let Some(mirror) = &mirror {
                    mirror.sweep(swept.as_ref().map_or(&[][..], |swept| &swept.runs)).await;
                }
                tell(swept, pulls, files);
                tokio::select! {
                    () = tokio::time::sleep(EVERY) => {}
                    _ = stopping.wait_for(|stop| *stop) => return,
                }
            }
        });
        Self { stop, task }
    }

    pub(super) async fn stop(self) {
        self.stop.send_replace(true);
        drop(self.task.await);
    }
}

fn tell(swept: Result<Swept, StoreError>, pulls: Result<usize, StoreError>, files: Vec<PathBuf>) {
    files.iter().for_each(|file| drop(std::fs::remove_file(file)));
    match (swept, pulls) {
        (Ok(swept), Ok(0)) if swept.runs.is_empty() && swept.objects.is_empty() && files.is_empty() => {}
        (Ok(swept), Ok(pulls)) => {
            let (runs, objects, files) = (swept.runs.len(), swept.objects.len(), files.len());
            tracing::info!(runs, objects, pulls, files, "forgot what was older than it is kept");
        }
        (Err(error), _) | (_, Err(error)) => tracing::warn!(error = chain(&error), "cannot forget old runs now"),
    }
}

/// What a sweep did, or would do.
#[derive(Debug, serde::Serialize)]
pub struct Gone {
    /// Runs and objects.
    #[serde(flatten)]
    pub swept: Swept,
    /// Files in the quarantine.
    pub quarantined: Vec<String>,
    /// Whether they are gone, or only would be.
    pub dry_run: bool,
}

/// Goes through everything once; blocks. The caller has locked the folder.
pub fn sweep(opened: &Opened, settings: &Settings, dry_run: bool) -> Result<Gone, Stop> {
    let mut sweeper = Sweeper::new(settings.retention, opened.owner.clone());
    let mut all = Swept::default();
    loop {
        let journal = &*opened.journal;
        let round =
            if dry_run { sweeper.dry_round(journal, wall(), MOST) } else { sweeper.round(journal, wall(), MOST) };
        let round = round.map_err(|error| Stop::unavailable("PH7002", chain(&error)))?;
        all.looked_at += round.looked_at;
        all.runs.extend(round.runs);
        all.objects.extend(round.objects);
        if round.complete {
            break;
        }
    }
    all.complete = true;
    let files = old_files(&settings.data.join("quarantine"));
    let quarantined = files.iter().map(|file| file.display().to_string()).collect();
    if !dry_run {
        files.iter().for_each(|file| drop(std::fs::remove_file(file)));
    }
    Ok(Gone { swept: all, quarantined, dry_run })
}

fn old_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let old = |path: &PathBuf| {
        let about = std::fs::symlink_metadata(path).ok().filter(std::fs::Metadata::is_file);
        let changed = about.and_then(|about| about.modified().ok());
        changed.is_some_and(|at| SystemTime::now().duration_since(at).is_ok_and(|age| age > QUARANTINE))
    };
    entries.flatten().map(|entry| entry.path()).filter(old).collect()
}
