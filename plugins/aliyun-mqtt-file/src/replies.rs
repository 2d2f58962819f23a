//! The platform's answers to blocks and uploads, and their codes. Devices are strict here: the C SDK drops an answer without
//! `message`, and both it and the Rust crate one without the members of `data`, whatever the code says.

use std::ops::RangeInclusive;

use packhorse_codec::hex;
use packhorse_codec::json::ObjectWriter;

/// What an answer says. The numbers are those of the C SDK, `aiot_mqtt_upload_result_code_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Code(pub(crate) u64);

/// Codes that mean what the device says they mean.
const OWN: RangeInclusive<u64> = 100_000..=110_000;

impl Code {
    pub(crate) fn is_own(self) -> bool {
        OWN.contains(&self.0)
    }

    pub(crate) const OK: Self = Self(200);
    pub(crate) const FAILED: Self = Self(500);
    pub(crate) const TOO_LARGE: Self = Self(78117);
    /// The block does not begin where the last one ended.
    pub(crate) const OFFSET_DIFFERS: Self = Self(78119);
    /// The block's CRC-16 does not hold: the device sends it again.
    pub(crate) const BAD_BLOCK: Self = Self(78121);
    /// The device has to begin anew.
    pub(crate) const NO_SUCH_UPLOAD: Self = Self(78122);
    pub(crate) const ALREADY_COMPLETE: Self = Self(78124);
    /// The whole file is not what it should be.
    pub(crate) const BAD_FILE: Self = Self(78125);
    /// A block that is here already.
    pub(crate) const REPEATED: Self = Self(78126);
    /// A device's own, from the range that the vendor leaves to devices.
    pub(crate) const NO_SUCH_FILE: Self = Self(100_404);
    /// Too many requests, two ways of saying it.
    pub(crate) const BUSY: [Self; 2] = [Self(429), Self(78127)];

    fn words(self) -> &'static str {
        match self {
            Self::OK => "success",
            Self::TOO_LARGE => "the file is too large",
            Self::OFFSET_DIFFERS => "the block does not begin where the last one ended",
            Self::BAD_BLOCK => "the CRC-16 of the block does not hold",
            Self::NO_SUCH_UPLOAD => "there is no such upload",
            Self::ALREADY_COMPLETE => "the upload is complete already",
            Self::NO_SUCH_FILE => "no such file",
            Self::BAD_FILE => "the file did not arrive whole",
            _ => "the upload failed",
        }
    }
}

/// The text of the frame that answers a request for a block. Short, as it goes with every block.
pub(crate) fn block_header(id: &str, token: &str, file_size: u64, offset: u64, size: usize) -> Vec<u8> {
    let mut data = ObjectWriter::with_capacity(160);
    if !token.is_empty() {
        data.string("fileToken", token);
    }
    data.number("fileLength", file_size);
    data.number("bSize", size as u64);
    data.number("bOffset", offset);
    let data = data.finish();
    let mut object = ObjectWriter::with_capacity(data.len() + 72);
    object.string("id", id);
    object.number("code", Code::OK.0);
    object.raw("data", &String::from_utf8_lossy(&data));
    object.finish()
}

/// Answers the beginning of an upload. `offset` is where to go on, and left out where that is the beginning.
pub(crate) fn init_reply(id: &str, code: Code, name: &str, upload_id: &str, offset: u64) -> Vec<u8> {
    reply(id, code, |data| {
        data.string("fileName", name);
        data.string("uploadId", upload_id);
        if offset > 0 {
            data.number("offset", offset);
        }
    })
}

/// A block that is answered, by its place: devices look for exactly this place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) offset: u64,
    pub(crate) size: u64,
}

/// The CRC-64 of the whole file: the device's, and ours where we know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Integrity {
    pub(crate) client: u64,
    pub(crate) server: Option<u64>,
}

/// Answers a block in the middle of a file.
pub(crate) fn send_reply(id: &str, code: Code, upload_id: &str, place: Place) -> Vec<u8> {
    reply(id, code, |data| place_members(data, upload_id, place))
}

/// Answers the last block, once it is known whether the file is good.
pub(crate) fn last_reply(id: &str, code: Code, upload_id: &str, place: Place, integrity: Option<Integrity>) -> Vec<u8> {
    reply(id, code, |data| {
        place_members(data, upload_id, place);
        data.raw("complete", if code == Code::OK { "true" } else { "false" });
        if let Some(integrity) = integrity {
            data.string("ficMode", "crc64");
            data.string("ficValueClient", &hex::encode(&integrity.client.to_be_bytes()));
            if let Some(server) = integrity.server {
                data.string("ficValueServer", &hex::encode(&server.to_be_bytes()));
            }
        }
    })
}

pub(crate) fn cancel_reply(id: &str, code: Code, upload_id: &str) -> Vec<u8> {
    reply(id, code, |data| data.string("uploadId", upload_id))
}

/// The device's answer to the call of a service.
pub(crate) fn service_reply(id: &str, code: Code) -> Vec<u8> {
    reply(id, code, |_| {})
}

fn place_members(data: &mut ObjectWriter, upload_id: &str, place: Place) {
    data.string("uploadId", upload_id);
    data.number("offset", place.offset);
    data.number("bSize", place.size);
}

fn reply(id: &str, code: Code, fill: impl FnOnce(&mut ObjectWriter)) -> Vec<u8> {
    let mut data = ObjectWriter::with_capacity(192);
    fill(&mut data);
    let data = data.finish();
    let mut object = ObjectWriter::with_capacity(data.len() + 128);
    object.number("code", code.0);
    object.raw("data", &String::from_utf8_lossy(&data));
    object.string("id", id);
    object.string("message", code.words());
    object.finish()
}
