//! What is asked and not answered yet: questions for the job, which have topics and tokens of their own, and tokens of requests for
//! blocks. Both are kept under the tags that go to the host and come back with the answers.

use std::collections::VecDeque;

use packhorse_codec::{Fault, Reader, Tag, Writer};

use crate::fields::Format;
use crate::state::{restore_text, save_text};

/// Questions that wait for the host, which answers at once.
const QUESTIONS_MOST: usize = 4;
/// Tokens of requests that may still be answered. Most devices use one for ever.
const TOKENS_MOST: usize = 8;

/// A device asks for its job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    /// The level of the topic that named the job, `$next` as well; `None` for `start-next`.
    pub(crate) job: Option<String>,
    pub(crate) token: String,
    pub(crate) with_document: bool,
}

/// The questions, by their tags. A copy of a question has the tag of the question.
#[derive(Debug, Default)]
pub(crate) struct Questions(VecDeque<(Tag, Question)>);

impl Questions {
    pub(crate) fn note(&mut self, question: Question) -> Tag {
        let kind = question.job.as_deref().unwrap_or_default();
        let tag = Tag::from(hash(kind)) << 32 | Tag::from(hash(&question.token));
        self.0.retain(|(known, _)| *known != tag);
        if self.0.len() == QUESTIONS_MOST {
            self.0.pop_front();
        }
        self.0.push_back((tag, question));
        tag
    }

    /// The question, which is forgotten with its answer.
    pub(crate) fn answer(&mut self, tag: Tag) -> Result<Question, Fault> {
        let at = self.0.iter().position(|(known, _)| *known == tag);
        let found = at.and_then(|at| self.0.remove(at));
        found.map(|(_, question)| question).ok_or_else(|| Fault::malformed("the question is not known any more"))
    }

    pub(crate) fn save(&self, state: &mut Writer) {
        state.u8(self.0.len() as u8);
        for (tag, question) in &self.0 {
            state.u64_be(*tag);
            state.u8(u8::from(question.job.is_some()) | u8::from(question.with_document) << 1);
            save_text(state, question.job.as_deref().unwrap_or_default());
            save_text(state, &question.token);
        }
    }

    pub(crate) fn restore(state: &mut Reader<'_>) -> Result<Self, Fault> {
        let mut questions = VecDeque::new();
        for _ in 0..state.u8("questions")? {
            let (tag, flags) = (state.u64_be("tag")?, state.u8("flags")?);
            let job = Some(restore_text(state, "job")?).filter(|_| flags & 1 != 0);
            let token = restore_text(state, "token")?;
            questions.push_back((tag, Question { job, token, with_document: flags & 2 != 0 }));
        }
        Ok(Self(questions))
    }
}

/// The tokens of requests for blocks, by what stands for them in tags.
#[derive(Debug, Default)]
pub(crate) struct Tokens(VecDeque<(u32, String)>);

/// What a tag says of the request that it stands for. Laid out as `block size (18 bits) | 0 | format (1 bit) | token (32 bits)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) size: u64,
    pub(crate) format: Format,
    pub(crate) token: String,
}

impl Tokens {
    pub(crate) fn note(&mut self, size: u64, format: Format, token: &str) -> Tag {
        let short = if token.is_empty() { 0 } else { hash(token) };
        if short != 0 {
            self.0.retain(|(known, _)| *known != short);
            if self.0.len() == TOKENS_MOST {
                self.0.pop_front();
            }
            self.0.push_back((short, token.to_owned()));
        }
        size << 40 | Tag::from(format == Format::Json) << 32 | Tag::from(short)
    }

    /// One request has many answers, so that nothing is forgotten with them. A token that is not known any more is left out.
    pub(crate) fn asked(&self, tag: Tag) -> Option<Asked> {
        let size = tag >> 40;
        let short = tag as u32;
        let token = self.0.iter().find(|(known, _)| *known == short).map(|(_, token)| token.clone());
        let format = if tag >> 32 & 1 == 1 { Format::Json } else { Format::Cbor };
        (size > 0).then(|| Asked { size, format, token: token.unwrap_or_default() })
    }

    pub(crate) fn save(&self, state: &mut Writer) {
        state.u8(self.0.len() as u8);
        self.0.iter().for_each(|(_, token)| save_text(state, token));
    }

    pub(crate) fn restore(state: &mut Reader<'_>) -> Result<Self, Fault> {
        let mut tokens = VecDeque::new();
        for _ in 0..state.u8("tokens")? {
            let token = restore_text(state, "token")?;
            tokens.push_back((hash(&token), token));
        }
        Ok(Self(tokens))
    }
}

/// FNV-1a of 32 bits; never 0, which stands for nothing.
fn hash(text: &str) -> u32 {
    let hash = text.bytes().fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash.max(1)
}
