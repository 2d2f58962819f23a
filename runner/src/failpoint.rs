//! Named places at the borders of effects where a test kills, stops or fails this very process; they cost one relaxed load otherwise.
//!
//! `PACKHORSE_FAILPOINT=name[:k][:kill|stop|error]` strikes at the k-th time (1 where left out) that the place is passed: SIGKILL
//! (where left out), SIGSTOP, or an error where the place can fail. `PACKHORSE_FAILPOINT_HITS=FILE` appends the name of each place
//! that is passed to the file. Both are for tests; whoever sets the environment of a process can kill it anyway.

use rustix::process::{Signal, getpid, kill_process};
use std::fs::File;
use std::io::{self, Write as _};
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Variable that arms a place.
pub const VARIABLE: &str = "PACKHORSE_FAILPOINT";
/// Variable that names a file for the names of places passed.
pub const HITS: &str = "PACKHORSE_FAILPOINT_HITS";

macro_rules! points {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal, $fails:literal;)+) => {
        /// A place.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Point { $($(#[doc = $doc])+ $variant,)+ }

        /// Every place.
        pub const ALL: &[Point] = &[$(Point::$variant),+];

        impl Point {
            /// Its name, as the variable has it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// Whether an error can be returned there.
            pub const fn can_fail(self) -> bool {
                match self { $(Self::$variant => $fails,)+ }
            }
        }
    };
}

points! {
    /// The data folder is locked, nothing else is open.
    AppLocked = "app.locked", false;
    /// A new store is about to be built under its temporary name.
    StoreCreate = "store.create", true;
    /// A new store is whole and flushed under its temporary name.
    StoreFilled = "store.filled", true;
    /// A new store has its name; the folder is not flushed.
    StoreNamed = "store.named", true;
    /// The store is open and was checked.
    StoreOpened = "store.opened", false;
    /// `services.json` is about to be written.
    ServicesWrite = "services.write", true;
    /// `services.json` has its name.
    ServicesWritten = "services.written", false;
    /// The control socket listens.
    ControlListening = "control.listening", false;
    /// The codec's bytes are in the journal; no run names them yet.
    LaunchKept = "launch.kept", false;
    /// The workflow's source is in the journal; the run is not claimed.
    SourceKept = "source.kept", false;
    /// Facts or checkpoints are about to be committed.
    JournalCommit = "journal.commit", true;
    /// A checkpoint alone is about to be committed.
    JournalCheckpoint = "journal.checkpoint", true;
    /// They are durable; nobody knows it yet.
    JournalCommitted = "journal.committed", false;
    /// A run is about to be claimed.
    JournalClaim = "journal.claim", true;
    /// A run is claimed; nobody knows it yet.
    JournalClaimed = "journal.claimed", false;
    /// The facts that announce an effect are durable; it has not begun.
    EffectBegin = "effect.begin", false;
    /// An effect is over; the fact that says so does not exist.
    EffectEnded = "effect.ended", false;
    /// A run has finished and this is durable.
    RunFinished = "run.finished", false;
    /// A message of a transfer is about to go to the bus.
    LinkPublish = "link.publish", false;
    /// The bus has it.
    LinkPublished = "link.published", false;
    /// Messages of a device were told to the machine; no checkpoint has them.
    LinkHeard = "link.heard", false;
    /// A checkpoint is about to go to the engine.
    LinkCheckpoint = "link.checkpoint", false;
    /// A transfer has ended and its report is not made.
    LinkEnded = "link.ended", false;
    /// Pieces of pulls are about to be written to the spool.
    SpoolWrite = "spool.write", true;
    /// They are written and not flushed.
    SpoolSync = "spool.sync", true;
    /// They are durable; nobody acknowledged them.
    SpoolSynced = "spool.synced", false;
    /// A pulled file is about to be made of its pieces.
    PullAssemble = "pull.assemble", true;
    /// It is made and flushed.
    PullAssembled = "pull.assembled", false;
    /// A pulled file that is not what the device said is about to be moved away.
    PullQuarantine = "pull.quarantine", true;
    /// It is moved away; its pieces are not voided.
    PullQuarantined = "pull.quarantined", false;
    /// A pulled file is about to go to the file store.
    PullUpload = "pull.upload", false;
    /// It is in the file store; nobody knows its id.
    PullUploaded = "pull.uploaded", false;
    /// The spool's pieces of a finished run are about to be let go of.
    SpoolRelease = "spool.release", false;
    /// A file is about to go to the file store.
    FileUpload = "file.upload", true;
    /// It is there; the index does not know.
    FileUploaded = "file.uploaded", false;
    /// The index knows.
    FileIndexed = "file.indexed", false;
    /// A download is whole under its temporary name.
    DownloadRename = "download.rename", true;
    /// It has its name.
    DownloadRenamed = "download.renamed", false;
    /// A file is about to be deleted in the file store.
    FileDelete = "file.delete", false;
    /// It is deleted.
    FileDeleted = "file.deleted", false;
    /// A key of a workflow is about to be read or written.
    KeyOperate = "key.operate", false;
    /// It was.
    KeyOperated = "key.operated", false;
    /// A workflow's message is about to go to the bus.
    MessagePublish = "message.publish", false;
    /// The bus has it.
    MessagePublished = "message.published", false;
    /// The process begins to stop.
    StopBegun = "stop.begun", false;
    /// All runs are parked in the journal.
    StopParked = "stop.parked", false;
    /// The connection to the broker is closed.
    StopParted = "stop.parted", false;
    /// Embedded services have stopped.
    StopServices = "stop.services", false;
    /// `services.json` is gone; the lock is still held.
    StopUnwritten = "stop.unwritten", false;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strike {
    Kill,
    Stop,
    Error,
}

/// Where, the how manieth time, and what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Plan {
    point: Point,
    at: u64,
    strike: Strike,
}

