//! Asks the terminal for media: a photo, what it has stored, or one of these by its number.

use packhorse_codec::{Fault, Transfer, Writer};

use crate::describe::{PHOTO, SINGLE_MEDIA, STORED_MEDIA, number, variable};

/// What begins an upload.
#[derive(Debug)]
pub(super) struct Request {
    /// The message and its body; `None` where the terminal is waited for.
    message: Option<(u16, Vec<u8>)>,
    /// Its serial number, once it was said: the same wish has the same number.
    pub(super) serial: Option<u16>,
    /// The terminal answered that it will.
    pub(super) granted: bool,
}

impl Request {
    /// `media` is the one number that is wanted, where there is one.
    pub(super) fn of(transfer: &Transfer, media: Option<u32>) -> Self {
        let message = match (variable(transfer, "request").unwrap_or("photo"), media) {
            ("none", _) | ("single", None) => None,
            ("single", Some(media)) => Some((SINGLE_MEDIA, single(media))),
            ("stored", _) => Some((STORED_MEDIA, stored(transfer))),
            _ => Some((PHOTO, photo(transfer))),
        };
        Self { message, serial: None, granted: false }
    }

    pub(super) fn message(&self) -> Result<(u16, Vec<u8>), Fault> {
        self.message.clone().ok_or(Fault::Unsupported)
    }

    /// Whether an answer is about this wish.
    pub(super) fn is(&self, id: u16, serial: u16) -> bool {
        self.message.as_ref().is_some_and(|(known, _)| *known == id) && self.serial == Some(serial)
    }
}

/// One photo, uploaded at once, with medium brightness, contrast and colours.
fn photo(transfer: &Transfer) -> Vec<u8> {
    let mut body = Writer::with_capacity(12);
    body.u8(number(transfer, "channel", 1));
    body.u16_be(1);
    body.u16_be(0);
    body.u8(0);
    body.u8(number(transfer, "resolution", 1));
    body.u8(number(transfer, "quality", 5));
    body.slice(&[128, 64, 64, 128]);
    body.finish()
}

/// Whatever is stored of one kind, of all times, and stays there.
fn stored(transfer: &Transfer) -> Vec<u8> {
    let mut body = Writer::with_capacity(16);
    body.u8(number(transfer, "media_type", 0));
    body.u8(number(transfer, "channel", 1));
    body.u8(number(transfer, "event", 0));
    body.slice(&[0; 12]);
    body.u8(0);
    body.finish()
}

fn single(media: u32) -> Vec<u8> {
    let mut body = Writer::with_capacity(5);
    body.u32_be(media);
    body.u8(0);
    body.finish()
}
