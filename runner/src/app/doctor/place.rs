//! The data folder: whose it is, who may read it, the disk that it is on, and the clock beside its journal.

use super::{Finding, judge};
use crate::app::journal::STORE;
use crate::settings::Settings;
use crate::store::{DataFolder, EmbeddedStore, FolderError, Journal as _};
use packhorse_core::failure::chain;
use packhorse_core::run::Record;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Writes that are measured.
const WRITES: usize = 21;

/// What is known of the data folder.
pub(super) struct Place {
    /// Whether another process works with it.
    pub(super) owned: bool,
}

pub(super) async fn look(settings: &Settings, findings: &mut Vec<Finding>) -> Place {
    let data = settings.data.clone();
    let looked = tokio::task::spawn_blocking(move || {
        let mut findings = Vec::new();
        let place = look_at(&data, &mut findings);
        (place, findings)
    });
    match looked.await {
        Ok((place, mut found)) => {
            findings.append(&mut found);
            place
        }
        Err(_) => Place { owned: false },
    }
}

fn look_at(data: &Path, findings: &mut Vec<Finding>) -> Place {
    if !data.exists() {
        let above = existing(data);
        findings
            .push(Finding::ok("data folder", format!("{} is not there yet; the first run makes it", data.display())));
        findings.extend(space(&above));
        findings.push(judge::clock(now(), None, None));
        return Place { owned: false };
    }
    findings.push(rights(data));
    findings.extend(space(data));
    let written = measure(data);
    match &written {
        Ok((median, _)) => findings.push(judge::durable_write(*median, WRITES)),
        Err(error) => {
            let text = format!("nothing can be written to {}: {error}", data.display());
            findings.push(Finding::failure(
                "disk speed",
                "PH8023",
                text,
                "look at the rights and the room of the data folder",
            ));
        }
    }
    let (owned, last) = last_record(data, findings);
    findings.push(judge::clock(now(), written.ok().and_then(|(_, stamp)| stamp), last));
    Place { owned }
}

/// The nearest folder above that is there.
fn existing(path: &Path) -> PathBuf {
    let full = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    full.ancestors().find(|above| above.exists()).unwrap_or_else(|| Path::new("/")).to_owned()
}

fn rights(data: &Path) -> Finding {
    let about = match std::fs::metadata(data) {
        Ok(about) => about,
        Err(error) => {
            let text = format!("{}: {error}", data.display());
            return Finding::failure("data folder", "PH8023", text, "look at the rights of the folders above it");
        }
    };
    let (mode, owner, own) = (about.mode() & 0o777, about.uid(), rustix::process::geteuid().as_raw());
    let text = format!("{}, mode {mode:04o}, of user {owner}", data.display());
    if !about.is_dir() {
        return Finding::failure(
            "data folder",
            "PH8023",
            format!("{text}: it is no folder"),
            "choose another with --data",
        );
    }
    if owner != own {
        let text = format!("{text}, and this is user {own}");
        return Finding::failure("data folder", "PH8023", text, "run as its owner, or give it to this user with chown");
    }
    if mode & 0o077 != 0 {
        let advice = format!("others can look into it: chmod 700 {}", data.display());
        return Finding::warning("data folder", "PH8023", text, &advice);
    }
    if mode & 0o700 != 0o700 {
        let advice = format!("its owner needs all rights: chmod 700 {}", data.display());
        return Finding::failure("data folder", "PH8023", text, &advice);
    }
    Finding::ok("data folder", text)
}

fn space(folder: &Path) -> Option<Finding> {
    let about = rustix::fs::statvfs(folder).ok()?;
    let free = about.f_bavail.saturating_mul(about.f_frsize);
    Some(judge::room("disk", "PH8021", free, about.f_blocks.saturating_mul(about.f_frsize)))
}

/// How long a durable write takes, and what time the file system gave the last one. The file is gone afterwards.
fn measure(data: &Path) -> std::io::Result<(Duration, Option<u64>)> {
    let path = data.join(format!(".doctor-{}", std::process::id()));
    let measured = write(&path);
    drop(std::fs::remove_file(&path));
    measured
}

fn write(path: &Path) -> std::io::Result<(Duration, Option<u64>)> {
    let mut file = File::options().write(true).create_new(true).open(path)?;
    let mut times = Vec::with_capacity(WRITES);
    for _ in 0..WRITES {
        let began = Instant::now();
        file.write_all(&[0; 4096])?;
        file.sync_data()?;
        times.push(began.elapsed());
    }
    let stamp = file.metadata()?.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok((judge::median(times), u64::try_from(stamp.as_millis()).ok()))
}

/// Whether somebody else has the folder; where not, the time of the newest run's last record.
fn last_record(data: &Path, findings: &mut Vec<Finding>) -> (bool, Option<u64>) {
    if !data.join(STORE).is_file() {
        return (false, None);
    }
    let _folder = match DataFolder::open(data) {
        Ok(folder) => folder,
        Err(FolderError::InUse { .. }) => {
            findings
                .push(Finding::ok("journal", "another packhorse works with it; its services are looked at".to_owned()));
            return (true, None);
        }
        Err(error @ FolderError::Io { .. }) => {
            findings.push(Finding::failure(
                "journal",
                "PH8023",
                chain(&error),
                "look at the rights of the data folder",
            ));
            return (false, None);
        }
    };
    match newest(&data.join(STORE)) {
        Ok((runs, last)) => {
            let more = if runs == MOST { "at least " } else { "" };
            findings.push(Finding::ok("journal", format!("it opens and holds {more}{runs} runs")));
            (false, last)
        }
        Err(words) => {
            let advice = "it holds the state of all runs: make a copy of the data folder, then restore a backup";
            findings.push(Finding::failure("journal", "PH8026", words, advice));
            (false, None)
        }
    }
}

/// Runs that are looked at.
const MOST: usize = 100;

/// How many runs there are, and the time of the last record of any of them.
fn newest(path: &Path) -> Result<(usize, Option<u64>), String> {
    let store = EmbeddedStore::open(path).map_err(|error| chain(&error))?;
    let runs = store.recent(None, MOST).map_err(|error| chain(&error))?;
    let mut last = None;
    for run in &runs {
        let facts = store.read(run, 0).map_err(|error| chain(&error))?;
        last = last.max(facts.last().and_then(|fact| Record::decode(fact).ok()).map(|record| record.at.0));
    }
    Ok((runs.len(), last))
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
