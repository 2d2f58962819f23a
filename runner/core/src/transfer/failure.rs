//! The stable codes of failed transfers, and how each failure is worded.

use super::action::{FailureClass, TransferFailure};
use super::words::{Outcome, Text, Verdict};

/// Stable codes of failed transfers.
pub mod code {
    /// The device holds another file than we sent, by its own digest or verdict.
    pub const BAD_DIGEST: &str = "PH5001";
    /// The device refused the file.
    pub const REFUSED: &str = "PH5002";
    /// The device has no room.
    pub const DEVICE_FULL: &str = "PH5003";
    /// The device gave up.
    pub const DEVICE_CANCELLED: &str = "PH5004";
    /// The device reports a failure of its own.
    pub const DEVICE_FAILED: &str = "PH5005";
    /// The device contradicts itself: sizes that change, bytes beyond the end, offsets that overflow.
    pub const DEVICE_LIES: &str = "PH5006";
    /// The device asks without end: past the file, or for one range again and again.
    pub const RUNAWAY: &str = "PH5007";
    /// The file is larger than may be taken.
    pub const TOO_LARGE: &str = "PH5008";
    /// The file that came does not have the digest that the device told: quarantine it.
    pub const QUARANTINE: &str = "PH5009";
    /// The codec says that the transfer cannot go on.
    pub const CODEC_FATAL: &str = "PH5010";
    /// The codec has no words for something that its mode needs.
    pub const CODEC_WORDS: &str = "PH5011";
    /// The device's file became another one too often.
    pub const KEEPS_CHANGING: &str = "PH5012";
    /// Packet after packet arrives damaged, or cannot be read.
    pub const DAMAGED: &str = "PH5013";
    /// The device asks for larger pieces than one packet can carry.
    pub const PIECE_TOO_LARGE: &str = "PH5014";
    /// The traffic budget is spent.
    pub const TRAFFIC_BUDGET: &str = "PH5040";
    /// All that follow from what a device said, as its codec understood it.
    pub const HEARD: [&str; 14] = [
        BAD_DIGEST,
        REFUSED,
        DEVICE_FULL,
        DEVICE_CANCELLED,
        DEVICE_FAILED,
        DEVICE_LIES,
        RUNAWAY,
        TOO_LARGE,
        QUARANTINE,
        CODEC_FATAL,
        CODEC_WORDS,
        KEEPS_CHANGING,
        DAMAGED,
        PIECE_TOO_LARGE,
    ];
}

impl TransferFailure {
    pub(super) fn new(code: &'static str, class: FailureClass, message: impl Into<String>) -> Self {
        Self { code, class, message: message.into(), hint: String::new(), restart: false }
    }

    pub(super) fn transient(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(code, FailureClass::Transient, message)
    }

    pub(super) fn permanent(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(code, FailureClass::Permanent, message)
    }

    pub(super) fn hint(mut self, hint: &str) -> Self {
        self.hint = hint.to_owned();
        self
    }

    pub(super) fn restart(mut self) -> Self {
        self.restart = true;
        self
    }
}

/// The device holds another file than ours.
pub(super) fn bad_digest(device: &str, words: Option<String>) -> TransferFailure {
    let words = words.unwrap_or_default();
    let message = format!("{device} received every byte but holds another file than ours: its digest differs{words}");
    TransferFailure::transient(code::BAD_DIGEST, message)
        .hint(
            "the next attempt sends the whole file again; if it repeats, the device's storage or the codec is at fault",
        )
        .restart()
}

/// What a device's verdict means; none for a good one.
pub(super) fn verdict_failure(device: &str, outcome: &Outcome) -> Option<TransferFailure> {
    let words = spoken(&outcome.text);
    let failure = match outcome.verdict {
        Verdict::Good => return None,
        Verdict::BadDigest | Verdict::BadSize => bad_digest(device, Some(words)),
        Verdict::Refused => TransferFailure::permanent(code::REFUSED, format!("{device} refused the file{words}")),
        Verdict::Cancelled => {
            TransferFailure::permanent(code::DEVICE_CANCELLED, format!("{device} gave up the transfer{words}"))
        }
        Verdict::DeviceFull => {
            TransferFailure::permanent(code::DEVICE_FULL, format!("{device} has no room for the file{words}"))
                .hint("free space on the device, then retry the run")
        }
        Verdict::Failed => {
            TransferFailure::transient(code::DEVICE_FAILED, format!("{device} reports a failure of its own{words}"))
        }
    };
    Some(failure)
}

/// A device's words, as the tail of a sentence.
pub(super) fn spoken(text: &Text) -> String {
    match (text.code.is_empty(), text.message.is_empty()) {
        (true, true) => String::new(),
        (false, true) => format!(": code {}", text.code),
        (true, false) => format!(": \"{}\"", text.message),
        (false, false) => format!(": code {}, \"{}\"", text.code, text.message),
    }
}
