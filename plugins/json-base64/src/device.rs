//! The device's end, for the simulated device and for tests.
//!
//! The format names a file only by its MD5 or its type, and the commands of the contract carry neither. So a change of the file that
//! is spoken of is told by an `offer`: with a size it announces a file that arrives; without one it only names the file that the
//! `query` (by MD5) or the `need` (by type) behind it asks for.

use std::collections::VecDeque;

use packhorse_codec::{
    Algorithm, Chunk, Command, Data, DecodeOut, Device, Digest, EncodeOut, Event, Fault, File, Finish, Incoming, Offer,
    Outcome, Reader, Span, StartUpload, Tag, Text, Transfer, Verdict, Want, Writer,
};

use crate::describe::{Check, DOWN, UP, VERIFY_REPLY, VERIFY_REQUEST};
use crate::fields::{Fields, FileMd5, Kind, Piece, absent};
use crate::message::{Answer, DataWriter, First, md5_of, pull_request, verify_reply};

/// The device side of one session.
#[derive(Debug)]
pub struct JsonDevice {
    check: Check,
    /// What arrives, and whether its name is known.
    arriving: Option<Arriving>,
    /// What leaves, in answer to pull requests.
    leaving: Option<DataWriter>,
    /// The type that was asked for last, and the largest piece that may answer.
    asked: String,
    asked_size: u64,
    /// What the last `offer` named.
    subject: Subject,
    last_ack: Span,
    /// Queries not answered yet, by tag.
    queries: VecDeque<(Tag, FileMd5)>,
    next_tag: Tag,
    guarded: bool,
}

#[derive(Debug, Clone)]
struct Arriving {
    md5: FileMd5,
    size: u64,
    named: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Subject {
    None,
    Arriving(FileMd5),
    Stored(FileMd5),
    Type(String),
}

/// How many queries wait for their answer at once.
const QUERIES: usize = 64;

impl Device for JsonDevice {
    fn open(transfer: Transfer) -> Result<Self, Text> {
        let check = Check::of(&transfer);
        let file = &transfer.file;
        let mut session = Self {
            check,
            arriving: md5_of(file).zip(file.size).map(|(md5, size)| Arriving { md5, size, named: false }),
            leaving: DataWriter::new(file, check, First::Name),
            asked: file.meta("type").unwrap_or(&file.name).to_owned(),
            asked_size: u64::from(transfer.packet_size),
            subject: Subject::None,
            last_ack: Span::new(0, 0),
            queries: VecDeque::new(),
            next_tag: 1,
            guarded: false,
        };
        session.restore(&transfer.saved).map_err(|_| Text::new("saved", "of another version of this codec"))?;
        Ok(session)
    }

    fn decode(&mut self, message: Incoming, out: &mut DecodeOut<Command>) -> Result<(), Fault> {
        let fields = Fields::read(&message.payload)?;
        if self.guarded && !fields.checked {
            return Err(Fault::malformed("packCrc is missing, though the platform sent it before"));
        }
        self.guarded = fields.checked;
        match message.route {
            DOWN => match fields.kind()? {
                Kind::Data => self.piece(&fields, out),
                Kind::Request => self.asked(&fields, out),
                Kind::Ack => Err(Fault::NotMine),
            },
            VERIFY_REQUEST => self.query(&fields, out),
            route => Err(Fault::malformed(format!("route {route} does not lead to the device"))),
        }
    }

    fn encode(&mut self, event: Event, out: &mut EncodeOut) -> Result<(), Fault> {
        match event {
            Event::Ack(span) => self.ack(span, None, out),
            Event::AckThrough(end) => {
                let size = self.arriving()?.size;
                let missing = (end < size).then_some(Span::new(end, size));
                self.ack(Span::new(0, end.min(size)), missing, out)
            }
            Event::Missing(span) => {
                let missing = Span::new(span.start, span.end.min(self.arriving()?.size));
                self.ack(Span::new(0, 0), Some(missing), out)
            }
            Event::Outcome(outcome) => self.outcome(&outcome, out),
            Event::Cancel(text) => self.outcome(&Outcome { verdict: Verdict::Cancelled, text }, out),
            Event::StartUpload(start) => self.start(&start),
            Event::Data(data) => self.data(&data, out),
            Event::Want(want) => self.want(want, out),
            Event::Finish(finish) => self.finish(&finish, out),
            Event::Hello(_) | Event::AskOffer(_) | Event::Progress(_) | Event::Retrying(_) | Event::Pause(_) => {
                Err(Fault::Unsupported)
            }
        }
    }

