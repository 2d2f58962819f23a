//! Packhorse's end: sends pieces and reads acknowledgements, or asks for pieces and reads them.

use packhorse_codec::{
    Algorithm, Chunk, Command, Data, DecodeOut, Description, Direction, Driver, EncodeOut, Event, Fault, Incoming,
    Mode, Outcome, Platform, Route, StartUpload, Sum, Text, Transfer, Verdict, Want, hex,
};

use crate::frame::{FROM_DEVICE, Frame, OVERHEAD, Subject, TO_DEVICE, cut};

/// The platform side of one transfer.
#[derive(Debug)]
pub struct ThisPlatform {
    direction: Direction,
    /// Push: what is sent. Pull: what the device last sent of.
    subject: Option<Subject>,
    /// Pull: the name that is asked for.
    wanted: String,
    packet_size: u32,
}

impl Platform for ThisPlatform {
    fn describe() -> Description {
        let mode = |driver| Mode {
            packet_max: 32_768,
            window_default: 8,
            window_max: 64,
            overhead_fixed: OVERHEAD,
            file_max: u32::MAX.into(),
            ..Mode::new(driver)
        };
        Description {
            name: "{{name}}".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            about: "pieces in binary frames, each acknowledged by itself".into(),
            vars: vec![],
            // In the order of `TO_DEVICE` and `FROM_DEVICE`.
            routes: vec![Route::to_device("{{name}}/{device}/down"), Route::from_device("{{name}}/{device}/up")],
            modes: vec![mode(Driver::PlatformPush), mode(Driver::PlatformPull)],
            digests: vec![Algorithm::Md5],
        }
    }

    fn open(transfer: Transfer) -> Result<Self, Text> {
        let direction = transfer.direction;
        let subject = match direction {
            Direction::Push => Some(Subject::of(&transfer.file)?),
            Direction::Pull => None,
        };
        let wanted = cut(transfer.file.meta("type").unwrap_or(&transfer.file.name));
        Ok(Self { direction, subject, wanted, packet_size: transfer.packet_size })
    }

    fn decode(&mut self, message: Incoming, out: &mut DecodeOut<Event>) -> Result<(), Fault> {
        if message.route != FROM_DEVICE {
            return Err(Fault::malformed("a message of the other direction"));
        }
        match (Frame::read(&message.payload)?, self.direction) {
            (Frame::Ack { md5, span }, Direction::Push) => {
                let size = self.subject.as_ref().filter(|subject| subject.md5 == md5).ok_or(Fault::NotMine)?.size;
                if span.end > size.into() {
                    return Err(Fault::malformed(format!("acknowledges byte {} of {size}", span.end)));
                }
                out.push(Event::Ack(span));
                Ok(())
            }
            (Frame::Data { tag, subject, offset, bytes }, Direction::Pull) => {
                let last = offset as usize + bytes.len() == subject.size as usize;
                self.describe_to_host(subject, out);
                let (offset, bytes) = (offset.into(), bytes.to_vec());
                out.push(Event::Data(Data { tag, offset, bytes, sum: Sum::Good, last }));
                Ok(())
            }
            (Frame::Refusal { name }, Direction::Pull) if name == self.wanted => {
                let text = Text::new("", format!("it has no file {name}"));
                out.push(Event::Outcome(Outcome { verdict: Verdict::Refused, text }));
                Ok(())
            }
            // Of another transfer.
            _ => Err(Fault::NotMine),
        }
    }

    fn encode(&mut self, command: Command, out: &mut EncodeOut) -> Result<(), Fault> {
        match (command, self.direction) {
            (Command::Chunk(chunk), Direction::Push) => self.chunk(&chunk, out),
            (Command::Need(want), Direction::Pull) => self.need(want, out),
            // The host goes on without what this protocol has no words for.
            _ => Err(Fault::Unsupported),
        }
    }
}

impl ThisPlatform {
    fn chunk(&self, chunk: &Chunk, out: &mut EncodeOut) -> Result<(), Fault> {
        let subject = self.subject.clone().ok_or(Fault::Unsupported)?;
        let offset = u32::try_from(chunk.offset).map_err(|_| Fault::malformed("offsets have 32 bits here"))?;
        out.send(TO_DEVICE, Frame::Data { tag: chunk.tag, subject, offset, bytes: &chunk.bytes }.write());
        Ok(())
    }

    /// One request asks for one piece; the host asks for the rest of a longer range by itself.
    fn need(&self, want: Want, out: &mut EncodeOut) -> Result<(), Fault> {
        let limit = if want.limit == 0 { self.packet_size } else { want.limit };
        let length = u32::try_from(want.span.length()).unwrap_or(u32::MAX).min(limit);
        let offset = u32::try_from(want.span.start).map_err(|_| Fault::malformed("offsets have 32 bits here"))?;
        out.send(TO_DEVICE, Frame::Request { tag: want.tag, offset, length, name: self.wanted.clone() }.write());
        Ok(())
    }

    /// Every piece tells of its file; the host hears it when it is another one than before.
    fn describe_to_host(&mut self, subject: Subject, out: &mut DecodeOut<Event>) {
        if self.subject.as_ref() != Some(&subject) {
            let (file, resume_key) = (subject.file(), hex::encode(&subject.md5));
            out.push(Event::StartUpload(StartUpload { tag: 0, file, resume_key }));
            self.subject = Some(subject);
        }
    }
}
