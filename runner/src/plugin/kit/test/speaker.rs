//! Either side of a session, as one type, so that every check is written once.

use std::sync::Arc;

use packhorse_core::digest::Digester;
use packhorse_core::transfer::{Command, Encoded, Event, Faulted, FileInfo, Flow, Incoming, Mode, Opening, Outgoing};

use super::super::super::{CallError, DeviceSession, Plugin, PluginError, Session};
use super::super::vectors::{Call, Case, Side};
use super::Bench;

/// An open session of either side.
pub(super) enum Speaker {
    Platform(Session),
    Device(DeviceSession),
}

/// What a step gave, of whichever kind it was.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Gave {
    pub(super) events: Vec<Event>,
    pub(super) commands: Vec<Command>,
    pub(super) messages: Vec<Outgoing>,
    pub(super) faults: Vec<Faulted>,
    pub(super) saved: Vec<u8>,
}

impl Speaker {
    pub(super) fn open(plugin: &Arc<Plugin>, side: Side, opening: &Opening) -> Result<Self, PluginError> {
        match side {
            Side::Platform => plugin.open(opening).map(Self::Platform),
            Side::Device => plugin.open_device(opening).map(Self::Device),
        }
    }

    pub(super) fn decode(&mut self, batch: Vec<Incoming>) -> Result<Gave, CallError> {
        match self {
            Self::Platform(session) => session.decode(batch).map(|gave| Gave {
                events: gave.events,
                messages: gave.replies,
                faults: gave.faults,
                ..Gave::default()
            }),
            Self::Device(session) => session.decode(batch).map(|gave| Gave {
                commands: gave.commands,
                messages: gave.replies,
                faults: gave.faults,
                ..Gave::default()
            }),
        }
    }

    pub(super) fn save(&mut self) -> Result<Vec<u8>, CallError> {
        match self {
            Self::Platform(session) => session.save(),
            Self::Device(session) => session.save(),
        }
    }

    /// Carries out a call of a vectors file, whose side is this one's.
    pub(super) fn call(&mut self, call: &Call) -> Result<Gave, CallError> {
        let encoded = |gave: Encoded| Gave { messages: gave.messages, faults: gave.faults, ..Gave::default() };
        match (call, self) {
            (Call::Decode { batch, .. } | Call::DeviceDecode { batch, .. }, speaker) => {
                speaker.decode(batch.iter().map(|message| message.0.clone()).collect())
            }
            (Call::Encode { batch, .. }, Self::Platform(session)) => session.encode(batch.clone()).map(encoded),
            (Call::DeviceEncode { batch, .. }, Self::Device(session)) => session.encode(batch.clone()).map(encoded),
            (Call::Save(_), speaker) => speaker.save().map(|saved| Gave { saved, ..Gave::default() }),
            (Call::Encode { .. }, Self::Device(_)) | (Call::DeviceEncode { .. }, Self::Platform(_)) => {
                unreachable!("a case is parsed for its side")
            }
        }
    }
}

/// The flow of the messages that a side receives.
pub(super) const fn receives(side: Side) -> Flow {
    match side {
        Side::Platform => Flow::FromDevice,
        Side::Device => Flow::ToDevice,
    }
}

/// The sides that a plugin has.
pub(super) fn sides(plugin: &Plugin) -> &'static [Side] {
    if plugin.has_device_side() { &[Side::Platform, Side::Device] } else { &[Side::Platform] }
}

/// The device of sessions that no vector opens.
pub(super) const DEVICE: &str = "dev-1";

/// How a transfer of `bytes` under `mode` is opened: with every digest that the codec declares.
pub(in super::super) fn opening(bench: &Bench<'_>, mode: &Mode, packet_size: u32, bytes: &[u8]) -> Opening {
    let digests = Digester::of(&bench.plugin.description().digests, bytes);
    Opening {
        direction: mode.driver.direction(),
        driver: mode.driver,
        device: DEVICE.to_owned(),
        file: FileInfo {
            name: "file.bin".to_owned(),
            size: Some(bytes.len() as u64),
            digests,
            meta: vec![("type".to_owned(), "file".to_owned()), ("version".to_owned(), "1.0.0".to_owned())],
        },
        packet_size,
        epoch: 1,
        attempt: 1,
        started_at: 0,
        done: Vec::new(),
        vars: bench.vars.clone(),
        saved: Vec::new(),
    }
}

/// How a case is opened: a packet size that it leaves out is the mode's default.
pub(super) fn case_opening(plugin: &Plugin, case: &Case) -> Opening {
    let mut opening = case.opening.clone();
    if opening.packet_size == 0 {
        let mode = plugin.description().modes.iter().find(|mode| mode.driver == opening.driver);
        opening.packet_size = mode.map_or(1024, |mode| mode.packet_default);
    }
    opening
}

/// A message as it arrives on the other side.
pub(super) fn arrived(message: &Outgoing) -> Incoming {
    Incoming { route: message.route, payload: message.payload.clone(), more: message.more.clone() }
}

/// Bytes that repeat nowhere near, the same for the same length.
pub(in super::super) fn pattern_bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| ((at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

/// For messages: the beginning of what was found.
pub(super) fn shown(found: &impl std::fmt::Debug) -> String {
    let text = format!("{found:?}");
    if text.len() <= 400 {
        return text;
    }
    format!("{}…", &text[..text.floor_char_boundary(400)])
}

/// For messages: the beginning of a payload, readable where it is text.
pub(super) fn shown_payload(payload: &[u8]) -> String {
    let start = &payload[..payload.len().min(160)];
    let cut = if start.len() < payload.len() { "…" } else { "" };
    match std::str::from_utf8(start) {
        Ok(text) if !text.contains(char::is_control) => format!("{text:?}{cut}"),
        _ => format!("{}{cut}", super::super::super::host::hex(start)),
    }
}
