//! One look at one folder: what lies there under which name, with its digest. Files that have not changed are not read again.

use super::beside::Beside;
use packhorse_core::catalog::Seen;
use packhorse_core::failure::{Class, Failure};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Between two looks that must find the same content.
const TWICE: Duration = Duration::from_millis(10);
/// A file that changed less than so long before it was read may change again without its times telling it.
const COARSE: Duration = Duration::from_secs(2);

/// Bytes of a file, or why there are none.
#[derive(Debug, Clone)]
pub(super) struct Content {
    /// SHA-256 in hex; empty where the file could not be read.
    pub(super) digest: String,
    /// The bytes.
    pub(super) bytes: Result<Arc<[u8]>, Failure>,
    /// Where they lie.
    pub(super) path: PathBuf,
    /// Digest of what lies beside them and decides with them whether they count.
    pub(super) beside: String,
}

impl Content {
    /// The same where the same would be found out of it.
    pub(super) fn mark(&self) -> String {
        format!("{}{}", self.digest, self.beside)
    }
}

/// A file of a folder.
#[derive(Debug)]
pub(super) enum Found {
    /// The same twice.
    Content(Content),
    /// It is being written.
    Unsettled,
}

/// A folder as it is; without one, nothing is known, and nothing changes.
#[derive(Debug, Default)]
pub(super) struct View(Option<BTreeMap<String, Found>>);

impl View {
    fn of(first: Option<BTreeMap<String, Content>>, second: Option<BTreeMap<String, Content>>) -> Self {
        let (Some(mut first), Some(second)) = (first, second) else { return Self(None) };
        let mut files: BTreeMap<String, Found> = BTreeMap::new();
        for (name, content) in second {
            let same = first.remove(&name).is_some_and(|before| before.mark() == content.mark());
            files.insert(name, if same { Found::Content(content) } else { Found::Unsettled });
        }
        // What was there and is gone may be on its way back: editors replace files like this.
        files.extend(first.into_keys().map(|name| (name, Found::Unsettled)));
        Self(Some(files))
    }

    /// Names of files that are being written.
    pub(super) fn unsettled(&self) -> impl Iterator<Item = &str> {
        let files = self.0.iter().flatten();
        files.filter(|(_, found)| matches!(found, Found::Unsettled)).map(|(name, _)| name.as_str())
    }

    /// Whether there is, or may be, a file of this name.
    pub(super) fn may_have(&self, name: &str) -> bool {
        self.0.as_ref().is_none_or(|files| files.contains_key(name))
    }

    /// Those that are not being written.
    pub(super) fn contents(&self) -> impl Iterator<Item = (&str, &Content)> {
        self.0.iter().flatten().filter_map(|(name, found)| match found {
            Found::Content(content) => Some((name.as_str(), content)),
            Found::Unsettled => None,
        })
    }

    /// Whether a file may still have the content of this mark.
    pub(super) fn holds(&self, name: &str, mark: &str) -> bool {
        let Some(files) = &self.0 else { return true };
        match files.get(name) {
            Some(Found::Content(content)) => content.mark() == mark,
            Some(Found::Unsettled) => true,
            None => false,
        }
    }

    /// What is seen under each name, contents as `judge` says. Without a folder everything that is `known` stays as it is.
    pub(super) fn seen<'a, T>(
        &self,
        known: impl Iterator<Item = &'a str>,
        judge: impl Fn(&str, &Content) -> Seen<T>,
    ) -> BTreeMap<String, Seen<T>> {
        let Some(files) = &self.0 else { return known.map(|name| (name.to_owned(), Seen::Unsettled)).collect() };
        let seen = |(name, found): (&String, &Found)| match found {
            Found::Content(content) => (name.clone(), judge(name, content)),
            Found::Unsettled => (name.clone(), Seen::Unsettled),
        };
        files.iter().map(seen).collect()
    }
}

/// Looks at folders twice. Blocks for a moment.
pub(super) fn look_twice(scanners: [&mut Scanner; 4]) -> [View; 4] {
    let first = scanners.map(|scanner| (scanner.look(), scanner));
    std::thread::sleep(TWICE);
    first.map(|(first, scanner)| View::of(first, scanner.look()))
}

/// What the file system says of a file without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    pub(super) fn of(about: &std::fs::Metadata) -> Self {
        Self {
            device: about.dev(),
            inode: about.ino(),
            size: about.len(),
            modified: (about.mtime(), about.mtime_nsec()),
            changed: (about.ctime(), about.ctime_nsec()),
        }
    }

    /// Whether the times are so old that a later change would show in them.
    pub(super) fn is_old(&self, read: SystemTime) -> bool {
        let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(self.changed.0).unwrap_or(0));
        read.duration_since(changed).is_ok_and(|age| age > COARSE)
    }
}

/// Looks at one folder again and again.
#[derive(Debug, Clone)]
pub(super) struct Scanner {
    folder: PathBuf,
    extension: &'static str,
    /// Longest file in bytes.
    most: u64,
    known: HashMap<PathBuf, (Stamp, SystemTime, Content)>,
    beside: Option<Beside>,
}

impl Scanner {
    /// Of files of this extension with at most so many bytes.
    pub(super) fn new(folder: &Path, extension: &'static str, most: u64) -> Self {
        Self { folder: folder.to_owned(), extension, most, known: HashMap::new(), beside: None }
    }

