//! One look at a folder: regular files whose names fit, wherever links lead within it and nowhere else.

use packhorse_core::hex;
use packhorse_core::run::WallTime;
use packhorse_core::trigger::Glob;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Files of one folder that are looked at.
pub(super) const MOST: usize = 10_000;

/// What a look tells of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) size: u64,
    pub(super) modified: WallTime,
}

/// The files by absolute path, and whether there were more than are looked at; blocks.
pub(super) fn look(folder: &Path, glob: &Glob) -> io::Result<(BTreeMap<PathBuf, Seen>, bool)> {
    let home = folder.canonicalize()?;
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(&home)? {
        let entry = entry?;
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
        if !glob.matches(&name) {
            continue;
        }
        if files.len() == MOST {
            return Ok((files, true));
        }
        // What vanishes between two questions is no error.
        if let Some(seen) = file(&entry.path(), &home) {
            files.insert(home.join(name), seen);
        }
    }
    Ok((files, false))
}

/// A regular file within the folder, perhaps by a link.
fn file(path: &Path, home: &Path) -> Option<Seen> {
    let real = path.canonicalize().ok().filter(|real| real.starts_with(home))?;
    let about = std::fs::symlink_metadata(real).ok().filter(std::fs::Metadata::is_file)?;
    let modified = about.modified().ok()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    let modified = WallTime(u64::try_from(modified.as_millis()).unwrap_or(u64::MAX));
    Some(Seen { size: about.len(), modified })
}

/// SHA-256 of a file in lowercase hex; blocks.
pub(super) fn digest(path: &Path) -> io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let (mut sha256, mut piece) = (Sha256::new(), vec![0; 256 << 10]);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hex::encode(&sha256.finalize())),
            count => sha256.update(&piece[..count]),
        }
    }
}
