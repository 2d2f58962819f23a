//! Files with known bytes.

use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};

/// Bytes that no codec finds patterns in, the same for the same seed.
pub fn bytes(size: usize, seed: u64) -> Vec<u8> {
    use rand::{RngCore as _, SeedableRng as _};
    let mut bytes = vec![0; size];
    rand::rngs::SmallRng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}

/// Writes such a file.
pub fn file(folder: &Path, name: &str, size: usize, seed: u64) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes(size, seed)).expect("the test's folder can be written");
    path
}

/// SHA-256 as lowercase hex.
pub fn sha256(bytes: &[u8]) -> String {
    packhorse_core::hex::encode(&Sha256::digest(bytes))
}

/// MD5 as lowercase hex.
pub fn md5(bytes: &[u8]) -> String {
    use md5::Digest as _;
    packhorse_core::hex::encode(&md5::Md5::digest(bytes))
}
