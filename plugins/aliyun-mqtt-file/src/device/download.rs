//! Fetches an image: reads the announcement, asks for blocks, reports progress and the version that runs.

use packhorse_codec::{
    Algorithm, Chunk, Command, DecodeOut, Digest, EncodeOut, Fault, File, Offer, Outcome, Phase, Progress, Reader,
    Span, Tag, Verdict, Want, Writer,
};

use crate::control::{download, get, inform, progress};
use crate::describe::{BLOCK_MOST, DOWNLOAD, GET, INFORM, PROGRESS};
use crate::frame::Frame;
use crate::message::Message;
use crate::replies::Code;
use crate::requests::{Asked, restore_text, save_text};

/// Versions and modules are kept, so they must be short.
const TEXT_MOST: usize = 128;
/// What a device runs that was never upgraded.
const FACTORY_VERSION: &str = "0";

/// The device's end of a download.
#[derive(Debug, Default)]
pub(super) struct Download {
    offered: Option<Offered>,
    /// What runs, if an upgrade put it there.
    running: String,
}

#[derive(Debug, Clone)]
struct Offered {
    size: u64,
    stream_id: u64,
    file_id: u64,
    version: String,
    module: String,
}

impl Offered {
    fn read(message: &Message<'_>) -> Result<Self, Fault> {
        Ok(Self {
            size: message.required("size")?,
            stream_id: message.required("streamId")?,
            file_id: message.required("streamFileId")?,
            version: message.plain_text("version", TEXT_MOST)?,
            module: message.plain_text("module", TEXT_MOST)?,
        })
    }
}

impl Download {
    /// An announcement; the answer to a question may also say that there is none.
    pub(super) fn notice(
        &mut self,
        tag: Tag,
        message: &Message<'_>,
        out: &mut DecodeOut<Command>,
    ) -> Result<(), Fault> {
        if message.is_empty() {
            return Ok(());
        }
        if message.text("dProtocol").is_none_or(|protocol| !protocol.eq_ignore_ascii_case("mqtt")) {
            return Err(Fault::NotMine);
        }
        let offered = Offered::read(message)?;
        let meta = [("module", &offered.module), ("version", &offered.version)];
        let meta = meta.into_iter().filter(|(_, text)| !text.is_empty());
        let meta = meta.map(|(key, text)| (key.to_owned(), text.clone())).collect();
        let name = message.text("fileName").unwrap_or_default().into_owned();
        let file = File { name, size: Some(offered.size), digests: digests(message)?, meta };
        out.push(Command::Offer(Offer { tag, file, url: String::new() }));
        self.offered = Some(offered);
        Ok(())
    }

    /// A block. Its text is guarded by nothing, so it must say what was asked for.
    pub(super) fn block(&self, payload: &[u8], asked: &mut Asked, out: &mut DecodeOut<Command>) -> Result<(), Fault> {
        let frame = Frame::read(payload)?;
        let message = Message::read(frame.text)?;
        let request = asked.find(message.id()?)?;
        if message.code != Some(Code::OK.0) {
            let code = message.code.unwrap_or_default();
            return Err(Fault::malformed(format!("the platform answers with code {code}: {}", message.words)));
        }
        let (size, offset) = (message.required("bSize")?, message.required("bOffset")?);
        if size != frame.bytes.len() as u64 || !frame.sound {
            return Err(Fault::malformed("the CRC-16 of the block does not hold, or bSize is not its length"));
        }
        let file_size = message.required("fileLength")?;
        let known = self.offered.as_ref().is_none_or(|offered| offered.size == file_size);
        if !known || offset != request.span.start || size > request.span.length() {
            return Err(Fault::malformed(format!("{size} bytes at {offset} of {file_size} were not asked for")));
        }
        asked.close(message.id()?);
        let last = offset + size >= file_size;
        out.push(Command::Chunk(Chunk { tag: request.tag, offset, bytes: frame.bytes.to_vec(), last }));
        Ok(())
    }

    pub(super) fn hello(&self, version: &str, asked: &mut Asked, out: &mut EncodeOut) {
        let known = [version, &self.running, FACTORY_VERSION].into_iter().find(|version| !version.is_empty());
        out.send(INFORM, inform(asked.next_id(), known.unwrap_or_default(), self.module()));
    }

    pub(super) fn ask(&self, tag: Tag, asked: &mut Asked, out: &mut EncodeOut) {
        out.send(GET, get(asked.note(tag, Span::new(0, 0))));
    }

