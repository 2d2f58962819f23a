//! What a transfer tells people of itself: how far it is, and what it waits for.

use super::time::{Micros, Time};
use super::traffic::Traffic;
use super::words::Phase;
use serde::{Deserialize, Serialize};

/// A picture of the moment, for progress bars and `explain`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgressReport {
    /// Bytes delivered.
    pub done: u64,
    /// Bytes in all, once known.
    pub total: Option<u64>,
    /// Packets that may be in flight.
    pub window: u16,
    /// Packets that are.
    pub in_flight: u32,
    /// The accounts.
    pub traffic: Traffic,
    /// Smoothed round trip, once measured.
    pub srtt: Option<Micros>,
    /// What it waits for, where it waits.
    pub waiting: Option<Waiting>,
    /// What the device says that it does.
    pub phase: Option<Phase>,
    /// When the device last said anything; none = not yet.
    pub last_heard: Option<Time>,
    /// What was rejected.
    pub faults: FaultReport,
    /// Commands for which the codec has no words.
    pub unsupported: Vec<&'static str>,
}

/// What a transfer waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// One of a closed list.
    pub reason: WaitReason,
    /// Since when.
    pub since: Time,
    /// In words, without the time: "silent since byte 61 440 of our push".
    pub text: String,
}

/// The closed list of reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitReason {
    /// Another transfer has the device: told by whoever hands out the turns, never by the machine.
    DeviceBusy,
    /// Nothing was heard for the plan's `silence`.
    DeviceOffline,
    /// Our broker is away.
    BusOffline,
    /// The device asked for silence.
    DevicePaused,
    /// Asked the device what it has; no answer yet.
    DeviceAnswer,
    /// Every byte is there; the device's verdict is not.
    DeviceVerdict,
    /// The device drives, and asks or sends nothing at the moment.
    DeviceTurn,
    /// Every byte came; the file's digests are being computed.
    Digest,
}

impl WaitReason {
    /// As in journals and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DeviceBusy => "device_busy",
            Self::DeviceOffline => "device_offline",
            Self::BusOffline => "bus_offline",
            Self::DevicePaused => "device_paused",
            Self::DeviceAnswer => "device_answer",
            Self::DeviceVerdict => "device_verdict",
            Self::DeviceTurn => "device_turn",
            Self::Digest => "digest",
        }
    }
}

/// What was rejected, counted, with the last words.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FaultReport {
    /// Messages from the device, good or bad.
    pub heard: u64,
    /// Could not be read.
    pub malformed: u64,
    /// For someone else.
    pub not_mine: u64,
    /// Could be read and could not be true, or did not fit: acknowledgements of what was never sent, ranges outside the file.
    pub implausible: u64,
    /// Pieces whose own check failed.
    pub bad_sums: u64,
    /// The last five, oldest first.
    pub last: Vec<String>,
}

/// A number as people read it: `61 440`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_three() {
        let read: Vec<String> = [0, 999, 1_000, 61_440, 1_234_567].into_iter().map(grouped).collect();
        assert_eq!(read, ["0", "999", "1 000", "61 440", "1 234 567"]);
    }
}
