//! The runner's end: takes one upload, answers each command when its bytes are safe, and `fin` when the file was looked at.

use std::collections::VecDeque;

use packhorse_codec::json::ObjectWriter;
use packhorse_codec::{
    Command as Word, Data, DecodeOut, Description, EncodeOut, Event, Fault, Finish, Incoming, Platform, ReadError,
    Reader, Receipt, Span, StartUpload, Sum, Tag, Text, Transfer, Verdict, Writer,
};
use sha2::{Digest as _, Sha256};

use crate::answer::{Asked, Code, home};
use crate::command::{Checksum, Command, Named, capture};
use crate::describe::{ASYNC, REQUEST, SYNC, description, variable};
use crate::init::{Init, exact};
use crate::upload::{Belongs, Upload};

/// Segments that wait for the disk and whose topics are remembered; the answer to others is made of what the host knows.
const WAITING_MOST: usize = 1024;

/// The platform side of one transfer.
#[derive(Debug)]
pub struct EmqxPlatform {
    /// The name that is waited for; empty = any.
    wanted: String,
    /// What the device is asked for; nothing where it is not asked at all.
    wish: Option<String>,
    home: [String; 2],
    upload: Upload,
    next_tag: Tag,
    init: Option<(Tag, Asked)>,
    segments: VecDeque<(Tag, Asked)>,
    fin: Option<Asked>,
    newest: Option<Asked>,
}

impl Platform for EmqxPlatform {
    fn describe() -> Description {
        description()
    }

    fn open(transfer: Transfer) -> Result<Self, Text> {
        let mut session = Self {
            wanted: variable(&transfer, "file_name"),
            wish: (transfer.var("ask") != Some("no")).then(|| transfer.file.name.clone()),
            home: home(&variable(&transfer, "prefix"), &variable(&transfer, "client_id")),
            upload: Upload::default(),
            next_tag: Tag::from(transfer.epoch) << 32,
            init: None,
            segments: VecDeque::new(),
            fin: None,
            newest: None,
        };
        session.restore(&transfer.saved).map_err(|_| Text::new("saved", "of another version of this codec"))?;
        Ok(session)
    }

    fn decode(&mut self, message: Incoming, out: &mut DecodeOut<Event>) -> Result<(), Fault> {
        match message.route {
            ASYNC => self.command(&message, out),
            SYNC => Err(self.synchronous(&message)),
            route => Err(Fault::malformed(format!("route {route} does not lead to the platform"))),
        }
    }

    fn encode(&mut self, word: Word, out: &mut EncodeOut) -> Result<(), Fault> {
        match word {
            Word::Accept(accept) => self.began(accept.tag, Code::Success, "success", out),
            Word::Refuse(refuse) => self.began(refuse.tag, Code::Cancel, &refuse.text.message, out),
            Word::Ack(receipt) => self.receipt(&receipt, out),
            Word::Need(_) => self.incomplete(out),
            Word::RequestUpload(_) => return self.ask(out),
            Word::Outcome(outcome) => self.outcome(outcome.verdict, out),
            Word::Cancel(text) => self.answer_all(Code::Cancel, &text.message, out),
            Word::Pause(_) => self.answer_all(Code::Pause, "the platform asks for a pause", out),
            Word::Offer(_) | Word::Chunk(_) | Word::Query(_) => return Err(Fault::Unsupported),
        }
        Ok(())
    }

    fn save(&self) -> Vec<u8> {
        if self.upload == Upload::default() {
            return Vec::new();
        }
        let mut state = Writer::with_capacity(512);
        state.u8(VERSION);
        self.upload.save(&mut state);
        state.finish()
    }
}

/// Of what `save` gives.
const VERSION: u8 = 1;

impl EmqxPlatform {
    fn restore(&mut self, saved: &[u8]) -> Result<(), ReadError> {
        if saved.is_empty() {
            return Ok(());
        }
        let mut state = Reader::new(saved);
        if state.u8("version")? != VERSION {
            return state.slice("this version", usize::MAX).map(|_| ());
        }
        self.upload = Upload::restore(&mut state)?;
        state.end()
    }

