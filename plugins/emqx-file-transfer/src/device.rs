//! The device's end, for the simulated device and for tests: uploads when it is asked to, and checks nothing but the answers.

use std::collections::VecDeque;

use packhorse_codec::json::members;
use packhorse_codec::{
    Accept, Algorithm, Command as Word, Data, DecodeOut, Device, EncodeOut, Event, Fault, File, Finish, Incoming, More,
    Offer, Outcome, ReadError, Reader, Receipt, Refuse, Span, StartUpload, Tag, Text, Transfer, Verdict, Writer, hex,
};
use sha2::{Digest as _, Sha256};

use crate::answer::{Answer, Code};
use crate::command::{Checksum, Command, Named};
use crate::describe::{ASYNC, REQUEST, RESPONSE, RESPONSE_BELOW};
use crate::init::{Init, NAME_MOST};

/// Segments that may wait for their answers.
const WAITING_MOST: usize = 128;
/// So long the device waits when it is asked for a pause, in milliseconds.
const PAUSE: u32 = 1_000;

/// The device side of one session.
#[derive(Debug, Default)]
pub struct EmqxDevice {
    /// Of the upload under way; empty = none.
    file_id: String,
    /// Of the `init` that is not answered yet.
    starting: Tag,
    waiting: VecDeque<(Tag, Span)>,
}

impl Device for EmqxDevice {
    fn open(transfer: Transfer) -> Result<Self, Text> {
        let mut session = Self::default();
        session.restore(&transfer.saved).map_err(|_| Text::new("saved", "of another version of this codec"))?;
        Ok(session)
    }

    fn decode(&mut self, message: Incoming, out: &mut DecodeOut<Word>) -> Result<(), Fault> {
        match message.route {
            RESPONSE | RESPONSE_BELOW => self.answered(&message.payload, out),
            REQUEST => requested(&message.payload, out),
            route => Err(Fault::malformed(format!("route {route} does not lead to the device"))),
        }
    }

    fn encode(&mut self, event: Event, out: &mut EncodeOut) -> Result<(), Fault> {
        match event {
            Event::StartUpload(start) => self.start(&start, out),
            Event::Data(data) => return self.data(data, out),
            Event::Finish(finish) => return self.finish(&finish, out),
            Event::Cancel(_) => self.send(Command::Abort, Vec::new(), out),
            Event::Hello(_)
            | Event::AskOffer(_)
            | Event::Want(_)
            | Event::Ack(_)
            | Event::AckThrough(_)
            | Event::Missing(_)
            | Event::Progress(_)
            | Event::Outcome(_)
            | Event::Retrying(_)
            | Event::Pause(_) => return Err(Fault::Unsupported),
        }
        Ok(())
    }

    fn save(&self) -> Vec<u8> {
        if self.file_id.is_empty() {
            return Vec::new();
        }
        let mut state = Writer::with_capacity(128 + self.waiting.len() * 24);
        state.u8(VERSION);
        state.u64_be(self.starting);
        state.u8(self.waiting.len() as u8);
        for (tag, span) in &self.waiting {
            [*tag, span.start, span.end].into_iter().for_each(|number| state.u64_be(number));
        }
        state.slice(self.file_id.as_bytes());
        state.finish()
    }
}

/// Of what `save` gives.
const VERSION: u8 = 1;

impl EmqxDevice {
    fn restore(&mut self, saved: &[u8]) -> Result<(), ReadError> {
        if saved.is_empty() {
            return Ok(());
        }
        let mut state = Reader::new(saved);
        if state.u8("version")? != VERSION {
            return state.slice("this version", usize::MAX).map(|_| ());
        }
        self.starting = state.u64_be("tag")?;
        for _ in 0..state.u8("waiting")? {
            let (tag, start) = (state.u64_be("tag")?, state.u64_be("start")?);
            self.waiting.push_back((tag, Span::new(start, state.u64_be("end")?)));
        }
        self.file_id = String::from_utf8_lossy(state.rest()).into_owned();
        Ok(())
    }

    /// A file keeps its id as long as its content stays, so that an upload goes on after a restart.
    fn start(&mut self, start: &StartUpload, out: &mut EncodeOut) {
        let file = &start.file;
        let checksum: Option<Checksum> = file.digest(Algorithm::Sha256).and_then(|value| value.try_into().ok());
        self.file_id = match &checksum {
            Some(checksum) => hex::encode(&checksum[..16]),
            None => plain(&file.name),
        };
        self.starting = start.tag;
        self.waiting.clear();
        let name = file.name.get(..file.name.floor_char_boundary(NAME_MOST)).unwrap_or_default();
        let name = if name.is_empty() { "file" } else { name }.to_owned();
        self.send(Command::Init, Init { name, size: file.size, checksum }.message(), out);
    }

