//! The digests that devices know, of bytes that come piece by piece.
//!
//! MD5 and SHA-256 of every file are computed in any case, by whoever reads it; here are all, and those that a codec wants [`beside`].
//! * `murmur`: MurmurHash3, which no kept crate computes piece by piece

mod murmur;

use crate::transfer::{Algorithm, Digest};
use crc::{CRC_16_ARC, CRC_32_ISO_HDLC, CRC_64_XZ, Crc};
use md5::Md5;
use murmur::{X64, X86};
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha384, Sha512};

static CRC16: Crc<u16> = Crc::<u16>::new(&CRC_16_ARC);
static CRC32: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);
/// The polynomial of ECMA-182 with its bits reflected, as Go's `crc64.ECMA`, xz and the file services of clouds have it.
static CRC64: Crc<u64> = Crc::<u64>::new(&CRC_64_XZ);

/// Those of `algorithms` that are not known of every file: neither MD5 nor SHA-256.
pub fn beside(algorithms: &[Algorithm]) -> Vec<Algorithm> {
    algorithms.iter().copied().filter(|algorithm| !matches!(algorithm, Algorithm::Md5 | Algorithm::Sha256)).collect()
}

/// Digests of one sequence of bytes, growing.
#[derive(Default)]
pub struct Digester(Vec<State>);

