//! Where the bytes of a pull land: the spool, then one file, then the file store or the quarantine.

use super::spool::{Assembled, Spool, SpoolError, SpoolNote, SpoolPart};
use crate::failpoint::Point;
use packhorse_core::failure::{Class, Failure, chain};
use packhorse_core::transfer::{Algorithm, Intervals, Span};
use std::path::{Path, PathBuf};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// One pull's bytes on this side.
#[derive(Debug)]
pub(super) struct Landing {
    part: SpoolPart,
    notes: mpsc::UnboundedReceiver<SpoolNote>,
    /// The file that is made of the pieces.
    path: PathBuf,
    /// Digests to compute beside MD5 and SHA-256.
    beside: Vec<Algorithm>,
    /// Writes whose note has not come yet.
    pending: usize,
    /// Of these, writes from before a truncation: their notes are not told.
    void: usize,
    assembling: Option<JoinHandle<Result<Assembled, SpoolError>>>,
    /// What the file is, once it is made.
    pub(super) made: Option<Assembled>,
}

/// What happened here.
pub(super) enum Woken {
    Note(Option<SpoolNote>),
    Digests(Result<Assembled, Failure>),
}

impl Landing {
    /// The landing of the transfer that `name` names; its file is made in `folder`.
    pub(super) fn new(spool: &Spool, name: &str, folder: &Path, beside: Vec<Algorithm>) -> Self {
        let (part, notes) = spool.part(name);
        let file: String =
            name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect();
        Self { part, notes, path: folder.join(file), beside, pending: 0, void: 0, assembling: None, made: None }
    }

    /// What is durable from before.
    pub(super) fn held(&self) -> Intervals {
        self.part.held()
    }

    pub(super) async fn woken(&mut self) -> Woken {
        let assembling = self.assembling.as_mut();
        tokio::select! {
            biased;
            note = self.notes.recv(), if self.pending > 0 => Woken::Note(note),
            made = async { match assembling { Some(task) => task.await, None => std::future::pending().await } } => {
                self.assembling = None;
                Woken::Digests(match made {
                    Ok(made) => made.map_err(|error| failure(&error)),
                    Err(error) => Err(Failure::new("PH9002", Class::Bug, format!("assembling a file stopped: {error}"))),
                })
            }
        }
    }

    pub(super) async fn write(&mut self, offset: u64, bytes: Vec<u8>) -> Result<(), Failure> {
        self.part.write(offset, bytes).await.map_err(|error| failure(&error))?;
        self.pending += 1;
        Ok(())
    }

    pub(super) async fn truncate(&mut self) -> Result<(), Failure> {
        self.void = self.pending;
        self.made = None;
        self.part.truncate().await.map_err(|error| failure(&error))
    }

    /// Takes in a note and all that are here with it; gives what is durable.
    pub(super) fn durable(&mut self, span: Span) -> Vec<Span> {
        let mut spans = Vec::new();
        let mut next = Some(SpoolNote::Durable(span));
        while let Some(SpoolNote::Durable(span)) = next {
            self.pending = self.pending.saturating_sub(1);
            if self.void > 0 {
                self.void -= 1;
            } else {
                spans.push(span);
            }
            next = if self.pending > 0 { self.notes.try_recv().ok() } else { None };
        }
        spans
    }

    /// Begins to make the file; [`Woken::Digests`] tells its end.
    pub(super) fn assemble(&mut self, size: u64) {
        let (part, path, beside) = (self.part.clone(), self.path.clone(), self.beside.clone());
        self.assembling = Some(tokio::task::spawn_blocking(move || {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder).map_err(|source| SpoolError::Io {
                    action: "create",
                    path: folder.to_owned(),
                    source,
                })?;
            }
            Point::PullAssemble.attempt().map_err(super::spool::failed("assemble", &path))?;
            let made = part.assemble(size, &path, &beside);
            Point::PullAssembled.pass();
            made
        }));
    }

    /// The finished file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The pieces.
    pub(super) fn part(&self) -> &SpoolPart {
        &self.part
    }

    /// Moves a file that is not what the device said into `quarantine`, and voids its bytes.
    pub(super) async fn quarantine(&self, quarantine: &Path) -> Result<PathBuf, Failure> {
        let to = quarantine.join(self.path.file_name().unwrap_or_default());
        let moved = std::fs::create_dir_all(quarantine)
            .and_then(|()| Point::PullQuarantine.attempt())
            .and_then(|()| std::fs::rename(&self.path, &to));
        moved.map_err(|source| failure(&SpoolError::Io { action: "quarantine", path: self.path.clone(), source }))?;
        Point::PullQuarantined.pass();
        self.part.truncate().await.map_err(|error| failure(&error))?;
        Ok(to)
    }

    /// Lets go of the made file; the pieces stay until the run has its outcome in the journal.
    pub(super) fn finish(self) -> SpoolPart {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "cannot remove a file that was stored");
        }
        self.part
    }
}

fn failure(error: &SpoolError) -> Failure {
    Failure::new("PH5104", Class::Operator, chain(error))
        .hint("make room or mend the disk under the data folder, then `packhorse resume`")
}