    fn data(&mut self, data: Data, out: &mut EncodeOut) -> Result<(), Fault> {
        let Data { tag, offset, bytes, .. } = data;
        if self.file_id.is_empty() {
            return Err(Fault::malformed("a segment of an upload that has not begun"));
        }
        let span = Span::at(offset, bytes.len() as u64);
        let span = span.ok_or_else(|| Fault::malformed("the segment ends past all files"))?;
        self.waiting.retain(|(_, known)| known.start != offset);
        if self.waiting.len() == WAITING_MOST {
            self.waiting.pop_front();
        }
        self.waiting.push_back((tag, span));
        let checksum = Some(Sha256::digest(&bytes).into());
        self.send(Command::Segment { offset, checksum }, bytes, out);
        Ok(())
    }

    fn finish(&self, finish: &Finish, out: &mut EncodeOut) -> Result<(), Fault> {
        let size = finish.size.ok_or_else(|| Fault::malformed("the size of the file is not known"))?;
        let sha256 = finish.digests.iter().find(|digest| digest.algorithm == Algorithm::Sha256);
        let checksum = sha256.and_then(|digest| digest.value.as_slice().try_into().ok());
        self.send(Command::Fin { size, checksum }, Vec::new(), out);
        Ok(())
    }

    fn send(&self, command: Command, payload: Vec<u8>, out: &mut EncodeOut) {
        let tail = Named { file_id: self.file_id.clone(), command }.tail();
        out.send_with(ASYNC, payload, More::captures([tail]));
    }

    fn answered(&mut self, payload: &[u8], out: &mut DecodeOut<Word>) -> Result<(), Fault> {
        let Answer { tail, code, words } = Answer::read(payload)?;
        let Named { file_id, command } = Named::read(&tail)?;
        if file_id != self.file_id {
            return Err(Fault::NotMine);
        }
        let text = Text::new(code.number().to_string(), words);
        match (command, code) {
            (_, Code::Pause) => out.push(Word::Pause(PAUSE)),
            (_, Code::ResendAll) => out.push(Word::RequestUpload(0)),
            (Command::Init, Code::Success) => {
                out.push(Word::Accept(Accept { tag: self.starting, upload_id: file_id, resume_at: 0 }));
            }
            (Command::Init, Code::Resend) => out.push(Word::RequestUpload(0)),
            (Command::Init, Code::Cancel) => out.push(Word::Refuse(Refuse { tag: self.starting, text })),
            (Command::Segment { offset, .. }, Code::Success | Code::Resend) => {
                return self.receipt(offset, code == Code::Success, out);
            }
            (Command::Fin { .. }, Code::Success) => out.push(outcome(Verdict::Good, text)),
            (Command::Fin { .. }, Code::Resend) => out.push(outcome(Verdict::BadDigest, text)),
            (Command::Segment { .. } | Command::Fin { .. }, Code::Cancel) => out.push(Word::Cancel(text)),
            (Command::Abort, _) => {}
        }
        Ok(())
    }

    /// An answer that is not waited for any more is one that the network doubled.
    fn receipt(&mut self, offset: u64, good: bool, out: &mut DecodeOut<Word>) -> Result<(), Fault> {
        let at = self.waiting.iter().position(|(_, span)| span.start == offset);
        let (tag, span) = at.and_then(|at| self.waiting.remove(at)).ok_or(Fault::NotMine)?;
        out.push(Word::Ack(Receipt { tag, span, good }));
        Ok(())
    }
}

/// The platform wants a file: by name, or any.
fn requested(payload: &[u8], out: &mut DecodeOut<Word>) -> Result<(), Fault> {
    let mut name = String::new();
    let mut all = members(payload)?;
    while let Some((key, value)) = all.member()? {
        if key.is("name") {
            name = value.text().unwrap_or_default().into_owned();
        }
    }
    if !name.is_empty() {
        // An offer without a size announces nothing: it says which file is meant.
        out.push(Word::Offer(Offer { tag: 0, file: File { name, ..File::unknown() }, url: String::new() }));
    }
    out.push(Word::RequestUpload(0));
    Ok(())
}

fn outcome(verdict: Verdict, text: Text) -> Word {
    Word::Outcome(Outcome { verdict, text })
}

/// What may stand in a topic of a name.
fn plain(name: &str) -> String {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
    let text: String = name.chars().take(64).map(|letter| if fits(letter) { letter } else { '_' }).collect();
    if text.is_empty() { "file".into() } else { text }
}
