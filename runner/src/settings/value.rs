//! Single values from `PACKHORSE_…` variables or the settings file: words, secrets, lengths of time, sizes.

use super::address::SettingError;
use packhorse_core::workflow::units;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Looks a variable up.
pub(super) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The variable `PACKHORSE_{name}`; an empty one counts as not set.
pub(super) fn word(name: &str, lookup: Lookup<'_>) -> Option<String> {
    lookup(&format!("PACKHORSE_{name}")).filter(|text| !text.is_empty())
}

/// A secret: the variable, the file that `…_FILE` names, the settings file's own, the file that it names. One line end at its end
/// is left out.
pub(super) fn secret(
    name: &str,
    file: Option<String>,
    named: Option<PathBuf>,
    base: &Path,
    lookup: Lookup<'_>,
) -> Result<Option<String>, SettingError> {
    if let Some(secret) = word(name, lookup) {
        return Ok(Some(secret));
    }
    let by_variable = word(&format!("{name}_FILE"), lookup).map(PathBuf::from);
    let path = match (by_variable, file, named) {
        (Some(path), ..) => path,
        (None, Some(secret), _) => return Ok(Some(secret)),
        (None, None, Some(path)) => base.join(path),
        (None, None, None) => return Ok(None),
    };
    let text = std::fs::read_to_string(&path).map_err(|source| SettingError::Unreadable { path, source })?;
    Ok(Some(text.strip_suffix('\n').map(|text| text.strip_suffix('\r').unwrap_or(text)).unwrap_or(&text).to_owned()))
}

/// A length of time such as `10m`.
pub(super) fn length(
    name: &str,
    file: Option<String>,
    default: Duration,
    lookup: Lookup<'_>,
) -> Result<Duration, SettingError> {
    let Some(text) = word(name, lookup).or(file) else { return Ok(default) };
    units::duration(&text).map_err(|_| SettingError::Address {
        what: "length of time",
        text,
        expected: "expected one such as 30s, 10m or 30d",
    })
}

/// A size such as `64MiB`.
pub(super) fn bytes(name: &str, file: Option<String>, default: u64, lookup: Lookup<'_>) -> Result<u64, SettingError> {
    let Some(text) = word(name, lookup).or(file) else { return Ok(default) };
    let size = units::size(&text).ok().and_then(|size| u64::try_from(size).ok());
    size.ok_or(SettingError::Address { what: "size", text, expected: "expected one such as 64MiB" })
}
