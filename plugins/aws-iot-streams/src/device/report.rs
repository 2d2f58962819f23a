//! Writes what an agent asks and reports of its job.

use packhorse_codec::Tag;
use packhorse_codec::json::ObjectWriter;

use crate::job::{Details, Status};

/// Asks for the job; the token is the tag, in decimal digits.
pub(super) fn question(tag: Tag) -> Vec<u8> {
    let mut object = ObjectWriter::with_capacity(40);
    object.string("clientToken", &tag.to_string());
    let mut message = object.finish();
    message.shrink_to_fit();
    message
}

/// Reports a state. No version is expected: of two reports that overtake each other both count.
pub(super) fn update(status: Status, details: &Details) -> Vec<u8> {
    let mut object = ObjectWriter::with_capacity(128);
    object.string("status", status.name());
    if !details.is_empty() {
        object.raw("statusDetails", &details.json());
    }
    let mut message = object.finish();
    message.shrink_to_fit();
    message
}
