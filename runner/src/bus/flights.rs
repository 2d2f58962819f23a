//! Publishes between their writing and the broker's word on them, by packet id.

use super::outbox::Queued;

/// Where each publish in flight goes and since when its expiry runs.
#[derive(Debug, Default)]
pub(super) struct Flights(Vec<Option<Queued>>);

impl Flights {
    /// A publish was written under this packet id.
    pub(super) fn begin(&mut self, packet_id: u16, queued: Queued) {
        let index = usize::from(packet_id);
        if self.0.len() <= index {
            self.0.resize(index + 1, None);
        }
        self.0[index] = Some(queued);
    }

    /// The broker has answered it.
    pub(super) fn end(&mut self, packet_id: u16) -> Option<Queued> {
        self.0.get_mut(usize::from(packet_id))?.take()
    }
}
