//! Files below a folder, reached by names that cannot lead out of it: no link is followed, no `..` climbs.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, OwnedFd},
};

use rustix::fs::{Mode, OFlags, openat};

const FILE_MODE: Mode = Mode::from_raw_mode(0o644);
const FOLDER_MODE: Mode = Mode::from_raw_mode(0o755);

/// An open folder.
#[derive(Debug)]
pub(super) struct Folder(OwnedFd);

impl Folder {
    /// Opens a folder that the operator named: links on the way to it are the operator's business.
    pub(super) fn open(path: &std::path::Path) -> io::Result<Self> {
        Ok(Self(rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?))
    }

    /// A folder below this one.
    pub(super) fn folder(&self, path: &str) -> io::Result<Self> {
        open_beneath(&self.0, path, OFlags::RDONLY | OFlags::DIRECTORY, false).map(Self).map_err(hidden)
    }

    /// An ordinary file below this one; whatever else has the name is not there.
    pub(super) fn file(&self, path: &str, access: OFlags) -> io::Result<File> {
        self.ordinary(path, access, false)
    }

    /// As [`Folder::file`], to read; `WouldBlock` where the disk would have to be asked for the way to it.
    pub(super) fn cached_file(&self, path: &str) -> io::Result<File> {
        self.ordinary(path, OFlags::RDONLY, true)
    }

    fn ordinary(&self, path: &str, access: OFlags, cached: bool) -> io::Result<File> {
        // Non-blocking: opening a pipe must not wait for its other end.
        let opened = open_beneath(&self.0, path, access | OFlags::NONBLOCK, cached).map_err(hidden)?;
        let file = File::from(opened);
        if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    /// A new file right in this folder; fails when the name is taken.
    pub(super) fn create(&self, name: &str) -> io::Result<File> {
        let how = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        Ok(openat(&self.0, name, how, FILE_MODE)?.into())
    }

    /// Makes a folder right in this one, unless it is there.
    pub(super) fn make_folder(&self, name: &str) -> io::Result<()> {
        match rustix::fs::mkdirat(&self.0, name, FOLDER_MODE) {
            Err(rustix::io::Errno::EXIST) => Ok(()),
            done => Ok(done?),
        }
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        rustix::fs::unlinkat(&self.0, name, rustix::fs::AtFlags::empty()).map_err(|errno| match errno {
            // A folder has the name: no file of ours.
            rustix::io::Errno::ISDIR => io::ErrorKind::NotFound.into(),
            errno => errno.into(),
        })
    }

    /// Renames to a name in another folder, in place of what has it.
    pub(super) fn rename(&self, from: &str, folder: &Self, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.0, from, &folder.0, to)?)
    }

    /// Renames to a name in another folder; fails when that is taken.
    pub(super) fn rename_new(&self, from: &str, folder: &Self, to: &str) -> io::Result<()> {
        use rustix::{fs::RenameFlags, io::Errno};
        match rustix::fs::renameat_with(&self.0, from, &folder.0, to, RenameFlags::NOREPLACE) {
            // Not every file system knows this; a link never replaces either.
            Err(Errno::INVAL | Errno::NOSYS) => {
                rustix::fs::linkat(&self.0, from, &folder.0, to, rustix::fs::AtFlags::empty())?;
                self.remove(from)
            }
            done => Ok(done?),
        }
    }

    /// Brings the names in it to the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.0)?)
    }

    /// Size of the disk and what is free of it, in bytes.
    pub(super) fn space(&self) -> io::Result<(u64, u64)> {
        let disk = rustix::fs::fstatvfs(&self.0)?;
        Ok((disk.f_blocks.saturating_mul(disk.f_frsize), disk.f_bavail.saturating_mul(disk.f_frsize)))
    }
}

/// What leads through a link or out of the folder is, to us, not there.
fn hidden(error: io::Error) -> io::Error {
    use rustix::io::Errno;
    match Errno::from_io_error(&error) {
        Some(Errno::LOOP | Errno::XDEV | Errno::NOTDIR | Errno::NXIO) => io::ErrorKind::NotFound.into(),
        _ => error,
    }
}

#[cfg(target_os = "linux")]
fn open_beneath(folder: &OwnedFd, path: &str, how: OFlags, cached: bool) -> io::Result<OwnedFd> {
    use rustix::{
        fs::{ResolveFlags, openat2},
        io::Errno,
    };
    let mut resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    resolve.set(ResolveFlags::CACHED, cached);
    match openat2(folder, path, how | OFlags::CLOEXEC, Mode::empty(), resolve) {
        // Before Linux 5.6, or forbidden by a sandbox; before 5.12, without the cached way.
        Err(Errno::NOSYS | Errno::PERM) if cached => Err(io::ErrorKind::WouldBlock.into()),
        Err(Errno::NOSYS | Errno::PERM) => walk(folder, path, how),
        Err(Errno::INVAL) if cached => Err(io::ErrorKind::WouldBlock.into()),
        done => Ok(done?),
    }
}

#[cfg(not(target_os = "linux"))]
fn open_beneath(folder: &OwnedFd, path: &str, how: OFlags, cached: bool) -> io::Result<OwnedFd> {
    if cached { Err(io::ErrorKind::WouldBlock.into()) } else { walk(folder, path, how) }
}

/// One part of the path after the other, none of them a link.
fn walk(folder: &OwnedFd, path: &str, how: OFlags) -> io::Result<OwnedFd> {
    let never_a_link = OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut at: Option<OwnedFd> = None;
    let mut parts = path.split('/').peekable();
    while let Some(part) = parts.next() {
        if matches!(part, "" | "." | "..") {
            return Err(io::ErrorKind::NotFound.into());
        }
        let below = at.as_ref().unwrap_or(folder).as_fd();
        let how = if parts.peek().is_some() { OFlags::RDONLY | OFlags::DIRECTORY } else { how };
        at = Some(openat(below, part, how | never_a_link, Mode::empty())?);
    }
    at.ok_or_else(|| io::ErrorKind::NotFound.into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn neither_way_of_opening_follows_a_link_or_climbs() {
        let base = tempfile::tempdir().unwrap();
        let inside = base.path().join("inside");
        std::fs::create_dir_all(inside.join("AA/BB")).unwrap();
        std::fs::write(inside.join("AA/BB/file"), b"x").unwrap();
        std::fs::write(base.path().join("secret"), b"x").unwrap();
        symlink(base.path().join("secret"), inside.join("AA/BB/link")).unwrap();
        symlink(inside.join("AA/BB"), inside.join("AA/CC")).unwrap();
        let folder = Folder::open(&inside).unwrap();
        for open in [open_beneath, |folder: &OwnedFd, path: &str, how, _: bool| walk(folder, path, how)] {
            let open = |path| open(&folder.0, path, OFlags::RDONLY, false).map_err(hidden);
            open("AA/BB/file").unwrap();
            for bad in ["AA/BB/link", "AA/CC/file", "../secret", "AA/../../secret", "AA/BB/none", "AA/BB/file/x"] {
                assert_eq!(open(bad).unwrap_err().kind(), io::ErrorKind::NotFound, "{bad}");
            }
        }
        let absolute = base.path().join("secret");
        assert!(folder.file(absolute.to_str().unwrap(), OFlags::RDONLY).is_err());
        assert!(folder.file("AA/BB", OFlags::RDONLY).is_err());
    }
}
