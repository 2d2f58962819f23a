//! The answer to a command: how it is spelled, and where it goes.

use packhorse_codec::json::{ObjectWriter, members};
use packhorse_codec::{Fault, Incoming, More};

use crate::command::capture;
use crate::describe::{ASYNC_PREFIX, RESPONSE, RESPONSE_BELOW, RESPONSE_PREFIX};
use crate::init::exact;

/// Longer topics and correlation data of a device are not repeated.
const REPEATED_MOST: usize = 256;

/// The codes of the protocol; they are reason codes of MQTT 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    Success,
    /// Send all segments again.
    ResendAll,
    /// Send this segment again; after `fin`, all of them.
    Resend,
    /// Give the upload up.
    Cancel,
    /// Wait before going on.
    Pause,
}

impl Code {
    pub(crate) const fn number(self) -> u64 {
        match self {
            Self::Success => 0x00,
            Self::ResendAll => 0x10,
            Self::Resend => 0x80,
            Self::Cancel => 0x83,
            Self::Pause => 0x97,
        }
    }

    pub(crate) fn of(number: u64) -> Option<Self> {
        let all = [Self::Success, Self::ResendAll, Self::Resend, Self::Cancel, Self::Pause];
        all.into_iter().find(|code| code.number() == number)
    }
}

/// A command that waits for its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Its topic behind `$file-async/`.
    pub(crate) tail: String,
    /// Where the answer goes below `$file-response/{client id}`; empty for that topic itself.
    below: String,
    correlation: Option<Vec<u8>>,
}

impl Asked {
    /// A command of which nothing but its topic is known.
    pub(crate) fn of(tail: String) -> Self {
        Self { tail, below: String::new(), correlation: None }
    }

    /// The command that a message is; `home` is the topic of answers, as this end sees it and as the device does.
    pub(crate) fn by(message: &Incoming, home: &[String; 2]) -> Result<Self, Fault> {
        let more = message.more.as_ref();
        let wish = more.and_then(|more| more.response_topic.as_deref()).unwrap_or_default();
        let below = home.iter().find_map(|home| wish.strip_prefix(home.as_str())?.strip_prefix('/'));
        let fits = |below: &&str| {
            below.len() <= REPEATED_MOST
                && !below.contains(|letter: char| letter.is_control() || matches!(letter, '+' | '#'))
                && !below.split('/').any(str::is_empty)
        };
        let correlation = more.and_then(|more| more.correlation.clone()).filter(|data| data.len() <= REPEATED_MOST);
        let below = below.filter(fits).unwrap_or_default().to_owned();
        Ok(Self { tail: capture(more)?.to_owned(), below, correlation })
    }

    /// Route, payload and properties of the answer.
    pub(crate) fn answer(&self, code: Code, words: &str) -> (u16, Vec<u8>, Option<More>) {
        let mut object = ObjectWriter::with_capacity(128 + self.tail.len() + words.len());
        object.string("vsn", "0.1");
        object.string("topic", &[ASYNC_PREFIX, &self.tail].concat());
        // The packet id of a message is known to its broker and its client alone.
        object.number("packet_id", 0);
        object.number("reason_code", code.number());
        object.string("reason_description", words);
        let (route, captures) = match self.below.is_empty() {
            true => (RESPONSE, Vec::new()),
            false => (RESPONSE_BELOW, vec![self.below.clone()]),
        };
        let tells = !captures.is_empty() || self.correlation.is_some();
        let more = More { captures, correlation: self.correlation.clone(), ..More::captures([]) };
        (route, exact(object), Some(more).filter(|_| tells))
    }
}

/// Where a device's answers go: with the prefix that stands before all topics here, and without it.
pub(crate) fn home(prefix: &str, client: &str) -> [String; 2] {
    [[prefix, RESPONSE_PREFIX, client].concat(), [RESPONSE_PREFIX, client].concat()]
}

/// An answer, as a device reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The topic of the command that it is about, behind `$file-async/`.
    pub(crate) tail: String,
    pub(crate) code: Code,
    pub(crate) words: String,
}

impl Answer {
    pub(crate) fn read(payload: &[u8]) -> Result<Self, Fault> {
        let (mut topic, mut number, mut words) = (String::new(), None, String::new());
        let mut all = members(payload)?;
        while let Some((key, value)) = all.member()? {
            match &*key.bytes() {
                b"topic" => topic = value.text().unwrap_or_default().into_owned(),
                b"reason_code" => number = value.u64(),
                b"reason_description" => words = value.text().unwrap_or_default().into_owned(),
                _ => {}
            }
        }
        let number = number.ok_or_else(|| Fault::malformed("an answer without reason_code"))?;
        let code = Code::of(number).ok_or_else(|| Fault::malformed(format!("reason_code {number} is not known")))?;
        let tail = topic.strip_prefix(ASYNC_PREFIX).ok_or(Fault::NotMine)?.to_owned();
        Ok(Self { tail, code, words })
    }
}
