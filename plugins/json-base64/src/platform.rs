//! The runner's end: pushes by data messages, pulls by requests, asks by `verify`.

use packhorse_codec::{
    Algorithm, Chunk, Command, Data, DecodeOut, Description, Digest, Direction, EncodeOut, Event, Fault, File, Finish,
    Incoming, Outcome, Platform, Reader, Span, StartUpload, Sum, Tag, Text, Transfer, Verdict, Want, Writer, hex,
};

use crate::describe::{Check, DOWN, UP, VERIFY_REPLY, VERIFY_REQUEST, description};
use crate::fields::{Fields, FileMd5, Kind, Piece};
use crate::message::{DataWriter, First, md5_of, pull_request, verify_request};

/// The platform side of one transfer.
#[derive(Debug)]
pub struct JsonPlatform {
    direction: Direction,
    check: Check,
    packet_size: u32,
    file_type: String,
    /// The file that we speak of: ours in a push, what the device told in a pull.
    md5: Option<FileMd5>,
    size: Option<u64>,
    writer: Option<DataWriter>,
    /// The tag of the query under way.
    query: Option<Tag>,
    /// Where requests that carry a tag begin: the wire knows only the offset.
    requests: Vec<(u64, Tag)>,
    /// The device guards its messages: one without `packCrc` is damaged.
    guarded: bool,
}

/// How many tags of requests are kept; older ones are answered with tag 0.
const REQUESTS: usize = 240;

impl Platform for JsonPlatform {
    fn describe() -> Description {
        description()
    }

    fn open(transfer: Transfer) -> Result<Self, Text> {
        let check = Check::of(&transfer);
        let file = &transfer.file;
        let file_type = file.meta("type").unwrap_or(&file.name).to_owned();
        let mut session = Self {
            direction: transfer.direction,
            check,
            packet_size: transfer.packet_size,
            file_type,
            md5: md5_of(file),
            size: file.size,
            writer: DataWriter::new(file, check, First::Type),
            query: None,
            requests: Vec::new(),
            guarded: false,
        };
        match transfer.direction {
            Direction::Push if session.writer.is_none() => {
                return Err(Text::new("file-unknown", "json-base64 needs the MD5 and the size of the file"));
            }
            Direction::Pull if session.file_type.is_empty() => {
                return Err(Text::new("file-type-missing", "json-base64 asks for a file by its type"));
            }
            _ => {}
        }
        session.restore(&transfer.saved)?;
        Ok(session)
    }

    fn decode(&mut self, message: Incoming, out: &mut DecodeOut<Event>) -> Result<(), Fault> {
        let fields = Fields::read(&message.payload)?;
        if self.guarded && !fields.checked {
            return Err(Fault::malformed("packCrc is missing, though the device sent it before"));
        }
        self.guarded = fields.checked;
        match message.route {
            UP => match (fields.kind()?, self.direction) {
                (Kind::Data, Direction::Pull) => self.data(&fields, out),
                (Kind::Ack, Direction::Push) => self.ack(&fields, out),
                (Kind::Ack, Direction::Pull) => self.refusal(&fields, out),
                (Kind::Request, _) if fields.code.is_some() => self.refusal(&fields, out),
                (Kind::Request, Direction::Push) => self.request(&fields, out),
                (Kind::Data, Direction::Push) | (Kind::Request, Direction::Pull) => Err(Fault::NotMine),
            },
            VERIFY_REPLY => self.verified(&fields, out),
            route => Err(Fault::malformed(format!("route {route} does not lead to the platform"))),
        }
    }

    fn encode(&mut self, command: Command, out: &mut EncodeOut) -> Result<(), Fault> {
        match command {
            Command::Chunk(chunk) => self.chunk(&chunk, out),
            Command::Need(want) => self.need(want, out),
            Command::Query(tag) => self.ask(tag, out),
            Command::Offer(_)
            | Command::Accept(_)
            | Command::Refuse(_)
            | Command::Ack(_)
            | Command::RequestUpload(_)
            | Command::Outcome(_)
            | Command::Cancel(_)
            | Command::Pause(_) => Err(Fault::Unsupported),
        }
    }

