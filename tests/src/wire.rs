//! What goes over the wire, read by somebody who only listens: which bytes of a file were sent how often.

use crate::client::Stranger;
use serde_json::Value;
use std::time::Duration;

/// Which end sends the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// To the device.
    Push,
    /// From the device.
    Pull,
}

/// Listens to the data packets of one device.
#[derive(Debug)]
pub struct Wire {
    stranger: Stranger,
    codec: &'static str,
}

/// What was heard.
#[derive(Debug, Clone, Copy, Default)]
pub struct Heard {
    /// Data packets.
    pub packets: u64,
    /// Bytes of file in them.
    pub bytes: u64,
    /// Bytes of file in the largest of them.
    pub piece: u64,
}

impl Wire {
    /// Begins to listen.
    pub fn listen(broker: &str, codec: &'static str, device: &str, way: Way) -> Self {
        let topic = match (codec, way) {
            ("acme-tlv", Way::Push) => format!("acme/{device}/rx"),
            ("acme-tlv", Way::Pull) => format!("acme/{device}/tx"),
            (_, Way::Push) => format!("packhorse/{device}/down"),
            (_, Way::Pull) => format!("packhorse/{device}/up"),
        };
        Self { stranger: Stranger::connect(broker, &[&topic]), codec }
    }

    /// Everything since the last time, once the wire has been silent for a moment.
    pub fn heard(&self) -> Heard {
        self.heard_within(Duration::from_millis(200))
    }

    /// The same with another moment.
    pub fn heard_within(&self, silence: Duration) -> Heard {
        let mut heard = Heard::default();
        while let Some((_, payload)) = self.stranger.hear(silence) {
            let size = if self.codec == "acme-tlv" { frame(&payload) } else { message(&payload) };
            if let Some(size) = size {
                heard.packets += 1;
                heard.bytes += size;
                heard.piece = heard.piece.max(size);
            }
        }
        heard
    }
}

/// Bytes of file in a message of json-base64.
fn message(payload: &[u8]) -> Option<u64> {
    let value: Value = serde_json::from_slice(payload).ok()?;
    value.get("packData")?;
    value.get("packSize")?.as_u64()
}

/// Bytes of file in a frame of acme-tlv: DATA or PIECE, without head, fields and CRC.
fn frame(payload: &[u8]) -> Option<u64> {
    let around = match payload.first()? {
        0x02 => 11 + 9 + 2,
        0x8B => 11 + 21 + 2,
        _ => return None,
    };
    u64::try_from(payload.len().checked_sub(around)?).ok()
}

/// Counts everything that a broker delivers on some topics, as messages without properties are laid out.
#[derive(Debug)]
pub struct Tally(Stranger);

impl Tally {
    /// Begins to listen.
    pub fn listen(broker: &str, filter: &str) -> Self {
        Self(Stranger::connect(broker, &[filter]))
    }

    /// Wire bytes since the last time, once the wire has been silent for a moment.
    pub fn bytes(&mut self) -> u64 {
        let mut bytes = 0;
        while let Some((topic, payload)) = self.0.hear(Duration::from_millis(300)) {
            // Fixed header 3, topic length 2, packet id 2, no properties 1.
            bytes += 3 + 2 + topic.len() as u64 + 2 + 1 + payload.len() as u64;
        }
        bytes
    }
}
