//! The terminal's end, for the simulated device and for tests: `upgrade` takes a package, `upload` sends media.

mod upgrade;
mod upload;

use packhorse_codec::{
    Command, DecodeOut, Device, EncodeOut, Event, Fault, Incoming, Reader, Text, Transfer, Verdict, Writer,
};

use self::upgrade::Upgrade;
use self::upload::Upload;
use crate::describe::{
    DOWN, MEDIA_ANSWER, PHOTO, PLATFORM_ANSWER, PLATFORM_RESEND, SINGLE_MEDIA, STORED_MEDIA, UP, UPGRADE, variable,
};
use crate::frame::{Frame, Line, Packet, first_serial};

/// The device side of one session.
#[derive(Debug)]
pub struct Jt808Device {
    voice: Voice,
    upgrade: Upgrade,
    upload: Upload,
}

impl Device for Jt808Device {
    fn open(transfer: Transfer) -> Result<Self, Text> {
        let line = Line::of(&transfer);
        let line =
            line.ok_or_else(|| Text::new("phone", "the terminal's number is longer than the header has room for"))?;
        let last_only = variable(&transfer, "answers") == Some("last");
        let mut session = Self {
            voice: Voice { line, next: first_serial(transfer.epoch) },
            upgrade: Upgrade::new(last_only),
            upload: Upload::new(transfer.packet_size),
        };
        session.restore(&transfer.saved).map_err(|_| Text::new("saved", "of another version of this codec"))?;
        Ok(session)
    }

    fn decode(&mut self, message: Incoming, out: &mut DecodeOut<Command>) -> Result<(), Fault> {
        if message.route != DOWN {
            return Err(Fault::malformed(format!("route {} does not lead to the terminal", message.route)));
        }
        let mut fault = None;
        let mut heard = 0;
        for frame in self.voice.line.read(&message.payload)? {
            let taken = match frame.id {
                UPGRADE => self.upgrade.packet(&frame, &mut self.voice, out),
                PLATFORM_ANSWER => self.upload.answered(&frame.body, out),
                MEDIA_ANSWER => self.upload.media_answer(&frame.body, out),
                PLATFORM_RESEND => self.upload.resend(&frame.body, out),
                PHOTO | STORED_MEDIA | SINGLE_MEDIA => {
                    self.upload.wished(frame.id, frame.serial, out);
                    Ok(())
                }
                _ => Err(Fault::NotMine),
            };
            match taken {
                Ok(()) => heard += 1,
                Err(why) => fault = fault.or(Some(why)),
            }
        }
        // What one frame said counts, whatever another one is.
        fault.filter(|_| heard == 0).map_or(Ok(()), Err)
    }

    fn encode(&mut self, event: Event, out: &mut EncodeOut) -> Result<(), Fault> {
        let voice = &mut self.voice;
        match event {
            Event::Ack(span) => self.upgrade.hold(span, voice, out),
            Event::AckThrough(end) => self.upgrade.hold(packhorse_codec::Span::new(0, end), voice, out),
            Event::Missing(span) => self.upgrade.lack(span, voice, out),
            Event::Outcome(outcome) if self.upload.is_asked() && outcome.verdict == Verdict::Refused => {
                self.upload.cannot(voice, out)
            }
            Event::Outcome(outcome) => self.upgrade.outcome(outcome.verdict, voice, out),
            Event::Cancel(_) => self.upgrade.outcome(Verdict::Cancelled, voice, out),
            Event::StartUpload(start) => self.upload.start(&start, voice, out),
            Event::Data(data) => self.upload.data(&data, voice, out),
            Event::Hello(_)
            | Event::AskOffer(_)
            | Event::Want(_)
            | Event::Progress(_)
            | Event::Finish(_)
            | Event::Retrying(_)
            | Event::Pause(_) => Err(Fault::Unsupported),
        }
    }

    fn save(&self) -> Vec<u8> {
        let mut state = Writer::with_capacity(128);
        state.u8(VERSION);
        state.u16_be(self.voice.next);
        self.upgrade.save(&mut state);
        self.upload.save(&mut state);
        state.finish()
    }
}

/// Of what `save` gives.
const VERSION: u8 = 1;

impl Jt808Device {
    fn restore(&mut self, saved: &[u8]) -> Result<(), Fault> {
        if saved.is_empty() {
            return Ok(());
        }
        let mut state = Reader::new(saved);
        if state.u8("version")? != VERSION {
            return Err(Fault::Unsupported);
        }
        self.voice.next = state.u16_be("next serial")?;
        self.upgrade.restore(&mut state)?;
        self.upload.restore(&mut state)?;
        state.end().map_err(Fault::from)
    }
}

/// Numbers and writes the terminal's messages.
#[derive(Debug)]
struct Voice {
    line: Line,
    next: u16,
}

impl Voice {
    fn serials(&mut self, count: u16) -> u16 {
        let first = self.next;
        self.next = first.wrapping_add(count);
        first
    }

    fn frame(&mut self, id: u16, body: Vec<u8>) -> Result<Vec<u8>, Fault> {
        let serial = self.serials(1);
        self.line.write(&Frame { id, serial, packet: Packet::WHOLE, body })
    }

    fn say(&mut self, id: u16, body: Vec<u8>, out: &mut EncodeOut) -> Result<(), Fault> {
        out.send(UP, self.frame(id, body)?);
        Ok(())
    }
}
