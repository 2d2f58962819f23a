//! MD5, which devices know, and SHA-256, which we trust, of a whole file in one pass.

use md5::Md5;
use sha2::{Digest as _, Sha256};

/// What identifies a file's content.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Digests {
    /// Bytes.
    pub size: u64,
    /// MD5.
    pub md5: [u8; 16],
    /// SHA-256.
    pub sha256: [u8; 32],
}

/// Both digests, growing.
#[derive(Default)]
pub(super) struct Digesting {
    size: u64,
    md5: Md5,
    sha256: Sha256,
}

impl Digesting {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        self.md5.update(bytes);
        self.sha256.update(bytes);
    }

    pub(super) fn finish(self) -> Digests {
        Digests { size: self.size, md5: self.md5.finalize().into(), sha256: self.sha256.finalize().into() }
    }
}
