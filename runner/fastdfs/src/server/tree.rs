//! Files on disk: `data/XX/XX/leaf` below the base path, reached by parsed names only and never through a link.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use rustix::fs::{FlockOperation, OFlags, flock};

use super::{
    Fsync, ServerError,
    intents::Intents,
    temp::{TempFile, TempFolder, rename_new},
};
use crate::wire::FileName;

/// Files that go into one folder before the next one is taken, as the original does.
const FILES_A_FOLDER: u64 = 100;
const FOLDERS: u64 = 256 * 256;
/// What a metadata file's name adds to its file's.
pub(super) const METADATA: &str = "-m";

pub(super) struct Tree {
    data: PathBuf,
    pub(super) fsync: Fsync,
    pub(super) temp: TempFolder,
    pub(super) intents: Intents,
    uploads: AtomicU64,
    /// One bit for each folder pair that is known to be there.
    known: Box<[AtomicU64]>,
    /// Held as long as the tree is in use.
    _lock: File,
}

impl Tree {
    /// Makes the folders, takes the lock, drops unfinished uploads and takes unfinished changes back.
    pub(super) fn open(base: &Path, fsync: Fsync) -> Result<Self, ServerError> {
        let bad = |source| ServerError::BasePath { path: base.to_owned(), source };
        let data = base.join("data");
        fs::create_dir_all(&data).map_err(bad)?;
        let lock = File::create(data.join("lock")).map_err(bad)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(ServerError::InUse { path: base.to_owned() }),
            done => done.map_err(|error| bad(error.into()))?,
        }
        let temp = TempFolder::open(data.join("tmp")).map_err(bad)?;
        let (intents, unfinished) = Intents::open(&data.join("intents"), fsync == Fsync::Always).map_err(bad)?;
        let known = (0..FOLDERS / 64).map(|_| AtomicU64::new(0)).collect();
        let tree = Self { data, fsync, temp, intents, uploads: AtomicU64::new(0), known, _lock: lock };
        tree.take_back(&unfinished).map_err(bad)?;
        Ok(tree)
    }

    fn take_back(&self, unfinished: &[(FileName, u64)]) -> io::Result<()> {
        for (name, size) in unfinished {
            match self.open_to_change(name) {
                Ok(file) if file.metadata()?.len() > *size => {
                    file.set_len(*size)?;
                    file.sync_all()?;
                    tracing::info!(%name, size, "took an unfinished change back");
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        self.intents.settle()
    }

    /// The folders that the next upload goes to.
    pub(super) fn next_folders(&self) -> (u8, u8) {
        let at = self.uploads.fetch_add(1, Ordering::Relaxed) / FILES_A_FOLDER % FOLDERS;
        ((at / 256) as u8, (at % 256) as u8)
    }

    pub(super) fn open_to_read(&self, name: &FileName) -> io::Result<File> {
        self.open_existing(name, OpenOptions::new().read(true))
    }

    pub(super) fn open_to_change(&self, name: &FileName) -> io::Result<File> {
        self.open_existing(name, OpenOptions::new().read(true).write(true))
    }

    /// Gives an upload its name; hands it back when that fails, as where the name exists. Content first, then the name.
    pub(super) fn publish(&self, mut upload: TempFile, name: &FileName) -> Result<(), (TempFile, io::Error)> {
        let done = self.make_folders(name.folders()).and_then(|()| {
            if self.fsync != Fsync::Never {
                upload.file.sync_data()?;
            }
            upload.name(&self.path(name))?;
            self.sync_folder(name, Fsync::Close)
        });
        done.map_err(|error| (upload, error))
    }

    /// Gives an upload a name, in place of what has it.
    pub(super) fn replace(&self, mut upload: TempFile, name: &FileName) -> io::Result<()> {
        if self.fsync == Fsync::Always {
            upload.file.sync_data()?;
        }
        upload.replace(&self.path(name))?;
        self.sync_folder(name, Fsync::Always)
    }

    /// Renames within a folder; fails when the new name exists.
    pub(super) fn rename(&self, from: &FileName, to: &FileName) -> io::Result<()> {
        rename_new(&self.path(from), &self.path(to))?;
        self.sync_folder(to, Fsync::Close)
    }

    pub(super) fn remove(&self, name: &FileName) -> io::Result<()> {
        self.check_folders(name.folders())?;
        fs::remove_file(self.path(name))?;
        self.sync_folder(name, Fsync::Always)
    }

    /// Size of the disk and what is free of it, in MiB.
    pub(super) fn space_mb(&self) -> (u64, u64) {
        rustix::fs::statvfs(&self.data)
            .map(|disk| ((disk.f_blocks * disk.f_frsize) >> 20, (disk.f_bavail * disk.f_frsize) >> 20))
            .unwrap_or_default()
    }

    fn open_existing(&self, name: &FileName, options: &mut OpenOptions) -> io::Result<File> {
        self.check_folders(name.folders())?;
        let opened = options.custom_flags(OFlags::NOFOLLOW.bits() as i32).open(self.path(name));
        let file = match opened {
            // A link: to us it is not there.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
                return Err(io::ErrorKind::NotFound.into());
            }
            opened => opened?,
        };
        if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    fn path(&self, name: &FileName) -> PathBuf {
        // `M00/` is the only store path: its folders lie in `data`.
        self.data.join(&name.as_str()[4..])
    }

    fn make_folders(&self, folders: (u8, u8)) -> io::Result<()> {
        if self.is_known(folders) {
            return Ok(());
        }
        for folder in self.levels(folders) {
            match fs::create_dir(&folder) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        self.check_folders(folders)?;
        if self.fsync == Fsync::Never {
            return Ok(());
        }
        let [outer, _] = self.levels(folders);
        File::open(&self.data)?.sync_all()?;
        File::open(outer)?.sync_all()
    }

    /// Fails unless both levels are real folders, not links.
    fn check_folders(&self, folders: (u8, u8)) -> io::Result<()> {
        if self.is_known(folders) {
            return Ok(());
        }
        for folder in self.levels(folders) {
            if !fs::symlink_metadata(&folder)?.is_dir() {
                return Err(io::ErrorKind::NotFound.into());
            }
        }
        let (word, bit) = known_bit(folders);
        self.known[word].fetch_or(bit, Ordering::Relaxed);
        Ok(())
    }

    fn is_known(&self, folders: (u8, u8)) -> bool {
        let (word, bit) = known_bit(folders);
        self.known[word].load(Ordering::Relaxed) & bit != 0
    }

    fn levels(&self, (outer, inner): (u8, u8)) -> [PathBuf; 2] {
        let outer = self.data.join(format!("{outer:02X}"));
        let inner = outer.join(format!("{inner:02X}"));
        [outer, inner]
    }

    fn sync_folder(&self, name: &FileName, from: Fsync) -> io::Result<()> {
        let wanted = match from {
            Fsync::Always => self.fsync == Fsync::Always,
            Fsync::Never | Fsync::Close => self.fsync != Fsync::Never,
        };
        if !wanted {
            return Ok(());
        }
        let [_, inner] = self.levels(name.folders());
        File::open(inner)?.sync_all()
    }
}

fn known_bit((outer, inner): (u8, u8)) -> (usize, u64) {
    let at = usize::from(outer) * 256 + usize::from(inner);
    (at / 64, 1 << (at % 64))
}

/// The name of a file's metadata; None when that would be too long.
pub(super) fn metadata_name(name: &FileName) -> Option<FileName> {
    name.with_leaf(&format!("{}{METADATA}", name.leaf())).ok()
}
