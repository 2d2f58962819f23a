//! The numbers in topics: which request a message is, and how it becomes a tag of the contract and back.

use packhorse_codec::{Fault, More, Tag};

/// A chunk request: `v2/fw/request/{id}/chunk/{chunk}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) id: u32,
    pub(crate) chunk: u32,
}

impl Request {
    /// Reads both numbers of a topic.
    pub(crate) fn read(more: Option<&More>) -> Result<Self, Fault> {
        match captures(more) {
            [id, chunk] => Ok(Self { id: number("the request id", id)?, chunk: number("the chunk number", chunk)? }),
            _ => Err(Fault::malformed("the topic does not name a request id and a chunk number")),
        }
    }

    /// Both numbers in one: never 0, so that the core knows a repetition by it.
    pub(crate) const fn tag(self) -> Tag {
        ((self.id as u64 + 1) << 32) | self.chunk as u64
    }

    /// What [`Request::tag`] was made of.
    pub(crate) fn of(tag: Tag) -> Option<Self> {
        let id = (tag >> 32).checked_sub(1)?;
        Some(Self { id: u32::try_from(id).ok()?, chunk: (tag & u64::from(u32::MAX)) as u32 })
    }

    /// For the topic of a message.
    pub(crate) fn more(self) -> More {
        More::captures([self.id.to_string(), self.chunk.to_string()])
    }
}

/// The one number of a topic such as `v1/devices/me/attributes/request/{id}`.
pub(crate) fn id(more: Option<&More>) -> Result<u32, Fault> {
    match captures(more) {
        [id] => number("the request id", id),
        _ => Err(Fault::malformed("the topic does not name a request id")),
    }
}

fn captures(more: Option<&More>) -> &[String] {
    more.map_or(&[], |more| more.captures.as_slice())
}

/// Decimal, as the answer's topic must repeat it: no sign, no zeros in front. The largest number of 32 bits has no tag.
fn number(what: &str, text: &str) -> Result<u32, Fault> {
    let plain = text == "0" || (!text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit()));
    let number = text.parse().ok().filter(|number| plain && *number < u32::MAX);
    number.ok_or_else(|| Fault::malformed(format!("{what} {text:?} is not a number below {}", u32::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_both_numbers_and_never_zero() {
        for (id, chunk) in [(0, 0), (0, 1), (1, 0), (7, u32::MAX - 1), (u32::MAX - 1, u32::MAX - 1)] {
            let request = Request { id, chunk };
            assert_ne!(request.tag(), 0);
            assert_eq!(Request::of(request.tag()), Some(request));
            assert_eq!(Request::read(Some(&request.more())), Ok(request));
        }
        assert_eq!(Request::of(0), None);
        assert_eq!(Request::of(u64::from(u32::MAX)), None);
    }

    #[test]
    fn what_could_not_be_repeated_is_refused() {
        for text in ["", "-1", "+1", "01", "1 ", "x", "4294967295", "99999999999999999999", "٣"] {
            assert!(id(Some(&More::captures([text.to_owned()]))).is_err(), "{text:?}");
        }
        assert_eq!(id(Some(&More::captures(["4294967294".to_owned()]))), Ok(4_294_967_294));
        assert!(id(None).is_err());
    }
}