    fn command(&mut self, message: &Incoming, out: &mut DecodeOut<Event>) -> Result<(), Fault> {
        let asked = Asked::by(message, &self.home)?;
        let Named { file_id, command } = Named::read(&asked.tail)?;
        if command == Command::Init {
            return self.begin(asked, &file_id, &Init::read(&message.payload)?, out);
        }
        if command == Command::Abort && self.upload.file_id.is_empty() {
            // Of an upload that nobody takes: there is nothing to throw away.
            reply(&asked, Code::Success, "success", out);
            return Ok(());
        }
        if self.upload.belongs(&file_id, self.wanted.is_empty())? == Belongs::Elsewhere {
            reply(&asked, Code::Cancel, "another upload of this device is being taken", out);
            return Ok(());
        }
        self.newest = Some(asked.clone());
        match command {
            Command::Segment { offset, checksum } => self.segment(asked, offset, checksum, &message.payload, out),
            Command::Fin { size, checksum } => {
                self.finish(asked, size, checksum, out);
                Ok(())
            }
            Command::Abort | Command::Init => {
                reply(&asked, Code::Success, "success", out);
                out.push(Event::Cancel(Text::new("abort", "the device aborted its upload")));
                Ok(())
            }
        }
    }

    /// The answer in this mode is the reason code of the broker's PUBACK, and this end is not the broker.
    fn synchronous(&self, message: &Incoming) -> Fault {
        let named = match capture(message.more.as_ref()).and_then(Named::read) {
            Ok(named) => named,
            Err(fault) => return fault,
        };
        if named.command == Command::Init {
            match Init::read(&message.payload) {
                Ok(init) if !self.is_wanted(&init.name) => return Fault::NotMine,
                Ok(_) => {}
                Err(fault) => return fault,
            }
        }
        let words = "the device uploads on $file/…, where the only answer is its broker's PUBACK, which nobody else can give: \
                     let it use $file-async/… (EMQX 5.3.2 and later know both)";
        let ours = if self.upload.file_id.is_empty() {
            named.command == Command::Init || self.wanted.is_empty()
        } else {
            self.upload.file_id == named.file_id
        };
        if ours { Fault::fatal("synchronous", words) } else { Fault::malformed(words) }
    }

    fn is_wanted(&self, name: &str) -> bool {
        self.wanted.is_empty() || self.wanted == name
    }

    fn begin(&mut self, asked: Asked, file_id: &str, init: &Init, out: &mut DecodeOut<Event>) -> Result<(), Fault> {
        if !self.is_wanted(&init.name) {
            return Err(Fault::NotMine);
        }
        if self.upload.contradicts(file_id, init) {
            reply(&asked, Code::Cancel, "an upload with this id has begun under another name or checksum", out);
            return Ok(());
        }
        if self.upload.file_id != file_id {
            self.fin = None;
        }
        self.upload.begin(file_id, init);
        self.newest = Some(asked.clone());
        let tag = self.tag();
        self.init = Some((tag, asked));
        self.start(tag, out);
        Ok(())
    }

    fn start(&self, tag: Tag, out: &mut DecodeOut<Event>) {
        let resume_key = self.upload.file_id.clone();
        out.push(Event::StartUpload(StartUpload { tag, file: self.upload.file(), resume_key }));
    }

    fn segment(
        &mut self,
        asked: Asked,
        offset: u64,
        checksum: Option<Checksum>,
        bytes: &[u8],
        out: &mut DecodeOut<Event>,
    ) -> Result<(), Fault> {
        if Span::at(offset, bytes.len() as u64).is_none() {
            return Err(Fault::malformed("the segment ends past all files"));
        }
        let sum = match checksum {
            None => Sum::Absent,
            Some(told) if told[..] == Sha256::digest(bytes)[..] => Sum::Good,
            Some(_) => Sum::Bad,
        };
        let tag = self.tag();
        if self.segments.len() == WAITING_MOST {
            self.segments.pop_front();
        }
        self.segments.push_back((tag, asked));
        out.push(Event::Data(Data { tag, offset, bytes: bytes.to_vec(), sum, last: false }));
        Ok(())
    }

