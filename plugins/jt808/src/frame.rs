//! What stands around every message: `7E | header | body | XOR | 7E`, with 7E written as 7D 02 and 7D as 7D 01 in between.

use packhorse_codec::{Fault, Reader, Transfer, Writer, hex};

use crate::describe::{BODY_MOST, variable};

const FLAG: u8 = 0x7e;
const ESCAPE: u8 = 0x7d;
/// Properties of a message, beside the ten bits of its length.
const ENCRYPTION: u16 = 0x1c00;
const SPLIT: u16 = 0x2000;
const EDITION_2019: u16 = 0x4000;
/// The version of the protocol that a header of 2019 names.
const PROTOCOL_VERSION: u8 = 1;

/// Which edition's header is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edition {
    V2013,
    V2019,
}

/// One message, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) id: u16,
    pub(crate) serial: u16,
    /// Which packet of a message it is; (1, 1) of one that is not split.
    pub(crate) packet: Packet,
    pub(crate) body: Vec<u8>,
}

/// Number of a packet, from 1, and how many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) index: u16,
    pub(crate) total: u16,
}

impl Packet {
    pub(crate) const WHOLE: Self = Self { index: 1, total: 1 };

    pub(crate) const fn is_last(self) -> bool {
        self.index == self.total
    }
}

/// Who speaks with whom: the number of the terminal, which is in every header.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    edition: Edition,
    /// Binary coded decimal, with leading zeros.
    phone: [u8; 10],
}

impl Line {
    /// `None` where the number is too long for the header.
    pub(crate) fn of(transfer: &Transfer) -> Option<Self> {
        let edition = if variable(transfer, "header") == Some("2013") { Edition::V2013 } else { Edition::V2019 };
        let digits: String = match variable(transfer, "phone") {
            Some(phone) => phone.to_owned(),
            None => transfer.device.chars().filter(char::is_ascii_digit).collect(),
        };
        let room = if edition == Edition::V2019 { 20 } else { 12 };
        let digits = digits.trim_start_matches('0');
        if digits.len() > room {
            return None;
        }
        Some(Self { edition, phone: hex::decode_array(format!("{digits:0>20}").as_bytes()).ok()? })
    }

    pub(crate) fn edition(&self) -> Edition {
        self.edition
    }

    /// The messages in a payload: a bridge may put several frames into one, or none of the flags around a single one. Those of other
    /// terminals are left out; where no message is left, it is the first one's fault.
    pub(crate) fn read(&self, payload: &[u8]) -> Result<Vec<Frame>, Fault> {
        let mut frames = Vec::new();
        let mut fault = None;
        for frame in payload.split(|byte| *byte == FLAG).filter(|frame| !frame.is_empty()) {
            match self.read_one(frame) {
                Ok(frame) => frames.push(frame),
                Err(why) => fault = fault.or(Some(why)),
            }
        }
        match fault {
            Some(fault) if frames.is_empty() => Err(fault),
            None if frames.is_empty() => Err(Fault::malformed("there is no frame")),
            _ => Ok(frames),
        }
    }

    fn read_one(&self, escaped: &[u8]) -> Result<Frame, Fault> {
        let bytes = unescaped(escaped)?;
        let Some((told, message)) = bytes.split_last() else { return Err(Fault::malformed("an empty frame")) };
        if xor(message) != *told {
            return Err(Fault::malformed("the checksum of the frame does not hold"));
        }
        let mut reader = Reader::new(message);
        let (id, properties) = (reader.u16_be("message id")?, reader.u16_be("properties")?);
        if properties & ENCRYPTION != 0 {
            return Err(Fault::malformed("the body is encrypted, which this codec cannot read"));
        }
        let phone = if properties & EDITION_2019 != 0 {
            reader.u8("protocol version")?;
            reader.array::<10>("phone")?
        } else {
            let mut phone = [0; 10];
            phone[4..].copy_from_slice(&reader.array::<6>("phone")?);
            phone
        };
        let serial = reader.u16_be("serial")?;
        let packet = if properties & SPLIT != 0 { read_packet(&mut reader)? } else { Packet::WHOLE };
        let body = reader.slice("body", usize::from(properties) & BODY_MOST)?.to_vec();
        reader.end()?;
        if phone != self.phone {
            return Err(Fault::NotMine);
        }
        Ok(Frame { id, serial, packet, body })
    }

    /// A frame, with exact capacity.
    pub(crate) fn write(&self, frame: &Frame) -> Result<Vec<u8>, Fault> {
        let length = u16::try_from(frame.body.len()).ok().filter(|length| usize::from(*length) <= BODY_MOST);
        let length = length.ok_or_else(|| Fault::malformed(format!("a body of {} bytes", frame.body.len())))?;
        let split = frame.packet != Packet::WHOLE;
        let mut message = Writer::with_capacity(22 + frame.body.len());
        message.u16_be(frame.id);
        let new = self.edition == Edition::V2019;
        message.u16_be(length | if split { SPLIT } else { 0 } | if new { EDITION_2019 } else { 0 });
        match self.edition {
            Edition::V2019 => {
                message.u8(PROTOCOL_VERSION);
                message.slice(&self.phone);
            }
            Edition::V2013 => message.slice(&self.phone[4..]),
        }
        message.u16_be(frame.serial);
        if split {
            message.u16_be(frame.packet.total);
            message.u16_be(frame.packet.index);
        }
        message.slice(&frame.body);
        message.u8(xor(message.written()));
        Ok(escaped(message.written()))
    }
}

fn read_packet(reader: &mut Reader<'_>) -> Result<Packet, Fault> {
    let (total, index) = (reader.u16_be("packets")?, reader.u16_be("packet number")?);
    if index == 0 || index > total {
        return Err(Fault::malformed(format!("packet {index} of {total}")));
    }
    Ok(Packet { index, total })
}

fn xor(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum ^ byte)
}

fn escaped(message: &[u8]) -> Vec<u8> {
    let doubled = message.iter().filter(|byte| matches!(**byte, FLAG | ESCAPE)).count();
    let mut frame = Vec::with_capacity(message.len() + doubled + 2);
    frame.push(FLAG);
    for byte in message {
        match *byte {
            FLAG => frame.extend_from_slice(&[ESCAPE, 2]),
            ESCAPE => frame.extend_from_slice(&[ESCAPE, 1]),
            byte => frame.push(byte),
        }
    }
    frame.push(FLAG);
    frame
}

fn unescaped(frame: &[u8]) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::with_capacity(frame.len());
    let mut rest = frame.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match (*byte, byte == &ESCAPE) {
            (byte, false) => byte,
            (_, true) => match rest.next() {
                Some(1) => ESCAPE,
                Some(2) => FLAG,
                other => return Err(Fault::malformed(format!("7D is followed by {other:?}"))),
            },
        });
    }
    Ok(bytes)
}

/// The first serial number of a session: numbers of sixteen bits, spread so that those of sessions that follow each other lie apart.
pub(crate) fn first_serial(epoch: u32) -> u16 {
    (epoch.wrapping_mul(0x9e37_79b1) >> 16) as u16
}
