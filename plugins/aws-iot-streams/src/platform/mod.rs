//! The platform's end: `jobs` announces the file and hears how it goes, `streams` serves its blocks.

mod jobs;
mod streams;

use packhorse_codec::{
    Command, DecodeOut, Description, EncodeOut, Event, Fault, Incoming, Platform, Reader, Text, Transfer, Writer,
};

use self::jobs::Jobs;
use self::streams::Streams;
use crate::describe::{DESCRIBE, GET, GET_STREAM, START_NEXT, UPDATE, description};

/// The platform side of one transfer.
#[derive(Debug)]
pub struct AwsPlatform {
    jobs: Jobs,
    streams: Streams,
}

impl Platform for AwsPlatform {
    fn describe() -> Description {
        description()
    }

    fn open(transfer: Transfer) -> Result<Self, Text> {
        let size = transfer.file.size;
        let size = size.ok_or_else(|| Text::new("file-unknown", "an OTA document needs the size of the file"))?;
        let streams = Streams::open(&transfer, size);
        let jobs = Jobs::open(&transfer, &streams, size);
        let mut session = Self { jobs, streams };
        session.restore(&transfer.saved).map_err(|_| Text::new("saved", "of another version of this codec"))?;
        Ok(session)
    }

    fn decode(&mut self, message: Incoming, out: &mut DecodeOut<Event>) -> Result<(), Fault> {
        let captures = message.more.map(|more| more.captures).unwrap_or_default();
        let payload = &message.payload;
        match (message.route, captures.as_slice()) {
            (START_NEXT, []) => self.jobs.start_next(payload, out),
            (GET, [job]) => self.jobs.get(job, payload, out),
            (UPDATE, [job]) => self.jobs.update(job, payload, out),
            (DESCRIBE, [stream, format]) => return self.streams.describe(stream, format, payload, out),
            (GET_STREAM, [stream, format]) => return self.streams.get(stream, format, payload, out),
            (route @ START_NEXT..=GET_STREAM, captures) => {
                return Err(Fault::malformed(format!("route {route} with {} captures", captures.len())));
            }
            (route, _) => return Err(Fault::malformed(format!("route {route} does not lead to the platform"))),
        }
        Ok(())
    }

    fn encode(&mut self, command: Command, out: &mut EncodeOut) -> Result<(), Fault> {
        match command {
            Command::Offer(offer) => self.jobs.offer(offer.tag, out),
            Command::Chunk(chunk) => self.streams.chunk(&chunk, out),
            Command::Cancel(_) => {
                self.jobs.cancel(out);
                Ok(())
            }
            Command::Accept(_)
            | Command::Refuse(_)
            | Command::Ack(_)
            | Command::Need(_)
            | Command::RequestUpload(_)
            | Command::Query(_)
            | Command::Outcome(_)
            | Command::Pause(_) => Err(Fault::Unsupported),
        }
    }

    fn save(&self) -> Vec<u8> {
        let mut state = Writer::with_capacity(256);
        state.u8(VERSION);
        self.jobs.save(&mut state);
        self.streams.save(&mut state);
        state.finish()
    }
}

/// Of what `save` gives.
const VERSION: u8 = 1;

impl AwsPlatform {
    fn restore(&mut self, saved: &[u8]) -> Result<(), Fault> {
        if saved.is_empty() {
            return Ok(());
        }
        let mut state = Reader::new(saved);
        if state.u8("version")? != VERSION {
            return Err(Fault::Unsupported);
        }
        self.jobs.restore(&mut state)?;
        self.streams.restore(&mut state)?;
        state.end().map_err(Fault::from)
    }
}
