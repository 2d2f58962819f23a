//! Brings changes to the server, each batch as one script, and knows a batch again whose answer was lost.

use super::change::{self, Change, Changes, Sealed};
use super::{End, MOST_ROWS, RedisJournal, State, script};
use crate::store::journal::{Append, AppendError, Claim, Mark, Seq, StoreError, Token};
use crate::store::row::Row;
use crate::store::wall;
use packhorse_core::run::RunId;
use redis::Script;
use std::collections::HashSet;
use std::time::Duration;

/// A claim on a run that never got a fact is forgotten after so long.
const CLAIM_LIFE: Duration = Duration::from_secs(86_400);
/// How often a batch may find rows changed by others before that is an error: each time somebody else got something done.
const MOST_TURNS: u32 = 1_000;

/// What the server made of a commit.
enum Committed {
    Done,
    /// Rows are others than known; they are known now.
    Stale,
    /// Facts of this run are missing; nothing was done.
    Damaged(RunId),
}

impl RedisJournal {
    pub(super) fn commit_appends(&self, batch: &[Append]) -> Result<Vec<Result<Seq, AppendError>>, StoreError> {
        let mut state = self.writable()?;
        let runs: HashSet<&RunId> = batch.iter().map(|append| &append.run).collect();
        self.know(&mut state, runs.iter().copied())?;
        let (mut looked_again, mut damaged) = (false, HashSet::new());
        for _ in 0..MOST_TURNS {
            let (judged, changes) = change::appends(batch, &state.rows, &damaged);
            if judged.iter().any(Result::is_err) && !looked_again {
                // Refused by what was known: look whether that is still so.
                looked_again = true;
                runs.iter().for_each(|run| drop(state.rows.remove(*run)));
                self.know(&mut state, runs.iter().copied())?;
                continue;
            }
            if changes.is_empty() {
                return Ok(judged);
            }
            match self.commit(&mut state, &changes)? {
                Committed::Done => return Ok(judged),
                Committed::Stale => {}
                // It fails alone.
                Committed::Damaged(run) => drop(damaged.insert(run)),
            }
        }
        Err(contended())
    }

    pub(super) fn commit_claims(&self, claims: &[Claim]) -> Result<Vec<Result<Token, StoreError>>, StoreError> {
        let mut state = self.writable()?;
        let runs: HashSet<&RunId> = claims.iter().map(|claim| &claim.run).collect();
        for _ in 0..MOST_TURNS {
            // Others claim too: what is known from before is worth little here.
            runs.iter().for_each(|run| drop(state.rows.remove(*run)));
            self.know(&mut state, runs.iter().copied())?;
            let alive = self.living_owners(&state, &runs)?;
            let (tokens, changes) = claimed(claims, &state, &alive);
            if changes.is_empty() {
                return Ok(tokens);
            }
            if let Committed::Done = self.commit(&mut state, &changes)? {
                return Ok(tokens);
            }
        }
        Err(contended())
    }

    pub(super) fn commit_forgotten(&self, run: &RunId, token: Token) -> Result<Result<(), AppendError>, StoreError> {
        let mut state = self.writable()?;
        for _ in 0..MOST_TURNS {
            state.rows.remove(run);
            self.know(&mut state, [run].into_iter())?;
            let before = state.rows.get(run).cloned().unwrap_or_default();
            let row = change::open(run, &before)?;
            if let Err(refused) = Row::forgettable(row.as_ref(), run, token) {
                return Ok(Err(refused));
            }
            let changes = Changes::from([(run.clone(), Change::new(before, None))]);
            if let Committed::Done = self.commit(&mut state, &changes)? {
                return Ok(Ok(()));
            }
        }
        Err(contended())
    }

