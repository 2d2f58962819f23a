//! Taking runs from the journal: claims, reads and decodes beside the engine's thread, which only sees the outcome.

use super::command::Signal;
use super::handle::EngineError;
use crate::store::{Claim, Journal, StoreError, StoredCheckpoint, Token, Writer};
use packhorse_core::run::{Created, Fact, Record, RunId, RunState};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

/// For how long a run is claimed. The embedded journal's owner is always the same, so that nobody waits for it there.
pub(super) const CLAIM: Duration = Duration::from_secs(30);

/// A run as it lies in the journal.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) records: Vec<Record>,
    /// Of the workflow, if it is still there.
    pub(super) source: Option<Vec<u8>>,
}

impl Stored {
    pub(super) fn created(&self) -> &Created {
        match &self.records[0].fact {
            Fact::Created(created) => created,
            _ => unreachable!("reading has folded the records"),
        }
    }
}

/// A run that was claimed and read.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) token: Token,
    pub(super) stored: Stored,
    pub(super) checkpoint: Option<StoredCheckpoint>,
}

/// Reads a run; blocks.
pub(super) fn read(journal: &dyn Journal, run: &RunId) -> Result<(Stored, RunState), EngineError> {
    let unreadable = |why: String| EngineError::Unreadable { run: run.clone(), why };
    let facts = journal.read(run, 0)?;
    if facts.is_empty() {
        return Err(match journal.losses().len() {
            0 => EngineError::Unknown(run.clone()),
            times => EngineError::Lost { run: run.clone(), times },
        });
    }
    let records: Result<Vec<Record>, _> = facts.iter().map(|fact| Record::decode(fact)).collect();
    let records = records.map_err(|error| unreadable(error.to_string()))?;
    let state = RunState::fold(&records).map_err(|error| unreadable(error.to_string()))?;
    let source = journal.get_object(&state.created.digest)?;
    Ok((Stored { records, source }, state))
}

/// What a loader works with.
#[derive(Clone)]
pub(super) struct Loader {
    pub(super) journal: Arc<dyn Journal>,
    pub(super) writer: Writer,
    pub(super) signals: UnboundedSender<Signal>,
    pub(super) jobs: tokio::runtime::Handle,
}

impl Loader {
    /// Claims and reads a run; tells the engine.
    pub(super) fn load(&self, claim: Claim) {
        let loader = self.clone();
        self.jobs.spawn(async move {
            let run = claim.run.clone();
            let loaded = loader.claim_and_read(claim).await;
            // An engine that is gone takes nothing up.
            let _ = loader.signals.send(Signal::Loaded { run, loaded });
        });
    }

    /// Keeps the workflow of a new run and claims the run; tells the engine.
    pub(super) fn prepare(&self, claim: Claim, digest: String, source: Vec<u8>) {
        let loader = self.clone();
        self.jobs.spawn(async move {
            let run = claim.run.clone();
            let claimed = loader.keep_and_claim(claim, digest, source).await;
            let _ = loader.signals.send(Signal::Claimed { run, claimed });
        });
    }

    async fn keep_and_claim(&self, claim: Claim, digest: String, source: Vec<u8>) -> Result<Token, EngineError> {
        let (journal, now) = (self.journal.clone(), claim.now);
        blocking(move || Ok(journal.put_object(&digest, &source, now)?)).await?;
        crate::failpoint::Point::SourceKept.pass();
        self.claim(claim).await
    }

    async fn claim_and_read(&self, claim: Claim) -> Result<Loaded, EngineError> {
        let run = claim.run.clone();
        let token = self.claim(claim).await?;
        let journal = self.journal.clone();
        blocking(move || {
            let (stored, _) = read(&*journal, &run)?;
            Ok(Loaded { token, stored, checkpoint: journal.checkpoint(&run)? })
        })
        .await
    }

    async fn claim(&self, claim: Claim) -> Result<Token, EngineError> {
        let (told, claimed) = oneshot::channel();
        self.writer.claim(claim, move |token| drop(told.send(token)));
        Ok(claimed.await.unwrap_or(Err(StoreError::Stopped))?)
    }
}

/// Runs what blocks where it may.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, EngineError> + Send + 'static,
) -> Result<T, EngineError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|stopped| Err(EngineError::Stopped(stopped.to_string())))
}
