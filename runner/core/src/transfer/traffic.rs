//! The accounting of one transfer, over all its attempts.

use serde::{Deserialize, Serialize};

/// What a transfer cost so far. Kept in checkpoints, so that resumed attempts add to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Traffic {
    /// Unique bytes of the file delivered: acknowledged (push) or durable with us (pull). Shrinks when a device lost some.
    pub payload_bytes: u64,
    /// Everything on the wire, both directions, as the driver counted it.
    pub wire_bytes: u64,
    /// Bytes of the file sent again (push) or received again (pull).
    pub retransmitted_bytes: u64,
    /// Messages in both directions.
    pub packets: u64,
    /// How often it was taken up again.
    pub resumes: u32,
}

impl Traffic {
    /// Adds another transfer's figures.
    pub fn add(&mut self, other: &Self) {
        self.payload_bytes = self.payload_bytes.saturating_add(other.payload_bytes);
        self.wire_bytes = self.wire_bytes.saturating_add(other.wire_bytes);
        self.retransmitted_bytes = self.retransmitted_bytes.saturating_add(other.retransmitted_bytes);
        self.packets = self.packets.saturating_add(other.packets);
        self.resumes = self.resumes.saturating_add(other.resumes);
    }
}
