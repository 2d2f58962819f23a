//! How a job tells how it goes: a box of its own in which of each kind only the latest note lies (of refused calls all, and a job makes few),
//! and one poke for the engine.

use super::performer::{Note, Progress};
use super::telling::TransferView;
use packhorse_core::grant::RefusedCall;
use packhorse_core::run::RunId;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc::UnboundedSender;

use super::command::Signal;

/// Through which a job tells how it goes. Never blocks; of each kind of note only the latest is kept until the engine looks.
#[derive(Debug, Clone)]
pub struct NoteSender {
    mailbox: Arc<Mailbox>,
    run: RunId,
    ticket: u64,
    /// Never full: a box is poked about once until the engine has emptied it.
    engine: UnboundedSender<Signal>,
}

#[derive(Debug, Default)]
pub(super) struct Mailbox {
    notes: Mutex<Option<Notes>>,
}

/// What has gathered since the engine looked last.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Notes {
    pub(super) checkpoint: Option<Vec<u8>>,
    pub(super) reachable: Option<bool>,
    pub(super) progress: Option<Progress>,
    pub(super) transfer: Option<Box<TransferView>>,
    pub(super) refused: Vec<RefusedCall>,
}

impl Mailbox {
    /// Empties the box.
    pub(super) fn take(&self) -> Option<Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl NoteSender {
    pub(super) fn new(run: RunId, ticket: u64, engine: UnboundedSender<Signal>) -> (Self, Arc<Mailbox>) {
        let mailbox = Arc::new(Mailbox::default());
        (Self { mailbox: mailbox.clone(), run, ticket, engine }, mailbox)
    }

    /// Tells.
    pub fn send(&self, note: Note) {
        let mut kept = self.mailbox.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let first = kept.is_none();
        let notes = kept.get_or_insert_default();
        match note {
            Note::Checkpoint(bytes) => notes.checkpoint = Some(bytes),
            Note::Reachable(reachable) => notes.reachable = Some(reachable),
            Note::Progress(progress) => notes.progress = Some(progress),
            Note::Transfer(view) => notes.transfer = Some(view),
            Note::Refused(call) => notes.refused.push(call),
        }
        drop(kept);
        if first {
            // An engine that is gone needs no notes.
            let _ = self.engine.send(Signal::Noted { run: self.run.clone(), ticket: self.ticket });
        }
    }
}
