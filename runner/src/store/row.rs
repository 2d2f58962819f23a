//! What is stored about a run beside its facts, and the checksum around everything that is stored.

use super::journal::{Append, AppendError, Claim, Mark, Seq, StoreError, StoredCheckpoint, Token};
use packhorse_core::run::RunId;

/// What is stored about a run beside its facts.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Row {
    token: u64,
    owner: String,
    until: u64,
    pub(super) count: Seq,
    finished: bool,
}

impl Row {
    /// A claim on a run that may be known.
    pub(super) fn claimed(known: Option<Self>, claim: &Claim) -> Result<Self, StoreError> {
        let new = || Self { token: 0, owner: claim.owner.clone(), until: 0, count: 0, finished: false };
        let before = known.unwrap_or_else(new);
        if before.owner != claim.owner && before.until > claim.now.0 {
            return Err(StoreError::Held { run: claim.run.clone(), owner: before.owner });
        }
        let until = claim.now.after(claim.ttl).0;
        Ok(Self { token: before.token + 1, owner: claim.owner.clone(), until, ..before })
    }

    pub(super) fn token(&self) -> Token {
        Token(self.token)
    }

    pub(super) fn owner(&self) -> &str {
        &self.owner
    }

    /// Judges whether a run may be forgotten.
    pub(super) fn forgettable(known: Option<&Self>, run: &RunId, token: Token) -> Result<(), AppendError> {
        let row = known.filter(|row| row.token() == token);
        let row = row.ok_or_else(|| AppendError::Fenced { run: run.clone() })?;
        if row.finished { Ok(()) } else { Err(AppendError::Unfinished { run: run.clone() }) }
    }

    pub(super) fn is_unfinished(&self) -> bool {
        self.count > 0 && !self.finished
    }

    /// Judges an append; gives the row after it.
    pub(super) fn appended(known: Option<&Self>, append: &Append) -> Result<Self, AppendError> {
        let fenced = || AppendError::Fenced { run: append.run.clone() };
        let row = known.filter(|row| row.token() == append.token).ok_or_else(fenced)?;
        if append.facts.is_empty() {
            return Ok(row.clone());
        }
        if row.count != append.expected {
            let (run, expected, found) = (append.run.clone(), append.expected, row.count);
            return Err(AppendError::Conflict { run, expected, found });
        }
        let count = row.count + append.facts.len() as u64;
        Ok(Self { count, finished: append.mark == Mark::Finished, ..row.clone() })
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a row has string keys only")
    }

    pub(super) fn decode(bytes: &[u8], run: &str) -> Result<Self, StoreError> {
        serde_json::from_slice(bytes).map_err(|_| StoreError::damaged(format!("the entry of {run}")))
    }
}

/// Puts a checksum over the bytes and the key under which they lie before them: a flipped bit and a misplaced value both show.
pub(super) fn seal(key: &str, number: u64, bytes: &[u8]) -> Vec<u8> {
    let mut sealed = checksum(key, number, bytes).to_le_bytes().to_vec();
    sealed.extend_from_slice(bytes);
    sealed
}

/// The bytes that were sealed, if they are still the same.
pub(super) fn open<'a>(key: &str, number: u64, sealed: &'a [u8]) -> Option<&'a [u8]> {
    let (sum, bytes) = sealed.split_first_chunk::<4>()?;
    (u32::from_le_bytes(*sum) == checksum(key, number, bytes)).then_some(bytes)
}

fn checksum(key: &str, number: u64, bytes: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(key.as_bytes());
    crc.update(&number.to_le_bytes());
    crc.update(bytes);
    crc.finalize()
}

/// Round, length of the step's id, the id, the bytes.
pub(super) fn encode_checkpoint(checkpoint: &StoredCheckpoint) -> Vec<u8> {
    let step = checkpoint.step.as_bytes();
    let mut bytes = checkpoint.round.to_le_bytes().to_vec();
    bytes.extend_from_slice(&(step.len() as u64).to_le_bytes());
    bytes.extend_from_slice(step);
    bytes.extend_from_slice(&checkpoint.bytes);
    bytes
}

pub(super) fn decode_checkpoint(bytes: &[u8], run: &RunId) -> Result<StoredCheckpoint, StoreError> {
    let parse = || {
        let (round, rest) = bytes.split_first_chunk::<4>()?;
        let (length, rest) = rest.split_first_chunk::<8>()?;
        let (step, bytes) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
        let step = std::str::from_utf8(step).ok()?.to_owned();
        Some(StoredCheckpoint { step, round: u32::from_le_bytes(*round), bytes: bytes.to_vec() })
    };
    parse().ok_or_else(|| StoreError::damaged(format!("the checkpoint of {run}")))
}

/// Lowercase hex of the SHA-256 of an object.
pub(super) fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    use std::fmt::Write;
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        write!(hex, "{byte:02x}").expect("text can be written to");
    }
    hex
}
