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
pub use outside::{Meter, NoMeter, PlainShelf, Pulled, Shelf};
pub use rejects::Rejected;
pub use settle::{MESSAGE_LIMIT, Settled, packet, payload, piece_limit, settle, still_fits};
pub use spool::{Assembled, Spool, SpoolError, SpoolNote, SpoolPart};
pub use talk::{End, Next, Talk};
pub use turns::session_epoch;

use crate::blob::Contents;
use crate::bus::Bus;
use crate::store::KeyValue;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

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
    /// Spooled pieces of pulls that are stored, until their run's outcome is durable.
    stored: Mutex<HashMap<String, Vec<SpoolPart>>>,
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
        Self { bus, contents, spool, folder, turns: turns::Turns::default(), epochs, stored: Mutex::default() }
    }

    /// Lets go of the spooled pieces of a run whose end is durable.
    pub async fn release(&self, run: &str) {
        let parts = self.stored.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(run);
        for part in parts.unwrap_or_default() {
            crate::failpoint::Point::SpoolRelease.pass();
            if let Err(error) = part.forget().await {
                tracing::warn!(%error, run, "cannot let go of spooled pieces");
            }
        }
    }
}
