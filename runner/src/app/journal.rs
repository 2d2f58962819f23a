//! The journal that the settings choose, with what it promises; and what is done when its store lost writes.

use super::exit::Stop;
use super::redis;
use crate::settings::{RedisAt, RedisServer, Settings, StoreKind};
use crate::store::{
    Append, EmbeddedStore, Fitness, Journal, KeyValue, Mark, RedisIndex, RedisJournal, RedisJournalOptions, Role,
    ServerReport, StoreError, StoredCheckpoint, wall,
};
use packhorse_core::failure::chain;
use packhorse_core::run::{Durability, Fact, Record, RunId};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Name of the embedded store's file in the data folder.
pub(super) const STORE: &str = "store.redb";
/// Name under which the embedded store's runs are claimed: the lock on the folder makes it safe.
const OWNER: &str = "embedded";
/// Runs that are told of a doubt in one go.
const PAGE: usize = 256;
/// A claim for as long as a run is told.
const CLAIM: Duration = Duration::from_secs(30);

/// An open journal.
pub struct Opened {
    /// Runs.
    pub journal: Arc<dyn Journal>,
    /// Our own keys, beside it.
    pub index: Arc<dyn KeyValue>,
    /// Name under which runs are claimed.
    pub owner: String,
    /// What it promises.
    pub durability: Durability,
    /// Where it lies on Redis.
    pub redis: Option<RedisJournal>,
    /// The embedded one, which can keep the keys of workflows too.
    pub(super) embedded: Option<Arc<EmbeddedStore>>,
}

/// Whether there may be runs at all: nothing is made just to look.
pub fn has_runs(settings: &Settings) -> bool {
    match settings.store.kind {
        StoreKind::Embedded => settings.data.join(STORE).is_file(),
        StoreKind::Redis => true,
    }
}

/// Opens the journal of a data folder that the caller has locked; blocks. Exit 69 where it cannot be had, or must not be used.
pub fn open_journal(settings: &Settings) -> Result<Opened, Stop> {
    match (settings.store.kind, &settings.redis) {
        (StoreKind::Redis, RedisAt::Server(server)) => on_redis(settings, server),
        (StoreKind::Embedded, _) | (StoreKind::Redis, RedisAt::Embedded) => embedded(&settings.data),
    }
}

fn embedded(data: &Path) -> Result<Opened, Stop> {
    let store = EmbeddedStore::open(&data.join(STORE)).map_err(|error| match &error {
        StoreError::Locked { .. } => Stop::unavailable("PH1004", chain(&error)),
        _ => Stop::unavailable("PH1003", chain(&error))
            .hint("the data folder holds the state of all runs; restore it from a backup"),
    })?;
    let store = Arc::new(store);
    Ok(Opened {
        journal: store.clone(),
        index: store.clone(),
        owner: OWNER.to_owned(),
        durability: Durability::Synced,
        redis: None,
        embedded: Some(store),
    })
}

fn on_redis(settings: &Settings, server: &RedisServer) -> Result<Opened, Stop> {
    let report = redis::inspected(server, Role::Journal)?;
    let options = RedisJournalOptions {
        journal: settings.store.journal.clone(),
        data: settings.data.clone(),
        patience: settings.store.patience,
    };
    let journal = RedisJournal::open(&redis::settings(server), &options).map_err(|error| cannot_open(&error))?;
    tell_runs(&journal).map_err(|error| cannot_open(&error))?;
    let keys = redis::keys(server)?;
    Ok(Opened {
        index: Arc::new(RedisIndex::new(keys, &settings.store.journal)),
        owner: journal.owner().to_owned(),
        durability: durability(&report),
        journal: Arc::new(journal.clone()),
        redis: Some(journal),
        embedded: None,
    })
}

fn durability(report: &ServerReport) -> Durability {
    if report.syncs_always() { Durability::Synced } else { Durability::Unsynced }
}

fn cannot_open(error: &StoreError) -> Stop {
    match error {
        StoreError::LostWrites { .. } => Stop::unavailable("PH7013", chain(error))
            .hint("start again: the runs are told, and `packhorse resume RUN` goes on by asking the devices"),
        StoreError::Damaged { .. } => {
            Stop::unavailable("PH1022", chain(error)).hint("restore what is named from a backup")
        }
        error if chain(error).contains("maxmemory") => {
            Stop::unavailable("PH7017", format!("the Redis server of the journal is full: {}", chain(error)))
                .hint("raise `maxmemory` on the server, or make room there")
        }
        _ => Stop::unavailable("PH1021", chain(error)).hint("start the Redis server, or use --store embedded"),
    }
}

/// Writes the doubt into every unfinished run that is not at work elsewhere, and drops its checkpoint: the device is asked where it is.
fn tell_runs(journal: &RedisJournal) -> Result<(), StoreError> {
    if !journal.is_in_doubt() {
        return Ok(());
    }
    let (mut told, mut cursor) = (0_u64, None);
    loop {
        let runs = journal.unfinished(cursor.as_ref(), PAGE)?;
        let Some(last) = runs.last() else { break };
        cursor = Some(last.clone());
        for run in &runs {
            told += u64::from(tell(journal, run)?);
        }
    }
    tracing::warn!(runs = told, "the store has lost writes: unfinished runs ask their devices where they are");
    journal.end_doubt()
}

/// Whether the run was told: others tell their own runs, and a damaged one is told when it is read.
fn tell(journal: &RedisJournal, run: &RunId) -> Result<bool, StoreError> {
    let token = match journal.claim(run, journal.owner(), CLAIM, wall()) {
        Ok(token) => token,
        Err(StoreError::Held { .. }) => return Ok(false),
        Err(error @ StoreError::Damaged { .. }) => {
            tracing::error!(%run, %error, "a run is damaged");
            return Ok(false);
        }
        Err(error) => return Err(error),
    };
    let facts = match journal.read(run, 0) {
        Ok(facts) => facts,
        Err(error @ StoreError::Damaged { .. }) => {
            tracing::error!(%run, %error, "a run is damaged");
            return Ok(false);
        }
        Err(error) => return Err(error),
    };
    let last = facts.last().and_then(|fact| Record::decode(fact).ok()).map_or_else(wall, |record| record.at);
    let record = Record::new(wall().max(last), Fact::Doubted);
    let nothing = StoredCheckpoint { step: String::new(), round: 0, bytes: Vec::new() };
    let append = Append {
        run: run.clone(),
        token,
        expected: facts.len() as u64,
        facts: vec![record.encode()],
        checkpoint: Some(nothing),
        mark: Mark::Unfinished,
    };
    match journal.append_many(&[append])?.pop() {
        Some(Ok(_)) => Ok(true),
        // Somebody else has taken it over meanwhile.
        Some(Err(_)) | None => Ok(false),
    }
}

/// Says what somebody should know of a server, or refuses it.
pub(super) fn judged(report: &ServerReport, role: Role, shown: &str) -> Result<(), Stop> {
    tracing::info!(server = shown, %report, "the Redis server");
    match report.fitness(role) {
        Fitness::Good => Ok(()),
        Fitness::Warn(warnings) => {
            warnings.iter().for_each(|warning| tracing::warn!(server = shown, "the Redis server: {warning}"));
            Ok(())
        }
        Fitness::Refuse { why, hint } => {
            Err(Stop::unavailable("PH1023", format!("the Redis server {shown} cannot keep the journal: {why}"))
                .hint(hint))
        }
    }
}
