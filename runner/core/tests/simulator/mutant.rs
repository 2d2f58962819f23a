//! Bugs planted around the platform's machine: an oracle that does not see them is blind.

use packhorse_core::transfer::{Checkpoint, Span};

/// One planted bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// Reports bytes as durable before they are synced.
    DurableTooEarly,
    /// Sends one piece with another byte.
    SpoilsAByte,
    /// Takes each piece that it sends as acknowledged.
    AcksForDevice,
    /// Counts each message that it sends twice.
    CountsTwice,
    /// Its checkpoints hold what was only sent.
    CheckpointsAhead,
    /// Says that everything was sent twice.
    SendsTwice,
}

impl Mutant {
    pub(crate) const ALL: [Self; 6] = [
        Self::DurableTooEarly,
        Self::SpoilsAByte,
        Self::AcksForDevice,
        Self::CountsTwice,
        Self::CheckpointsAhead,
        Self::SendsTwice,
    ];

    pub(crate) fn spoil(self, bytes: &mut [u8], span: Span) {
        if self == Self::SpoilsAByte
            && span.start == 0
            && let Some(byte) = bytes.last_mut()
        {
            *byte ^= 1;
        }
    }

    pub(crate) fn checkpoint(self, checkpoint: &mut Checkpoint) {
        if self == Self::CheckpointsAhead {
            let sent: Vec<Span> = checkpoint.sent.iter().collect();
            for span in sent {
                checkpoint.done.insert(span);
            }
        }
    }
}
