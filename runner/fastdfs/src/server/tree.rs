//! Files of one store path on disk: `data/XX/XX/leaf`, reached by parsed names only. Everything here blocks.

use std::{
    fs::File,
    io::{self, Seek as _, SeekFrom},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use rustix::fs::{FlockOperation, OFlags, flock};

use super::{
    Fsync, ServerError,
    beneath::Folder,
    intents::{Intents, Remedy},
    temp::{TempFile, TempFolder},
};
use crate::wire::FileName;

/// Files that go into one folder before the next one is taken, as the original does.
const FILES_A_FOLDER: u64 = 100;
const FOLDERS: u64 = 256 * 256;
/// What a metadata file's name adds to its file's.
const METADATA: &str = "-m";

/// Its two levels, and itself.
type LastFolder = ((u8, u8), Arc<Folder>);

pub(super) struct Tree {
    data: Folder,
    pub(super) fsync: Fsync,
    pub(super) temp: TempFolder,
    pub(super) intents: Intents,
    uploads: AtomicU64,
    /// Uploads go to the same folder many times in a row.
    last_folder: Mutex<Option<LastFolder>>,
    /// Held as long as the tree is in use.
    _lock: File,
}

impl Tree {
    /// Makes the folders, takes the lock, drops unfinished uploads and puts unfinished changes right.
    pub(super) fn open(base: &Path, fsync: Fsync) -> Result<Self, ServerError> {
        let bad = |source| ServerError::BasePath { path: base.to_owned(), source };
        let data = base.join("data");
        std::fs::create_dir_all(&data).map_err(bad)?;
        if fsync != Fsync::Never {
            sync_names(base).map_err(bad)?;
        }
        let lock = File::create(data.join("lock")).map_err(bad)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(ServerError::InUse { path: base.to_owned() }),
            done => done.map_err(|error| bad(error.into()))?,
        }
        let temp = TempFolder::open(data.join("tmp")).map_err(bad)?;
        let (intents, unfinished) = Intents::open(&data.join("intents"), fsync == Fsync::Always).map_err(bad)?;
        let data = Folder::open(&data).map_err(bad)?;
        let (uploads, last_folder) = (AtomicU64::new(0), Mutex::default());
        let tree = Self { data, fsync, temp, intents, uploads, last_folder, _lock: lock };
        tree.recover(&unfinished).map_err(bad)?;
        Ok(tree)
    }

    fn recover(&self, unfinished: &[(FileName, Remedy)]) -> io::Result<()> {
        for (name, remedy) in unfinished {
            match self.put_right(name, *remedy) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    tracing::info!(%name, ?remedy, "an unfinished change had ended, or its file is gone");
                }
                done => {
                    done?;
                    tracing::info!(%name, ?remedy, "put an unfinished change right");
                }
            }
        }
        self.intents.settle()?;
        self.temp.clear()
    }

    fn put_right(&self, name: &FileName, remedy: Remedy) -> io::Result<()> {
        let mut file = self.open_to_change(name)?;
        match remedy {
            Remedy::TakeBack { size } if file.metadata()?.len() > size => file.set_len(size)?,
            Remedy::TakeBack { .. } => {}
            Remedy::Repeat { temp, offset } => {
                file.seek(SeekFrom::Start(offset))?;
                io::copy(&mut self.temp.left(temp)?, &mut file)?;
            }
        }
        file.sync_all()
    }

    /// The folders that the next upload goes to.
    pub(super) fn next_folders(&self) -> (u8, u8) {
        let at = self.uploads.fetch_add(1, Ordering::Relaxed) / FILES_A_FOLDER % FOLDERS;
        ((at / 256) as u8, (at % 256) as u8)
    }

    pub(super) fn open_to_read(&self, name: &FileName) -> io::Result<File> {
        self.data.file(below_data(name), OFlags::RDONLY)
    }

    /// As [`Tree::open_to_read`], never waiting for the disk: `WouldBlock` where that would be needed.
    pub(super) fn open_cached(&self, name: &FileName) -> io::Result<File> {
        self.data.cached_file(below_data(name))
    }

    pub(super) fn open_to_change(&self, name: &FileName) -> io::Result<File> {
        self.data.file(below_data(name), OFlags::RDWR)
    }

    /// Gives an upload its name; hands it back when that fails, as where the name exists. Content first, then the name.
    pub(super) fn publish(&self, mut upload: TempFile, name: &FileName) -> Result<(), (TempFile, io::Error)> {
        let done = match self.try_publish(&mut upload, name) {
            // Somebody removed the folder: it is made anew.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.last_folder.lock().unwrap_or_else(PoisonError::into_inner).take();
                self.try_publish(&mut upload, name)
            }
            done => done,
        };
        done.map_err(|error| (upload, error))
    }

    fn try_publish(&self, upload: &mut TempFile, name: &FileName) -> io::Result<()> {
        let folder = self.made_folder(name.folders())?;
        if self.fsync != Fsync::Never {
            upload.file.sync_data()?;
        }
        upload.name(&folder, name.leaf())?;
        self.sync_folder(&folder, Fsync::Close)
    }

    /// Gives an upload a name, in place of what has it.
    pub(super) fn replace(&self, mut upload: TempFile, name: &FileName) -> io::Result<()> {
        let folder = self.folder_of(name)?;
        if self.fsync == Fsync::Always {
            upload.file.sync_data()?;
        }
        upload.replace(&folder, name.leaf())?;
        self.sync_folder(&folder, Fsync::Always)
    }

    /// Renames within a folder; fails when the new name exists.
    pub(super) fn rename(&self, from: &FileName, to: &FileName) -> io::Result<()> {
        let folder = self.folder_of(from)?;
        folder.rename_new(from.leaf(), &folder, to.leaf())?;
        self.sync_folder(&folder, Fsync::Close)
    }

    pub(super) fn remove(&self, name: &FileName) -> io::Result<()> {
        let folder = self.folder_of(name)?;
        folder.remove(name.leaf())?;
        self.sync_folder(&folder, Fsync::Always)
    }

    /// Size of the disk and what is free of it, in bytes; zeros where the system does not tell.
    pub(super) fn space(&self) -> (u64, u64) {
        self.data.space().unwrap_or_default()
    }

    fn folder_of(&self, name: &FileName) -> io::Result<Folder> {
        self.data.folder(&below_data(name)[..FOLDER_PATH])
    }

    fn made_folder(&self, folders: (u8, u8)) -> io::Result<Arc<Folder>> {
        let mut last = self.last_folder.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, folder)) = &*last
            && *of == folders
        {
            return Ok(Arc::clone(folder));
        }
        let folder = Arc::new(self.make_folder(folders)?);
        *last = Some((folders, Arc::clone(&folder)));
        Ok(folder)
    }

    fn make_folder(&self, (outer, inner): (u8, u8)) -> io::Result<Folder> {
        let (outer, inner) = (format!("{outer:02X}"), format!("{inner:02X}"));
        self.data.make_folder(&outer)?;
        let outer = self.data.folder(&outer)?;
        outer.make_folder(&inner)?;
        if self.fsync != Fsync::Never {
            self.data.sync()?;
            outer.sync()?;
        }
        outer.folder(&inner)
    }

    fn sync_folder(&self, folder: &Folder, from: Fsync) -> io::Result<()> {
        let wanted = match from {
            Fsync::Always => self.fsync == Fsync::Always,
            Fsync::Never | Fsync::Close => self.fsync != Fsync::Never,
        };
        if wanted { folder.sync() } else { Ok(()) }
    }
}

