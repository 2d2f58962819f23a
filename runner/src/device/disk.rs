//! A device's disk: pieces go through a spool of its own, so that one fdatasync makes a group durable; whole files lie in the
//! folder under their names.

use crate::link::{Assembled, Spool, SpoolError, SpoolNote, SpoolPart};
use packhorse_core::digest::{Digester, beside};
use packhorse_core::transfer::peer::Kept;
use packhorse_core::transfer::{Algorithm, Digest, FileInfo, Span};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use tokio::sync::mpsc;

/// Folder for a device's own state, below its folder.
const OWN: &str = ".packhorse";
/// What the file in the making is called.
const STATE: &str = "state.json";

/// What went wrong on a device's disk.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// A file.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The spool.
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

/// What a device remembers of the file that arrives; the bytes are in the spool.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    file: Option<FileInfo>,
    stored: Option<Vec<Digest>>,
}

/// A device's disk.
#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
    /// Digests that the codec knows, beside MD5 and SHA-256.
    beside: Vec<Algorithm>,
    part: SpoolPart,
    /// Notes of writes.
    pub(super) notes: mpsc::UnboundedReceiver<SpoolNote>,
    state: State,
    shelf: HashMap<PathBuf, (u64, SystemTime)>,
    open: Option<(String, File)>,
}

impl Disk {
    /// Opens the folder, which is created; its pieces go to `shared` under the device's id, or to a spool of its own. `digests` are
    /// those that the codec knows.
    pub fn open(folder: &Path, id: &str, shared: Option<&Spool>, digests: &[Algorithm]) -> Result<Self, DiskError> {
        let own = folder.join(OWN);
        std::fs::create_dir_all(&own).map_err(io("create", &own))?;
        let (part, notes) = match shared {
            Some(spool) => spool.part(id),
            None => Spool::open(&own.join("spool"))?.part("arriving"),
        };
        let path = own.join(STATE);
        let state = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_default(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => State::default(),
            Err(error) => return Err(io("read", &path)(error)),
        };
        let (folder, beside) = (folder.to_owned(), beside(digests));
        Ok(Self { folder, beside, part, notes, state, shelf: HashMap::new(), open: None })
    }

    /// What an earlier life of the device kept.
    pub fn kept(&self) -> Kept {
        Kept { file: self.state.file.clone(), durable: self.part.held(), stored: self.state.stored.clone() }
    }

    /// Keeps what is known of the file that arrives, where it changed.
    pub fn keep(&mut self, kept: &Kept) -> Result<(), DiskError> {
        let state = State { file: kept.file.clone(), stored: kept.stored.clone() };
        if state == self.state {
            return Ok(());
        }
        let path = self.folder.join(OWN).join(STATE);
        let temporary = path.with_extension("new");
        let bytes = serde_json::to_vec(&state).unwrap_or_default();
        std::fs::write(&temporary, bytes)
            .and_then(|()| File::open(&temporary)?.sync_all())
            .map_err(io("write", &temporary))?;
        std::fs::rename(&temporary, &path).map_err(io("rename", &temporary))?;
        self.state = state;
        Ok(())
    }

    /// Queues bytes of the file that arrives; a note tells when they are on disk.
    pub async fn write(&self, offset: u64, bytes: Vec<u8>) -> Result<(), DiskError> {
        Ok(self.part.write(offset, bytes).await?)
    }

    /// Voids what arrived.
    pub async fn truncate(&self) -> Result<(), DiskError> {
        Ok(self.part.truncate().await?)
    }

    /// Makes the file of its pieces, not yet under its name.
    pub fn assemble(&self, size: u64) -> Result<Assembled, DiskError> {
        Ok(self.part.assemble(size, &self.making(), &self.beside)?)
    }

    /// Gives the finished file its name.
    pub fn store(&self, file: &FileInfo) -> Result<PathBuf, DiskError> {
        let path = self.folder.join(name(file));
        let making = self.making();
        if !making.exists() {
            self.assemble(file.size.unwrap_or(0))?;
        }
        std::fs::rename(&making, &path).map_err(io("rename", &making))?;
        let folder = File::open(&self.folder).and_then(|folder| folder.sync_all());
        folder.map_err(io("sync", &self.folder))?;
        Ok(path)
    }

    /// Size and digests of a file as it is stored now.
    pub fn digest(&self, file: &FileInfo) -> Option<(u64, Vec<Digest>)> {
        digests(&self.folder.join(name(file)), &self.beside).ok()
    }

    /// Files of the folder that are new or changed since the last look.
    pub fn look(&mut self) -> Vec<FileInfo> {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return Vec::new() };
        let mut found = Vec::new();
        for entry in entries.flatten() {
            let (path, Ok(about)) = (entry.path(), entry.metadata()) else { continue };
            let Some(name) = entry.file_name().to_str().filter(|name| !name.starts_with('.')).map(ToOwned::to_owned)
            else {
                continue;
            };
            let stamp = (about.len(), about.modified().unwrap_or(SystemTime::UNIX_EPOCH));
            if !about.is_file() || self.shelf.get(&path) == Some(&stamp) {
                continue;
            }
            if let Ok((size, digests)) = digests(&path, &self.beside) {
                self.shelf.insert(path, stamp);
                self.open = None;
                found.push(FileInfo { name, size: Some(size), digests, meta: Vec::new() });
            }
        }
        found
    }

    /// Bytes of a file of the folder.
    pub fn read(&mut self, name: &str, span: Span) -> Result<Vec<u8>, DiskError> {
        let path = self.folder.join(name);
        if self.open.as_ref().is_none_or(|(open, _)| open != name) {
            self.open = Some((name.to_owned(), File::open(&path).map_err(io("open", &path))?));
        }
        let mut bytes = vec![0; usize::try_from(span.len()).unwrap_or(0).min(1 << 20)];
        if let Some((_, file)) = &self.open {
            file.read_exact_at(&mut bytes, span.start).map_err(io("read", &path))?;
        }
        Ok(bytes)
    }

    fn making(&self) -> PathBuf {
        self.folder.join(OWN).join("arriving.part")
    }
}

/// A file's name on this disk: the last part of what it is called, never hidden; files without a name go by their digest.
fn name(file: &FileInfo) -> String {
    let last = file.name.rsplit(['/', '\\']).next().unwrap_or_default();
    let clean: String = last.chars().filter(|letter| !letter.is_control()).take(100).collect();
    let clean = clean.trim_start_matches('.');
    if !clean.is_empty() {
        return clean.to_owned();
    }
    let digest = file.digests.first().map(|digest| packhorse_core::hex::encode(&digest.value));
    digest.map_or_else(|| "file.bin".to_owned(), |digest| format!("{digest}.bin"))
}

fn digests(path: &Path, beside: &[Algorithm]) -> std::io::Result<(u64, Vec<Digest>)> {
    let mut file = File::open(path)?;
    let algorithms: Vec<Algorithm> =
        [Algorithm::Md5, Algorithm::Sha256].into_iter().chain(beside.iter().copied()).collect();
    let (mut digester, mut size) = (Digester::new(&algorithms), 0);
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok((size, digester.finish()));
        }
        digester.update(&buffer[..count]);
        size += count as u64;
    }
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> DiskError {
    let path = path.to_owned();
    move |source| DiskError::Io { action, path, source }
}
