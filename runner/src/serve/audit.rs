//! Who changed what: a line of JSON for every call that this process answered and that may have changed something, appended to a file
//! that nothing of ours changes or removes.

use packhorse_core::failure::chain;
use packhorse_core::run::WallTime;
use serde::Serialize;
use serde_json::Value;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Name of the file in the data folder.
pub const AUDIT: &str = "audit.jsonl";
/// Bytes after which it is put aside as `audit-TIME.jsonl` and begun anew.
const MOST: u64 = 64 << 20;

/// The file; shared by all that answer calls.
#[derive(Debug)]
pub struct Audit {
    folder: PathBuf,
    clock: fn() -> WallTime,
    most: u64,
    file: Mutex<File>,
}

/// One line.
#[derive(Debug, Serialize)]
struct Entry<'a> {
    at: String,
    by: &'a str,
    call: &'a str,
    about: &'a Value,
}

impl Audit {
    /// Opens it, or begins it, readable by its owner alone.
    pub fn open(folder: &Path, clock: fn() -> WallTime) -> io::Result<Self> {
        Self::of(folder, clock, MOST)
    }

    fn of(folder: &Path, clock: fn() -> WallTime, most: u64) -> io::Result<Self> {
        Ok(Self { folder: folder.to_owned(), clock, most, file: Mutex::new(begin(folder)?) })
    }

    /// Appends a line: `by` whom, which `call`, and what it was about. The call has been carried out: a disk that is full is told in the log,
    /// together with the line. A line outlives the process, though not a power cut within the next seconds.
    pub fn note(&self, by: &str, call: &str, about: &Value) {
        if let Err(error) = self.write(&Entry { at: (self.clock)().to_rfc3339(), by, call, about }) {
            tracing::error!(error = chain(&error), by, call, %about, "audit: the line cannot be written");
        }
    }

    fn write(&self, entry: &Entry<'_>) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // One write, so that lines never mix; of one that a full disk cut off, a part may stand before the next.
        file.write_all(&line)?;
        if file.metadata()?.len() >= self.most {
            let aside = format!("audit-{}.jsonl", entry.at.replace(':', ""));
            std::fs::rename(self.folder.join(AUDIT), self.folder.join(aside))?;
            *file = begin(&self.folder)?;
        }
        drop(file);
        Ok(())
    }
}

fn begin(folder: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(folder.join(AUDIT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lines_are_appended_and_a_long_file_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Audit::of(folder.path(), || WallTime(1_000), 200).unwrap();
        open().note("http:ci", "POST /v1/reload", &json!({}));
        let audit = open();
        audit.note("local:0", "cancel", &json!({ "run": "run_1", "reason": "a\nline" }));
        let first = std::fs::read_to_string(folder.path().join(AUDIT)).unwrap();
        let lines: Vec<Value> = first.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((lines.len(), &lines[0]["by"], &lines[1]["about"]["run"]), (2, &json!("http:ci"), &json!("run_1")));
        audit.note("local:0", "pause", &json!({ "run": "run_2" }));
        audit.note("local:0", "resume", &json!({ "run": "run_2" }));
        let now = std::fs::read_to_string(folder.path().join(AUDIT)).unwrap();
        assert!(now.lines().count() == 1 && now.contains("resume"), "{now}");
        let files = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(files, 2, "the earlier lines lie aside");
    }
}
