//! What is kept of a transfer between two attempts.

use serde::{Deserialize, Serialize};

use super::intervals::Intervals;
use super::plan::{Plan, TransferError};
use super::traffic::Traffic;
use super::words::{Digest, Direction};

/// The version that this program writes.
pub const CHECKPOINT_VERSION: u32 = 1;

/// What a resume starts from. Serialised; every version ever released stays readable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Of this format.
    pub version: u32,
    /// Push: bytes that the device acknowledged. Pull: bytes durable in the spool.
    pub done: Intervals,
    /// Push: bytes that went out at least once, so that late acknowledgements of them can be believed.
    #[serde(default)]
    pub sent: Intervals,
    /// The file's size, once known.
    pub size: Option<u64>,
    /// Bytes of file in a packet: where the mode has a grid, it stays as it was.
    pub packet_size: u32,
    /// The name that the device told, or empty.
    #[serde(default)]
    pub name: String,
    /// Digests that the device told.
    #[serde(default)]
    pub digests: Vec<Digest>,
    /// Names the upload of a device-push.
    #[serde(default)]
    pub upload_id: String,
    /// By what the device names its upload, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub resume_key: String,
    /// The accounts.
    pub traffic: Traffic,
}

impl Checkpoint {
    pub(super) fn check(&self, plan: &Plan) -> Result<(), TransferError> {
        if self.version == 0 || self.version > CHECKPOINT_VERSION {
            return Err(TransferError::Version { found: self.version, known: CHECKPOINT_VERSION });
        }
        if self.packet_size == 0 {
            return Err(TransferError::Checkpoint("its packet size is 0"));
        }
        let push = plan.mode.driver.direction() == Direction::Push;
        if push && self.size != plan.file.size {
            return Err(TransferError::Checkpoint("the file has another size now"));
        }
        let limit = self.size.unwrap_or_else(|| plan.size_limit());
        if self.done.end() > limit || self.sent.end() > limit {
            return Err(TransferError::Checkpoint("it holds bytes beyond the end of the file"));
        }
        Ok(())
    }
}
