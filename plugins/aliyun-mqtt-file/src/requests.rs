//! How answers find their requests: on the platform's end by ids of the device, on the device's end by ids of its own.

use std::collections::VecDeque;

use packhorse_codec::{Fault, Reader, Span, Tag, Writer};

/// Requests whose id does not fit into their tag, or that brought a token. Devices stop and wait: more are not open at once.
const KEPT_MOST: usize = 16;

/// Requests of the device, on the platform's end. The tag is made of the id alone, so that a copy of a request has the tag of
/// the request.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    kept: VecDeque<Kept>,
}

#[derive(Debug)]
struct Kept {
    tag: Tag,
    id: String,
    token: String,
}

impl Requests {
    /// The tag of a request. `token` is what its answer has to repeat besides the id.
    pub(crate) fn note(&mut self, id: &str, token: &str) -> Tag {
        let number = id.parse::<u32>().ok().filter(|number| number.to_string() == id);
        let tag = match number {
            Some(number) => Tag::from(number) + 1,
            None if id.is_empty() => 0,
            None => hash(id) | 1 << 63,
        };
        self.kept.retain(|kept| kept.tag != tag);
        if tag != 0 && (number.is_none() || !token.is_empty()) {
            if self.kept.len() == KEPT_MOST {
                self.kept.pop_front();
            }
            self.kept.push_back(Kept { tag, id: id.to_owned(), token: token.to_owned() });
        }
        tag
    }

    /// Id and token for the answer, which are forgotten with it. A request without an id is answered with id 0.
    pub(crate) fn answer(&mut self, tag: Tag) -> Result<(String, String), Fault> {
        if let Some(at) = self.kept.iter().position(|kept| kept.tag == tag)
            && let Some(kept) = self.kept.remove(at)
        {
            return Ok((kept.id, kept.token));
        }
        match u32::try_from(tag.saturating_sub(1)) {
            Ok(number) => Ok((number.to_string(), String::new())),
            Err(_) => Err(Fault::malformed("the id of the request is not known any more")),
        }
    }

    pub(crate) fn save(&self, state: &mut Writer) {
        state.u8(self.kept.len() as u8);
        for kept in &self.kept {
            state.u64_be(kept.tag);
            save_text(state, &kept.id);
            save_text(state, &kept.token);
        }
    }

    pub(crate) fn restore(state: &mut Reader<'_>) -> Result<Self, Fault> {
        let mut kept = VecDeque::new();
        for _ in 0..state.u8("requests")? {
            let tag = state.u64_be("tag")?;
            kept.push_back(Kept { tag, id: restore_text(state, "id")?, token: restore_text(state, "token")? });
        }
        Ok(Self { kept })
    }
}

/// FNV-1a.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Requests that the device waits with; an older one is given up for a newer.
const ASKED_MOST: usize = 32;

/// Requests of this device, by the id that it gave them: it counts from 1.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    last: u32,
    open: VecDeque<(u32, Request)>,
}

/// What the answer to a request is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) tag: Tag,
    pub(crate) span: Span,
}

impl Asked {
    /// An id for a message that nothing answers.
    pub(crate) fn next_id(&mut self) -> u32 {
        self.last = self.last.wrapping_add(1).max(1);
        self.last
    }

    /// An id for a request.
    pub(crate) fn note(&mut self, tag: Tag, span: Span) -> u32 {
        if self.open.len() == ASKED_MOST {
            self.open.pop_front();
        }
        let id = self.next_id();
        self.open.push_back((id, Request { tag, span }));
        id
    }

    /// The request that is answered under this id, if it is one of ours and open.
    pub(crate) fn find(&self, id: &str) -> Result<Request, Fault> {
        let open = self.open.iter().find(|(known, _)| known.to_string() == id);
        open.map(|(_, request)| *request).ok_or(Fault::NotMine)
    }

    /// A request that is answered takes no second answer.
    pub(crate) fn close(&mut self, id: &str) {
        self.open.retain(|(known, _)| known.to_string() != id);
    }

    pub(crate) fn save(&self, state: &mut Writer) {
        state.u32_be(self.last);
        state.u8(self.open.len() as u8);
        for (id, request) in &self.open {
            state.u32_be(*id);
            for number in [request.tag, request.span.start, request.span.end] {
                state.u64_be(number);
            }
        }
    }

    pub(crate) fn restore(state: &mut Reader<'_>) -> Result<Self, Fault> {
        let last = state.u32_be("last id")?;
        let mut open = VecDeque::new();
        for _ in 0..state.u8("open requests")? {
            let id = state.u32_be("id")?;
            let tag = state.u64_be("tag")?;
            open.push_back((id, Request { tag, span: Span::new(state.u64_be("start")?, state.u64_be("end")?) }));
        }
        Ok(Self { last, open })
    }
}

/// Texts that are kept were found to be short when they came; a longer one would be saved as none.
pub(crate) fn save_text(state: &mut Writer, text: &str) {
    let short = u8::try_from(text.len()).unwrap_or_default();
    state.u8(short);
    state.slice(&text.as_bytes()[..usize::from(short)]);
}

pub(crate) fn restore_text(state: &mut Reader<'_>, what: &'static str) -> Result<String, Fault> {
    Ok(String::from_utf8_lossy(state.prefixed_u8(what)?).into_owned())
}
