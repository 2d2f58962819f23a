//! The data folder: made for its owner alone, and held by one process at a time.

use rustix::fs::{FlockOperation, flock};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A data folder that this process holds; let go when dropped, or when the process ends in whatever way.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    _lock: File,
}

/// Why a data folder cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Another process works with it. The program exits with 69.
    #[error("{} is in use by {}", path.display(), owner(*pid))]
    InUse {
        /// The folder.
        path: PathBuf,
        /// Its process, where it has told.
        pid: Option<u32>,
    },
    /// It cannot be made or opened.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
}

fn owner(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

impl DataFolder {
    /// Makes the folder (0700) where it is not there, and takes its lock.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        let failed = |action, at: &Path| {
            let path = at.to_owned();
            move |source| FolderError::Io { action, path, source }
        };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("create", path))?;
        let name = path.join("lock");
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&name)
            .map_err(failed("open", &name))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(FolderError::InUse { path: path.to_owned(), pid: pid_in(&mut lock) });
            }
            Err(error) => return Err(failed("lock", &name)(error.into())),
        }
        lock.set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| writeln!(lock, "{}", std::process::id()))
            .map_err(failed("write", &name))?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn pid_in(lock: &mut File) -> Option<u32> {
    let mut text = String::new();
    lock.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_second_holder_is_told_who_holds_it() {
        let place = tempfile::tempdir().expect("a folder");
        let path = place.path().join("data");
        let held = DataFolder::open(&path).expect("free");
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o700);
        let error = DataFolder::open(&path).expect_err("held");
        assert!(matches!(error, FolderError::InUse { pid: Some(pid), .. } if pid == std::process::id()));
        assert!(error.to_string().ends_with(&format!("data is in use by process {}", std::process::id())));
        drop(held);
        DataFolder::open(&path).expect("free again");
    }

    #[test]
    fn a_file_in_its_place_is_an_error() {
        let place = tempfile::tempdir().expect("a folder");
        let path = place.path().join("data");
        std::fs::write(&path, "x").expect("written");
        assert!(matches!(DataFolder::open(&path), Err(FolderError::Io { action: "create", .. })));
    }
}