enum State {
    Md5(Md5),
    Sha1(Sha1),
    Sha256(Sha256),
    Sha384(Sha384),
    Sha512(Sha512),
    Crc16(crc::Digest<'static, u16>),
    Crc32(crc::Digest<'static, u32>),
    Crc64(crc::Digest<'static, u64>),
    Murmur32(X86),
    Murmur128(X64),
}

impl std::fmt::Debug for Digester {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Digester").field(&self.0.len()).finish()
    }
}

impl Digester {
    /// Computes these; none costs nothing.
    pub fn new(algorithms: &[Algorithm]) -> Self {
        Self(algorithms.iter().map(|algorithm| State::new(*algorithm)).collect())
    }

    /// The next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.iter_mut().for_each(|state| state.update(bytes));
    }

    /// In the order in which they were asked for. Numbers (CRC, Murmur) have their most significant byte first.
    pub fn finish(self) -> Vec<Digest> {
        self.0.into_iter().map(State::finish).collect()
    }

    /// Of bytes that are all there.
    pub fn of(algorithms: &[Algorithm], bytes: &[u8]) -> Vec<Digest> {
        let mut digester = Self::new(algorithms);
        digester.update(bytes);
        digester.finish()
    }
}

impl State {
    fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Md5 => Self::Md5(Md5::new()),
            Algorithm::Sha1 => Self::Sha1(Sha1::new()),
            Algorithm::Sha256 => Self::Sha256(Sha256::new()),
            Algorithm::Sha384 => Self::Sha384(Sha384::new()),
            Algorithm::Sha512 => Self::Sha512(Sha512::new()),
            Algorithm::Crc16Arc => Self::Crc16(CRC16.digest()),
            Algorithm::Crc32 => Self::Crc32(CRC32.digest()),
            Algorithm::Crc64Ecma => Self::Crc64(CRC64.digest()),
            Algorithm::Murmur3X8632 => Self::Murmur32(X86::default()),
            Algorithm::Murmur3X64128 => Self::Murmur128(X64::default()),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Md5(state) => state.update(bytes),
            Self::Sha1(state) => state.update(bytes),
            Self::Sha256(state) => state.update(bytes),
            Self::Sha384(state) => state.update(bytes),
            Self::Sha512(state) => state.update(bytes),
            Self::Crc16(state) => state.update(bytes),
            Self::Crc32(state) => state.update(bytes),
            Self::Crc64(state) => state.update(bytes),
            Self::Murmur32(state) => state.update(bytes),
            Self::Murmur128(state) => state.update(bytes),
        }
    }

    fn finish(self) -> Digest {
        let (algorithm, value) = match self {
            Self::Md5(state) => (Algorithm::Md5, state.finalize().to_vec()),
            Self::Sha1(state) => (Algorithm::Sha1, state.finalize().to_vec()),
            Self::Sha256(state) => (Algorithm::Sha256, state.finalize().to_vec()),
            Self::Sha384(state) => (Algorithm::Sha384, state.finalize().to_vec()),
            Self::Sha512(state) => (Algorithm::Sha512, state.finalize().to_vec()),
            Self::Crc16(state) => (Algorithm::Crc16Arc, state.finalize().to_be_bytes().to_vec()),
            Self::Crc32(state) => (Algorithm::Crc32, state.finalize().to_be_bytes().to_vec()),
            Self::Crc64(state) => (Algorithm::Crc64Ecma, state.finalize().to_be_bytes().to_vec()),
            Self::Murmur32(state) => (Algorithm::Murmur3X8632, state.finish().to_be_bytes().to_vec()),
            Self::Murmur128(state) => (Algorithm::Murmur3X64128, state.finish().to_be_bytes().to_vec()),
        };
        Digest { algorithm, value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex;

    const ALL: [Algorithm; 10] = [
        Algorithm::Md5,
        Algorithm::Sha1,
        Algorithm::Sha256,
        Algorithm::Sha384,
        Algorithm::Sha512,
        Algorithm::Crc16Arc,
        Algorithm::Crc32,
        Algorithm::Crc64Ecma,
        Algorithm::Murmur3X8632,
        Algorithm::Murmur3X64128,
    ];

    fn is(algorithm: Algorithm, text: &str, expected: &str) {
        let digests = Digester::of(&[algorithm], text.as_bytes());
        assert_eq!(hex::encode(&digests[0].value), expected, "{algorithm:?} of {text:?}");
    }

    /// RFC 1321 and FIPS 180 for `abc`; the check values of the catalogue of CRCs, which are those of `123456789`.
    #[test]
    fn digests_are_those_that_their_standards_give() {
        is(Algorithm::Md5, "abc", "900150983cd24fb0d6963f7d28e17f72");
        is(Algorithm::Sha1, "abc", "a9993e364706816aba3e25717850c26c9cd0d89d");
        is(Algorithm::Sha256, "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        let sha384 = "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7";
        is(Algorithm::Sha384, "abc", sha384);
        let sha512 = "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                      2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";
        is(Algorithm::Sha512, "abc", sha512);
        is(Algorithm::Crc16Arc, "123456789", "bb3d");
        is(Algorithm::Crc32, "123456789", "cbf43926");
        is(Algorithm::Crc64Ecma, "123456789", "995dc9bbdf1939fa");
    }

    /// Of the reference implementation with seed 0; the last ones are what Guava prints of `hello`, backwards.
    #[test]
    fn murmur_is_that_of_the_reference() {
        let fox = "The quick brown fox jumps over the lazy dog";
        is(Algorithm::Murmur3X8632, "", "00000000");
        is(Algorithm::Murmur3X8632, "test", "ba6bd213");
        is(Algorithm::Murmur3X8632, fox, "2e4ff723");
        is(Algorithm::Murmur3X8632, "hello", "248bfa47");
        is(Algorithm::Murmur3X64128, "", &"0".repeat(32));
        is(Algorithm::Murmur3X64128, fox, "7a433ca9c49a9347e34bbc7bbc071b6c");
        is(Algorithm::Murmur3X64128, "hello", "5b1e906a48ae1d19cbd8a7b341bd9b02");
    }

    #[test]
    fn pieces_make_no_difference() {
        let bytes: Vec<u8> = (0..300_u32).map(|at| (at * 7 % 251) as u8).collect();
        for length in [0, 1, 15, 16, 17, 31, 300] {
            let whole = Digester::of(&ALL, &bytes[..length]);
            for step in [1, 3, 16, 50] {
                let mut digester = Digester::new(&ALL);
                bytes[..length].chunks(step).for_each(|piece| digester.update(piece));
                assert_eq!(digester.finish(), whole, "{length} bytes in steps of {step}");
            }
        }
    }
}
