//! The device's end, for the simulated device and for tests.
//!
//! Frames name a file by its digest or its type, and the commands of the contract carry neither. So a change of the file that is spoken
//! of is told by an `offer`: with a size it announces a file that arrives; without one it only names the file that the commands
//! behind it (`query`, `need`, `request-upload`) are about.

use packhorse_codec::{
    Chunk, Command, Data, DecodeOut, Device, Digest, EncodeOut, Event, Fault, File, Finish, Hello, Incoming, Offer,
    Progress, Reader, Span, StartUpload, Tag, Text, Transfer, Want, Writer,
};

use crate::body::{
    best, read_digest, read_file, read_outcome, read_text, read_words, version, write_digest, write_file,
    write_outcome, write_size, write_text, write_words,
};
use crate::describe::{RX, TX};
use crate::frame::{Frame, Kind, Numbering, later};
use crate::holding::{Bitmap, Grid, Holding};
use crate::platform::PHASES;

/// The device side of one session.
#[derive(Debug)]
pub struct AcmeDevice {
    numbering: Numbering,
    /// Whether `numbering.epoch` came from the platform.
    joined: bool,
    arriving: Option<Arriving>,
    /// Version of the file that leaves.
    leaving: Option<u32>,
    subject: Subject,
    /// Pieces of a file that was not announced, since the platform was asked to.
    strays: u32,
}

#[derive(Debug)]
struct Arriving {
    /// In which epoch it was announced.
    epoch: u32,
    digest: Option<Digest>,
    grid: Grid,
    holding: Holding,
}

#[derive(Debug, PartialEq, Eq)]
enum Subject {
    None,
    Arriving,
    Stored(Option<Digest>),
    Wanted(String),
}

impl Device for AcmeDevice {
    fn open(transfer: Transfer) -> Result<Self, Text> {
        let mut session = Self {
            numbering: Numbering { epoch: 0, next: 0 },
            joined: false,
            arriving: None,
            leaving: best(&transfer.file.digests).map(|_| version(&transfer.file.digests)),
            subject: Subject::None,
            strays: 0,
        };
        if !transfer.saved.is_empty() {
            session.restore(&transfer.saved).map_err(|_| Text::new("saved", "of another version of this codec"))?;
        }
        Ok(session)
    }

    fn decode(&mut self, message: Incoming, out: &mut DecodeOut<Command>) -> Result<(), Fault> {
        if message.route != RX {
            return Err(Fault::malformed(format!("route {} does not lead to the device", message.route)));
        }
        let frame = Frame::read(&message.payload)?;
        if self.joined && later(self.numbering.epoch, frame.epoch) {
            return Err(Fault::NotMine);
        }
        let mut body = frame.body;
        match frame.kind {
            Kind::Announce => self.announced(frame.epoch, &mut body, out)?,
            Kind::Data => self.piece(frame.epoch, &mut body, out)?,
            Kind::Query => self.query(&mut body, out)?,
            Kind::Fetch => self.fetch(&mut body, out)?,
            Kind::Describe => {
                let wanted = read_text("type", &mut body)?;
                self.name_wanted(&wanted, out);
                out.push(Command::RequestUpload(0));
            }
            Kind::Verdict => out.push(Command::Outcome(read_outcome(&mut body)?)),
            Kind::Cancel => out.push(Command::Cancel(read_words(&mut body)?)),
            Kind::Pause => out.push(Command::Pause(body.u32_be("milliseconds")?)),
            // What a device sent.
            _ => return Err(Fault::NotMine),
        }
        body.end()?;
        self.join(frame.epoch);
        Ok(())
    }

    fn encode(&mut self, event: Event, out: &mut EncodeOut) -> Result<(), Fault> {
        match event {
            Event::Hello(hello) => self.small(Kind::Hello, out, |frame| write_hello(&hello, frame)),
            Event::AskOffer(_) => self.small(Kind::Ask, out, |_| {}),
            Event::StartUpload(start) => self.start(&start, out),
            Event::Data(data) => self.data(&data, out),
            Event::Ack(span) => {
                let arriving = self.arriving()?;
                let span = Span::new(span.start, span.end.min(arriving.grid.size));
                arriving.holding.add(span);
                self.ack(0, out)
            }
            Event::AckThrough(end) => {
                let arriving = self.arriving()?;
                arriving.holding = Holding::through(end.min(arriving.grid.size));
                self.ack(1, out)
            }
            Event::Missing(span) => self.missing(span, out),
            Event::Progress(progress) => self.small(Kind::Progress, out, |frame| write_progress(&progress, frame)),
            Event::Finish(finish) => self.status(&finish, out),
            Event::Outcome(outcome) => self.small(Kind::DeviceVerdict, out, |frame| write_outcome(&outcome, frame)),
            Event::Cancel(text) => self.small(Kind::DeviceCancel, out, |frame| write_words(&text, frame)),
            Event::Pause(millis) => self.small(Kind::DevicePause, out, |frame| frame.u32_be(millis)),
            Event::Want(_) | Event::Retrying(_) => Err(Fault::Unsupported),
        }
    }

