//! Where plugins lie: references as people write them, the plugins folder, and what is embedded.

use std::io::Read;
use std::path::{Path, PathBuf};

use semver::Version;
use serde::Serialize;

use super::embedded::{self, Embedded};
use super::host::too_large;
use super::{MAX_COMPONENT_BYTES, Plugin, PluginError};

/// How a person names a codec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reference {
    Path(PathBuf),
    Name {
        name: String,
        /// A version or the beginning of one.
        version: Option<String>,
    },
}

/// Whether a reference is the path of a file, and no name.
pub fn is_path(reference: &str) -> bool {
    reference.ends_with(".wasm") || reference.contains('/')
}

impl Reference {
    /// A name as the plugins folder pins it.
    pub(crate) fn in_folder(reference: &str, dir: Option<&Path>) -> Result<Self, PluginError> {
        let parsed = Self::parse(reference)?;
        match (&parsed, dir) {
            (Self::Name { name, version: None }, Some(dir)) => {
                let version = super::pin::read(dir, name)?.map(|version| version.to_string());
                Ok(Self::Name { name: name.clone(), version })
            }
            _ => Ok(parsed),
        }
    }

    pub(crate) fn parse(reference: &str) -> Result<Self, PluginError> {
        if is_path(reference) {
            return Ok(Self::Path(reference.into()));
        }
        let (name, version) =
            reference.split_once('@').map_or((reference, None), |(name, version)| (name, Some(version)));
        if !is_name(name) || version.is_some_and(|version| !is_version_start(version)) {
            return Err(PluginError::BadReference { reference: reference.to_owned() });
        }
        Ok(Self::Name { name: name.to_owned(), version: version.map(str::to_owned) })
    }

    /// Whether a plugin that was found is the one that was meant.
    pub(crate) fn check(&self, plugin: &Plugin) -> Result<(), PluginError> {
        let Self::Name { name, version } = self else { return Ok(()) };
        if plugin.name() != name {
            let problem = format!("it calls itself `{}`; a file is named after what is in it", plugin.name());
            return Err(PluginError::Description { name: name.clone(), problem });
        }
        match version {
            Some(wanted) if !starts(plugin.version(), wanted) => Err(PluginError::NoSuchVersion {
                name: name.clone(),
                wanted: wanted.clone(),
                found: plugin.version().to_owned(),
            }),
            _ => Ok(()),
        }
    }
}

/// Whether `name` may name a codec: `[a-z0-9][a-z0-9-]{0,63}`.
pub(crate) fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=64).contains(&name.len()) && name.bytes().all(fits) && !name.starts_with('-')
}

fn is_version_start(version: &str) -> bool {
    version.starts_with(|first: char| first.is_ascii_digit())
        && version.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-+".contains(&byte))
}

/// Whether `version` is `wanted` or begins with it: 1.3.7 begins with 1.3 and not with 1.
fn starts(version: &str, wanted: &str) -> bool {
    version.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Of files by their names without extension (`NAME`, `NAME@VERSION`), the one that `reference` means, as [`super::Host::load`] chooses.
///
/// # Errors
/// [`PluginError::BadReference`], [`PluginError::NoSuchVersion`], and [`PluginError::NotBuilt`] where no file has the name.
pub fn pick<'a, T>(reference: &str, files: impl IntoIterator<Item = (&'a str, T)>) -> Result<T, PluginError> {
    let (name, wanted) = match Reference::parse(reference)? {
        Reference::Path(_) => return Err(PluginError::BadReference { reference: reference.to_owned() }),
        Reference::Name { name, version } => (name, version),
    };
    let files = files.into_iter().filter_map(|(stem, file)| Some((named(stem)?, file)));
    let mut versions: Vec<(Option<Version>, T)> =
        files.filter(|((file, _), _)| *file == name).map(|((_, version), file)| (version, file)).collect();
    versions.sort_by(|(a, _), (b, _)| a.cmp(b));
    match chosen(versions.iter().map(|(version, _)| version.as_ref()), wanted.as_deref()) {
        Some(index) => Ok(versions.swap_remove(index).1),
        None => Err(missing(&name, wanted.as_deref(), None, versions.iter().map(|(version, _)| version.as_ref()))),
    }
}