    /// The same, of plugins with their own vectors beside them.
    pub(super) fn with_vectors(self) -> Self {
        Self { beside: Some(Beside::default()), ..self }
    }

    /// The folder.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What lies there now, by file name without extension; `None` where the folder cannot be read.
    pub(super) fn look(&mut self) -> Option<BTreeMap<String, Content>> {
        let entries = std::fs::read_dir(&self.folder).ok()?;
        let mut seen = BTreeMap::new();
        let mut known = HashMap::new();
        for path in entries.flatten().map(|entry| entry.path()) {
            let Some(name) = self.name(&path) else { continue };
            // What is gone between listing and reading is not there.
            let Some(mut content) = self.content(&path, &mut known) else { continue };
            content.beside = self.beside.as_mut().map_or_else(String::new, |beside| beside.digest(&path));
            seen.insert(name, content);
        }
        self.beside.iter_mut().for_each(Beside::turn);
        self.known = known;
        Some(seen)
    }

    /// The name under which a file counts; editors' files of their own have none.
    fn name(&self, path: &Path) -> Option<String> {
        let stem = path.file_name()?.to_str()?.strip_suffix(self.extension)?.strip_suffix('.')?;
        (!stem.is_empty() && !stem.starts_with(['.', '#', '~'])).then(|| stem.to_owned())
    }

    fn content(&self, path: &Path, known: &mut HashMap<PathBuf, (Stamp, SystemTime, Content)>) -> Option<Content> {
        let before = self.known.get(path);
        let about = match std::fs::metadata(path) {
            Ok(about) => about,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !is_link(path) => return None,
            Err(error) => return Some(unreadable(path, &error.to_string())),
        };
        let stamp = Stamp::of(&about);
        if let Some((_, read, content)) = before.filter(|(old, read, _)| *old == stamp && stamp.is_old(*read)) {
            known.insert(path.to_owned(), (stamp, *read, content.clone()));
            return Some(content.clone());
        }
        let begun = SystemTime::now();
        let content = match read(path, self.most) {
            Ok(bytes) => Content {
                digest: digest(&bytes),
                bytes: Ok(bytes.into()),
                path: path.to_owned(),
                beside: String::new(),
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
            Err(error) => unreadable(path, &error.to_string()),
        };
        known.insert(path.to_owned(), (stamp, begun, content.clone()));
        Some(content)
    }
}

/// A regular file, and no more of it than it may have. Opening never waits, whatever lies there.
pub(super) fn read(path: &Path, most: u64) -> std::io::Result<Vec<u8>> {
    let flags = rustix::fs::OFlags::NONBLOCK.bits();
    let file = std::fs::OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(std::io::Error::other(format!("it is longer than {most} bytes")));
    }
    Ok(bytes)
}

fn is_link(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|about| about.is_symlink())
}

fn unreadable(path: &Path, why: &str) -> Content {
    let failure = Failure::new("PH2004", Class::Operator, format!("cannot read {}: {why}", path.display()));
    Content { digest: String::new(), bytes: Err(failure), path: path.to_owned(), beside: String::new() }
}

pub(super) fn digest(bytes: &[u8]) -> String {
    packhorse_core::hex::encode(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(scanner: &mut Scanner) -> Vec<String> {
        scanner.look().unwrap().into_keys().collect()
    }

    #[test]
    fn only_files_that_are_meant_are_seen_and_nothing_waits() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["a.yaml", ".a.yaml.swp", ".b.yaml", "#a.yaml#", "a.yaml~", "4913", "~c.yaml", ".yaml", "d.yml"] {
            std::fs::write(path(name), name).unwrap();
        }
        std::fs::create_dir(path("folder.yaml")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            path("pipe.yaml"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        std::fs::write(path("large.yaml"), [b'#'; 101]).unwrap();
        std::os::unix::fs::symlink("nowhere", path("dangling.yaml")).unwrap();
        let mut scanner = Scanner::new(folder.path(), "yaml", 100);
        let seen = scanner.look().unwrap();
        let bad: Vec<(&str, String)> = seen
            .iter()
            .filter_map(|(name, content)| Some((name.as_str(), content.bytes.as_ref().err()?.message.clone())))
            .collect();
        assert_eq!(seen.keys().collect::<Vec<_>>(), ["a", "dangling", "folder", "large", "pipe"]);
        assert_eq!(bad.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["dangling", "folder", "large", "pipe"]);
        assert!(bad[2].1.contains("longer than 100 bytes") && bad[3].1.contains("not a regular file"), "{bad:?}");
    }

    #[test]
    fn a_change_within_the_same_second_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        let mut scanner = Scanner::new(folder.path(), "yaml", 100);
        let mut digests = std::collections::HashSet::new();
        for round in 0..200 {
            std::fs::write(&file, format!("{round:04}")).unwrap();
            digests.insert(scanner.look().unwrap()["a"].digest.clone());
        }
        assert_eq!(digests.len(), 200);
    }

    #[test]
    fn a_folder_that_is_not_there_is_told_from_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(names(&mut Scanner::new(folder.path(), "yaml", 100)), Vec::<String>::new());
        assert!(Scanner::new(&folder.path().join("gone"), "yaml", 100).look().is_none());
    }
}
