//! The words of the contract (`wit/codec.wit`) as plain Rust types, with short ways to make the common ones.

pub use crate::bindings::with_device::exports::packhorse::codec::types::{
    Accept, Acks, Algorithm, Chunk, Command, Data, Description, Digest, Direction, Driver, Event, Fault, Faulted, File,
    Finish, Flow, Hello, Incoming, Mode, More, Offer, Order, Outcome, Outgoing, Pairs, Phase, Progress, Qos, Receipt,
    Refuse, Replies, Route, Span, StartUpload, Sum, Tag, Text, Transfer, Var, Verdict, Want,
};

use crate::read::ReadError;

impl Span {
    /// The end that means "to the end of the file".
    pub const OPEN: u64 = u64::MAX;

    /// The bytes from `start` up to, and without, `end`.
    pub const fn new(start: u64, end: u64) -> Self {
        Self { start, end }
    }

    /// The `length` bytes from `start`, or nothing when that is past what an offset can say.
    pub const fn at(start: u64, length: u64) -> Option<Self> {
        match start.checked_add(length) {
            Some(end) => Some(Self { start, end }),
            None => None,
        }
    }

    /// How many bytes; huge for an open one.
    pub const fn length(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }
}

impl Text {
    /// A vendor's code and what it means.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into() }
    }
}

impl Fault {
    /// Cannot be read; `why` is shown to people who look for the reason.
    pub fn malformed(why: impl Into<String>) -> Self {
        Self::Malformed(why.into())
    }

    /// The transfer cannot go on.
    pub fn fatal(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Fatal(Text::new(code, message))
    }
}

impl From<ReadError> for Fault {
    fn from(error: ReadError) -> Self {
        Self::Malformed(error.to_string())
    }
}

impl From<crate::json::JsonError> for Fault {
    fn from(error: crate::json::JsonError) -> Self {
        Self::Malformed(error.to_string())
    }
}

impl From<crate::base64::Base64Error> for Fault {
    fn from(error: crate::base64::Base64Error) -> Self {
        Self::Malformed(error.to_string())
    }
}

impl From<crate::hex::HexError> for Fault {
    fn from(error: crate::hex::HexError) -> Self {
        Self::Malformed(error.to_string())
    }
}

impl File {
    /// A file of which nothing is known.
    pub const fn unknown() -> Self {
        Self { name: String::new(), size: None, digests: Vec::new(), meta: Vec::new() }
    }

    /// The digest of this algorithm, as raw bytes.
    pub fn digest(&self, algorithm: Algorithm) -> Option<&[u8]> {
        self.digests.iter().find(|digest| digest.algorithm == algorithm).map(|digest| digest.value.as_slice())
    }

    /// What the workflow gave under `meta`.
    pub fn meta(&self, key: &str) -> Option<&str> {
        lookup(&self.meta, key)
    }
}

impl Digest {
    /// A digest of raw bytes.
    pub fn new(algorithm: Algorithm, value: impl Into<Vec<u8>>) -> Self {
        Self { algorithm, value: value.into() }
    }
}

impl Transfer {
    /// A variable that the codec declared. The host fills defaults in and checks patterns before `open`.
    pub fn var(&self, name: &str) -> Option<&str> {
        lookup(&self.vars, name)
    }
}

impl Route {
    /// From the platform to the device, QoS 1, not retained.
    pub fn to_device(template: impl Into<String>) -> Self {
        Self { flow: Flow::ToDevice, template: template.into(), qos: Qos::AtLeastOnce, retain: false }
    }

    /// From the device to the platform, QoS 1.
    pub fn from_device(template: impl Into<String>) -> Self {
        Self { flow: Flow::FromDevice, template: template.into(), qos: Qos::AtLeastOnce, retain: false }
    }

    /// The same at QoS 0, for protocols whose own acknowledgement is enough.
    #[must_use]
    pub fn at_most_once(self) -> Self {
        Self { qos: Qos::AtMostOnce, ..self }
    }
}

impl Var {
    /// A variable that has a value where the workflow gives none.
    pub fn optional(name: &str, default: &str, about: &str) -> Self {
        Self {
            name: name.into(),
            required: false,
            default: default.into(),
            pattern: String::new(),
            about: about.into(),
        }
    }

    /// A variable that the workflow must give.
    pub fn required(name: &str, about: &str) -> Self {
        Self { required: true, ..Self::optional(name, "", about) }
    }

    /// A regular expression that the whole value must match.
    #[must_use]
    pub fn matching(self, pattern: &str) -> Self {
        Self { pattern: pattern.into(), ..self }
    }
}

impl Mode {
    /// A careful start for `driver`: pieces of 1 to 65 536 bytes, 1024 where nobody chose, window 1, any order, its own
    /// acknowledgements, no verdict, no query, no cancel. Overwrite what differs: `Mode { window_max: 64, ..Mode::new(driver) }`.
    pub const fn new(driver: Driver) -> Self {
        Self {
            driver,
            packet_min: 1,
            packet_max: 65_536,
            packet_default: 1024,
            packet_align: 1,
            grid: false,
            window_default: 1,
            window_max: 1,
            overhead_fixed: 0,
            overhead_per_mille: 1000,
            replies: Replies::Resend,
            acks: Acks::Message,
            order: Order::Any,
            confirms: false,
            can_query: false,
            can_cancel: false,
            file_max: u64::MAX,
        }
    }
}

fn lookup<'a>(pairs: &'a Pairs, key: &str) -> Option<&'a str> {
    pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
}
