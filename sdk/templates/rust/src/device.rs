//! The device's end: the mirror of `platform.rs`, for the simulated device and for tests.

use packhorse_codec::{
    Chunk, Command, DecodeOut, Device, EncodeOut, Event, Fault, File, Incoming, Offer, Span, Text, Transfer, Want,
};

use crate::frame::{FROM_DEVICE, Frame, Subject, TO_DEVICE};

/// The device side of one session. It is opened before any transfer is known.
#[derive(Debug)]
pub struct ThisDevice {
    /// The file that arrives.
    arriving: Option<Subject>,
    /// The file that leaves.
    leaving: Option<Subject>,
    /// The name that was asked for last.
    asked: Option<String>,
}

impl Device for ThisDevice {
    fn open(transfer: Transfer) -> Result<Self, Text> {
        Ok(Self { arriving: None, leaving: Subject::of(&transfer.file).ok(), asked: None })
    }

    fn decode(&mut self, message: Incoming, out: &mut DecodeOut<Command>) -> Result<(), Fault> {
        if message.route != TO_DEVICE {
            return Err(Fault::malformed("a message of the other direction"));
        }
        match Frame::read(&message.payload)? {
            Frame::Data { subject, offset, bytes, .. } => {
                let last = offset as usize + bytes.len() == subject.size as usize;
                if self.arriving.as_ref() != Some(&subject) {
                    // With a size: a file arrives, and the pieces behind it are of it.
                    out.push(offer(subject.file()));
                    self.arriving = Some(subject);
                }
                out.push(Command::Chunk(Chunk { tag: 0, offset: offset.into(), bytes: bytes.to_vec(), last }));
                Ok(())
            }
            Frame::Request { tag, offset, length, name } => {
                if self.asked.as_ref() != Some(&name) {
                    // Without a size: it names the file that the request behind it is about.
                    out.push(offer(File { name: name.clone(), ..File::unknown() }));
                    self.asked = Some(name);
                }
                let span = Span::new(offset.into(), u64::from(offset) + u64::from(length));
                out.push(Command::Need(Want { tag, span, limit: length }));
                Ok(())
            }
            Frame::Ack { .. } | Frame::Refusal { .. } => Err(Fault::NotMine),
        }
    }

    fn encode(&mut self, event: Event, out: &mut EncodeOut) -> Result<(), Fault> {
        let frame = match event {
            Event::Ack(span) => self.ack(span)?,
            Event::AckThrough(end) => self.ack(Span::new(0, end))?,
            // Nothing is said of a file by itself: every piece tells of it.
            Event::StartUpload(start) => {
                self.leaving = Subject::of(&start.file).ok();
                return Ok(());
            }
            Event::Data(data) => {
                let subject = self.leaving.clone().ok_or(Fault::Unsupported)?;
                let offset = u32::try_from(data.offset).map_err(|_| Fault::malformed("offsets have 32 bits here"))?;
                out.send(FROM_DEVICE, Frame::Data { tag: data.tag, subject, offset, bytes: &data.bytes }.write());
                return Ok(());
            }
            Event::Outcome(_) => Frame::Refusal { name: self.asked.clone().ok_or(Fault::Unsupported)? },
            _ => return Err(Fault::Unsupported),
        };
        out.send(FROM_DEVICE, frame.write());
        Ok(())
    }
}

impl ThisDevice {
    fn ack(&self, span: Span) -> Result<Frame<'static>, Fault> {
        let subject = self.arriving.as_ref().ok_or(Fault::Unsupported)?;
        Ok(Frame::Ack { md5: subject.md5, span: Span::new(span.start, span.end.min(subject.size.into())) })
    }
}

fn offer(file: File) -> Command {
    Command::Offer(Offer { tag: 0, file, url: String::new() })
}
