//! Files that have no name yet: they vanish unless they are given one.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

pub(super) struct TempFolder {
    path: PathBuf,
    next: AtomicU64,
}

impl TempFolder {
    /// Makes the folder and empties it: what is there was never answered for.
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&path)?;
        for entry in fs::read_dir(&path)? {
            fs::remove_file(entry?.path())?;
        }
        Ok(Self { path, next: AtomicU64::new(0) })
    }

    pub(super) fn create(&self) -> io::Result<TempFile> {
        let path = self.path.join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        Ok(TempFile { file, path, named: false })
    }
}

pub(super) struct TempFile {
    pub(super) file: File,
    path: PathBuf,
    named: bool,
}

impl TempFile {
    /// Gives it its name; fails when that exists.
    pub(super) fn name(&mut self, to: &Path) -> io::Result<()> {
        rename_new(&self.path, to)?;
        self.named = true;
        Ok(())
    }

    /// Gives it its name in place of what has it.
    pub(super) fn replace(&mut self, to: &Path) -> io::Result<()> {
        fs::rename(&self.path, to)?;
        self.named = true;
        Ok(())
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        if !self.named {
            // What cannot be removed now is removed at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Renames without ever replacing.
pub(super) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::{
        fs::{CWD, RenameFlags, renameat_with},
        io::Errno,
    };
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Not every file system knows this; a link never replaces either.
        Err(Errno::INVAL | Errno::NOSYS) => fs::hard_link(from, to).and_then(|()| fs::remove_file(from)),
        done => Ok(done?),
    }
}
