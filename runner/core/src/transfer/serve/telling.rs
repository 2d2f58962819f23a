//! What is told of a serving end: to people while it waits, and to its checkpoint.

use super::Serve;
use crate::transfer::checkpoint::Checkpoint;
use crate::transfer::line::Line;
use crate::transfer::progress::{WaitReason, Waiting, grouped};

impl Serve {
    pub(in crate::transfer) fn waiting(&self, line: &Line) -> Option<Waiting> {
        let since = self.asked.unwrap_or(line.began);
        if self.by_url() {
            let (fetched, size) = (grouped(self.fetched), grouped(self.size));
            let text = format!("the device fetches the file by itself; it has {fetched} of {size} bytes, as it says");
            return Some(Waiting { reason: WaitReason::DeviceTurn, since, text });
        }
        if self.sent.covered() == self.size {
            let text = format!(
                "all {} bytes were served; the device has not said yet that the file is good",
                grouped(self.size)
            );
            return Some(Waiting { reason: WaitReason::DeviceVerdict, since, text });
        }
        let text = format!(
            "the device asks for what it wants; {} of {} bytes were served",
            grouped(self.sent.covered()),
            grouped(self.size)
        );
        Some(Waiting { reason: WaitReason::DeviceTurn, since, text })
    }

    pub(in crate::transfer) fn silent_text(&self) -> String {
        let (bytes, how) =
            if self.by_url() { (self.fetched, "fetched, as it said") } else { (self.sent.covered(), "served") };
        format!("silent since {} of {} bytes were {how}", grouped(bytes), grouped(self.size))
    }

    /// Bytes that the device has, as far as we know.
    pub(in crate::transfer) fn reached(&self) -> u64 {
        self.done.covered().max(if self.by_url() { self.fetched } else { 0 })
    }

    pub(in crate::transfer) fn fill(&self, checkpoint: &mut Checkpoint) {
        checkpoint.done = self.done.clone();
        checkpoint.sent = self.sent.clone();
        checkpoint.digests = self.told.clone();
    }
}