/// Index of the version that is wanted among sorted ones: any where none is, the file without one first; else the newest that fits.
fn chosen<'a>(versions: impl Iterator<Item = Option<&'a Version>>, wanted: Option<&str>) -> Option<usize> {
    let versions: Vec<Option<&Version>> = versions.collect();
    let plain = versions.iter().position(Option::is_none);
    let newest = versions.iter().rposition(|version| {
        version.is_some_and(|version| wanted.is_none_or(|wanted| starts(&version.to_string(), wanted)))
    });
    if wanted.is_some() { newest.or(plain) } else { plain.or(newest) }
}

/// Where a reference leads.
#[derive(Debug)]
pub(crate) enum Found {
    File(PathBuf),
    Embedded(&'static Embedded),
}

/// Looks for `reference`. A file without a version in its name is only known once it is loaded: [`Reference::check`].
pub(crate) fn find(reference: &Reference, dir: Option<&Path>) -> Result<Found, PluginError> {
    let (name, wanted) = match reference {
        Reference::Path(path) => return Ok(Found::File(path.clone())),
        Reference::Name { name, version } => (name, version.as_deref()),
    };
    let mut versions: Vec<Shelved> =
        dir.map_or_else(Vec::new, shelved).into_iter().filter(|file| file.name == *name).collect();
    versions.sort_by(|a, b| a.version.cmp(&b.version));
    if let Some(index) = chosen(versions.iter().map(|file| file.version.as_ref()), wanted) {
        return Ok(Found::File(versions.swap_remove(index).path));
    }
    if let Some(codec) = embedded::find(name) {
        return Ok(Found::Embedded(codec));
    }
    Err(missing(name, wanted, dir, versions.iter().map(|file| file.version.as_ref())))
}

fn missing<'a>(
    name: &str,
    wanted: Option<&str>,
    dir: Option<&Path>,
    versions: impl Iterator<Item = Option<&'a Version>>,
) -> PluginError {
    let found = versions.flatten().map(ToString::to_string).collect::<Vec<_>>();
    if let (Some(wanted), false) = (wanted, found.is_empty()) {
        let (name, wanted) = (name.to_owned(), wanted.to_owned());
        return PluginError::NoSuchVersion { name, wanted, found: found.join(", ") };
    }
    let looked = dir.map_or_else(String::new, |dir| format!(" (looked in {})", dir.display()));
    let source = dir.map(|dir| dir.join(name)).filter(|source| super::kit::is_source(source));
    let hint = source.map_or_else(String::new, |source| format!(" {}", source.display()));
    PluginError::NotBuilt { name: name.to_owned(), looked, hint }
}

/// A file of the plugins folder.
#[derive(Debug)]
struct Shelved {
    name: String,
    version: Option<Version>,
    path: PathBuf,
}

fn shelved(dir: &Path) -> Vec<Shelved> {
    let entries = std::fs::read_dir(dir).map_or_else(|_| Vec::new(), |entries| entries.flatten().collect());
    entries.into_iter().filter_map(|entry| shelved_as(&entry.path())).collect()
}

fn shelved_as(path: &Path) -> Option<Shelved> {
    let stem = path.file_name()?.to_str()?.strip_suffix(".wasm")?;
    let (name, version) = named(stem)?;
    Some(Shelved { name: name.to_owned(), version, path: path.to_owned() })
}

/// Name and version of a file, from its name without extension.
fn named(stem: &str) -> Option<(&str, Option<Version>)> {
    let (name, version) = match stem.split_once('@') {
        Some((name, version)) => (name, Some(Version::parse(version).ok()?)),
        None => (stem, None),
    };
    is_name(name).then_some((name, version))
}

/// Whether a codec is the one that its file's name (without extension) says.
///
/// # Errors
/// [`PluginError::BadReference`] for a name that no plugin can have; [`PluginError::Description`] or [`PluginError::NoSuchVersion`] where
/// the codec calls itself otherwise.
pub fn check_name(stem: &str, plugin: &Plugin) -> Result<(), PluginError> {
    if named(stem).is_none() {
        return Err(PluginError::BadReference { reference: stem.to_owned() });
    }
    Reference::parse(stem)?.check(plugin)
}

/// Whether a codec is the one that a reference means.
///
/// # Errors
/// As [`super::Host::load`].
pub fn check_reference(reference: &str, plugin: &Plugin) -> Result<(), PluginError> {
    Reference::parse(reference)?.check(plugin)
}

