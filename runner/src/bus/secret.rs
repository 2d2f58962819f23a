//! Passwords in files.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// More than any password has.
const LONGEST: u64 = 64 << 10;

/// The text of a password file, one trailing newline left out. The error says why it cannot be used.
pub(super) fn read(path: &Path) -> Result<String, String> {
    let cannot = |error: std::io::Error| format!("cannot read it: {error}");
    // Looked at before it is opened: opening a pipe waits for whoever writes to it.
    if !std::fs::metadata(path).map_err(cannot)?.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    let mut text = String::new();
    File::open(path).and_then(|file| file.take(LONGEST).read_to_string(&mut text)).map_err(cannot)?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

/// Says so, when other users of this machine can read a file that holds a secret.
pub fn warn_if_open(path: &Path, what: &str) {
    let open = std::fs::metadata(path).is_ok_and(|about| about.permissions().mode() & 0o004 != 0);
    if open {
        tracing::warn!(path = %path.display(), "{what} can be read by every user of this machine: chmod o-r it");
    }
}
