//! What must hold, whatever happens: `faults.md` O1 to O11, seen from outside the runners.

use crate::ground::Violation;
use crate::mutant::Mutant;
use packhorse::store::Append;
use packhorse_core::effect::KvRequest;
use packhorse_core::run::{Created, EffectId, Fact, FinalStatus, Record, RunId};
use packhorse_core::transfer::Span;
use std::collections::{BTreeMap, BTreeSet};

/// What is known of one run from outside.
pub(crate) struct Known {
    pub(crate) created: Created,
    pub(crate) device: usize,
    /// Codes of failures that were caused, and permit a failed end.
    pub(crate) excuses: BTreeSet<String>,
    pub(crate) cancelled: bool,
    /// Times that something under way was cut.
    pub(crate) interruptions: u64,
    /// Times that the bus was away for a moment: what was on its way then may be sent again.
    pub(crate) reconnects: u64,
    /// Times that a runner took it up.
    pub(crate) recoveries: u64,
    pub(crate) over: Option<FinalStatus>,
    pub(crate) begun: bool,
    epochs: Vec<u32>,
    sent: u64,
}

/// See the file.
#[derive(Default)]
pub(crate) struct Oracle {
    pub(crate) runs: Vec<Known>,
    by_id: BTreeMap<RunId, usize>,
    /// Stands in every file, and nowhere else.
    pub(crate) canary: String,
    pub(crate) healed: bool,
    quarantined: BTreeSet<RunId>,
    keyed: BTreeMap<String, String>,
    uploads: BTreeSet<String>,
    /// Durable records seen at a recovery.
    pub(crate) rewinds: bool,
}

impl Oracle {
    pub(crate) fn new(canary: String) -> Self {
        Self { canary, ..Self::default() }
    }

    pub(crate) fn add(&mut self, created: Created, device: usize) {
        self.by_id.insert(created.run.clone(), self.runs.len());
        self.runs.push(Known {
            created,
            device,
            excuses: BTreeSet::new(),
            cancelled: false,
            interruptions: 0,
            reconnects: 0,
            recoveries: 0,
            over: None,
            begun: false,
            epochs: Vec::new(),
            sent: 0,
        });
    }

    pub(crate) fn index(&self, run: &RunId) -> Result<usize, Violation> {
        self.by_id.get(run).copied().ok_or_else(|| format!("nobody began {run}"))
    }

    /// O11: no byte of a file, raw, in what is kept or told.
    pub(crate) fn written(&self, append: &Append) -> Result<(), Violation> {
        let checkpoint = append.checkpoint.iter().map(|kept| &kept.bytes);
        let leak = append.facts.iter().chain(checkpoint).any(|bytes| holds(bytes, self.canary.as_bytes()));
        if leak { Err(format!("O11: the canary is in the journal of {}", append.run)) } else { Ok(()) }
    }

    pub(crate) fn said(&self, line: &str) -> Result<(), Violation> {
        if holds(line.as_bytes(), self.canary.as_bytes()) {
            Err(format!("O11: the canary was told: {line}"))
        } else {
            Ok(())
        }
    }

    /// Journal first: what begins was announced by a durable fact.
    pub(crate) fn begins(&self, id: &EffectId, facts: &[Vec<u8>]) -> Result<(), Violation> {
        let announced =
            facts.iter().rev().filter_map(|fact| Record::decode(fact).ok()).any(|record| match record.fact {
                Fact::AttemptStarted { step, round, attempt, .. } => {
                    (step.as_str(), round, attempt) == (id.step.as_str(), id.round, id.attempt)
                }
                _ => false,
            });
        if announced { Ok(()) } else { Err(format!("O7: {id} begins, and no durable fact announces it")) }
    }

    /// O7: what is keyed is the same under replay: one step of one run sets one value.
    pub(crate) fn keyed(&mut self, id: &EffectId, request: &KvRequest) -> Result<(), Violation> {
        let value = format!("{request:?}");
        let before = self.keyed.insert(format!("{}/{}/{}", id.run, id.step, id.round), value.clone());
        match before {
            Some(before) if before != value && !self.rewinds => {
                Err(format!("O7: {id} did {before} first and {value} now"))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn uploaded(&mut self, uri: &str) {
        self.uploads.insert(uri.to_owned());
    }

    /// O10: a record that was read is written back as the same bytes.
    pub(crate) fn recovered(&self, run: &RunId, records: &[Record], facts: &[Vec<u8>]) -> Result<(), Violation> {
        let same = records.iter().zip(facts).all(|(record, fact)| record.encode() == *fact);
        if same { Ok(()) } else { Err(format!("O10: a record of {run} is not written back as it was read")) }
    }

    pub(crate) fn was_taken_up(&self, index: usize) -> bool {
        self.runs[index].recoveries > 0
    }

    /// O4: the epochs of a run's sessions grow.
    pub(crate) fn opened(&mut self, index: usize, epoch: u32, mutant: Option<Mutant>) -> Result<(), Violation> {
        let known = &mut self.runs[index];
        let epoch =
            if mutant == Some(Mutant::SameEpoch) { known.epochs.first().copied().unwrap_or(epoch) } else { epoch };
        if let Some(last) = known.epochs.last()
            && !packhorse_core::epoch::later(epoch, *last)
        {
            return Err(format!("O4: a session of epoch {epoch} after one of {last}"));
        }
        known.epochs.push(epoch);
        Ok(())
    }

    pub(crate) fn first_epoch(&self, index: usize, epoch: u32) -> Result<u32, Violation> {
        Ok(self.runs[index].epochs.first().copied().unwrap_or(epoch))
    }

    pub(crate) fn sessions(&self, index: usize) -> u64 {
        self.runs[index].epochs.len() as u64
    }

    pub(crate) fn sends(&mut self, index: usize, span: Span) -> Result<(), Violation> {
        self.runs[index].sent += span.len();
        Ok(())
    }

    pub(crate) fn sent(&self, index: usize) -> u64 {
        self.runs[index].sent
    }

    /// O9: nothing grows without bound.
    pub(crate) fn queue(&self, length: usize) -> Result<(), Violation> {
        // One act may say what a codec makes of a batch on top of a full queue.
        let most = crate::broker::OUTBOX;
        if length > most { Err(format!("O9: {length} messages wait for the bus, at most {most} may")) } else { Ok(()) }
    }

    pub(crate) fn quarantine(&mut self, run: &RunId) {
        self.quarantined.insert(run.clone());
    }

    pub(crate) fn is_quarantined(&self, run: &RunId) -> bool {
        self.quarantined.contains(run)
    }

    /// Whether nothing more is awaited.
    pub(crate) fn all_over(&self) -> bool {
        self.runs.iter().all(|run| run.over.is_some() || self.quarantined.contains(&run.created.run))
    }

    pub(crate) fn awaited(&self) -> Vec<String> {
        let awaited = self.runs.iter().filter(|run| run.over.is_none() && !self.quarantined.contains(&run.created.run));
        awaited.map(|run| format!("{} ({})", run.created.run, run.created.workflow)).collect()
    }
}

fn holds(bytes: &[u8], canary: &[u8]) -> bool {
    let Some(first) = canary.first() else { return false };
    bytes.len() >= canary.len()
        && bytes.iter().enumerate().any(|(at, byte)| byte == first && bytes[at..].starts_with(canary))
}