/// Brings the names of the store path and of what was made in it to the disk.
fn sync_names(base: &Path) -> io::Result<()> {
    let parent = base.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    Folder::open(base)?.sync()?;
    Folder::open(parent)?.sync()
}

/// `XX/XX`
const FOLDER_PATH: usize = 5;

/// `XX/XX/leaf`: what follows `Mxx/`, which stands for the store path.
fn below_data(name: &FileName) -> &str {
    &name.as_str()[4..]
}

/// The name of a file's metadata; None when that would be too long.
pub(super) fn metadata_name(name: &FileName) -> Option<FileName> {
    name.with_leaf(&format!("{}{METADATA}", name.leaf())).ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use super::*;

    /// A store path with one file, changed by `change`, whose process was then killed: what the next start makes of the file.
    fn after_a_kill(change: impl FnOnce(&Tree, &FileName, &File)) -> Vec<u8> {
        let base = tempfile::tempdir().unwrap();
        let name: FileName = "M00/00/00/fwAAA2sAAceEYEJuAAAAAMRYHyQ536.txt".parse().unwrap();
        let tree = Tree::open(base.path(), Fsync::Never).unwrap();
        let upload = tree.temp.create().unwrap();
        upload.file.write_all_at(b"0123456789", 0).unwrap();
        tree.publish(upload, &name).map_err(|(_, error)| error).unwrap();
        change(&tree, &name, &tree.open_to_change(&name).unwrap());
        drop(tree);
        let tree = Tree::open(base.path(), Fsync::Never).unwrap();
        assert_eq!(std::fs::read_dir(base.path().join("data/tmp")).unwrap().count(), 0);
        let mut content = Vec::new();
        io::Read::read_to_end(&mut tree.open_to_read(&name).unwrap(), &mut content).unwrap();
        content
    }

    #[test]
    fn an_overwrite_that_was_killed_is_brought_to_its_end() {
        let content = after_a_kill(|tree, name, file| {
            let content = tree.temp.create().unwrap();
            content.file.write_all_at(b"abcde", 0).unwrap();
            let _ = tree.intents.begin(name, Remedy::Repeat { temp: content.number, offset: 7 }).unwrap();
            file.write_all_at(b"ab", 7).unwrap();
            std::mem::forget(content);
        });
        assert_eq!(content, b"0123456abcde");
    }

    #[test]
    fn an_append_that_was_killed_is_taken_back() {
        let content = after_a_kill(|tree, name, file| {
            let _ = tree.intents.begin(name, Remedy::TakeBack { size: 10 }).unwrap();
            file.write_all_at(b"abc", 10).unwrap();
        });
        assert_eq!(content, b"0123456789");
    }

    #[test]
    fn a_change_of_a_file_that_is_gone_is_forgotten() {
        let content = after_a_kill(|tree, name, _| {
            let gone = name.with_leaf("gone").unwrap();
            let _ = tree.intents.begin(&gone, Remedy::TakeBack { size: 10 }).unwrap();
            let _ = tree.intents.begin(name, Remedy::Repeat { temp: 99, offset: 0 }).unwrap();
        });
        assert_eq!(content, b"0123456789");
    }
}