struct Armed {
    plan: Option<Plan>,
    hits: Option<File>,
    passed: AtomicU64,
}

static IS_ARMED: AtomicBool = AtomicBool::new(false);
static ARMED: OnceLock<Armed> = OnceLock::new();

/// Reads both variables; once, before anything else runs. Says what is wrong with them.
pub fn arm() -> Result<(), String> {
    let plan = std::env::var(VARIABLE).ok().filter(|text| !text.is_empty()).map(|text| text.parse()).transpose()?;
    let open = |path| File::options().append(true).create(true).open(&path).map_err(|error| format!("{HITS}: {error}"));
    let hits = std::env::var_os(HITS).map(open).transpose()?;
    if plan.is_some() || hits.is_some() {
        let armed = ARMED.set(Armed { plan, hits, passed: AtomicU64::new(0) });
        IS_ARMED.store(armed.is_ok(), Ordering::Relaxed);
    }
    Ok(())
}

impl Point {
    /// Passes a place that cannot fail.
    #[inline]
    pub fn pass(self) {
        if IS_ARMED.load(Ordering::Relaxed) {
            struck(self);
        }
    }

    /// Passes a place that can fail.
    #[inline]
    pub fn attempt(self) -> io::Result<()> {
        if IS_ARMED.load(Ordering::Relaxed) && struck(self) {
            return Err(io::Error::other(format!("the failpoint {} was armed to fail", self.name())));
        }
        Ok(())
    }
}

/// Whether the place has to fail.
#[cold]
fn struck(point: Point) -> bool {
    let Some(armed) = ARMED.get() else { return false };
    if let Some(mut hits) = armed.hits.as_ref() {
        // One write, so that lines of several threads stay whole.
        drop(hits.write_all(format!("{}\n", point.name()).as_bytes()));
    }
    let Some(plan) = armed.plan.filter(|plan| plan.point == point) else { return false };
    if armed.passed.fetch_add(1, Ordering::Relaxed) + 1 != plan.at {
        return false;
    }
    match plan.strike {
        Strike::Error => true,
        Strike::Stop => {
            let _ = kill_process(getpid(), Signal::STOP);
            false
        }
        Strike::Kill => {
            let _ = kill_process(getpid(), Signal::KILL);
            loop {
                std::thread::park();
            }
        }
    }
}

impl FromStr for Plan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(':');
        let name = parts.next().unwrap_or_default();
        let point = ALL.iter().copied().find(|point| point.name() == name);
        let point = point.ok_or_else(|| format!("{VARIABLE}: there is no failpoint {name}"))?;
        let (mut at, mut strike) = (1, Strike::Kill);
        for part in parts {
            match (part, part.parse()) {
                ("kill", _) => strike = Strike::Kill,
                ("stop", _) => strike = Strike::Stop,
                ("error", _) if point.can_fail() => strike = Strike::Error,
                (_, Ok(count)) if count > 0 => at = count,
                _ => return Err(format!("{VARIABLE}: `{part}` means nothing at the failpoint {name}")),
            }
        }
        Ok(Self { point, at, strike })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn reads(text: &str, point: Point, at: u64, strike: Strike) {
        assert_eq!(text.parse(), Ok(Plan { point, at, strike }));
    }

    #[test]
    fn the_variable_says_where_when_and_what() {
        reads("app.locked", Point::AppLocked, 1, Strike::Kill);
        reads("link.publish:17", Point::LinkPublish, 17, Strike::Kill);
        reads("spool.sync:2:error", Point::SpoolSync, 2, Strike::Error);
        reads("spool.sync:stop", Point::SpoolSync, 1, Strike::Stop);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "nowhere", "app.locked:0", "app.locked:error", "app.locked:later", "app.locked:"] {
            assert!(text.parse::<Plan>().is_err(), "{text}");
        }
    }

    #[test]
    fn every_name_stands_once() {
        let mut names: Vec<_> = ALL.iter().map(|point| point.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
    }

    #[test]
    fn nothing_is_armed_by_itself() {
        Point::AppLocked.pass();
        assert!(Point::SpoolSync.attempt().is_ok());
    }
}
