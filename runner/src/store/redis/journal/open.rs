//! Finds the journal on the server, and whether it still holds what was confirmed to this data folder.

use super::keys::{FORMAT, Keys};
use super::lease::Lease;
use super::line::Lines;
use super::memory::Remembered;
use super::{RedisJournal, Shared, State, drawn, script};
use crate::store::redis::target::{Connector, RedisSettings};
use crate::store::{StoreError, wall};
use redis::{Script, pipe};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Which journal on a server, and for whom.
#[derive(Debug, Clone)]
pub struct RedisJournalOptions {
    /// Its name.
    pub journal: String,
    /// The data folder, which the caller has locked: keeps the owner's name and what was confirmed.
    pub data: PathBuf,
    /// How long a server that is away, slow or full is waited for.
    pub patience: Duration,
}

/// The journal as it is found.
struct Found {
    id: String,
    format: u64,
    mark: String,
}

impl RedisJournal {
    /// Finds the journal, or makes it. Whether the server has lost writes since is told by [`RedisJournal::is_in_doubt`]. A server that does
    /// not answer is an error at once.
    pub fn open(settings: &RedisSettings, options: &RedisJournalOptions) -> Result<Self, StoreError> {
        let connector = Connector::new(settings).map_err(|error| StoreError::failed("use the Redis server", error))?;
        let connector = Arc::new(connector);
        let keys = Keys::new(&options.journal);
        let (mut remembered, confirmed) = Remembered::open(&options.data, drawn)?;
        let owner = remembered.memory.owner.clone();
        let opening = Lines::new(connector.clone(), Duration::ZERO);
        let found = find(&opening, &keys, &owner)?;
        if found.format != FORMAT {
            let path = format!("the journal on {}", opening.server());
            return Err(StoreError::Format { path, found: found.format, known: FORMAT });
        }
        let generation = generation(&found.mark);
        judge(&mut remembered, &found, generation, confirmed, &opening.server())?;
        // Counts on from the higher one: each number is given once.
        let generation = generation.max(confirmed);
        let boot = drawn();
        let mark = take(&opening, &keys.writer(&owner), &found.mark, format!("{generation}:{boot}"))?;
        remembered.confirm(generation);
        let lease = Lease::start(connector.clone(), keys.lease(&owner), boot.clone())
            .map_err(|error| StoreError::failed("start the thread of the lease", error))?;
        let state = State { generation, mark, rows: HashMap::new(), remembered, end: None };
        let lines = Lines::new(connector, options.patience);
        Ok(Self { shared: Arc::new(Shared { keys, owner, boot, lines, state: Mutex::new(state), _lease: lease }) })
    }
}

fn find(lines: &Lines, keys: &Keys, owner: &str) -> Result<Found, StoreError> {
    let new = drawn();
    let (id, format, mark): (String, u64, Option<String>) = lines.patiently("open the journal", |connection| {
        let mut all = pipe();
        all.atomic();
        all.cmd("SETNX").arg(keys.id()).arg(&new).ignore();
        all.cmd("SETNX").arg(keys.format()).arg(FORMAT).ignore();
        all.get(keys.id()).get(keys.format()).get(keys.writer(owner));
        all.query(connection)
    })?;
    Ok(Found { id, format, mark: mark.unwrap_or_default() })
}

/// The number before the colon.
fn generation(mark: &str) -> u64 {
    mark.split(':').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Notes a loss durably before anything is done on this journal.
fn judge(
    remembered: &mut Remembered,
    found: &Found,
    generation: u64,
    confirmed: u64,
    server: &str,
) -> Result<(), StoreError> {
    let other = remembered.memory.journal.as_ref().is_some_and(|known| *known != found.id);
    if other || generation < confirmed {
        tracing::error!(
            server,
            expected = confirmed,
            found = generation,
            other_journal = other,
            "the Redis server has lost writes that it had confirmed, or it is another one than before"
        );
        remembered.memory.journal = Some(found.id.clone());
        return remembered.doubt(wall());
    }
    if remembered.memory.journal.is_none() {
        remembered.memory.journal = Some(found.id.clone());
        return remembered.keep();
    }
    Ok(())
}

fn take(lines: &Lines, writer: &str, before: &str, after: String) -> Result<String, StoreError> {
    let script = Script::new(script::TAKE);
    let mut call = script.prepare_invoke();
    call.key(writer).arg(before).arg(&after);
    let taken: i64 = lines.patiently("open the journal", |connection| call.invoke(connection))?;
    if taken == 1 {
        return Ok(after);
    }
    Err(StoreError::failed("open the journal on Redis", "another process with the same owner's name is at work there"))
}
