//! Creates and opens the file of the embedded store.

use super::{CHECKPOINTS, FACTS, FIELDS, FORMAT, KEYS, META, OBJECTS, PUT, RUNS, failed};
use crate::failpoint::Point;
use crate::store::StoreError;
use redb::{Database, ReadableDatabase};
use std::fs::File;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};

/// Bytes of pages that are kept at hand. The system keeps pages of the file too; with redb's own 1 GiB the process would grow with its journal.
const CACHE: usize = 8 << 20;

pub(super) fn open(path: &Path) -> Result<Database, StoreError> {
    if !path.try_exists().map_err(io("look at", path))? {
        create(path)?;
    }
    // redb asserts what a damaged page breaks: that must end in an error, not in a panic.
    let opened = std::panic::catch_unwind(AssertUnwindSafe(|| open_whole(path)));
    opened.unwrap_or_else(|_| Err(StoreError::damaged(path.display().to_string())))
}

fn open_whole(path: &Path) -> Result<Database, StoreError> {
    let mut database = Database::builder().set_cache_size(CACHE).open(path).map_err(|error| opening(path, error))?;
    if !database.check_integrity().map_err(|error| opening(path, error))? {
        // It went back to its last whole commit. What came after may be known to devices already: say so, once.
        return Err(StoreError::damaged(format!(
            "{} (its last whole state was restored; start again to go on with that)",
            path.display()
        )));
    }
    let mut found = format(&database).map_err(|error| opening(path, error))?;
    if found == Some(1) {
        upgrade(&database).map_err(|error| opening(path, error))?;
        found = Some(FORMAT);
    }
    if found != Some(FORMAT) {
        let path = path.display().to_string();
        return Err(StoreError::Format { path, found: found.unwrap_or(0), known: FORMAT });
    }
    Point::StoreOpened.pass();
    Ok(database)
}

fn format(database: &Database) -> Result<Option<u64>, redb::Error> {
    let table = match database.begin_read()?.open_table(META) {
        Ok(table) => table,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    Ok(redb::ReadableTable::get(&table, "format")?.map(|value| value.value()))
}

/// From layout 1: times of objects. Those that are there count as put now.
fn upgrade(database: &Database) -> Result<(), redb::Error> {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let now = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    let writing = database.begin_write()?;
    {
        let objects = writing.open_table(OBJECTS)?;
        let mut put = writing.open_table(PUT)?;
        for object in redb::ReadableTable::iter(&objects)? {
            put.insert(object?.0.value(), now)?;
        }
        writing.open_table(META)?.insert("format", FORMAT)?;
    }
    writing.commit()?;
    Ok(())
}

/// Builds the file under another name and renames it when it is whole: a kill in between leaves nothing that cannot be opened.
fn create(path: &Path) -> Result<(), StoreError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let unfinished = path.with_extension("new");
    match std::fs::remove_file(&unfinished) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io("remove", &unfinished)(error)),
        _ => {}
    }
    Point::StoreCreate.attempt().map_err(io("create", &unfinished))?;
    fill(&unfinished)?;
    File::open(&unfinished).and_then(|file| file.sync_all()).map_err(io("flush", &unfinished))?;
    Point::StoreFilled.attempt().map_err(io("name", path))?;
    std::fs::rename(&unfinished, path).map_err(io("rename to", path))?;
    Point::StoreNamed.attempt().map_err(io("flush", &folder))?;
    File::open(&folder).and_then(|folder| folder.sync_all()).map_err(io("flush", &folder))
}

fn fill(path: &Path) -> Result<(), StoreError> {
    let database = Database::create(path).map_err(|error| opening(path, error))?;
    let made = || -> Result<(), redb::Error> {
        let writing = database.begin_write()?;
        writing.open_table(META)?.insert("format", FORMAT)?;
        writing.open_table(RUNS)?;
        writing.open_table(FACTS)?;
        writing.open_table(CHECKPOINTS)?;
        writing.open_table(OBJECTS)?;
        writing.open_table(PUT)?;
        writing.open_table(KEYS)?;
        writing.open_table(FIELDS)?;
        writing.commit()?;
        Ok(())
    };
    made().map_err(failed("create the store"))
}

fn opening(path: &Path, error: impl Into<redb::Error>) -> StoreError {
    let name = path.display().to_string();
    match error.into() {
        redb::Error::DatabaseAlreadyOpen => StoreError::Locked { path: name },
        redb::Error::Corrupted(what) => StoreError::damaged(format!("{name}: {what}")),
        redb::Error::UpgradeRequired(found) => {
            StoreError::Format { path: name, found: u64::from(found), known: FORMAT }
        }
        error => StoreError::failed(format!("open {name}"), error),
    }
}

fn io(action: &'static str, path: &Path) -> impl Fn(std::io::Error) -> StoreError {
    let name = path.display().to_string();
    move |error| StoreError::failed(format!("{action} {name}"), error)
}
