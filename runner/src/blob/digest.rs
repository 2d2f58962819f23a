//! MD5, which devices know, SHA-256, which we trust, and what a codec wants beside them, of a whole file in one pass.

use md5::Md5;
use packhorse_core::digest::Digester;
use packhorse_core::transfer::{Algorithm, Digest};
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

/// All digests, growing.
pub(super) struct Digesting {
    size: u64,
    md5: Md5,
    sha256: Sha256,
    beside: Digester,
}

impl Digesting {
    pub(super) fn new(beside: &[Algorithm]) -> Self {
        Self { size: 0, md5: Md5::new(), sha256: Sha256::new(), beside: Digester::new(beside) }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.size += bytes.len() as u64;
        self.md5.update(bytes);
        self.sha256.update(bytes);
        self.beside.update(bytes);
    }

    pub(super) fn finish(self) -> (Digests, Vec<Digest>) {
        let (md5, sha256) = (self.md5.finalize().into(), self.sha256.finalize().into());
        (Digests { size: self.size, md5, sha256 }, self.beside.finish())
    }
}