    fn writable(&self) -> Result<std::sync::MutexGuard<'_, State>, StoreError> {
        let state = self.state();
        match state.end {
            None => Ok(state),
            Some(End::Lost) => Err(self.lost_writes()),
            Some(End::Failed) => Err(StoreError::Stopped),
        }
    }

    pub(super) fn lost_writes(&self) -> StoreError {
        StoreError::LostWrites { store: format!("the Redis server {}", self.lines().server()) }
    }

    /// Reads rows that are not known.
    fn know<'a>(&self, state: &mut State, runs: impl Iterator<Item = &'a RunId>) -> Result<(), StoreError> {
        if state.rows.len() > MOST_ROWS {
            state.rows.clear();
        }
        let unknown: Vec<&RunId> = runs.filter(|run| !state.rows.contains_key(*run)).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = unknown.iter().map(|run| self.keys().row(run)).collect();
        let rows: Vec<Option<Sealed>> =
            self.lines().patiently("read runs", |connection| redis::cmd("MGET").arg(&names).query(connection))?;
        for (run, row) in unknown.into_iter().zip(rows) {
            state.rows.insert(run.clone(), row.unwrap_or_default());
        }
        Ok(())
    }

    /// Of the owners of these runs, those whose process lives; without our own.
    fn living_owners(&self, state: &State, runs: &HashSet<&RunId>) -> Result<HashSet<String>, StoreError> {
        let mut owners = HashSet::new();
        for run in runs {
            let row = state.rows.get(*run).map(|sealed| change::open(run, sealed));
            // Of a damaged one nobody knows.
            owners.extend(
                row.and_then(|row| row.ok().flatten())
                    .map(|row| row.owner().to_owned())
                    .filter(|owner| *owner != self.shared.owner),
            );
        }
        if owners.is_empty() {
            return Ok(owners);
        }
        let names: Vec<String> = owners.iter().map(|owner| self.keys().lease(owner)).collect();
        let leases: Vec<Option<String>> =
            self.lines().patiently("look at leases", |connection| redis::cmd("MGET").arg(&names).query(connection))?;
        Ok(owners.into_iter().zip(leases).filter(|(_, lease)| lease.is_some()).map(|(owner, _)| owner).collect())
    }

    fn commit(&self, state: &mut State, changes: &Changes) -> Result<Committed, StoreError> {
        let after = format!("{}:{}", state.generation + 1, self.shared.boot);
        let script = Script::new(script::COMMIT);
        let mut call = script.prepare_invoke();
        call.key(self.keys().writer(&self.shared.owner)).key(self.keys().all()).key(self.keys().unfinished());
        call.arg(self.keys().prefix()).arg(&state.mark).arg(&after).arg(changes.len());
        changes.iter().for_each(|(run, change)| arguments(&mut call, run, change));
        let answer: Vec<Vec<u8>> = self
            .lines()
            .patiently("commit facts", |connection| call.invoke(connection))
            // Its number must not be given to another commit: the server may have made this one.
            .inspect_err(|_| state.end = Some(End::Failed))?;
        match answer.first().map(Vec::as_slice) {
            Some(done @ (b"done" | b"again")) => {
                if done == b"again" {
                    tracing::info!(server = self.lines().server(), "a commit whose answer was lost had been made");
                }
                state.generation += 1;
                state.mark = after;
                state.remembered.confirm(state.generation);
                for (run, change) in changes {
                    state.rows.insert(run.clone(), change.sealed_after(run));
                }
                Ok(Committed::Done)
            }
            Some(b"stale") => {
                for pair in answer[1..].chunks_exact(2) {
                    let run = String::from_utf8_lossy(&pair[0]).parse();
                    let run: RunId = run.map_err(|_| StoreError::damaged("the answer of the Redis server"))?;
                    state.rows.insert(run, pair[1].clone());
                }
                Ok(Committed::Stale)
            }
            Some(b"damaged") => {
                let run = answer.get(1).map(|run| String::from_utf8_lossy(run).into_owned()).unwrap_or_default();
                tracing::error!(run, "facts of a run are missing on the Redis server");
                let known = run.parse().ok().filter(|run| changes.contains_key(run));
                known.map(Committed::Damaged).ok_or_else(|| StoreError::damaged("the answer of the Redis server"))
            }
            _ => Err(self.regressed(state, answer.get(1).map(Vec::as_slice).unwrap_or_default())),
        }
    }

    /// The generation is not what our last commit left.
    fn regressed(&self, state: &mut State, found: &[u8]) -> StoreError {
        state.end = Some(End::Lost);
        let found = String::from_utf8_lossy(found);
        tracing::error!(
            server = self.lines().server(),
            expected = state.mark,
            %found,
            "the Redis server has lost writes that it had confirmed: nothing more is written"
        );
        match state.remembered.doubt(wall()) {
            Ok(()) => self.lost_writes(),
            Err(error) => error,
        }
    }
}

fn arguments(call: &mut redis::ScriptInvocation<'_>, run: &RunId, change: &Change) {
    let mark = match (&change.after, change.mark) {
        (None, _) => "d",
        (Some(_), Some(Mark::Unfinished)) => "u",
        (Some(_), Some(Mark::Finished)) => "f",
        (Some(_), None) => "",
    };
    let life = if change.after.as_ref().is_some_and(|row| row.count == 0) { CLAIM_LIFE.as_millis() } else { 0 };
    call.arg(run.as_str()).arg(&change.before).arg(change.sealed_after(run)).arg(mark);
    call.arg(life.to_string()).arg(change.from).arg(change.facts.len());
    for fact in &change.facts {
        call.arg(fact);
    }
    match &change.checkpoint {
        Some(checkpoint) => call.arg(1).arg(checkpoint),
        None => call.arg(0),
    };
}

fn claimed(claims: &[Claim], state: &State, alive: &HashSet<String>) -> (Vec<Result<Token, StoreError>>, Changes) {
    let mut changes = Changes::new();
    let mut tokens = Vec::with_capacity(claims.len());
    for claim in claims {
        let before = state.rows.get(&claim.run).cloned().unwrap_or_default();
        let known = changes.get(&claim.run).map(|change: &Change| Ok(change.after.clone()));
        let row = match known.unwrap_or_else(|| change::open(&claim.run, &before)) {
            Ok(row) => row,
            Err(damaged) => {
                tokens.push(Err(damaged));
                continue;
            }
        };
        if let Some(row) = row.as_ref().filter(|row| row.owner() != claim.owner && alive.contains(row.owner())) {
            tokens.push(Err(StoreError::Held { run: claim.run.clone(), owner: row.owner().to_owned() }));
            continue;
        }
        match Row::claimed(row, claim) {
            Ok(row) => {
                tokens.push(Ok(row.token()));
                changes.entry(claim.run.clone()).or_insert_with(|| Change::new(before, None)).after = Some(row);
            }
            Err(held) => tokens.push(Err(held)),
        }
    }
    (tokens, changes)
}

fn contended() -> StoreError {
    StoreError::failed("commit to the journal on Redis", "other processes keep changing the same runs")
}
