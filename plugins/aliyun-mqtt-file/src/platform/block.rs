//! One block of an upload, as it arrives.

use packhorse_codec::{Data, Fault, Span, Sum, Tag};

use crate::describe::BLOCK_MOST;
use crate::frame::Frame;
use crate::message::Message;
use crate::replies::Place;

/// An upload id, as a device repeats it; ours have 16 bytes.
pub(super) const UPLOAD_ID_MOST: usize = 64;

/// What the text of a block says, and whether the block is as it says.
pub(super) struct Block {
    pub(super) id: String,
    pub(super) upload_id: String,
    pub(super) place: Place,
    /// The file ends with it, where its size was not known.
    pub(super) complete: bool,
    pub(super) sound: bool,
}

impl Block {
    pub(super) fn read(message: &Message<'_>, frame: &Frame<'_>) -> Result<Self, Fault> {
        let length = frame.bytes.len() as u64;
        let size = message.number("bSize")?.unwrap_or(length);
        if size > BLOCK_MOST {
            return Err(Fault::malformed(format!("a block of {size} bytes")));
        }
        let offset = message.required("offset")?;
        if Span::at(offset, size).is_none() {
            return Err(Fault::malformed("offset and bSize are too large"));
        }
        Ok(Self {
            id: message.id()?.to_owned(),
            upload_id: message.plain_text("uploadId", UPLOAD_ID_MOST)?,
            place: Place { offset, size },
            complete: message.flag("isComplete"),
            sound: frame.sound && size == length,
        })
    }

    /// Nobody looks at the bytes of a bad block; their number is the one that the device will look for in the answer.
    pub(super) fn damaged(&self, tag: Tag) -> Data {
        let Place { offset, size } = self.place;
        Data { tag, offset, bytes: vec![0; size as usize], sum: Sum::Bad, last: false }
    }
}
