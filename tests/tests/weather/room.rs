//! A disk of a known size: a tmpfs of its own.

use packhorse_tests::World;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A small disk, or what comes closest; gone when dropped.
pub(crate) struct Room {
    path: PathBuf,
    mounted: bool,
}

impl Room {
    /// A disk of `size` bytes in the world's folder. Where mounting is not permitted it is an ordinary folder, and [`Room::is_disk`]
    /// says so: the caller bounds file sizes instead.
    pub(crate) fn of(world: &World, name: &str, size: usize) -> Self {
        let path = world.path(name);
        std::fs::create_dir_all(&path).unwrap();
        let options = format!("size={size},mode=0700");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&path).output();
        let mounted = mount.is_ok_and(|output| output.status.success());
        Self { path, mounted }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is a disk of its own.
    pub(crate) fn is_disk(&self) -> bool {
        self.mounted
    }

    pub(crate) fn way(&self) -> &'static str {
        if self.mounted { "tmpfs" } else { "a limit of file sizes" }
    }

    /// Leaves so many bytes free.
    pub(crate) fn fill(&self, leave: u64) {
        let free = rustix::fs::statvfs(&self.path).map(|about| about.f_bavail * about.f_frsize).unwrap();
        assert!(!self.mounted || free > leave, "{free} bytes are free");
        if self.mounted {
            let filler = std::fs::File::create(self.path.join("filler")).unwrap();
            rustix::fs::fallocate(&filler, rustix::fs::FallocateFlags::empty(), 0, free - leave).unwrap();
        }
    }

    /// Makes room again.
    pub(crate) fn free(&self) {
        drop(std::fs::remove_file(self.path.join("filler")));
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if self.mounted {
            drop(Command::new("umount").arg("-l").arg(&self.path).status());
        }
    }
}
