//! The runner's end: announces, sends pieces, fetches ranges, reads bitmaps.

use packhorse_codec::{
    Chunk, Command, Data, DecodeOut, Description, Direction, EncodeOut, Event, Fault, File, Finish, Hello, Incoming,
    Phase, Platform, Progress, Reader, Span, StartUpload, Sum, Tag, Text, Transfer, Want, Writer, hex,
};

use crate::body::{
    best, read_digest, read_file, read_outcome, read_size, read_text, read_words, version, write_digest, write_file,
    write_outcome, write_text, write_words,
};
use crate::describe::{RX, TX, description};
use crate::frame::{Frame, Kind, Numbering, later};
use crate::holding::{Bitmap, Grid};

/// The platform side of one transfer.
#[derive(Debug)]
pub struct AcmePlatform {
    direction: Direction,
    numbering: Numbering,
    /// Ours in a push, what the device described in a pull.
    file: File,
    /// What the device is asked for in a pull.
    wanted: String,
    packet_size: u32,
    /// Push: the device was told of the file in this epoch.
    announced: bool,
    /// Pull: the version of the file that the device described.
    version: Option<u32>,
    /// Pull: pieces of another version since it was asked for a description.
    strays: u32,
    /// The latest sequence number of an acknowledgement.
    heard: Option<u32>,
}

impl Platform for AcmePlatform {
    fn describe() -> Description {
        description()
    }

    fn open(transfer: Transfer) -> Result<Self, Text> {
        let file = transfer.file;
        if transfer.direction == Direction::Push && file.size.is_none() {
            return Err(Text::new("file-unknown", "acme-tlv announces the size of the file"));
        }
        let known = transfer.direction == Direction::Pull && file.size.is_some() && best(&file.digests).is_some();
        let mut session = Self {
            direction: transfer.direction,
            numbering: Numbering { epoch: transfer.epoch, next: 0 },
            wanted: file.meta("type").unwrap_or(&file.name).to_owned(),
            packet_size: transfer.packet_size.max(1),
            announced: false,
            version: known.then(|| version(&file.digests)),
            file,
            strays: 0,
            heard: None,
        };
        if !transfer.saved.is_empty() {
            session.restore(&transfer.saved).map_err(|_| Text::new("saved", "of another version of this codec"))?;
        }
        Ok(session)
    }

    fn decode(&mut self, message: Incoming, out: &mut DecodeOut<Event>) -> Result<(), Fault> {
        if message.route != TX {
            return Err(Fault::malformed(format!("route {} does not lead to the platform", message.route)));
        }
        let frame = Frame::read(&message.payload)?;
        if frame.epoch != self.numbering.epoch && frame.kind != Kind::Hello {
            return Err(Fault::NotMine);
        }
        match frame.kind {
            Kind::Ack => self.ack(frame, out),
            Kind::Missing => self.missing(frame.body, out),
            Kind::Status => self.status(frame.body, out),
            Kind::File => self.described(frame.body, out),
            Kind::Piece => self.piece(frame.body, out),
            Kind::Hello => {
                self.heard = None;
                out.push(hello(frame.body)?);
                Ok(())
            }
            _ => {
                out.push(simple(frame.kind, frame.body)?);
                Ok(())
            }
        }
    }

    fn encode(&mut self, command: Command, out: &mut EncodeOut) -> Result<(), Fault> {
        let push = self.direction == Direction::Push;
        match command {
            Command::Offer(offer) if push => self.announce(&offer.file, out),
            Command::Chunk(chunk) if push => self.chunk(&chunk, out),
            Command::Query(tag) => self.query(tag, out),
            Command::Need(want) if !push => self.fetch(want, out),
            Command::RequestUpload(_) if !push => {
                let frame = self.describe_request()?;
                out.send(RX, frame);
                Ok(())
            }
            Command::Outcome(outcome) => self.small(Kind::Verdict, out, |frame| write_outcome(&outcome, frame)),
            Command::Cancel(text) => self.small(Kind::Cancel, out, |frame| write_words(&text, frame)),
            Command::Pause(millis) => self.small(Kind::Pause, out, |frame| frame.u32_be(millis)),
            Command::Offer(_)
            | Command::Chunk(_)
            | Command::Need(_)
            | Command::RequestUpload(_)
            | Command::Accept(_)
            | Command::Refuse(_)
            | Command::Ack(_) => Err(Fault::Unsupported),
        }
    }