    pub(super) fn want(&self, want: Want, asked: &mut Asked, out: &mut EncodeOut) -> Result<(), Fault> {
        // After a restart the announcement is forgotten, and asked for before anything else.
        let Some(offered) = &self.offered else {
            self.ask(0, asked, out);
            return Ok(());
        };
        let most = if want.limit == 0 { BLOCK_MOST } else { u64::from(want.limit).min(BLOCK_MOST) };
        let size = want.span.length().min(most);
        let start = want.span.start;
        let span = Span::at(start, size).ok_or_else(|| Fault::malformed("offset and size are too large"))?;
        let id = asked.note(want.tag, span);
        out.send(DOWNLOAD, download(id, offered.stream_id, offered.file_id, start, size));
        Ok(())
    }

    pub(super) fn progress(&self, now: &Progress, asked: &mut Asked, out: &mut EncodeOut) -> Result<(), Fault> {
        let (step, words) = match now.phase {
            Phase::Offered => (0, "offered"),
            Phase::Downloading => (self.per_cent(now.done), "downloading"),
            Phase::Downloaded => (100, "downloaded"),
            Phase::Verified => (100, "verified"),
            Phase::Installing => (100, "installing"),
            Phase::SelfTest => (100, "self-test"),
            Phase::Rebooting => (100, "rebooting"),
        };
        self.step(step, words, asked, out)
    }

    /// A good end is told by the version that runs from now on.
    pub(super) fn outcome(&mut self, outcome: &Outcome, asked: &mut Asked, out: &mut EncodeOut) -> Result<(), Fault> {
        let words = outcome.text.message.as_str();
        let Some(offered) = &self.offered else {
            self.ask(0, asked, out);
            return Ok(());
        };
        match outcome.verdict {
            Verdict::Good => {
                self.running.clone_from(&offered.version);
                self.step(100, words, asked, out)?;
                self.hello("", asked, out);
                Ok(())
            }
            Verdict::BadDigest | Verdict::BadSize => self.step(-3, words, asked, out),
            Verdict::DeviceFull => self.step(-4, words, asked, out),
            Verdict::Refused | Verdict::Cancelled | Verdict::Failed => self.step(-1, words, asked, out),
        }
    }

    fn step(&self, step: i64, words: &str, asked: &mut Asked, out: &mut EncodeOut) -> Result<(), Fault> {
        if self.offered.is_none() {
            return Err(Fault::Unsupported);
        }
        out.send(PROGRESS, progress(asked.next_id(), step, words, self.module()));
        Ok(())
    }

    fn per_cent(&self, done: Option<u64>) -> i64 {
        let size = self.offered.as_ref().map_or(0, |offered| offered.size);
        let per_cent = u128::from(done.unwrap_or_default()) * 100 / u128::from(size.max(1));
        per_cent.min(99) as i64
    }

    fn module(&self) -> Option<&str> {
        self.offered.as_ref().map(|offered| offered.module.as_str()).filter(|module| !module.is_empty())
    }

    pub(super) fn save(&self, state: &mut Writer) {
        save_text(state, &self.running);
        state.u8(self.offered.is_some().into());
        if let Some(offered) = &self.offered {
            for number in [offered.size, offered.stream_id, offered.file_id] {
                state.u64_be(number);
            }
            save_text(state, &offered.version);
            save_text(state, &offered.module);
        }
    }

    pub(super) fn restore(state: &mut Reader<'_>) -> Result<Self, Fault> {
        let running = restore_text(state, "running")?;
        let mut restored = Self { offered: None, running };
        if state.u8("offered")? != 0 {
            restored.offered = Some(Offered {
                size: state.u64_be("size")?,
                stream_id: state.u64_be("stream")?,
                file_id: state.u64_be("file")?,
                version: restore_text(state, "version")?,
                module: restore_text(state, "module")?,
            });
        }
        Ok(restored)
    }
}

/// `sign` by its method; the old `md5` where that is all there is.
fn digests(message: &Message<'_>) -> Result<Vec<Digest>, Fault> {
    let method = message.text("signMethod").unwrap_or_default().to_ascii_lowercase();
    let sha256 = if method == "sha256" { message.digest::<32>("sign")? } else { None };
    let signed = if method == "md5" { message.digest::<16>("sign")? } else { None };
    let md5 = signed.or(message.digest("md5")?);
    let sha256 = sha256.map(|sha256| Digest::new(Algorithm::Sha256, sha256));
    Ok(md5.map(|md5| Digest::new(Algorithm::Md5, md5)).into_iter().chain(sha256).collect())
}
