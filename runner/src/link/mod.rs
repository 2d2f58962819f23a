//! The link: drives one transfer, from its request to its end: bus, codec and file bytes around the pure machine.
//!
//! * `settle`: packet size and window, from codec, workflow and broker; pure
//! * `channel`: a codec's topics on the bus
//! * `codec`: the codec's batches and traps
//! * `machine`, `talk`: the machine, and what it says and understands; `rejects`: what it was told and could not use; `drive`: the loop that waits for it
//! * `begin`, `ending`: from what was asked for to a plan, and from a machine's end to an answer; pure
//! * `source`: bytes of a push
//! * `spool`, `pull`: bytes of a pull
//! * `order`: one transfer as asked for; this file's [`Link::run`] carries it out
//! * `outside`: the books of traffic and the place for pulled files that an order brings along
//!
//! One transfer a device at a time; others wait for their turn.

mod begin;
mod channel;
mod codec;
mod drive;
mod ending;
mod machine;
mod order;
mod outside;
mod pull;
mod rejects;
mod settle;
mod source;
mod spool;
mod talk;
mod turns;

pub use begin::{Beginning, Begun, begin, told};
pub use channel::{Channel, Worth, wire_bytes};
pub use codec::Codec;
pub use ending::{answered, clean, ended_badly, pushed};
pub use machine::{Machine, Wish};
pub use order::{Kept, LinkEnd, LinkNote, Order};
pub use outside::{Claimed, Meter, NoMeter, PlainShelf, Pulled, Shelf, Unclaimed};
pub use rejects::Rejected;
pub use settle::{MESSAGE_LIMIT, Settled, packet, payload, piece_limit, settle, still_fits};
pub use spool::{Assembled, Spool, SpoolError, SpoolNote, SpoolPart, Spooled};
pub use talk::{End, Next, Talk};
pub use turns::session_epoch;

use crate::blob::Contents;
use crate::bus::Bus;
use crate::store::KeyValue;
use pull::Landing;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Folder of files in the making.
const PARTS: &str = "parts";

/// What a transfer is told from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Control {
    /// Go on.
    #[default]
    Go,
    /// End at the next packet boundary; a later run goes on from the checkpoint.
    Park,
    /// End for good.
    Cancel,
}

/// What all transfers of a process share.
pub struct Link {
    bus: Arc<dyn Bus>,
    contents: Arc<Contents>,
    spool: Spool,
    /// Where files of pulls are made; `parts` and `quarantine` below it.
    folder: PathBuf,
    turns: turns::Turns,
    /// The last epoch of each device.
    epochs: Arc<dyn KeyValue>,
    /// Pulls of this process by their run, until that is over.
    pulls: Mutex<HashMap<String, Vec<PullHere>>>,
}

/// What a pull leaves here.
struct PullHere {
    part: SpoolPart,
    /// The file that is made of the pieces.
    path: PathBuf,
    /// Whether that is in the file store: the pieces are of use until the run's outcome is durable.
    stored: bool,
    /// Lives as long as the pull is at work.
    at_work: Weak<()>,
}

impl PullHere {
    fn is_at_work(&self) -> bool {
        self.at_work.strong_count() > 0
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Link").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Link {
    /// A link over these adapters; `folder` is for files in the making, `epochs` for the last one of each device.
    pub fn new(
        bus: Arc<dyn Bus>,
        contents: Arc<Contents>,
        spool: Spool,
        folder: PathBuf,
        epochs: Arc<dyn KeyValue>,
    ) -> Self {
        Self { bus, contents, spool, folder, turns: turns::Turns::default(), epochs, pulls: Mutex::default() }
    }

    /// Lets go of what is here of a run whose end is durable. `again`: it may be tried again, so that only what is stored goes; the
    /// rest goes by [`Link::forget`].
    pub async fn release(&self, run: &str, again: bool) {
        let pulls = self.pulls().remove(run).unwrap_or_default();
        let (at_work, over): (Vec<PullHere>, Vec<PullHere>) = pulls.into_iter().partition(PullHere::is_at_work);
        if !at_work.is_empty() {
            // It is tried again by now.
            self.pulls().entry(run.to_owned()).or_default().extend(at_work);
        }
        for pull in over {
            // Made anew from the pieces where it is needed again.
            drop(std::fs::remove_file(&pull.path));
            if again && !pull.stored {
                continue;
            }
            crate::failpoint::Point::SpoolRelease.pass();
            if let Err(error) = pull.part.forget().await {
                tracing::warn!(%error, run, "cannot let go of spooled pieces");
            }
        }
        if !again {
            // Of an earlier process.
            let of_run = |spooled: &Spooled| spooled.name.strip_prefix(run).is_some_and(|rest| rest.starts_with('/'));
            self.forget(self.spooled().into_iter().filter(of_run));
        }
    }

    /// What is spooled of pulls, of all runs.
    pub fn spooled(&self) -> Vec<Spooled> {
        self.spool.spooled()
    }

    /// Lets go of spooled pieces that nobody in this process is at work with; gives how many pulls it were. What does not go now goes when it
    /// is asked for again.
    pub fn forget(&self, spooled: impl IntoIterator<Item = Spooled>) -> usize {
        let mut gone = 0;
        for spooled in spooled {
            // Held meanwhile: a pull that begins now finds them gone, or counts on them and keeps them.
            let pulls = self.pulls();
            let at_work = |pull: &PullHere| pull.is_at_work() && pull.part.name() == &*spooled.name;
            if !pulls.values().flatten().any(at_work) && self.spool.forget(&spooled) {
                gone += 1;
            }
        }
        gone
    }

    /// Removes files in the making that a death left: each is made anew when its pull goes on. Before anything is pulled.
    pub fn tidy(&self) {
        if let Err(error) = std::fs::remove_dir_all(self.folder.join(PARTS))
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "cannot remove files in the making");
        }
    }

    fn pulls(&self) -> MutexGuard<'_, HashMap<String, Vec<PullHere>>> {
        self.pulls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a pull until its run is over; it is at work as long as what is given lives.
    fn begun(&self, run: &str, landing: &Landing) -> Arc<()> {
        let at_work = Arc::new(());
        let (part, path) = (landing.part().clone(), landing.path().to_owned());
        let this = PullHere { part, path, stored: false, at_work: Arc::downgrade(&at_work) };
        let mut pulls = self.pulls();
        let pulls = pulls.entry(run.to_owned()).or_default();
        pulls.retain(|pull| pull.part.name() != this.part.name());
        pulls.push(this);
        at_work
    }

    /// A pull's file is in the file store.
    fn stored(&self, run: &str, part: &SpoolPart) {
        let mut pulls = self.pulls();
        let this = pulls.get_mut(run).and_then(|pulls| pulls.iter_mut().find(|pull| pull.part.name() == part.name()));
        this.into_iter().for_each(|pull| pull.stored = true);
    }
}
