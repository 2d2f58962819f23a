//! Serves an image: the announcement, the blocks that the device asks for, and what it says of them.

use packhorse_codec::{
    Chunk, DecodeOut, EncodeOut, Event, Fault, Hello, Outcome, Phase, Progress, Span, Tag, Text, Transfer, Verdict,
    Want,
};

use crate::control::{FILE_ID, Notice};
use crate::describe::{BLOCK_MOST, DEFAULT_MODULE, DOWNLOAD_REPLY, GET_REPLY, UPGRADE, variable};
use crate::frame::frame;
use crate::message::Message;
use crate::replies::block_header;
use crate::requests::Requests;

/// The C SDK has room for twice as many bytes, and sends `default`.
const TOKEN_MOST: usize = 64;

/// The platform's end of a download.
#[derive(Debug)]
pub(super) struct Download {
    notice: Notice,
    /// Step 100 ends it, for devices that never report the version that they run.
    by_progress: bool,
    epoch: u32,
}

impl Download {
    pub(super) fn open(transfer: &Transfer) -> Result<Self, Text> {
        let notice = Notice::new(transfer).ok_or_else(|| {
            Text::new("file-unknown", "an announcement needs the size and the MD5 or SHA-256 of the file")
        })?;
        let by_progress = variable(transfer, "success") == Some("progress");
        Ok(Self { notice, by_progress, epoch: transfer.epoch })
    }

    /// Announces the image, or answers the question for it.
    pub(super) fn offer(&self, tag: Tag, requests: &mut Requests, out: &mut EncodeOut) -> Result<(), Fault> {
        if tag == 0 {
            out.send(UPGRADE, self.notice.upgrade(self.epoch));
        } else {
            let (id, _) = requests.answer(tag)?;
            out.send(GET_REPLY, self.notice.get_reply(&id));
        }
        Ok(())
    }

    pub(super) fn chunk(&self, chunk: &Chunk, requests: &mut Requests, out: &mut EncodeOut) -> Result<(), Fault> {
        let (id, token) = requests.answer(chunk.tag)?;
        let header = block_header(&id, &token, self.notice.size, chunk.offset, chunk.bytes.len());
        out.send(DOWNLOAD_REPLY, frame(&header, &chunk.bytes)?);
        Ok(())
    }

    /// A request for a block. One that asks for more than a block gets one block.
    pub(super) fn want(
        &self,
        message: &Message<'_>,
        requests: &mut Requests,
        out: &mut DecodeOut<Event>,
    ) -> Result<(), Fault> {
        let other = |key: &str, ours: u64| message.number(key).map(|told| told.is_some_and(|told| told != ours));
        if other("streamId", self.notice.stream_id.into())? || other("fileId", FILE_ID)? {
            return Err(Fault::NotMine);
        }
        let size = message.required("size")?.min(BLOCK_MOST);
        let span = Span::at(message.required("offset")?, size);
        let span = span.ok_or_else(|| Fault::malformed("offset and size are too large"))?;
        let token = message.plain_text("fileToken", TOKEN_MOST)?;
        let tag = requests.note(message.id()?, &token);
        out.push(Event::Want(Want { tag, span, limit: size as u32 }));
        Ok(())
    }

    pub(super) fn get(
        &self,
        message: &Message<'_>,
        requests: &mut Requests,
        out: &mut DecodeOut<Event>,
    ) -> Result<(), Fault> {
        if message.text("module").is_some_and(|module| module != self.module()) {
            return Err(Fault::NotMine);
        }
        let tag = requests.note(message.id()?, "");
        out.push(Event::AskOffer(tag));
        Ok(())
    }

    /// The version that the device runs: the new one is the proof that all went well.
    pub(super) fn inform(&self, message: &Message<'_>, out: &mut DecodeOut<Event>) -> Result<(), Fault> {
        if message.text("module").as_deref().unwrap_or(DEFAULT_MODULE) != self.module() {
            return Err(Fault::NotMine);
        }
        match message.text("version") {
            Some(version) if version == self.notice.version => {
                let text = Text::new("", format!("the device runs version {version}"));
                out.push(Event::Outcome(Outcome { verdict: Verdict::Good, text }));
                Ok(())
            }
            _ => hello(message, out),
        }
    }

    pub(super) fn progress(&self, message: &Message<'_>, out: &mut DecodeOut<Event>) -> Result<(), Fault> {
        if message.text("module").is_some_and(|module| module != self.module()) {
            return Err(Fault::NotMine);
        }
        let step = message.signed("step")?;
        match u64::try_from(step) {
            Ok(step @ 0..=99) => out.push(self.phase(Phase::Downloading, step)),
            Ok(100) => {
                out.push(self.phase(Phase::Downloaded, 100));
                if self.by_progress {
                    out.push(outcome(Verdict::Good, step, message));
                }
            }
            Ok(_) => return Err(Fault::malformed(format!("step is {step}, above 100"))),
            Err(_) if step == -3 => out.push(outcome(Verdict::BadDigest, step, message)),
            Err(_) => out.push(outcome(Verdict::Failed, step, message)),
        }
        Ok(())
    }

    fn phase(&self, phase: Phase, step: u64) -> Event {
        let done = u128::from(self.notice.size) * u128::from(step) / 100;
        Event::Progress(Progress { phase, done: u64::try_from(done).ok(), total: Some(self.notice.size) })
    }

    fn module(&self) -> &str {
        self.notice.module.as_deref().unwrap_or(DEFAULT_MODULE)
    }
}

/// A device that says what it runs, and so that it is there.
pub(super) fn hello(message: &Message<'_>, out: &mut DecodeOut<Event>) -> Result<(), Fault> {
    let title = message.text("module").unwrap_or_else(|| DEFAULT_MODULE.into()).into_owned();
    let version = message.text("version").ok_or_else(|| Fault::malformed("version is missing"))?.into_owned();
    out.push(Event::Hello(Hello { tag: 0, title, version, meta: Vec::new() }));
    Ok(())
}

fn outcome(verdict: Verdict, step: i64, message: &Message<'_>) -> Event {
    let told = message.text("desc").map(|words| words.into_owned());
    let words = told.unwrap_or_else(|| meaning(step).to_owned());
    Event::Outcome(Outcome { verdict, text: Text::new(step.to_string(), words) })
}

/// What the vendor's documents say of a step.
const fn meaning(step: i64) -> &'static str {
    match step {
        100 => "the upgrade is done",
        -1 => "the upgrade failed",
        -2 => "the download failed",
        -3 => "the image is not what was announced",
        -4 => "the image could not be written to flash",
        _ => "a failure that the vendor's documents do not know",
    }
}
