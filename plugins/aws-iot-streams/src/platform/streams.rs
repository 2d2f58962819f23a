//! Streams: says what there is, and serves the blocks that are asked for, each once.

use packhorse_codec::{
    Algorithm, Chunk, DecodeOut, EncodeOut, Event, Fault, More, Reader, Transfer, Want, Writer, hex,
};

use crate::blocks::Blocks;
use crate::describe::{DATA, DESCRIPTION, REJECTED, variable};
use crate::fields::{Fields, Format};
use crate::questions::Tokens;
use crate::state::plain;
use crate::stream::{Block, Rejection, STREAM_VERSION, description, rejected};

/// What AWS takes.
const TOKEN_MOST: usize = 64;

/// What stands before the digest in the name of a stream; with an MD5 in hexadecimal digits that makes 40 bytes, and clients have
/// room for 44.
pub(crate) const NAME_PREFIX: &str = "AFR_OTA-";
const NAME_DIGITS: usize = 32;

/// The platform's end of a stream.
#[derive(Debug)]
pub(super) struct Streams {
    pub(super) name: String,
    pub(super) file_id: u8,
    size: u64,
    /// In words, for `description`.
    about: String,
    tokens: Tokens,
}

impl Streams {
    pub(super) fn open(transfer: &Transfer, size: u64) -> Self {
        let file_id = variable(transfer, "file_id").and_then(|number| number.parse().ok()).unwrap_or_default();
        let about = transfer.file.meta("version").unwrap_or(&transfer.file.name);
        Self {
            name: variable(transfer, "stream").map_or_else(|| name(transfer, size), ToOwned::to_owned),
            file_id,
            size,
            about: about.chars().filter(|character| !character.is_control()).take(64).collect(),
            tokens: Tokens::default(),
        }
    }

    pub(super) fn describe(
        &self,
        stream: &str,
        format: &str,
        payload: &[u8],
        out: &mut DecodeOut<Event>,
    ) -> Result<(), Fault> {
        let format = named(format)?;
        // An empty message asks with nothing but its topic.
        let fields = match payload.is_empty() {
            true => Ok((String::new(), None)),
            false => read(format, payload).map(|(token, fields)| (token, Some(fields))),
        };
        let token = fields.and_then(|(token, _)| match stream == self.name {
            true => Ok(token),
            false => Err((token, no_such("stream"))),
        });
        let captures = More::captures([stream.to_owned(), format.name().to_owned()]);
        match token {
            Ok(token) => {
                let message = description(format, &token, &self.about, self.file_id, self.size);
                out.reply_with(DESCRIPTION, exact(message), captures);
            }
            Err((token, rejection)) => out.reply_with(REJECTED, exact(rejected(format, &token, &rejection)), captures),
        }
        Ok(())
    }

    pub(super) fn get(
        &mut self,
        stream: &str,
        format: &str,
        payload: &[u8],
        out: &mut DecodeOut<Event>,
    ) -> Result<(), Fault> {
        let format = named(format)?;
        let blocks = read(format, payload).and_then(|(token, fields)| match self.blocks(stream, &fields) {
            Ok(blocks) => Ok((token, blocks)),
            Err(rejection) => Err((token, rejection)),
        });
        match blocks {
            Ok((token, Blocks { size, spans })) => {
                let tag = self.tokens.note(size, format, &token);
                let want = |span| Event::Want(Want { tag, span, limit: size as u32 });
                spans.into_iter().for_each(|span| out.push(want(span)));
            }
            Err((token, rejection)) => {
                let captures = More::captures([stream.to_owned(), format.name().to_owned()]);
                out.reply_with(REJECTED, exact(rejected(format, &token, &rejection)), captures);
            }
        }
        Ok(())
    }

    fn blocks(&self, stream: &str, fields: &Fields<'_>) -> Result<Blocks, Rejection> {
        if stream != self.name {
            return Err(no_such("stream"));
        }
        if fields.number("s").map_err(Rejection::request)?.is_some_and(|version| version != STREAM_VERSION) {
            return Err(Rejection::new("VersionMismatch", format!("the version is {STREAM_VERSION}")));
        }
        if fields.required("f").map_err(Rejection::request)? != u64::from(self.file_id) {
            return Err(no_such("file"));
        }
        Blocks::read(fields, self.size)
    }

    pub(super) fn chunk(&self, chunk: &Chunk, out: &mut EncodeOut) -> Result<(), Fault> {
        let asked = self.tokens.asked(chunk.tag);
        let asked = asked.ok_or_else(|| Fault::malformed("a block that no request asked for"))?;
        if !chunk.offset.is_multiple_of(asked.size) || chunk.bytes.len() as u64 > asked.size {
            let words = format!("{} bytes at {} are no block of {}", chunk.bytes.len(), chunk.offset, asked.size);
            return Err(Fault::malformed(words));
        }
        let index = chunk.offset / asked.size;
        let block = Block { token: &asked.token, file_id: self.file_id, index, bytes: &chunk.bytes };
        let captures = More::captures([self.name.clone(), asked.format.name().to_owned()]);
        out.send_with(DATA, block.write(asked.format), captures);
        Ok(())
    }

    pub(super) fn save(&self, state: &mut Writer) {
        self.tokens.save(state);
    }

    pub(super) fn restore(&mut self, state: &mut Reader<'_>) -> Result<(), Fault> {
        self.tokens = Tokens::restore(state)?;
        Ok(())
    }
}

fn named(format: &str) -> Result<Format, Fault> {
    Format::named(format).ok_or_else(|| Fault::malformed(format!("{format:?} is neither json nor cbor")))
}

/// A message and its token; where it is refused, its token as far as it could be read.
fn read(format: Format, payload: &[u8]) -> Result<(String, Fields<'_>), (String, Rejection)> {
    let fields =
        Fields::read(format, payload).map_err(|fault| (String::new(), Rejection::unreadable(format, fault)))?;
    let token = fields.text(&["c", "clientToken"]).unwrap_or_default();
    let token = plain("c", token, TOKEN_MOST).map_err(|fault| (String::new(), Rejection::request(fault)))?;
    Ok((token.to_owned(), fields))
}

fn no_such(what: &str) -> Rejection {
    Rejection::new("ResourceNotFound", format!("there is no such {what}"))
}

fn exact(mut message: Vec<u8>) -> Vec<u8> {
    message.shrink_to_fit();
    message
}

/// From the digest, so that a download goes on under another job, and that the simulated device can check what it got.
fn name(transfer: &Transfer, size: u64) -> String {
    let file = &transfer.file;
    let digest = file.digest(Algorithm::Md5).or_else(|| file.digest(Algorithm::Sha256));
    let mut digits = digest.map_or_else(|| format!("{size}-{:08x}", transfer.epoch), hex::encode);
    digits.truncate(NAME_DIGITS);
    format!("{NAME_PREFIX}{digits}")
}
