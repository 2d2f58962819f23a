//! Frames: what both ends read and write. The layout is in `README.md`.

use packhorse_codec::crc::{Crc16, crc16};
use packhorse_codec::{Algorithm, Digest, Fault, File, Reader, Span, Text, Writer};

/// Topics, by their index in `Description::routes`.
pub const TO_DEVICE: u16 = 0;
/// From the device.
pub const FROM_DEVICE: u16 = 1;
/// Bytes around the piece of a data frame, at most.
pub const OVERHEAD: u32 = 36 + NAME_MOST as u32;
/// Bytes of a name.
pub const NAME_MOST: usize = 64;

static CHECK: Crc16 = crc16("CRC-16/ARC");

/// Which file a frame speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// In bytes.
    pub size: u32,
    /// Its identity.
    pub md5: [u8; 16],
    /// At most [`NAME_MOST`] bytes.
    pub name: String,
}

/// One frame.
#[derive(Debug)]
pub enum Frame<'a> {
    /// A piece of a file.
    Data {
        /// Of the request that it answers; 0 = it answers none.
        tag: u64,
        /// Of which file.
        subject: Subject,
        /// Where in it.
        offset: u32,
        /// What is there.
        bytes: &'a [u8],
    },
    /// The platform asks for a piece of the file of this name.
    Request {
        /// Comes back with the answer.
        tag: u64,
        /// First byte.
        offset: u32,
        /// How many.
        length: u32,
        /// Of which file.
        name: String,
    },
    /// The device has these bytes of the file, durably.
    Ack {
        /// Of which file.
        md5: [u8; 16],
        /// Which bytes.
        span: Span,
    },
    /// The device has no file of this name.
    Refusal {
        /// As it was asked for.
        name: String,
    },
}

impl<'a> Frame<'a> {
    /// Reads a message.
    pub fn read(message: &'a [u8]) -> Result<Self, Fault> {
        let Some((body, check)) = message.split_last_chunk::<2>() else {
            return Err(Fault::malformed("shorter than its check"));
        };
        if u16::from_be_bytes(*check) != CHECK.checksum(body) {
            return Err(Fault::malformed("its CRC does not hold"));
        }
        let mut body = Reader::new(body);
        match body.u8("kind")? {
            1 => Self::data(body),
            2 => {
                let (tag, offset, length) = (body.u64_be("tag")?, body.u32_be("offset")?, body.u32_be("length")?);
                Ok(Self::Request { tag, offset, length, name: text(body.rest())? })
            }
            3 => {
                let md5 = body.array("MD5")?;
                let (start, end) = (u64::from(body.u32_be("start")?), u64::from(body.u32_be("end")?));
                body.end()?;
                if start > end {
                    return Err(Fault::malformed(format!("an acknowledgement from {start} to {end}")));
                }
                Ok(Self::Ack { md5, span: Span::new(start, end) })
            }
            4 => Ok(Self::Refusal { name: text(body.rest())? }),
            kind => Err(Fault::malformed(format!("kind {kind} is not known"))),
        }
    }

    fn data(mut body: Reader<'a>) -> Result<Self, Fault> {
        let tag = body.u64_be("tag")?;
        let (size, offset) = (body.u32_be("size")?, body.u32_be("offset")?);
        let md5 = body.array("MD5")?;
        let name = text(body.prefixed_u8("name")?)?;
        let bytes = body.rest();
        if u64::from(offset) + bytes.len() as u64 > u64::from(size) {
            return Err(Fault::malformed(format!("{} bytes at {offset} of a file of {size}", bytes.len())));
        }
        Ok(Self::Data { tag, subject: Subject { size, md5, name }, offset, bytes })
    }

    /// As a message.
    pub fn write(&self) -> Vec<u8> {
        let mut frame = Writer::with_capacity(self.length());
        match self {
            Self::Data { tag, subject, offset, bytes } => {
                frame.u8(1);
                frame.u64_be(*tag);
                frame.u32_be(subject.size);
                frame.u32_be(*offset);
                frame.slice(&subject.md5);
                frame.u8(subject.name.len() as u8);
                frame.slice(subject.name.as_bytes());
                frame.slice(bytes);
            }
            Self::Request { tag, offset, length, name } => {
                frame.u8(2);
                frame.u64_be(*tag);
                frame.u32_be(*offset);
                frame.u32_be(*length);
                frame.slice(name.as_bytes());
            }
            Self::Ack { md5, span } => {
                frame.u8(3);
                frame.slice(md5);
                frame.u32_be(span.start as u32);
                frame.u32_be(span.end as u32);
            }
            Self::Refusal { name } => {
                frame.u8(4);
                frame.slice(name.as_bytes());
            }
        }
        let check = CHECK.checksum(frame.written());
        frame.u16_be(check);
        frame.finish()
    }

    /// The message's exact length: what is given its capacity is not copied again.
    fn length(&self) -> usize {
        match self {
            Self::Data { subject, bytes, .. } => 36 + subject.name.len() + bytes.len(),
            Self::Request { name, .. } => 19 + name.len(),
            Self::Ack { .. } => 27,
            Self::Refusal { name } => 3 + name.len(),
        }
    }
}

impl Subject {
    /// The file that a session was opened with or told of: it needs an MD5, and a size of 32 bits.
    pub fn of(file: &File) -> Result<Self, Text> {
        let md5 = file.digest(Algorithm::Md5).and_then(|md5| md5.try_into().ok());
        let md5 = md5.ok_or_else(|| Text::new("no-md5", "the MD5 of the file is not known"))?;
        let size = file.size.and_then(|size| size.try_into().ok());
        let size =
            size.ok_or_else(|| Text::new("no-size", "the size of the file is not known or has more than 32 bits"))?;
        Ok(Self { size, md5, name: cut(&file.name) })
    }

    /// For the host.
    pub fn file(&self) -> File {
        let digests = vec![Digest::new(Algorithm::Md5, self.md5)];
        File { name: self.name.clone(), size: Some(self.size.into()), digests, meta: Vec::new() }
    }
}

/// As much of a name as a frame takes.
pub fn cut(name: &str) -> String {
    name[..name.floor_char_boundary(NAME_MOST)].to_owned()
}

fn text(bytes: &[u8]) -> Result<String, Fault> {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.len() <= NAME_MOST => Ok(text.to_owned()),
        Ok(text) => Err(Fault::malformed(format!("a name of {} bytes", text.len()))),
        Err(_) => Err(Fault::malformed("a name that is no text")),
    }
}