    fn save(&self) -> Vec<u8> {
        let told = self.md5.filter(|_| self.direction == Direction::Pull);
        if told.is_none() && self.query.is_none() && self.requests.is_empty() {
            return Vec::new();
        }
        let mut state = Writer::with_capacity(36 + self.requests.len() * 16);
        state.u8(VERSION);
        state.slice(&told.unwrap_or_default());
        state.u64_be(self.size.filter(|_| told.is_some()).unwrap_or_default());
        state.u8(u8::from(told.is_some()) | u8::from(self.query.is_some()) << 1);
        state.u64_be(self.query.unwrap_or_default());
        for (offset, tag) in &self.requests {
            state.u64_be(*offset);
            state.u64_be(*tag);
        }
        state.finish()
    }
}

/// Of what `save` gives.
const VERSION: u8 = 1;

impl JsonPlatform {
    fn restore(&mut self, saved: &[u8]) -> Result<(), Text> {
        if saved.is_empty() {
            return Ok(());
        }
        self.read_state(saved).map_err(|fault| match fault {
            Fault::Malformed(why) => Text::new("saved", why),
            _ => Text::new("saved", "of another version of this codec"),
        })
    }

    fn read_state(&mut self, saved: &[u8]) -> Result<(), Fault> {
        let mut state = Reader::new(saved);
        if state.u8("version")? != VERSION {
            return Err(Fault::Unsupported);
        }
        let md5 = state.array("fileMd5")?;
        let size = state.u64_be("fileSize")?;
        let flags = state.u8("flags")?;
        let query = state.u64_be("query")?;
        if flags & 1 != 0 && self.direction == Direction::Pull {
            (self.md5, self.size) = (Some(md5), Some(size));
        }
        self.query = (flags & 2 != 0).then_some(query);
        while state.left() > 0 {
            self.requests.push((state.u64_be("request")?, state.u64_be("tag")?));
        }
        Ok(())
    }

    fn chunk(&self, chunk: &Chunk, out: &mut EncodeOut) -> Result<(), Fault> {
        let writer = self.writer.as_ref().ok_or(Fault::Unsupported)?;
        out.send(DOWN, writer.message(chunk.offset, &chunk.bytes, u64::from(self.packet_size))?);
        Ok(())
    }

    /// One request for each piece of the range; one alone where its end is not known.
    fn need(&mut self, want: Want, out: &mut EncodeOut) -> Result<(), Fault> {
        if self.direction == Direction::Push {
            return Err(Fault::Unsupported);
        }
        let step = u64::from(if want.limit == 0 { self.packet_size } else { want.limit }).max(1);
        let open = want.span.end == Span::OPEN;
        let mut offset = want.span.start;
        loop {
            let left = want.span.end.saturating_sub(offset);
            out.send(DOWN, pull_request(&self.file_type, offset, step.min(left), self.check));
            self.remember(offset, want.tag);
            offset = offset.saturating_add(step);
            if open || offset >= want.span.end || out.count() >= REQUESTS {
                return Ok(());
            }
        }
    }

    fn remember(&mut self, offset: u64, tag: Tag) {
        self.requests.retain(|(known, _)| *known != offset);
        if tag != 0 {
            if self.requests.len() == REQUESTS {
                self.requests.remove(0);
            }
            self.requests.push((offset, tag));
        }
    }

    fn ask(&mut self, tag: Tag, out: &mut EncodeOut) -> Result<(), Fault> {
        let md5 = self.md5.as_ref().ok_or(Fault::Unsupported)?;
        out.send(VERIFY_REQUEST, verify_request(md5, self.check));
        self.query = Some(tag);
        Ok(())
    }

    fn data(&mut self, fields: &Fields<'_>, out: &mut DecodeOut<Event>) -> Result<(), Fault> {
        let md5 = fields.required_md5()?;
        let piece = fields.piece()?;
        if self.md5 != Some(md5) || self.size.is_none() {
            out.push(Event::StartUpload(found(fields, &md5, piece.file_size)));
            (self.md5, self.size) = (Some(md5), Some(piece.file_size));
        } else if self.size != Some(piece.file_size) {
            return Err(Fault::malformed(format!("fileSize is {} now, but fileMd5 is the same", piece.file_size)));
        }
        let Piece { offset, bytes, last, sum, .. } = piece;
        let tag = match self.requests.iter().position(|(known, _)| *known == offset) {
            Some(at) => self.requests.remove(at).1,
            None => 0,
        };
        let sum = match (sum, fields.checked) {
            (Some(false), _) => Sum::Bad,
            (Some(true), _) | (None, true) => Sum::Good,
            (None, false) => Sum::Absent,
        };
        out.push(Event::Data(Data { tag, offset, bytes, sum, last }));
        Ok(())
    }