    fn save(&self) -> Vec<u8> {
        if !self.joined {
            return Vec::new();
        }
        let mut state = Writer::with_capacity(128);
        state.u8(VERSION);
        state.u32_be(self.numbering.epoch);
        state.u32_be(self.numbering.next);
        if let Some(arriving) = &self.arriving {
            state.u32_be(arriving.epoch);
            state.u32_be(arriving.grid.piece);
            state.u64_be(arriving.grid.size);
            write_digest(arriving.digest.as_ref(), &mut state);
            arriving.holding.bitmap(arriving.grid).write(&mut state);
        }
        state.finish()
    }
}

/// Of what `save` gives.
const VERSION: u8 = 1;

/// Strays for which the platform is asked once to announce its file.
const STRAYS: u32 = 4;

impl AcmeDevice {
    fn restore(&mut self, saved: &[u8]) -> Result<(), Fault> {
        let mut state = Reader::new(saved);
        if state.u8("version")? != VERSION {
            return Err(Fault::Unsupported);
        }
        self.numbering = Numbering { epoch: state.u32_be("epoch")?, next: state.u32_be("sequence")? };
        self.joined = true;
        if state.left() > 0 {
            let epoch = state.u32_be("epoch")?;
            let piece = state.u32_be("piece")?.max(1);
            let grid = Grid { piece, size: state.u64_be("size")? };
            let digest = read_digest(&mut state)?;
            let bitmap = Bitmap::read(&mut state)?;
            let mut holding = Holding::through(bitmap.through(grid)?);
            bitmap.spans(grid)?.into_iter().for_each(|span| holding.add(span));
            self.arriving = Some(Arriving { epoch, digest, grid, holding });
        }
        Ok(())
    }

    fn join(&mut self, epoch: u32) {
        self.numbering.epoch = epoch;
        self.joined = true;
    }

    fn small(&mut self, kind: Kind, out: &mut EncodeOut, body: impl FnOnce(&mut Writer)) -> Result<(), Fault> {
        out.send(TX, self.numbering.small(kind, body)?);
        Ok(())
    }

    fn announced(&mut self, epoch: u32, body: &mut Reader<'_>, out: &mut DecodeOut<Command>) -> Result<(), Fault> {
        let piece = body.u32_be("piece size")?;
        let file = read_file(body)?;
        let size = file.size.ok_or_else(|| Fault::malformed("an announcement without a size"))?;
        if piece == 0 {
            return Err(Fault::malformed("pieces of no bytes"));
        }
        let digest = best(&file.digests).cloned();
        let known = self.arriving.take();
        let same = known.filter(|known| known.digest == digest && known.grid == Grid { size, piece });
        let holding = same.map(|known| known.holding).unwrap_or_default();
        self.arriving = Some(Arriving { epoch, digest, grid: Grid { size, piece }, holding });
        self.subject = Subject::Arriving;
        self.strays = 0;
        out.push(Command::Offer(Offer { tag: 0, file, url: String::new() }));
        Ok(())
    }

    fn piece(&mut self, epoch: u32, body: &mut Reader<'_>, out: &mut DecodeOut<Command>) -> Result<(), Fault> {
        let offset = body.u64_be("offset")?;
        let last = body.u8("flags")? & 1 != 0;
        let bytes = body.rest().to_vec();
        let Some(arriving) = self.arriving.as_ref().filter(|arriving| arriving.epoch == epoch) else {
            self.join(epoch);
            if self.strays.is_multiple_of(STRAYS) {
                out.reply(TX, self.numbering.small(Kind::Ask, |_| {})?);
            }
            self.strays += 1;
            return Ok(());
        };
        let Grid { size, piece } = arriving.grid;
        let length = bytes.len() as u64;
        let end = offset.checked_add(length).filter(|end| *end <= size);
        let on_grid = offset.is_multiple_of(piece.into()) && (length == u64::from(piece) || end == Some(size));
        if end.is_none() || !on_grid {
            return Err(Fault::malformed(format!("{length} bytes at {offset} are no piece of {size} bytes")));
        }
        out.push(Command::Chunk(Chunk { tag: 0, offset, bytes, last }));
        Ok(())
    }

