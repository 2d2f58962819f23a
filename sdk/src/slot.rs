//! Keeps the one session of an instance, and turns batches into single calls: indexes, causes, faults, `dirty`.
//!
//! A slot is also the way to try a codec without WebAssembly: it behaves exactly as the built component does.

use std::cell::RefCell;

use crate::private::{device, platform};
use crate::session::{DecodeOut, Device, EncodeOut, Platform};
use crate::types::{Command, Event, Fault, Faulted, Incoming, Text, Transfer};

/// The platform side of one instance.
#[derive(Debug)]
pub struct PlatformSlot<S>(RefCell<Option<Session<S>>>);

/// The device side of one instance.
#[derive(Debug)]
pub struct DeviceSlot<S>(RefCell<Option<Session<S>>>);

#[derive(Debug)]
struct Session<S> {
    codec: S,
    /// What the host holds: the bytes that opened the session, then those of the last `save`.
    saved: Vec<u8>,
}

impl<S> Session<S> {
    fn begin(
        cell: &RefCell<Option<Self>>,
        transfer: Transfer,
        open: fn(Transfer) -> Result<S, Text>,
    ) -> Result<(), Text> {
        let mut cell = cell.borrow_mut();
        if cell.is_some() {
            return Err(Text::new("already-open", "this instance already serves a transfer; open a new one"));
        }
        let saved = transfer.saved.clone();
        *cell = Some(Self { codec: open(transfer)?, saved });
        Ok(())
    }
}

impl<S: Platform> PlatformSlot<S> {
    /// A slot without a session.
    pub const fn new() -> Self {
        Self(RefCell::new(None))
    }

    /// Opens the session.
    ///
    /// # Errors
    /// The codec's refusal, or that it is open already.
    pub fn open(&self, transfer: Transfer) -> Result<(), Text> {
        Session::begin(&self.0, transfer, S::open)
    }

    /// Translates messages of the device.
    pub fn decode(&self, batch: Vec<Incoming>) -> platform::Decoded {
        let mut session = self.0.borrow_mut();
        let Some(session) = session.as_mut() else {
            let faults = unopened(batch.len());
            return platform::Decoded { events: Vec::new(), replies: Vec::new(), faults, dirty: false };
        };
        let mut out = DecodeOut::with_capacity(batch.len());
        let faults = decode_each(batch, &mut out, |message, out| session.codec.decode(message, out));
        let dirty = session.codec.save() != session.saved;
        platform::Decoded { events: out.items, replies: out.replies.messages, faults, dirty }
    }

    /// Translates commands of the host.
    pub fn encode(&self, batch: Vec<Command>) -> platform::Encoded {
        let mut session = self.0.borrow_mut();
        let Some(session) = session.as_mut() else {
            return platform::Encoded { messages: Vec::new(), faults: unopened(batch.len()), dirty: false };
        };
        let mut out = EncodeOut::with_capacity(batch.len());
        let faults = encode_each(batch, &mut out, |command, out| session.codec.encode(command, out));
        let dirty = session.codec.save() != session.saved;
        platform::Encoded { messages: out.messages, faults, dirty }
    }

    /// What the next instance needs; empty before `open`.
    pub fn save(&self) -> Vec<u8> {
        save(&self.0, S::save)
    }
}

impl<S: Device> DeviceSlot<S> {
    /// A slot without a session.
    pub const fn new() -> Self {
        Self(RefCell::new(None))
    }

    /// Opens the session.
    ///
    /// # Errors
    /// The codec's refusal, or that it is open already.
    pub fn open(&self, transfer: Transfer) -> Result<(), Text> {
        Session::begin(&self.0, transfer, S::open)
    }

    /// Translates messages of the platform.
    pub fn decode(&self, batch: Vec<Incoming>) -> device::Decoded {
        let mut session = self.0.borrow_mut();
        let Some(session) = session.as_mut() else {
            let faults = unopened(batch.len());
            return device::Decoded { commands: Vec::new(), replies: Vec::new(), faults, dirty: false };
        };
        let mut out = DecodeOut::with_capacity(batch.len());
        let faults = decode_each(batch, &mut out, |message, out| session.codec.decode(message, out));
        let dirty = session.codec.save() != session.saved;
        device::Decoded { commands: out.items, replies: out.replies.messages, faults, dirty }
    }

    /// Translates words of the device.
    pub fn encode(&self, batch: Vec<Event>) -> device::Encoded {
        let mut session = self.0.borrow_mut();
        let Some(session) = session.as_mut() else {
            return device::Encoded { messages: Vec::new(), faults: unopened(batch.len()), dirty: false };
        };
        let mut out = EncodeOut::with_capacity(batch.len());
        let faults = encode_each(batch, &mut out, |event, out| session.codec.encode(event, out));
        let dirty = session.codec.save() != session.saved;
        device::Encoded { messages: out.messages, faults, dirty }
    }

    /// What the next instance needs; empty before `open`.
    pub fn save(&self) -> Vec<u8> {
        save(&self.0, S::save)
    }
}

impl<S: Platform> Default for PlatformSlot<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: Device> Default for DeviceSlot<S> {
    fn default() -> Self {
        Self::new()
    }
}

fn decode_each<T>(
    batch: Vec<Incoming>,
    out: &mut DecodeOut<T>,
    mut decode: impl FnMut(Incoming, &mut DecodeOut<T>) -> Result<(), Fault>,
) -> Vec<Faulted> {
    let mut faults = Vec::new();
    for (index, message) in (0u16..).zip(batch) {
        let (items, replies) = (out.items.len(), out.replies.messages.len());
        out.replies.cause = index;
        if let Err(fault) = decode(message, out) {
            if !matches!(fault, Fault::Fatal(_)) {
                out.items.truncate(items);
                out.replies.messages.truncate(replies);
            }
            faults.push(Faulted { index, fault });
        }
    }
    faults
}

fn encode_each<T>(
    batch: Vec<T>,
    out: &mut EncodeOut,
    mut encode: impl FnMut(T, &mut EncodeOut) -> Result<(), Fault>,
) -> Vec<Faulted> {
    let mut faults = Vec::new();
    for (index, item) in (0u16..).zip(batch) {
        let messages = out.messages.len();
        out.cause = index;
        if let Err(fault) = encode(item, out) {
            if !matches!(fault, Fault::Fatal(_)) {
                out.messages.truncate(messages);
            }
            faults.push(Faulted { index, fault });
        }
    }
    faults
}

fn unopened(count: usize) -> Vec<Faulted> {
    let fault = Fault::fatal("not-open", "the session was not opened");
    (0u16..).take(count).map(|index| Faulted { index, fault: fault.clone() }).collect()
}

fn save<S>(cell: &RefCell<Option<Session<S>>>, save: fn(&S) -> Vec<u8>) -> Vec<u8> {
    let mut cell = cell.borrow_mut();
    let Some(session) = cell.as_mut() else { return Vec::new() };
    session.saved = save(&session.codec);
    session.saved.clone()
}
