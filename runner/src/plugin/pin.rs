//! Pins: `NAME.pin` beside `NAME@VERSION.wasm` says which version a name without one means. A file, so that it is copied, kept and
//! watched with the plugins themselves.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use semver::Version;

use super::PluginError;
use super::shelf::{self, Reference};

/// Longest file.
pub(crate) const MAX_PIN_BYTES: u64 = 256;

/// What a pin's file says.
///
/// # Errors
/// In words, where it says no whole version.
pub fn parse(bytes: &[u8]) -> Result<Version, String> {
    let text = std::str::from_utf8(bytes).unwrap_or("\u{fffd}").trim();
    Version::parse(text).map_err(|error| {
        format!("`{}` is no version such as 1.3.0: {error}", text.chars().take(40).collect::<String>().escape_debug())
    })
}

/// `NAME` as `NAME@VERSION` where it is pinned; whatever names a version or a path stays as it is.
pub fn pinned(reference: &str, pin: impl FnOnce(&str) -> Option<Version>) -> String {
    if shelf::is_path(reference) || reference.contains('@') {
        return reference.to_owned();
    }
    pin(reference).map_or_else(|| reference.to_owned(), |version| format!("{reference}@{version}"))
}

/// The pin of a name in a plugins folder.
pub(crate) fn read(dir: &Path, name: &str) -> Result<Option<Version>, PluginError> {
    let path = path(dir, name);
    match std::fs::read(&path) {
        Ok(bytes) => parse(&bytes).map(Some).map_err(|problem| PluginError::Pin { path, problem }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(PluginError::File { verb: "read", path, source }),
    }
}

/// Pins a name to a version that lies in the folder; gives what it was pinned to before.
pub fn pin(dir: &Path, name: &str, version: &Version) -> Result<Option<Version>, PluginError> {
    let reference = Reference::parse(&format!("{}@{version}", checked(name)?))?;
    let versions = shelf::versions(dir, name);
    if !versions.contains(version) {
        shelf::find(&reference, Some(dir))?;
        let found = versions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let found = if found.is_empty() { "none with a version in its file's name".to_owned() } else { found };
        return Err(PluginError::NoSuchVersion { name: name.to_owned(), wanted: version.to_string(), found });
    }
    let before = read(dir, name).unwrap_or(None);
    write(&path(dir, name), &format!("{version}\n"))?;
    Ok(before)
}

/// Lets a name mean its newest version again; gives what it was pinned to.
pub fn unpin(dir: &Path, name: &str) -> Result<Option<Version>, PluginError> {
    let before = read(dir, checked(name)?).unwrap_or(None);
    let path = path(dir, name);
    match std::fs::remove_file(&path) {
        Ok(()) => Ok(before),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(PluginError::File { verb: "remove", path, source }),
    }
}

/// Pins a name to the version before the one that it means now; gives both, that one first.
pub fn roll_back(dir: &Path, name: &str) -> Result<(Version, Version), PluginError> {
    let versions = shelf::versions(dir, checked(name)?);
    let now = match read(dir, name)? {
        Some(version) => version,
        None if shelf::has_plain(dir, name) => {
            let problem = format!("{name}.wasm has no version in its name, so that there is none before it");
            return Err(PluginError::Pin { path: dir.join(format!("{name}.wasm")), problem });
        }
        None => versions.last().cloned().ok_or_else(|| not_there(dir, name))?,
    };
    let before = versions.iter().rfind(|version| **version < now).cloned().ok_or_else(|| PluginError::Pin {
        path: path(dir, name),
        problem: format!("no version of {name} before {now} lies in {}", dir.display()),
    })?;
    write(&path(dir, name), &format!("{before}\n"))?;
    Ok((now, before))
}

/// A name, and not a way to another folder.
fn checked(name: &str) -> Result<&str, PluginError> {
    if shelf::is_name(name) { Ok(name) } else { Err(PluginError::BadReference { reference: name.to_owned() }) }
}

fn not_there(dir: &Path, name: &str) -> PluginError {
    PluginError::NotBuilt {
        name: name.to_owned(),
        looked: format!(" (looked for {name}@VERSION.wasm in {})", dir.display()),
        hint: String::new(),
    }
}

fn path(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.pin"))
}

/// Whole or not at all, and for everybody to read: a daemon may be another user than whoever pins.
fn write(path: &Path, text: &str) -> Result<(), PluginError> {
    let failed = |source: std::io::Error| PluginError::File { verb: "write", path: path.to_owned(), source };
    let dir = path.parent().unwrap_or_else(|| Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(dir).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644)).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map(drop).map_err(|error| failed(error.error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            std::fs::write(dir.path().join(file), b"").unwrap();
        }
        dir
    }

    fn version(text: &str) -> Version {
        Version::parse(text).unwrap()
    }

    #[test]
    fn a_name_means_its_pin_until_it_is_taken_off() {
        let dir = folder(&["acme@1.2.0.wasm", "acme@1.3.9.wasm", "acme@1.3.10.wasm"]);
        let dir = dir.path();
        let means = || pinned("acme", |name| read(dir, name).unwrap());
        assert_eq!(means(), "acme");
        assert_eq!(roll_back(dir, "acme").unwrap(), (version("1.3.10"), version("1.3.9")));
        assert_eq!(roll_back(dir, "acme").unwrap(), (version("1.3.9"), version("1.2.0")));
        assert!(roll_back(dir, "acme").unwrap_err().to_string().contains("no version of acme before 1.2.0"));
        assert_eq!(means(), "acme@1.2.0");
        let mode = std::fs::metadata(path(dir, "acme")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644, "a daemon that is another user reads it too");
        assert_eq!(pinned("acme@1.3", |_| unreachable!()), "acme@1.3");
        assert_eq!(pin(dir, "acme", &version("1.3.10")).unwrap(), Some(version("1.2.0")));
        assert_eq!((unpin(dir, "acme").unwrap(), unpin(dir, "acme").unwrap()), (Some(version("1.3.10")), None));
        assert_eq!(means(), "acme");
        assert_eq!(std::fs::read_dir(dir).unwrap().count(), 3, "nothing is left behind");
    }

    #[test]
    fn what_is_not_there_is_not_pinned() {
        let dir = folder(&["acme@1.2.0.wasm", "plain.wasm"]);
        let dir = dir.path();
        let refused = |name: &str, text: &str| pin(dir, name, &version(text)).unwrap_err().to_string();
        assert!(refused("acme", "1.3.0").contains("no version 1.3.0; there is 1.2.0"));
        assert!(refused("nobody", "1.0.0").contains("nobody"));
        assert!(refused("plain", "1.0.0").contains("none with a version in its file's name"));
        assert!(roll_back(dir, "plain").unwrap_err().to_string().contains("has no version in its name"));
        assert!(roll_back(dir, "../x").is_err() && unpin(dir, "../x").is_err() && roll_back(dir, "nobody").is_err());
        for bad in ["", "1.2", "x", "1.2.0 1.3.0", "\u{0}", "v1.2.0"] {
            std::fs::write(dir.join("acme.pin"), bad).unwrap();
            assert!(read(dir, "acme").unwrap_err().to_string().contains("no version such as 1.3.0"), "{bad:?}");
        }
    }
}