    fn save(&self) -> Vec<u8> {
        if self.arriving.is_none() && self.queries.is_empty() {
            return Vec::new();
        }
        let mut state = Writer::with_capacity(50 + self.queries.len() * 24);
        state.u8(VERSION);
        let arriving = self.arriving.as_ref();
        state.u8(arriving.map_or(0, |arriving| 1 + u8::from(arriving.named)));
        state.slice(&arriving.map(|arriving| arriving.md5).unwrap_or_default());
        state.u64_be(arriving.map(|arriving| arriving.size).unwrap_or_default());
        state.u64_be(self.last_ack.start);
        state.u64_be(self.last_ack.end);
        state.u64_be(self.next_tag);
        for (tag, md5) in &self.queries {
            state.u64_be(*tag);
            state.slice(md5);
        }
        state.finish()
    }
}

/// Of what `save` gives.
const VERSION: u8 = 1;

impl JsonDevice {
    fn restore(&mut self, saved: &[u8]) -> Result<(), Fault> {
        if saved.is_empty() {
            return Ok(());
        }
        let mut state = Reader::new(saved);
        if state.u8("version")? != VERSION {
            return Err(Fault::Unsupported);
        }
        let known = state.u8("known")?;
        let arriving = Arriving { md5: state.array("fileMd5")?, size: state.u64_be("fileSize")?, named: known > 1 };
        self.arriving = (known > 0).then_some(arriving);
        self.last_ack = Span::new(state.u64_be("acknowledged")?, state.u64_be("acknowledged")?);
        self.next_tag = state.u64_be("tag")?;
        while state.left() > 0 {
            self.queries.push_back((state.u64_be("tag")?, state.array("fileMd5")?));
        }
        Ok(())
    }

    fn piece(&mut self, fields: &Fields<'_>, out: &mut DecodeOut<Command>) -> Result<(), Fault> {
        let md5 = fields.required_md5()?;
        let Piece { offset, bytes, file_size, last, sum } = fields.piece()?;
        if sum == Some(false) {
            return Err(Fault::malformed("packMd5 does not hold"));
        }
        let known = self.arriving.as_ref().filter(|arriving| arriving.md5 == md5);
        if known.is_some_and(|arriving| arriving.size != file_size) {
            return Err(Fault::malformed(format!("fileSize is {file_size} now, but fileMd5 is the same")));
        }
        let named = fields.file_name.is_some();
        let news = named && !known.is_some_and(|arriving| arriving.named);
        if news || self.subject != Subject::Arriving(md5) {
            let named = named || known.is_some_and(|arriving| arriving.named);
            if known.is_none() {
                self.last_ack = Span::new(0, 0);
            }
            self.arriving = Some(Arriving { md5, size: file_size, named });
            self.subject = Subject::Arriving(md5);
            out.push(offer(fields, Some(file_size), vec![Digest::new(Algorithm::Md5, md5)]));
        }
        out.push(Command::Chunk(Chunk { tag: 0, offset, bytes, last }));
        Ok(())
    }

    fn asked(&mut self, fields: &Fields<'_>, out: &mut DecodeOut<Command>) -> Result<(), Fault> {
        let file_type = fields.file_type.as_deref().unwrap_or_default();
        let start = fields.pack_offset.ok_or_else(|| absent("packOffset"))?;
        let length = fields.pack_size.ok_or_else(|| absent("packSize"))?;
        let span = Span::at(start, length).ok_or_else(|| Fault::malformed("packOffset and packSize are too large"))?;
        let subject = Subject::Type(file_type.to_owned());
        if self.subject != subject {
            self.subject = subject;
            file_type.clone_into(&mut self.asked);
            out.push(offer(fields, None, Vec::new()));
        }
        self.asked_size = length;
        out.push(Command::Need(Want { tag: 0, span, limit: u32::try_from(length).unwrap_or(u32::MAX) }));
        Ok(())
    }

