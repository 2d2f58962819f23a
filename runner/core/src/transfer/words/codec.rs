//! What a codec is, and what its calls take and give.

use super::conversation::{Algorithm, Command, Direction, Driver, Event, Faulted, Pairs};
use serde::{Deserialize, Serialize};

/// A message that arrived, matched to a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// Index into [`Description::routes`].
    pub route: u16,
    /// The MQTT payload.
    pub payload: Vec<u8>,
    /// Captures and properties, where there are any.
    pub more: Option<More>,
}

/// A message to publish; the host builds the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Index into [`Description::routes`].
    pub route: u16,
    /// The MQTT payload.
    pub payload: Vec<u8>,
    /// Captures and properties, where there are any.
    pub more: Option<More>,
    /// Index in the call's input of what caused it.
    pub cause: u16,
}

/// Captures of a route and MQTT 5 properties.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct More {
    /// What the route's `{+}` and `{#}` stand for, in order.
    pub captures: Vec<String>,
    /// MQTT 5 response topic.
    pub response_topic: Option<String>,
    /// MQTT 5 correlation data.
    pub correlation: Option<Vec<u8>>,
    /// MQTT 5 content type.
    pub content_type: Option<String>,
    /// MQTT 5 user properties.
    pub user: Pairs,
}

/// Which way a route's messages go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flow {
    /// Device to platform.
    FromDevice,
    /// Platform to device.
    ToDevice,
}

/// MQTT quality of service; 2 is never used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Qos {
    /// 0.
    AtMostOnce,
    /// 1.
    AtLeastOnce,
}

/// A topic template that a codec declared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Direction of its messages.
    pub flow: Flow,
    /// Levels of text, `{device}`, `{var}`, `{+}`, `{#}` (last only).
    pub template: String,
    /// QoS of its messages.
    pub qos: Qos,
    /// MQTT retain flag.
    pub retain: bool,
}

/// A variable that a codec takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Var {
    /// Its name.
    pub name: String,
    /// Whether `vars` must give it.
    pub required: bool,
    /// Its value where `vars` does not.
    pub default: String,
    /// A regular expression for its values, or empty.
    pub pattern: String,
    /// For people.
    pub about: String,
}

/// How often a request may be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Replies {
    /// Once a request; never unasked.
    Once,
    /// Resending is harmless.
    Resend,
}

/// What tells that a packet arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Acks {
    /// A message of its own.
    Message,
    /// The next request.
    NextRequest,
    /// Nothing.
    None,
}

/// In which order pieces may travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Any.
    Any,
    /// The device only appends: window 1.
    Sequential,
}

/// How a codec moves files under one driver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mode {
    /// Who drives.
    pub driver: Driver,
    /// Smallest piece in bytes.
    pub packet_min: u32,
    /// Largest piece in bytes.
    pub packet_max: u32,
    /// Piece size where nobody chose one.
    pub packet_default: u32,
    /// Piece sizes are multiples of it; 0 and 1 say nothing.
    pub packet_align: u32,
    /// Every piece but the last has exactly the packet size and starts at a multiple of it.
    pub grid: bool,
    /// Window where the workflow sets none.
    pub window_default: u16,
    /// Largest window that the device bears.
    pub window_max: u16,
    /// Bytes around a piece, topic left out.
    pub overhead_fixed: u32,
    /// Payload bytes for 1000 bytes of piece (Base64: 1334).
    pub overhead_per_mille: u32,
    /// How often a request may be answered.
    pub replies: Replies,
    /// What tells that a packet arrived.
    pub acks: Acks,
    /// In which order pieces may travel.
    pub order: Order,
    /// The device says itself that the whole file is good.
    pub confirms: bool,
    /// Knows `query`.
    pub can_query: bool,
    /// Knows `cancel`.
    pub can_cancel: bool,
    /// Largest file in bytes.
    pub file_max: u64,
}

impl Mode {
    /// Whether pieces of this size may travel.
    pub fn takes(&self, size: u32) -> bool {
        let most = if self.packet_max == 0 { u32::MAX } else { self.packet_max };
        (self.packet_min.max(1)..=most).contains(&size) && size.is_multiple_of(self.packet_align.max(1))
    }
}

/// What a codec is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// Name, as in `codec:`.
    pub name: String,
    /// Semantic version of the plugin.
    pub version: String,
    /// For people.
    pub about: String,
    /// Variables that it takes.
    pub vars: Vec<Var>,
    /// Its topics.
    pub routes: Vec<Route>,
    /// The drivers that it knows.
    pub modes: Vec<Mode>,
    /// Digests that its devices can tell.
    pub digests: Vec<Algorithm>,
}

impl Description {
    /// The mode for a direction: the first declared one of it.
    pub fn mode(&self, direction: Direction) -> Option<&Mode> {
        self.modes.iter().find(|mode| mode.driver.direction() == direction)
    }
}

/// What `decode` gave back on the platform's side.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Decoded {
    /// In order of cause.
    pub events: Vec<Event>,
    /// Answers that the protocol owes and the machine need not know of.
    pub replies: Vec<Outgoing>,
    /// Items that could not be read.
    pub faults: Vec<Faulted>,
    /// `save` would now give other bytes than before.
    pub dirty: bool,
}

/// What `encode` gave back, on either side.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Encoded {
    /// In order of cause.
    pub messages: Vec<Outgoing>,
    /// Items that could not be said.
    pub faults: Vec<Faulted>,
    /// `save` would now give other bytes than before.
    pub dirty: bool,
}

/// What `decode` gave back on the device's side.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeviceDecoded {
    /// In order of cause.
    pub commands: Vec<Command>,
    /// Answers that the protocol owes by itself.
    pub replies: Vec<Outgoing>,
    /// Items that could not be read.
    pub faults: Vec<Faulted>,
    /// `save` would now give other bytes than before.
    pub dirty: bool,
}
