//! Files that have no name yet: they vanish unless they are given one.

use std::{
    fs::File,
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use rustix::fs::OFlags;

use super::beneath::Folder;

pub(super) struct TempFolder {
    path: PathBuf,
    folder: Arc<Folder>,
    next: AtomicU64,
}

impl TempFolder {
    /// Makes the folder. What a killed server left in it is there until [`TempFolder::clear`].
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        std::fs::create_dir_all(&path)?;
        let folder = Arc::new(Folder::open(&path)?);
        Ok(Self { path, folder, next: AtomicU64::new(0) })
    }

    /// Empties it: what is there was never answered for.
    pub(super) fn clear(&self) -> io::Result<()> {
        for entry in std::fs::read_dir(&self.path)? {
            std::fs::remove_file(entry?.path())?;
        }
        // Numbers begin anew: one from before must not come back under them.
        self.sync()
    }

    /// Brings the entries in the folder to the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.folder.sync()
    }

    pub(super) fn create(&self) -> io::Result<TempFile> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let file = self.folder.create(&number.to_string())?;
        Ok(TempFile { file, number, folder: Arc::clone(&self.folder), named: false })
    }

    /// One that a killed server left.
    pub(super) fn left(&self, number: u64) -> io::Result<File> {
        self.folder.file(&number.to_string(), OFlags::RDONLY)
    }
}

pub(super) struct TempFile {
    pub(super) file: File,
    /// Stands for its name in the folder.
    pub(super) number: u64,
    folder: Arc<Folder>,
    named: bool,
}

impl TempFile {
    /// Gives it its name; fails when that exists.
    pub(super) fn name(&mut self, folder: &Folder, leaf: &str) -> io::Result<()> {
        self.folder.rename_new(&self.number.to_string(), folder, leaf)?;
        self.named = true;
        Ok(())
    }

    /// Gives it its name in place of what has it.
    pub(super) fn replace(&mut self, folder: &Folder, leaf: &str) -> io::Result<()> {
        self.folder.rename(&self.number.to_string(), folder, leaf)?;
        self.named = true;
        Ok(())
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        if !self.named {
            // What cannot be removed now is removed at the next start.
            let _ = self.folder.remove(&self.number.to_string());
        }
    }
}