    /// The checksum of `fin` counts more than that of `init`: where it is another one, the file is one that has not begun yet.
    fn finish(&mut self, asked: Asked, size: u64, checksum: Option<Checksum>, out: &mut DecodeOut<Event>) {
        if let Some(told) = checksum {
            let other = self.upload.checksum.is_some_and(|known| known != told);
            self.upload.checksum = Some(told);
            if other {
                self.start(0, out);
            }
        }
        self.fin = Some(asked);
        out.push(Event::Finish(Finish { tag: 0, size: Some(size), digests: self.upload.digests() }));
    }

    fn tag(&mut self) -> Tag {
        self.next_tag += 1;
        self.next_tag
    }

    fn began(&mut self, tag: Tag, code: Code, words: &str, out: &mut EncodeOut) {
        if let Some((_, asked)) = self.init.take_if(|(known, _)| *known == tag) {
            send(&asked, code, words, out);
        }
    }

    fn receipt(&mut self, receipt: &Receipt, out: &mut EncodeOut) {
        let at = self.segments.iter().position(|(tag, _)| *tag == receipt.tag);
        let asked = at.and_then(|at| self.segments.remove(at)).map(|(_, asked)| asked).unwrap_or_else(|| {
            let command = Command::Segment { offset: receipt.span.start, checksum: None };
            Asked::of(Named { file_id: self.upload.file_id.clone(), command }.tail())
        });
        match receipt.good {
            true => send(&asked, Code::Success, "success", out),
            false => send(&asked, Code::Resend, "the checksum of the segment does not hold", out),
        }
    }

    /// Bytes are missing although the device said `fin`. It cannot be asked for some of them.
    fn incomplete(&mut self, out: &mut EncodeOut) {
        if let Some(fin) = self.fin.take() {
            send(&fin, Code::ResendAll, "segments are missing", out);
        }
    }

    fn ask(&self, out: &mut EncodeOut) -> Result<(), Fault> {
        let wish = self.wish.as_ref().ok_or(Fault::Unsupported)?;
        let mut object = ObjectWriter::with_capacity(16 + wish.len());
        object.string("name", wish);
        out.send(REQUEST, exact(object));
        Ok(())
    }

    fn outcome(&mut self, verdict: Verdict, out: &mut EncodeOut) {
        let (code, words) = match verdict {
            Verdict::Good => (Code::Success, "success"),
            Verdict::BadDigest | Verdict::BadSize => (Code::Resend, "the checksum of the file does not hold"),
            Verdict::Refused | Verdict::Cancelled | Verdict::DeviceFull | Verdict::Failed => {
                (Code::Cancel, "the upload has failed")
            }
        };
        let init = self.init.take().map(|(_, asked)| asked);
        for asked in [init, self.fin.take()].into_iter().flatten() {
            send(&asked, code, words, out);
        }
    }

    /// Every command that waits; where none does, the newest one again.
    fn answer_all(&mut self, code: Code, words: &str, out: &mut EncodeOut) {
        let init = self.init.take().map(|(_, asked)| asked);
        let segments = std::mem::take(&mut self.segments).into_iter().map(|(_, asked)| asked);
        let mut waiting: Vec<Asked> = init.into_iter().chain(segments).chain(self.fin.take()).collect();
        if waiting.is_empty() {
            waiting.extend(self.newest.clone());
        }
        waiting.iter().for_each(|asked| send(asked, code, words, out));
    }
}

fn reply(asked: &Asked, code: Code, words: &str, out: &mut DecodeOut<Event>) {
    match asked.answer(code, words) {
        (route, payload, Some(more)) => out.reply_with(route, payload, more),
        (route, payload, None) => out.reply(route, payload),
    }
}

fn send(asked: &Asked, code: Code, words: &str, out: &mut EncodeOut) {
    match asked.answer(code, words) {
        (route, payload, Some(more)) => out.send_with(route, payload, more),
        (route, payload, None) => out.send(route, payload),
    }
}
