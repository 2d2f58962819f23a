//! The simulated journal: the real one in memory behind a log of all that was written, so that it can lose the end of it.

use crate::counts::Struck;
use crate::ground::{Ground, Violation};
use crate::mutant::Mutant;
use packhorse::store::{Append, AppendError, Claim, Journal, MemoryJournal, Seq, StoreError, StoredCheckpoint, Token};
use packhorse_core::run::RunId;
use std::collections::BTreeMap;

/// One thing written.
#[derive(Debug, Clone)]
enum Entry {
    Claimed(Claim),
    Appended(Append),
}

/// See the file.
#[derive(Debug, Default)]
pub(crate) struct Store {
    journal: MemoryJournal,
    log: Vec<Entry>,
    /// Highest token ever given, and ever written with, by run: seen from outside, it survives whatever the store loses.
    tokens: BTreeMap<RunId, (u64, u64)>,
    /// Records with a flipped bit: run, place, bit.
    flips: BTreeMap<RunId, u64>,
}

impl Store {
    pub(crate) fn claim(&mut self, claim: Claim) -> Result<Token, StoreError> {
        let token = self.journal.claim(&claim.run, &claim.owner, claim.ttl, claim.now)?;
        self.tokens.entry(claim.run.clone()).or_default().0 = token.0;
        self.log.push(Entry::Claimed(claim));
        Ok(token)
    }

    /// Appends in one commit; each stands or falls by itself.
    pub(crate) fn append(
        &mut self,
        batch: &[Append],
        ground: &mut Ground,
    ) -> Result<Vec<Result<Seq, AppendError>>, Violation> {
        let mut results = Vec::with_capacity(batch.len());
        for append in batch {
            let mut append = append.clone();
            let newest = self.tokens.get(&append.run).map_or(0, |(given, _)| *given);
            if ground.is(Mutant::NoFence) && append.token.0 != newest {
                append.token = Token(newest);
                append.expected = self.journal.read(&append.run, 0).map_or(0, |facts| facts.len() as u64);
                self.fenced(&append, 0)?;
            }
            if ground.is(Mutant::LosesAFact) && append.facts.len() > 3 {
                append.facts.remove(1);
            }
            if ground.is(Mutant::AppliesTwice) && append.facts.len() == 1 {
                append.facts.push(append.facts[0].clone());
            }
            let result = self.journal.append_many(std::slice::from_ref(&append)).expect("memory").remove(0);
            match &result {
                Ok(_) => {
                    self.fenced(&append, append.token.0)?;
                    ground.counts.facts += append.facts.len() as u64;
                    ground.counts.checkpoints += u64::from(append.checkpoint.is_some());
                    self.log.push(Entry::Appended(append));
                }
                Err(_) => ground.counts.add(Struck::Fenced),
            }
            results.push(result);
        }
        Ok(results)
    }

    /// O4: who writes has the newest claim.
    fn fenced(&mut self, append: &Append, token: u64) -> Result<(), Violation> {
        let (given, written) = self.tokens.entry(append.run.clone()).or_default();
        if token < *given || token < *written {
            return Err(format!("O4: {} was written with token {token}, {given} had been given", append.run));
        }
        *written = token;
        Ok(())
    }

    /// O4: a session opens under the newest claim.
    pub(crate) fn holds(&self, run: &RunId, token: Token) -> Result<(), Violation> {
        match self.tokens.get(run) {
            Some((given, _)) if *given > token.0 => {
                Err(format!("O4: a session of {run} opens under claim {}, {given} had been given", token.0))
            }
            _ => Ok(()),
        }
    }

    /// Facts as they lie there; an error where a record does not have its checksum.
    pub(crate) fn read(&self, run: &RunId, ground: &Ground) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut facts = self.journal.read(run, 0)?;
        if let Some(place) = self.flips.get(run) {
            let at = (*place as usize) % facts.len().max(1);
            if let Some(fact) = facts.get_mut(at) {
                let middle = fact.len() / 2;
                fact[middle] ^= 1;
                if !ground.is(Mutant::BelievesFlips) {
                    return Err(StoreError::Damaged { what: format!("fact {at} of {run}") });
                }
            }
        }
        Ok(facts)
    }

    pub(crate) fn facts(&self, run: &RunId) -> Vec<Vec<u8>> {
        self.journal.read(run, 0).unwrap_or_default()
    }

    pub(crate) fn checkpoint(&self, run: &RunId) -> Option<StoredCheckpoint> {
        self.journal.checkpoint(run).ok().flatten()
    }

    pub(crate) fn unfinished(&self) -> Vec<RunId> {
        self.journal.unfinished(None, 10_000).unwrap_or_default()
    }

    /// A bit flips in a record of this run; every reader shall see it.
    pub(crate) fn flip(&mut self, run: &RunId, place: u64) {
        self.flips.insert(run.clone(), place);
    }

    /// A failover: the last writes were never copied.
    pub(crate) fn fail_over(&mut self, lost: usize, ground: &mut Ground) {
        let keep = self.log.len().saturating_sub(lost);
        if keep < self.log.len() {
            ground.counts.add(Struck::LostWrites);
        }
        self.log.truncate(keep);
        self.journal = MemoryJournal::default();
        self.tokens.clear();
        for entry in &self.log {
            match entry {
                Entry::Claimed(claim) => {
                    if let Ok(token) = self.journal.claim(&claim.run, &claim.owner, claim.ttl, claim.now) {
                        self.tokens.entry(claim.run.clone()).or_default().0 = token.0;
                    }
                }
                Entry::Appended(append) => drop(self.journal.append_many(std::slice::from_ref(append))),
            }
        }
    }

    /// The newest checkpoints are gone (evicted, flushed), the facts are there.
    pub(crate) fn lose_checkpoints(&mut self, ground: &mut Ground) {
        ground.counts.add(Struck::LostProgress);
        for entry in &mut self.log {
            if let Entry::Appended(append) = entry {
                append.checkpoint = None;
            }
        }
        self.fail_over(0, ground);
    }
}
