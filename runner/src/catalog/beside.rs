//! What lies beside a plugin and decides whether it counts: its own vectors, and its signature.

use super::scan::{Stamp, digest, read};
use crate::plugin::kit::vectors::MAX_FILE_BYTES;
use crate::plugin::{MAX_SIGNATURE_BYTES, signature_of};
use packhorse_core::hex;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Folders of vectors as they were; files that have not changed are not read again.
#[derive(Debug, Clone, Default)]
pub(super) struct Beside {
    before: HashMap<PathBuf, Known>,
    now: HashMap<PathBuf, Known>,
}

/// Longest file that is read, in bytes.
const MOST: u64 = if MAX_FILE_BYTES > MAX_SIGNATURE_BYTES { MAX_FILE_BYTES } else { MAX_SIGNATURE_BYTES };

type Known = (Stamp, SystemTime, String);

impl Beside {
    /// Digest of the names and contents in a plugin's own folder of vectors, and of its signature; empty where there are none.
    pub(super) fn digest(&mut self, plugin: &Path) -> String {
        let entries = std::fs::read_dir(vectors(plugin)).into_iter().flatten().flatten();
        let paths = entries.map(|entry| entry.path());
        let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|kind| kind == "yaml")).collect();
        paths.sort();
        paths.extend(Some(signature_of(plugin)).filter(|path| path.exists()));
        if paths.is_empty() {
            return String::new();
        }
        let mut sha256 = Sha256::new();
        for path in paths {
            sha256.update(path.file_name().unwrap_or_default().as_encoded_bytes());
            sha256.update([0]);
            sha256.update(self.file(path));
        }
        hex::encode(&sha256.finalize())
    }

    /// A look is over: what it did not find is forgotten.
    pub(super) fn turn(&mut self) {
        self.before = std::mem::take(&mut self.now);
    }

    fn file(&mut self, path: PathBuf) -> String {
        let about = match std::fs::metadata(&path) {
            Ok(about) => about,
            Err(error) => return error.kind().to_string(),
        };
        let stamp = Stamp::of(&about);
        let known = self.before.get(&path).filter(|(old, read, _)| *old == stamp && stamp.is_old(*read)).cloned();
        let known = known.unwrap_or_else(|| {
            let begun = SystemTime::now();
            let words = read(&path, MOST).map_or_else(|error| format!("{error} {stamp:?}"), |bytes| digest(&bytes));
            (stamp, begun, words)
        });
        let words = known.2.clone();
        self.now.insert(path, known);
        words
    }
}

/// Where the vectors of a plugin's file lie.
pub(super) fn vectors(plugin: &Path) -> PathBuf {
    plugin.with_extension("").join("vectors")
}