    fn query(&mut self, body: &mut Reader<'_>, out: &mut DecodeOut<Command>) -> Result<(), Fault> {
        let token = body.u64_be("token")?;
        let digest = read_digest(body)?;
        let arriving = self.arriving.as_ref().is_some_and(|arriving| arriving.digest == digest);
        let subject = if arriving { Subject::Arriving } else { Subject::Stored(digest.clone()) };
        // The announcement has named an arriving file already.
        if self.subject != subject {
            self.subject = subject;
            let file = File { digests: digest.into_iter().collect(), ..File::unknown() };
            out.push(Command::Offer(Offer { tag: 0, file, url: String::new() }));
        }
        out.push(Command::Query(token));
        Ok(())
    }

    fn fetch(&mut self, body: &mut Reader<'_>, out: &mut DecodeOut<Command>) -> Result<(), Fault> {
        let tag: Tag = body.u64_be("token")?;
        let span = Span::new(body.u64_be("start")?, body.u64_be("end")?);
        let limit = u32::from(body.u16_be("piece size")?);
        let wanted = read_text("type", body)?;
        if span.start > span.end || limit == 0 {
            return Err(Fault::malformed(format!("{} to {} in pieces of {limit}", span.start, span.end)));
        }
        self.name_wanted(&wanted, out);
        out.push(Command::Need(Want { tag, span, limit }));
        Ok(())
    }

    fn name_wanted(&mut self, wanted: &str, out: &mut DecodeOut<Command>) {
        if self.subject == Subject::Wanted(wanted.to_owned()) {
            return;
        }
        self.subject = Subject::Wanted(wanted.to_owned());
        let meta = vec![("type".to_owned(), wanted.to_owned())];
        let file = File { name: wanted.to_owned(), meta, ..File::unknown() };
        out.push(Command::Offer(Offer { tag: 0, file, url: String::new() }));
    }

    fn arriving(&mut self) -> Result<&mut Arriving, Fault> {
        self.arriving.as_mut().ok_or_else(|| Fault::malformed("no file was announced that could be acknowledged"))
    }

    /// Nothing of a file that an earlier epoch announced: the platform would take it for the file of this one.
    fn ack(&mut self, flags: u8, out: &mut EncodeOut) -> Result<(), Fault> {
        let epoch = self.numbering.epoch;
        let arriving = self.arriving()?;
        if arriving.epoch != epoch {
            return Ok(());
        }
        let bitmap = arriving.holding.bitmap(arriving.grid);
        self.small(Kind::Ack, out, |frame| {
            frame.u8(flags);
            bitmap.write(frame);
        })
    }

    fn missing(&mut self, span: Span, out: &mut EncodeOut) -> Result<(), Fault> {
        let epoch = self.numbering.epoch;
        let arriving = self.arriving()?;
        let span = Span::new(span.start, span.end.min(arriving.grid.size));
        arriving.holding.remove(span);
        if arriving.epoch != epoch {
            return Ok(());
        }
        self.small(Kind::Missing, out, |frame| {
            frame.u64_be(span.start);
            frame.u64_be(span.end.max(span.start));
        })
    }

    fn status(&mut self, finish: &Finish, out: &mut EncodeOut) -> Result<(), Fault> {
        let arriving = self.arriving.as_ref().filter(|_| self.subject == Subject::Arriving);
        let bitmap = arriving.map(|arriving| arriving.holding.bitmap(arriving.grid));
        self.small(Kind::Status, out, |frame| {
            frame.u64_be(finish.tag);
            frame.u8(u8::from(bitmap.is_some()));
            write_size(finish.size, frame);
            write_digest(best(&finish.digests), frame);
            bitmap.unwrap_or_default().write(frame);
        })
    }

    fn start(&mut self, start: &StartUpload, out: &mut EncodeOut) -> Result<(), Fault> {
        self.leaving = Some(version(&start.file.digests));
        self.small(Kind::File, out, |frame| write_file(&start.file, frame))
    }

    fn data(&mut self, data: &Data, out: &mut EncodeOut) -> Result<(), Fault> {
        let version = self.leaving.ok_or_else(|| Fault::malformed("data of a file that was not described before"))?;
        let frame = self.numbering.frame(Kind::Piece, 21 + data.bytes.len(), |frame| {
            frame.u64_be(data.tag);
            frame.u64_be(data.offset);
            frame.u32_be(version);
            frame.u8(u8::from(data.last));
            frame.slice(&data.bytes);
            Ok(())
        })?;
        out.send(TX, frame);
        Ok(())
    }
}

fn write_hello(hello: &Hello, frame: &mut Writer) {
    write_text(&hello.title, frame);
    write_text(&hello.version, frame);
}

fn write_progress(progress: &Progress, frame: &mut Writer) {
    let phase = PHASES.iter().position(|phase| *phase == progress.phase).unwrap_or_default();
    frame.u8(phase as u8);
    write_size(progress.done, frame);
    write_size(progress.total, frame);
}
