//! What one run has told the journal: its facts in order, its newest checkpoint, under one token. Pure.

use crate::link::Kept;
use crate::store::{Append, Mark, StoredCheckpoint, Token};
use packhorse_core::run::{EffectId, Record, Run};

/// One run and its place in the journal.
#[derive(Debug)]
pub struct Course {
    /// The run.
    pub run: Run,
    token: Token,
    /// Facts handed to the writer.
    appended: u64,
    checkpoint: Option<StoredCheckpoint>,
    /// Whether the checkpoint is newer than what the writer has.
    unsaved: bool,
}

impl Course {
    /// A run of which the journal holds `appended` facts and this checkpoint, claimed under `token`.
    pub fn new(run: Run, token: Token, appended: u64, checkpoint: Option<StoredCheckpoint>) -> Self {
        Self { run, token, appended, checkpoint, unsaved: false }
    }

    /// The next append: these facts, and the checkpoint where it is new.
    pub fn append(&mut self, facts: &[Record]) -> Append {
        let expected = self.appended;
        self.appended += facts.len() as u64;
        let unsaved = std::mem::take(&mut self.unsaved);
        Append {
            run: self.run.state().created.run.clone(),
            token: self.token,
            expected,
            facts: facts.iter().map(Record::encode).collect(),
            checkpoint: self.checkpoint.clone().filter(|_| unsaved),
            mark: if self.run.state().is_finished() { Mark::Finished } else { Mark::Unfinished },
        }
    }

    /// An append of nothing at all: it is refused where the claim does not hold any more.
    pub fn nothing(&self) -> Append {
        let run = self.run.state().created.run.clone();
        let (facts, mark) = (Vec::new(), Mark::Unfinished);
        Append { run, token: self.token, expected: self.appended, facts, checkpoint: None, mark }
    }

    /// The checkpoint that a job of this step and round goes on from.
    pub fn checkpoint_for(&self, id: &EffectId) -> Option<Vec<u8>> {
        let kept = self.checkpoint.as_ref()?;
        let fits = kept.step == id.step && kept.round == id.round && !kept.bytes.is_empty();
        fits.then(|| kept.bytes.clone())
    }

    /// Whether a checkpoint of it was kept in this round, be it one that was thrown away since.
    pub fn has_kept(&self, id: &EffectId) -> bool {
        self.checkpoint.as_ref().is_some_and(|kept| kept.step == id.step && kept.round == id.round)
    }

    /// Bytes that the step at work had done by its checkpoint; 0 where there is none.
    pub fn done(&self) -> u64 {
        let current = self.run.state().current_step();
        let kept = self
            .checkpoint
            .as_ref()
            .filter(|kept| current.is_some_and(|(step, state)| kept.step == step && kept.round == state.round));
        let kept = kept.and_then(|kept| Kept::read(&kept.bytes)?.checkpoint());
        kept.map_or(0, |checkpoint| checkpoint.done.covered())
    }

    /// The newest checkpoint.
    pub fn checkpoint(&self) -> Option<&StoredCheckpoint> {
        self.checkpoint.as_ref()
    }

    /// Takes a newer checkpoint; it goes with the next append.
    pub fn keep_checkpoint(&mut self, id: &EffectId, bytes: Vec<u8>) {
        self.checkpoint = Some(StoredCheckpoint { step: id.step.clone(), round: id.round, bytes });
        self.unsaved = true;
    }

    /// Whether there is a checkpoint that the writer does not have.
    pub fn has_unsaved(&self) -> bool {
        self.unsaved
    }
}