    fn ack(&self, fields: &Fields<'_>, out: &mut DecodeOut<Event>) -> Result<(), Fault> {
        if fields.file_md5 != self.md5 {
            return Err(Fault::NotMine);
        }
        let size = self.size.unwrap_or_default();
        let span = fields.span(size)?;
        let missing = fields.missing(size)?;
        if span.is_none() && missing.is_empty() && fields.code.is_none() {
            return Err(Fault::malformed("an acknowledgement without packOffset, missing and code"));
        }
        if let Some(span) = span {
            out.push(Event::Ack(span));
        }
        for span in missing {
            out.push(Event::Missing(span));
        }
        if let Some(outcome) = outcome(fields) {
            out.push(Event::Outcome(outcome));
        }
        Ok(())
    }

    /// A device that cannot answer a pull says why.
    fn refusal(&self, fields: &Fields<'_>, out: &mut DecodeOut<Event>) -> Result<(), Fault> {
        let mine = match (&fields.file_md5, &fields.file_type) {
            (Some(md5), _) => Some(*md5) == self.md5,
            (None, Some(file_type)) => **file_type == self.file_type,
            (None, None) => false,
        };
        match outcome(fields) {
            Some(outcome) if mine => {
                out.push(Event::Outcome(outcome));
                Ok(())
            }
            _ => Err(Fault::NotMine),
        }
    }

    /// A device that asks for a piece of what we push.
    fn request(&self, fields: &Fields<'_>, out: &mut DecodeOut<Event>) -> Result<(), Fault> {
        if fields.file_type.as_deref() != Some(self.file_type.as_str()) {
            return Err(Fault::NotMine);
        }
        let start = fields.pack_offset.unwrap_or_default();
        let length = fields.pack_size.unwrap_or_else(|| u64::from(self.packet_size));
        let span = Span::at(start, length).ok_or_else(|| Fault::malformed("packOffset and packSize are too large"))?;
        out.push(Event::Want(Want { tag: 0, span, limit: u32::try_from(length).unwrap_or(u32::MAX) }));
        Ok(())
    }

    fn verified(&mut self, fields: &Fields<'_>, out: &mut DecodeOut<Event>) -> Result<(), Fault> {
        if fields.required_md5().map(Some)? != self.md5 {
            return Err(Fault::NotMine);
        }
        let Some(stored) = fields.md5 else { return Err(Fault::malformed("md5 is missing")) };
        let digests = stored.map(|md5| Digest::new(Algorithm::Md5, md5)).into_iter().collect();
        let size = fields.size.filter(|_| stored.is_some());
        out.push(Event::Finish(Finish { tag: self.query.take().unwrap_or_default(), size, digests }));
        Ok(())
    }
}

fn found(fields: &Fields<'_>, md5: &FileMd5, size: u64) -> StartUpload {
    let name = fields.file_name.as_deref().unwrap_or_default().to_owned();
    let meta = fields.file_type.iter().map(|kind| ("type".to_owned(), kind.clone().into_owned())).collect();
    let file = File { name, size: Some(size), digests: vec![Digest::new(Algorithm::Md5, *md5)], meta };
    StartUpload { tag: 0, file, resume_key: hex::encode(md5) }
}

fn outcome(fields: &Fields<'_>) -> Option<Outcome> {
    let code = fields.code?;
    let verdict = match code {
        0 => Verdict::Good,
        1 => Verdict::BadDigest,
        2 => Verdict::Refused,
        3 => Verdict::DeviceFull,
        _ => Verdict::Failed,
    };
    let message = fields.message.as_deref().unwrap_or_default();
    Some(Outcome { verdict, text: Text::new(code.to_string(), message) })
}