/// The versions that lie in a folder as `NAME@VERSION.wasm`, sorted.
pub(crate) fn versions(dir: &Path, name: &str) -> Vec<Version> {
    let files = shelved(dir).into_iter().filter(|file| file.name == name);
    let mut versions: Vec<Version> = files.filter_map(|file| file.version).collect();
    versions.sort();
    versions
}

/// Whether `NAME.wasm` lies in a folder.
pub(crate) fn has_plain(dir: &Path, name: &str) -> bool {
    shelved(dir).iter().any(|file| file.name == name && file.version.is_none())
}

/// Something that can be loaded by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// What to write after `codec:`, with its version where its file's name has one.
    pub reference: String,
    /// Its file; none = it is embedded in this program.
    pub path: Option<PathBuf>,
}

impl Listed {
    /// Whether it is a step plugin, and no codec; looks into its file.
    pub fn is_step(&self) -> bool {
        let bytes = self.path.as_deref().and_then(|path| read(path, MAX_COMPONENT_BYTES).ok());
        bytes.is_some_and(|bytes| super::Host::is_step(&bytes))
    }
}

/// Everything that can be loaded by name, sorted; an embedded codec is left out where a file hides it.
pub(crate) fn list(dir: Option<&Path>) -> Vec<Listed> {
    let files = dir.map_or_else(Vec::new, shelved);
    let mut listed: Vec<Listed> = embedded::CODECS
        .iter()
        .filter(|codec| !files.iter().any(|file| file.name == codec.name()))
        .map(|codec| Listed { reference: codec.name().to_owned(), path: None })
        .collect();
    listed.extend(files.into_iter().map(|file| {
        let reference = match &file.version {
            Some(version) => format!("{}@{version}", file.name),
            None => file.name,
        };
        Listed { reference, path: Some(file.path) }
    }));
    listed.sort_by(|a, b| a.reference.cmp(&b.reference));
    listed
}

/// The name in a file's name: what stands before `@`.
pub(crate) fn name_of(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy();
    stem.split('@').next().unwrap_or_default().to_owned()
}

/// Reads a component's file, never more than `most` bytes.
pub(crate) fn read(path: &Path, most: usize) -> Result<Vec<u8>, PluginError> {
    let failed = |source| PluginError::File { verb: "read", path: path.to_owned(), source };
    let kind = std::fs::metadata(path).map_err(failed)?;
    if !kind.is_file() {
        return Err(failed(std::io::Error::other("it is not a regular file")));
    }
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(most as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > most {
        return Err(too_large(&path.display().to_string(), kind.len().max(bytes.len() as u64), most));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_names_versions_or_paths() {
        let name = |name: &str, version: Option<&str>| {
            Some(Reference::Name { name: name.to_owned(), version: version.map(str::to_owned) })
        };
        assert_eq!(Reference::parse("acme").ok(), name("acme", None));
        assert_eq!(Reference::parse("acme@1.3").ok(), name("acme", Some("1.3")));
        assert_eq!(Reference::parse("./x.wasm").ok(), Some(Reference::Path("./x.wasm".into())));
        for bad in ["", "Acme", "acme@", "acme@x", "acme@1 3", "-a", "a\0", "ac me", "..", "acme@1@2"] {
            assert!(Reference::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_newest_version_that_fits_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        for file in
            ["acme@1.2.0.wasm", "acme@1.3.9.wasm", "acme@1.3.10.wasm", "acme@1.30.0.wasm", "b.wasm", "b@2.0.0.wasm"]
        {
            std::fs::write(dir.path().join(file), b"").unwrap();
        }
        let check = |reference: &str, expected: &str| {
            let reference = Reference::parse(reference).unwrap();
            let text = match find(&reference, Some(dir.path())) {
                Ok(Found::File(path)) => path.file_name().unwrap().to_string_lossy().into_owned(),
                Ok(Found::Embedded(codec)) => codec.name().to_owned(),
                Err(error) => error.to_string(),
            };
            assert!(text.contains(expected), "{text}");
        };
        check("acme", "acme@1.30.0.wasm");
        check("acme@1.3", "acme@1.3.10.wasm");
        check("acme@1.3.9", "acme@1.3.9.wasm");
        check("acme@2", "codec `acme` has no version 2; there is 1.2.0, 1.3.9, 1.3.10, 1.30.0");
        check("b", "b.wasm");
        check("b@2.0", "b@2.0.0.wasm");
        check("nobody", "`packhorse plugin build`");
        check("json-base64", "json-base64");
    }
}
