//! What a vendor implements: one trait a side, and the two lists that their methods fill.

use crate::types::{Command, Description, Event, Fault, Incoming, More, Outgoing, Text, Transfer};

/// The runner's end of a protocol. One value serves one transfer; the host makes a new one for the next.
///
/// A method that fails takes back what it had already put into `out` for this message, so a message is translated wholly or
/// not at all. With [`Fault::Fatal`] nothing is taken back: the device may be given a last word.
pub trait Platform: Sized + 'static {
    /// What the codec is. Constant: it is asked once, before any transfer.
    fn describe() -> Description;

    /// Begins a session. Failure ends the attempt for good, with this text.
    ///
    /// # Errors
    /// Whatever makes the transfer impossible: a missing digest, a `saved` that cannot be read.
    fn open(transfer: Transfer) -> Result<Self, Text>;

    /// Translates one message of the device.
    ///
    /// # Errors
    /// [`Fault::NotMine`] for another session's message, [`Fault::Malformed`] for one that cannot be read.
    fn decode(&mut self, message: Incoming, out: &mut DecodeOut<Event>) -> Result<(), Fault>;

    /// Translates one command of the host.
    ///
    /// # Errors
    /// [`Fault::Unsupported`] where the protocol has no words for it.
    fn encode(&mut self, command: Command, out: &mut EncodeOut) -> Result<(), Fault>;

    /// What the next instance needs to go on, at most 4096 bytes; it comes back as `Transfer::saved`. Called after every
    /// batch to see whether it changed, so keep it cheap.
    fn save(&self) -> Vec<u8> {
        Vec::new()
    }
}

/// The device's end of the same protocol, for the simulated device and for tests: the mirror of [`Platform`].
pub trait Device: Sized + 'static {
    /// Begins a session, before any transfer is known: `transfer.file` may be empty.
    ///
    /// # Errors
    /// Whatever makes a session impossible.
    fn open(transfer: Transfer) -> Result<Self, Text>;

    /// Translates one message of the platform.
    ///
    /// # Errors
    /// As [`Platform::decode`].
    fn decode(&mut self, message: Incoming, out: &mut DecodeOut<Command>) -> Result<(), Fault>;

    /// Translates one word of the device.
    ///
    /// # Errors
    /// As [`Platform::encode`].
    fn encode(&mut self, event: Event, out: &mut EncodeOut) -> Result<(), Fault>;

    /// As [`Platform::save`].
    fn save(&self) -> Vec<u8> {
        Vec::new()
    }
}

/// What one `decode` call gives back: words for the host, and answers that the protocol owes by itself.
///
/// A call may give back at most 4096 items and 2 MiB in all, faults included.
#[derive(Debug)]
pub struct DecodeOut<T> {
    pub(crate) items: Vec<T>,
    pub(crate) replies: EncodeOut,
}

impl<T> DecodeOut<T> {
    pub(crate) fn with_capacity(items: usize) -> Self {
        Self { items: Vec::with_capacity(items), replies: EncodeOut::with_capacity(0) }
    }

    /// Adds a word for the host.
    pub fn push(&mut self, item: T) {
        self.items.push(item);
    }

    /// Sends an answer that the host need not know of, such as a greeting that the protocol demands.
    pub fn reply(&mut self, route: u16, payload: Vec<u8>) {
        self.replies.send(route, payload);
    }

    /// The same with captures of the route or MQTT properties.
    pub fn reply_with(&mut self, route: u16, payload: Vec<u8>, more: More) {
        self.replies.send_with(route, payload, more);
    }
}

/// The messages that one `encode` call makes. The index of what caused each is filled in.
#[derive(Debug)]
pub struct EncodeOut {
    pub(crate) messages: Vec<Outgoing>,
    pub(crate) cause: u16,
}

impl EncodeOut {
    pub(crate) fn with_capacity(messages: usize) -> Self {
        Self { messages: Vec::with_capacity(messages), cause: 0 }
    }

    /// How many messages this call has made so far.
    pub fn count(&self) -> usize {
        self.messages.len()
    }

    /// Sends a message on a route (index into `Description::routes`). Give `payload` its exact capacity: a longer one is copied.
    pub fn send(&mut self, route: u16, payload: Vec<u8>) {
        self.messages.push(Outgoing { route, payload, more: None, cause: self.cause });
    }

    /// The same with captures of the route or MQTT properties.
    pub fn send_with(&mut self, route: u16, payload: Vec<u8>, more: More) {
        self.messages.push(Outgoing { route, payload, more: Some(more), cause: self.cause });
    }
}

impl More {
    /// Only captures, in the order of the route's `{+}` and `{#}`.
    pub fn captures<const N: usize>(captures: [String; N]) -> Self {
        Self {
            captures: captures.into(),
            response_topic: None,
            correlation: None,
            content_type: None,
            user: Vec::new(),
        }
    }
}
