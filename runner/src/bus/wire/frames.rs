//! Packets out of bytes, MQTT 5: by rumqttc, except for reason codes of PUBACK and PUBREC which it does not know.
//!
//! mosquitto answers a message above its `message_size_limit` with PUBACK 0x95 "packet too large", which the standard's
//! table does not list. rumqttc ends the connection at it, and with it the work of everybody else; here such an answer
//! is about its one message, whatever its number.

use std::collections::VecDeque;

use bytes::BytesMut;
use rumqttc::v5::StateError;
use rumqttc::v5::mqttbytes::Error as Malformed;
use rumqttc::v5::mqttbytes::v5::{Packet, check};

use crate::bus::Reason;
use crate::bus::outbox::MAX_PACKET;

const CONNACK: u8 = 0x20;
const PUBACK: u8 = 0x40;
const PUBREC: u8 = 0x50;

/// What rumqttc reads: the codes that the standard lists for PUBACK and PUBREC.
const KNOWN: [u8; 9] = [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];

/// The code that stands in for all others that say no.
const STAND_IN: u8 = 0x80;

/// Bytes as they came, and the codes that rumqttc is not shown.
#[derive(Debug, Default)]
pub(super) struct Frames {
    pub(super) input: BytesMut,
    /// Codes of the answers that rumqttc reads as [`STAND_IN`], in the order in which they came.
    hidden: VecDeque<u8>,
}

impl Frames {
    /// The next packet, where all of it has come.
    pub(super) fn next(&mut self) -> Result<Option<Packet>, StateError> {
        let header = match check(self.input.iter(), Some(MAX_PACKET as u32)) {
            Ok(header) => header,
            Err(Malformed::InsufficientBytes(_)) => return Ok(None),
            Err(error) => return Err(StateError::Deserialization(error)),
        };
        let mut frame = self.input.split_to(header.frame_length());
        // Behind the first byte, the bytes of the length and the packet id.
        let code = 1 + frame[1..].iter().take_while(|byte| **byte >= 0x80).count() + 1 + 2;
        if let PUBACK | PUBREC = frame[0] & 0xf0
            && let Some(code) = frame.get_mut(code)
        {
            self.hide(code);
        }
        Packet::read(&mut frame, None).map(Some).map_err(StateError::Deserialization)
    }

    /// Whether the next packet is a CONNACK of MQTT 3.1.1: two bytes long, where MQTT 5 has at least three.
    pub(super) fn old_welcome(&self) -> bool {
        self.input.len() >= 4 && self.input[..2] == [CONNACK, 2]
    }

    /// What the answer that rumqttc reads as "unspecified error" really said; asked once for each, in their order.
    pub(super) fn unspecified(&mut self) -> Reason {
        let code = self.hidden.pop_front().unwrap_or(STAND_IN);
        Reason::from_code(code).unwrap_or_else(|| {
            tracing::warn!(
                "the broker refuses a publish with the reason code 0x{code:02x}, which MQTT 5 does not have"
            );
            Reason::Unspecified
        })
    }

    fn hide(&mut self, code: &mut u8) {
        match *code {
            // Below 0x80 no code says no.
            other if other < 0x80 => {
                if !KNOWN.contains(&other) {
                    *code = 0;
                }
            }
            STAND_IN => self.hidden.push_back(STAND_IN),
            known if KNOWN.contains(&known) => {}
            other => {
                self.hidden.push_back(other);
                *code = STAND_IN;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rumqttc::v5::mqttbytes::v5::{PubAck, PubAckReason};

    use super::*;

    fn frames(bytes: &[u8]) -> Frames {
        Frames { input: BytesMut::from(bytes), hidden: VecDeque::new() }
    }

    fn puback(code: u8, length: u8) -> Vec<u8> {
        let mut bytes = vec![PUBACK, length, 0, 7];
        bytes.extend(&[code, 0][..usize::from(length) - 2]);
        bytes
    }

    fn read(frames: &mut Frames) -> PubAck {
        match frames.next() {
            Ok(Some(Packet::PubAck(ack))) => ack,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_code_of_a_puback_is_read_with_its_packet_id() {
        for (code, length) in (0..=255).flat_map(|code| [(code, 3), (code, 4)]) {
            let mut frames = frames(&puback(code, length));
            let ack = read(&mut frames);
            assert_eq!(ack.pkid, 7);
            let success = [PubAckReason::Success, PubAckReason::NoMatchingSubscribers].contains(&ack.reason);
            assert_eq!(success, code < 0x80, "0x{code:02x}");
            if ack.reason == PubAckReason::UnspecifiedError {
                assert_eq!(frames.unspecified(), Reason::from_code(code).unwrap_or(Reason::Unspecified));
            } else {
                assert!(code < 0x80 || KNOWN.contains(&code), "0x{code:02x}");
            }
            assert!(frames.hidden.is_empty());
        }
        assert_eq!(read(&mut frames(&puback(0, 2))).reason, PubAckReason::Success);
    }

    #[test]
    fn a_code_is_found_where_words_follow_it() {
        let words = [b'x'; 200];
        // Remaining length 207, packet id 7, the code, 203 bytes of properties: a reason string of 200.
        let head = [PUBACK, 0xd0, 0x01, 0, 7, 0x95, 0xcb, 0x01, 0x1f, 0, 200];
        let mut frames = frames(&[&head[..], &words].concat());
        assert_eq!((read(&mut frames).pkid, frames.unspecified()), (7, Reason::PacketTooLarge));
    }

    #[test]
    fn codes_come_out_in_the_order_of_their_answers() {
        let mut frames = frames(&[puback(0x80, 4), puback(0x95, 4), puback(0x87, 4), puback(0x9b, 3)].concat());
        for reason in [Reason::Unspecified, Reason::PacketTooLarge] {
            assert_eq!((read(&mut frames).reason, frames.unspecified()), (PubAckReason::UnspecifiedError, reason));
        }
        assert_eq!(read(&mut frames).reason, PubAckReason::NotAuthorized);
        assert_eq!(
            (read(&mut frames).reason, frames.unspecified()),
            (PubAckReason::UnspecifiedError, Reason::QosNotSupported)
        );
    }

    #[test]
    fn parts_of_packets_wait_and_what_is_no_packet_is_an_error() {
        let whole = puback(0x95, 4);
        for length in 0..whole.len() {
            assert!(matches!(frames(&whole[..length]).next(), Ok(None)), "{length}");
        }
        assert!(
            frames(&[0xf0, 2, 0, 0]).next().is_err(),
            "no packet of MQTT begins so, but AUTH, which nobody asked for"
        );
        assert!(frames(&[0x30, 0xff, 0xff, 0xff, 0x7f]).next().is_err(), "larger than any packet may be");
        assert!(frames(&[0x30, 0xff, 0xff, 0xff, 0xff, 0x7f]).next().is_err());
        assert!(frames(&[0x20, 2, 0, 1]).old_welcome() && !frames(&[0x20, 3, 0, 0, 0]).old_welcome());
    }
}
