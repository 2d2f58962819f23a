//! The ten bytes before every message.

use super::{Command, Status, WireError};

/// Length of a header on the wire.
pub const HEADER_LEN: usize = 10;

/// A decoded header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Body length in bytes, the header not counted. As announced: not a length to allocate.
    pub length: u64,
    /// What is asked, or 100 in an answer.
    pub command: Command,
    /// 0 in requests (except file info, where it holds flags), else the outcome.
    pub status: Status,
}

impl Header {
    /// A request's header.
    #[must_use]
    pub fn request(command: Command, length: u64) -> Self {
        Self { length, command, status: Status::OK }
    }

    /// An answer's header.
    #[must_use]
    pub fn answer(status: Status, length: u64) -> Self {
        Self { length, command: Command::ANSWER, status }
    }

    /// The ten bytes.
    #[must_use]
    pub fn encode(self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..8].copy_from_slice(&self.length.to_be_bytes());
        bytes[8] = self.command.0;
        bytes[9] = self.status.0;
        bytes
    }

    /// Reads ten bytes; a negative length is an error.
    pub fn decode(bytes: &[u8; HEADER_LEN]) -> Result<Self, WireError> {
        let (length, rest) = bytes.split_first_chunk::<8>().expect("ten bytes hold eight");
        let length = u64::try_from(i64::from_be_bytes(*length)).map_err(|_| WireError::NegativeLength)?;
        Ok(Self { length, command: Command(rest[0]), status: Status(rest[1]) })
    }
}

/// A whole message: header and body in one buffer.
#[must_use]
pub fn message(command: Command, status: Status, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_LEN + body.len());
    bytes.extend_from_slice(&Header { length: body.len() as u64, command, status }.encode());
    bytes.extend_from_slice(body);
    bytes
}