    fn save(&self) -> Vec<u8> {
        let mut state = Writer::with_capacity(14);
        state.u8(VERSION);
        state.u32_be(self.numbering.epoch);
        state.u32_be(self.numbering.next);
        state.u8(u8::from(self.announced) | u8::from(self.version.is_some()) << 1);
        state.u32_be(self.version.unwrap_or_default());
        state.finish()
    }
}

/// Of what `save` gives.
const VERSION: u8 = 1;

/// Strays for which the device is asked once to describe its file.
const STRAYS: u32 = 4;

impl AcmePlatform {
    fn restore(&mut self, saved: &[u8]) -> Result<(), Fault> {
        let mut state = Reader::new(saved);
        if state.u8("version")? != VERSION {
            return Err(Fault::Unsupported);
        }
        let epoch = state.u32_be("epoch")?;
        let next = state.u32_be("sequence")?;
        let flags = state.u8("flags")?;
        let version = state.u32_be("file version")?;
        // In a later epoch numbering begins anew, and the device has to be told of the file again.
        if epoch == self.numbering.epoch {
            self.numbering.next = next;
            self.announced = flags & 1 != 0;
            self.version = self.version.or_else(|| (flags & 2 != 0).then_some(version));
        }
        Ok(())
    }

    fn grid(&self) -> Grid {
        Grid { size: self.file.size.unwrap_or_default(), piece: self.packet_size }
    }

    fn small(&mut self, kind: Kind, out: &mut EncodeOut, body: impl FnOnce(&mut Writer)) -> Result<(), Fault> {
        out.send(RX, self.numbering.small(kind, body)?);
        Ok(())
    }

    fn announce(&mut self, file: &File, out: &mut EncodeOut) -> Result<(), Fault> {
        let packet_size = self.packet_size;
        self.small(Kind::Announce, out, |frame| {
            frame.u32_be(packet_size);
            write_file(file, frame);
        })?;
        self.announced = true;
        Ok(())
    }

    fn chunk(&mut self, chunk: &Chunk, out: &mut EncodeOut) -> Result<(), Fault> {
        if !self.announced {
            let file = self.file.clone();
            self.announce(&file, out)?;
        }
        let frame = self.numbering.frame(Kind::Data, 9 + chunk.bytes.len(), |frame| {
            frame.u64_be(chunk.offset);
            frame.u8(u8::from(chunk.last));
            frame.slice(&chunk.bytes);
            Ok(())
        })?;
        out.send(RX, frame);
        Ok(())
    }

    fn query(&mut self, tag: Tag, out: &mut EncodeOut) -> Result<(), Fault> {
        let digest = best(&self.file.digests).cloned();
        self.small(Kind::Query, out, |frame| {
            frame.u64_be(tag);
            write_digest(digest.as_ref(), frame);
        })
    }

    fn fetch(&mut self, want: Want, out: &mut EncodeOut) -> Result<(), Fault> {
        let limit = if want.limit == 0 { self.packet_size } else { want.limit.min(self.packet_size) };
        let wanted = self.wanted.clone();
        self.small(Kind::Fetch, out, |frame| {
            frame.u64_be(want.tag);
            frame.u64_be(want.span.start);
            frame.u64_be(want.span.end);
            frame.u16_be(u16::try_from(limit).unwrap_or(u16::MAX));
            write_text(&wanted, frame);
        })
    }

    fn describe_request(&mut self) -> Result<Vec<u8>, Fault> {
        let wanted = self.wanted.clone();
        self.numbering.small(Kind::Describe, |frame| write_text(&wanted, frame))
    }

    fn ack(&mut self, frame: Frame<'_>, out: &mut DecodeOut<Event>) -> Result<(), Fault> {
        let mut body = frame.body;
        let flags = body.u8("flags")?;
        let bitmap = Bitmap::read(&mut body)?;
        body.end()?;
        if self.direction == Direction::Pull {
            return Err(Fault::NotMine);
        }
        let grid = self.grid();
        let (through, spans) = (bitmap.through(grid)?, bitmap.spans(grid)?);
        // One that was overtaken may say less than the device has by now: only what it adds counts.
        let newest = self.heard.is_none_or(|heard| later(frame.sequence, heard));
        if newest {
            self.heard = Some(frame.sequence);
        }
        if flags & 1 != 0 && newest {
            out.push(Event::AckThrough(through));
        } else if through > 0 || grid.size == 0 {
            out.push(Event::Ack(Span::new(0, through)));
        }
        spans.into_iter().for_each(|span| out.push(Event::Ack(span)));
        Ok(())
    }