    fn query(&mut self, fields: &Fields<'_>, out: &mut DecodeOut<Command>) -> Result<(), Fault> {
        let md5 = fields.required_md5()?;
        if self.subject != Subject::Stored(md5) {
            self.subject = Subject::Stored(md5);
            out.push(offer(fields, None, vec![Digest::new(Algorithm::Md5, md5)]));
        }
        if self.queries.len() == QUERIES {
            self.queries.pop_front();
        }
        self.queries.push_back((self.next_tag, md5));
        out.push(Command::Query(self.next_tag));
        self.next_tag = self.next_tag.wrapping_add(1).max(1);
        Ok(())
    }

    fn arriving(&self) -> Result<&Arriving, Fault> {
        self.arriving.as_ref().ok_or_else(|| Fault::malformed("nothing has arrived that could be acknowledged"))
    }

    fn ack(&mut self, span: Span, missing: Option<Span>, out: &mut EncodeOut) -> Result<(), Fault> {
        let arriving = self.arriving()?;
        let span = Span::new(span.start, span.end.min(arriving.size));
        let answer = Answer { md5: Some(&arriving.md5), file_type: "", span, missing, verdict: None };
        out.send(UP, answer.message(self.check));
        if missing.is_none() {
            self.last_ack = span;
        }
        Ok(())
    }

    /// The verdict goes with the last acknowledgement, said again; where nothing arrives, with the type that was asked for.
    fn outcome(&self, outcome: &Outcome, out: &mut EncodeOut) -> Result<(), Fault> {
        let code = match outcome.verdict {
            Verdict::Good => 0,
            Verdict::BadDigest | Verdict::BadSize => 1,
            Verdict::Refused | Verdict::Cancelled => 2,
            Verdict::DeviceFull => 3,
            Verdict::Failed => 4,
        };
        let md5 = self.arriving.as_ref().map(|arriving| &arriving.md5);
        let md5 = md5.filter(|_| !matches!(self.subject, Subject::Type(_)));
        let verdict = Some((code, outcome.text.message.as_str()));
        let answer = Answer { md5, file_type: &self.asked, span: self.last_ack, missing: None, verdict };
        out.send(UP, answer.message(self.check));
        Ok(())
    }

    fn start(&mut self, start: &StartUpload) -> Result<(), Fault> {
        let writer = DataWriter::new(&start.file, self.check, First::Name);
        self.leaving = Some(writer.ok_or_else(|| Fault::malformed("a file is known by its MD5 and size here"))?);
        Ok(())
    }

    fn data(&self, data: &Data, out: &mut EncodeOut) -> Result<(), Fault> {
        let writer =
            self.leaving.as_ref().ok_or_else(|| Fault::malformed("data of a file that was not named before"))?;
        out.send(UP, writer.message(data.offset, &data.bytes, self.asked_size)?);
        Ok(())
    }

    fn want(&self, want: Want, out: &mut EncodeOut) -> Result<(), Fault> {
        if self.asked.is_empty() {
            return Err(Fault::Unsupported);
        }
        let length = if want.limit == 0 { want.span.length() } else { want.span.length().min(want.limit.into()) };
        out.send(UP, pull_request(&self.asked, want.span.start, length, self.check));
        Ok(())
    }

    /// The answer to a query; the end of an upload has no words of its own.
    fn finish(&mut self, finish: &Finish, out: &mut EncodeOut) -> Result<(), Fault> {
        let at = self.queries.iter().position(|(tag, _)| *tag == finish.tag).ok_or(Fault::Unsupported)?;
        let (_, asked) = self.queries.remove(at).ok_or(Fault::Unsupported)?;
        let stored = finish.digests.iter().find(|digest| digest.algorithm == Algorithm::Md5);
        let stored = stored.map(|digest| digest.value.as_slice());
        out.send(VERIFY_REPLY, verify_reply(&asked, stored, finish.size, self.check));
        Ok(())
    }
}

fn offer(fields: &Fields<'_>, size: Option<u64>, digests: Vec<Digest>) -> Command {
    let asked = fields.file_type.as_deref().filter(|_| size.is_none());
    let name = fields.file_name.as_deref().or(asked).unwrap_or_default().to_owned();
    let meta = fields.file_type.iter().map(|kind| ("type".to_owned(), kind.clone().into_owned())).collect();
    Command::Offer(Offer { tag: 0, file: File { name, size, digests, meta }, url: String::new() })
}
