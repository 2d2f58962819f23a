//! The platform's end: `upgrade` sends a package to the terminal, `upload` takes media of it, `request` asks for them.

mod request;
mod upgrade;
mod upload;

use packhorse_codec::{
    Command, DecodeOut, Description, Direction, EncodeOut, Event, Fault, Incoming, Platform, Reader, Tag, Text,
    Transfer, Writer,
};

use self::upgrade::Upgrade;
use self::upload::Upload;
use crate::describe::{DOWN, PLATFORM_ANSWER, UP, description, variable};
use crate::frame::{Frame, Line, Packet, first_serial};
use crate::words::{Answer, Fared};

/// The platform side of one transfer.
#[derive(Debug)]
pub struct Jt808Platform {
    speaker: Speaker,
    work: Work,
    epoch: u32,
}

#[derive(Debug)]
enum Work {
    Upgrade(Upgrade),
    Upload(Upload),
}

impl Platform for Jt808Platform {
    fn describe() -> Description {
        description()
    }

    fn open(transfer: Transfer) -> Result<Self, Text> {
        let line = Line::of(&transfer);
        let line =
            line.ok_or_else(|| Text::new("phone", "the terminal's number is longer than the header has room for"))?;
        let mut speaker = Speaker { line, next: first_serial(transfer.epoch) };
        let work = match transfer.direction {
            Direction::Push => Work::Upgrade(Upgrade::open(&transfer, &mut speaker)?),
            Direction::Pull => Work::Upload(Upload::open(&transfer)),
        };
        let mut session = Self { speaker, work, epoch: transfer.epoch };
        session.restore(&transfer.saved).map_err(|_| Text::new("saved", "of another version of this codec"))?;
        Ok(session)
    }

    fn decode(&mut self, message: Incoming, out: &mut DecodeOut<Event>) -> Result<(), Fault> {
        if message.route != UP {
            return Err(Fault::malformed(format!("route {} does not lead to the platform", message.route)));
        }
        let mut fault = None;
        let mut heard = 0;
        for frame in self.speaker.line.read(&message.payload)? {
            let taken = match &mut self.work {
                Work::Upgrade(upgrade) => upgrade.hear(&frame, &mut self.speaker, out),
                Work::Upload(upload) => upload.hear(&frame, out),
            };
            match taken {
                Ok(()) => heard += 1,
                Err(why) => fault = fault.or(Some(why)),
            }
        }
        // What one frame said counts, whatever another one is.
        fault.filter(|_| heard == 0).map_or(Ok(()), Err)
    }

    fn encode(&mut self, command: Command, out: &mut EncodeOut) -> Result<(), Fault> {
        match &mut self.work {
            Work::Upgrade(upgrade) => match command {
                Command::Chunk(chunk) => upgrade.chunk(&chunk, &self.speaker, out),
                Command::Offer(_)
                | Command::Accept(_)
                | Command::Refuse(_)
                | Command::Ack(_)
                | Command::Need(_)
                | Command::RequestUpload(_)
                | Command::Query(_)
                | Command::Outcome(_)
                | Command::Cancel(_)
                | Command::Pause(_) => Err(Fault::Unsupported),
            },
            Work::Upload(upload) => upload.say(command, &mut self.speaker, out),
        }
    }

    fn save(&self) -> Vec<u8> {
        let mut state = Writer::with_capacity(80);
        state.u8(VERSION);
        state.u32_be(self.epoch);
        state.u16_be(self.speaker.next);
        match &self.work {
            Work::Upgrade(upgrade) => upgrade.save(&mut state),
            Work::Upload(upload) => upload.save(&mut state),
        }
        state.finish()
    }
}

/// Of what `save` gives.
const VERSION: u8 = 1;

impl Jt808Platform {
    fn restore(&mut self, saved: &[u8]) -> Result<(), Fault> {
        if saved.is_empty() {
            return Ok(());
        }
        let mut state = Reader::new(saved);
        if state.u8("version")? != VERSION {
            return Err(Fault::Unsupported);
        }
        let exact = state.u32_be("epoch")? == self.epoch;
        let next = state.u16_be("next serial")?;
        if exact {
            self.speaker.next = next;
        }
        match &mut self.work {
            Work::Upgrade(upgrade) => upgrade.restore(&mut state)?,
            Work::Upload(upload) => upload.restore(&mut state, exact)?,
        }
        state.end().map_err(Fault::from)
    }
}

/// Numbers and writes messages that are not split.
#[derive(Debug)]
struct Speaker {
    line: Line,
    next: u16,
}

impl Speaker {
    /// A serial number that this session has not used.
    fn serial(&mut self) -> u16 {
        self.serials(1)
    }

    /// So many serial numbers in a row: the first of them.
    fn serials(&mut self, count: u16) -> u16 {
        let first = self.next;
        self.next = first.wrapping_add(count);
        first
    }

    fn frame(&self, id: u16, serial: u16, body: Vec<u8>) -> Result<Vec<u8>, Fault> {
        self.line.write(&Frame { id, serial, packet: Packet::WHOLE, body })
    }

    fn say(&mut self, id: u16, body: Vec<u8>, out: &mut EncodeOut) -> Result<(), Fault> {
        let serial = self.serial();
        out.send(DOWN, self.frame(id, serial, body)?);
        Ok(())
    }

    /// The general answer to a message.
    fn answer(&mut self, serial: u16, id: u16, fared: Fared) -> Result<Vec<u8>, Fault> {
        let own = self.serial();
        self.frame(PLATFORM_ANSWER, own, Answer { serial, id, fared }.body())
    }
}

/// The tag of what a message says: its id and its serial number, by which it is answered.
fn tag(id: u16, serial: u16) -> Tag {
    Tag::from(id) << 16 | Tag::from(serial)
}

fn untagged(tag: Tag) -> (u16, u16) {
    ((tag >> 16) as u16, tag as u16)
}

/// Whether the terminal, or the platform, answers only the last packet.
fn answers_last_only(transfer: &Transfer) -> bool {
    variable(transfer, "answers") == Some("last")
}