    fn missing(&self, mut body: Reader<'_>, out: &mut DecodeOut<Event>) -> Result<(), Fault> {
        if self.direction == Direction::Pull {
            return Err(Fault::NotMine);
        }
        let size = self.grid().size;
        while body.left() > 0 {
            let (start, end) = (body.u64_be("start")?, body.u64_be("end")?);
            if start > end || end > size {
                return Err(Fault::malformed(format!("{start} to {end} is missing of {size} bytes")));
            }
            out.push(Event::Missing(Span::new(start, end)));
        }
        Ok(())
    }

    /// The answer to a query: first what the device holds, then size and digest.
    fn status(&self, mut body: Reader<'_>, out: &mut DecodeOut<Event>) -> Result<(), Fault> {
        let tag = body.u64_be("token")?;
        let mapped = body.u8("flags")? & 1 != 0;
        let size = read_size("size", &mut body)?;
        let digests = read_digest(&mut body)?.into_iter().collect();
        let bitmap = Bitmap::read(&mut body)?;
        body.end()?;
        if mapped && self.direction == Direction::Push {
            let grid = self.grid();
            out.push(Event::AckThrough(bitmap.through(grid)?));
            bitmap.spans(grid)?.into_iter().for_each(|span| out.push(Event::Ack(span)));
        }
        out.push(Event::Finish(Finish { tag, size, digests }));
        Ok(())
    }

    fn described(&mut self, mut body: Reader<'_>, out: &mut DecodeOut<Event>) -> Result<(), Fault> {
        let mut file = read_file(&mut body)?;
        if self.direction == Direction::Push {
            return Err(Fault::NotMine);
        }
        let version = version(&file.digests);
        self.strays = 0;
        if self.version == Some(version) && self.file.size == file.size {
            return Ok(());
        }
        self.version = Some(version);
        self.file = file.clone();
        if file.name.is_empty() {
            file.name.clone_from(&self.wanted);
        }
        out.push(Event::StartUpload(StartUpload { tag: 0, resume_key: hex::encode(&version.to_be_bytes()), file }));
        Ok(())
    }

    fn piece(&mut self, mut body: Reader<'_>, out: &mut DecodeOut<Event>) -> Result<(), Fault> {
        let tag = body.u64_be("token")?;
        let offset = body.u64_be("offset")?;
        let version = body.u32_be("file version")?;
        let last = body.u8("flags")? & 1 != 0;
        let bytes = body.rest().to_vec();
        if self.direction == Direction::Push {
            return Err(Fault::NotMine);
        }
        if self.version != Some(version) {
            if self.strays.is_multiple_of(STRAYS) {
                let frame = self.describe_request()?;
                out.reply(RX, frame);
            }
            self.strays += 1;
            return Ok(());
        }
        let size = self.file.size.unwrap_or(u64::MAX);
        if offset.checked_add(bytes.len() as u64).is_none_or(|end| end > size) {
            return Err(Fault::malformed(format!("{} bytes at {offset} pass the end of {size} bytes", bytes.len())));
        }
        out.push(Event::Data(Data { tag, offset, bytes, sum: Sum::Good, last }));
        Ok(())
    }
}

fn hello(mut body: Reader<'_>) -> Result<Event, Fault> {
    let (title, version) = (read_text("title", &mut body)?, read_text("version", &mut body)?);
    body.end()?;
    Ok(Event::Hello(Hello { tag: 0, title, version, meta: Vec::new() }))
}

/// Frames that are one event each and change nothing here.
fn simple(kind: Kind, mut body: Reader<'_>) -> Result<Event, Fault> {
    let event = match kind {
        Kind::Ask => Event::AskOffer(0),
        Kind::DeviceVerdict => Event::Outcome(read_outcome(&mut body)?),
        Kind::DeviceCancel => Event::Cancel(read_words(&mut body)?),
        Kind::DevicePause => Event::Pause(body.u32_be("milliseconds")?),
        Kind::Progress => {
            let phase = usize::from(body.u8("phase")?);
            let phase = PHASES.get(phase).ok_or_else(|| Fault::malformed(format!("phase {phase} is not known")))?;
            let done = read_size("done", &mut body)?;
            Event::Progress(Progress { phase: *phase, done, total: read_size("total", &mut body)? })
        }
        // What we sent ourselves.
        _ => return Err(Fault::NotMine),
    };
    body.end()?;
    Ok(event)
}

/// By number.
pub(crate) const PHASES: [Phase; 7] = [
    Phase::Offered,
    Phase::Downloading,
    Phase::Downloaded,
    Phase::Verified,
    Phase::Installing,
    Phase::SelfTest,
    Phase::Rebooting,
];
