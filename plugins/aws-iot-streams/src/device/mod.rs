//! The device's end, for the simulated device and for tests: an update agent that takes the next job, fetches its one file block by
//! block and reports how it goes. `execution` reads the job, `report` writes what the agent says of it.

mod execution;
mod report;

use packhorse_codec::{
    Chunk, Command, DecodeOut, Device, EncodeOut, Event, Fault, Incoming, More, Offer, Outcome, Phase, Reader, Refuse,
    Tag, Text, Transfer, Verdict, Want, Writer,
};

use self::execution::{Answer, Work};
use self::report::{question, update};
use crate::describe::{
    BLOCK_LEAST, BLOCK_MOST, DATA, DESCRIPTION, GET, GET_ACCEPTED, GET_REJECTED, GET_STREAM, NOTIFY_NEXT, REJECTED,
    START_NEXT, START_NEXT_ACCEPTED, START_NEXT_REJECTED, UPDATE, UPDATE_ACCEPTED, UPDATE_REJECTED, variable,
};
use crate::fields::{Fields, Format};
use crate::job::{Details, Status};
use crate::stream::Request;

/// Progress is reported once in so many blocks, as FreeRTOS' agent does.
const REPORT_EVERY: u64 = 64;

/// The device side of one session.
#[derive(Debug)]
pub struct AwsDevice {
    format: Format,
    /// Bytes of a block.
    block: u64,
    work: Option<Work>,
}

impl Device for AwsDevice {
    fn open(transfer: Transfer) -> Result<Self, Text> {
        let mut session = Self {
            format: variable(&transfer, "format").and_then(Format::named).unwrap_or(Format::Cbor),
            block: u64::from(transfer.packet_size).clamp(BLOCK_LEAST, BLOCK_MOST),
            work: None,
        };
        session.restore(&transfer.saved).map_err(|_| Text::new("saved", "of another version of this codec"))?;
        Ok(session)
    }

    fn decode(&mut self, message: Incoming, out: &mut DecodeOut<Command>) -> Result<(), Fault> {
        let captures = message.more.map(|more| more.captures).unwrap_or_default();
        let payload = message.payload.as_slice();
        match (message.route, captures.as_slice()) {
            (NOTIFY_NEXT | START_NEXT_ACCEPTED, []) | (GET_ACCEPTED, [_]) => self.next(message.route, payload, out),
            (START_NEXT_REJECTED, []) | (UPDATE_ACCEPTED | GET_REJECTED, [_]) => Ok(()),
            (UPDATE_REJECTED, [job]) => self.turned_down(job, payload, out),
            (DATA, [stream, format]) => self.data(stream, format, payload, out),
            (REJECTED, [stream, format]) => self.rejected(stream, format, payload, out),
            (DESCRIPTION, [_, _]) => Ok(()),
            (route, captures) => Err(Fault::malformed(format!(
                "route {route} with {} captures does not lead to the device",
                captures.len()
            ))),
        }
    }

    fn encode(&mut self, event: Event, out: &mut EncodeOut) -> Result<(), Fault> {
        match event {
            Event::Hello(_) => out.send_with(GET, question(0), More::captures(["$next".to_owned()])),
            Event::AskOffer(tag) => out.send(START_NEXT, question(tag)),
            Event::Want(want) => return self.want(want, out),
            Event::Progress(progress) => return self.progress(progress.phase, progress.done, out),
            Event::Outcome(outcome) => return self.outcome(&outcome, out),
            Event::Cancel(text) => {
                return self.outcome(&Outcome { verdict: Verdict::Cancelled, text }, out);
            }
            Event::StartUpload(_)
            | Event::Data(_)
            | Event::Ack(_)
            | Event::AckThrough(_)
            | Event::Missing(_)
            | Event::Finish(_)
            | Event::Retrying(_)
            | Event::Pause(_) => return Err(Fault::Unsupported),
        }
        Ok(())
    }

    fn save(&self) -> Vec<u8> {
        let Some(work) = &self.work else { return Vec::new() };
        let mut state = Writer::with_capacity(256);
        state.u8(VERSION);
        work.save(&mut state);
        state.finish()
    }
}

/// Of what `save` gives.
const VERSION: u8 = 1;

impl AwsDevice {
    fn restore(&mut self, saved: &[u8]) -> Result<(), Fault> {
        if saved.is_empty() {
            return Ok(());
        }
        let mut state = Reader::new(saved);
        if state.u8("version")? != VERSION {
            return Err(Fault::Unsupported);
        }
        self.work = Some(Work::restore(&mut state)?);
        state.end().map_err(Fault::from)
    }

    /// What is next: the job that is under way, another one, or none.
    fn next(&mut self, route: u16, payload: &[u8], out: &mut DecodeOut<Command>) -> Result<(), Fault> {
        let Answer { tag, execution } = Answer::read(payload)?;
        let Some((work, file)) = execution else {
            // Nothing is next any more although this device had not ended it: forced from above.
            if route == NOTIFY_NEXT && self.work.take().is_some_and(|work| !work.told) {
                out.push(Command::Cancel(Text::new("CANCELED", "the job is not the next one any more")));
            }
            return Ok(());
        };
        if self.work.as_ref().is_none_or(|known| known.job != work.job) {
            self.work = Some(work);
        }
        out.push(Command::Offer(Offer { tag, file, url: String::new() }));
        Ok(())
    }

    /// An update was not taken. That its job is over is news only where this device did not end it.
    fn turned_down(&mut self, job: &str, payload: &[u8], out: &mut DecodeOut<Command>) -> Result<(), Fault> {
        let fields = Fields::read(Format::Json, payload)?;
        let code = fields.text(&["code"]).unwrap_or_default();
        let over = matches!(code, "ResourceNotFound" | "InvalidStateTransition" | "TerminalStateReached");
        if over && self.work.take_if(|work| work.job == job).is_some_and(|work| !work.told) {
            out.push(Command::Cancel(Text::new(code, fields.text(&["message"]).unwrap_or_default())));
        }
        Ok(())
    }

    fn data(&self, stream: &str, format: &str, payload: &[u8], out: &mut DecodeOut<Command>) -> Result<(), Fault> {
        let work = self.work.as_ref().filter(|work| work.stream == stream).ok_or(Fault::NotMine)?;
        let format = Format::named(format).ok_or(Fault::NotMine)?;
        let fields = Fields::read(format, payload)?;
        let (tag, size) = fields.text(&["c"]).and_then(token_read).ok_or(Fault::NotMine)?;
        if fields.required("f")? != u64::from(work.file_id) {
            return Err(Fault::NotMine);
        }
        let bytes = fields.payload("p")?.into_owned();
        let length = bytes.len() as u64;
        let offset = fields.required("i")?.checked_mul(size);
        let end = offset.and_then(|offset| offset.checked_add(length)).filter(|end| *end <= work.size);
        let (Some(offset), Some(end)) = (offset, end) else {
            return Err(Fault::malformed("the block ends past the file"));
        };
        if length != fields.required("l")? || length > size || (length < size && end != work.size) {
            return Err(Fault::malformed(format!("{length} bytes are not what l says, or no whole block of {size}")));
        }
        out.push(Command::Chunk(Chunk { tag, offset, bytes, last: end == work.size }));
        Ok(())
    }

    /// A request that was damaged on its way is asked again; of others the answer would be the same.
    fn rejected(&self, stream: &str, format: &str, payload: &[u8], out: &mut DecodeOut<Command>) -> Result<(), Fault> {
        self.work.as_ref().filter(|work| work.stream == stream).ok_or(Fault::NotMine)?;
        let format = Format::named(format).ok_or(Fault::NotMine)?;
        let fields = Fields::read(format, payload)?;
        let code = fields.text(&["o", "code"]).unwrap_or_default();
        let words = fields.text(&["m", "message"]).unwrap_or_default();
        if matches!(code, "ResourceNotFound" | "VersionMismatch" | "Unauthorized" | "ETagMismatch") {
            let token = fields.text(&["c", "clientToken"]).and_then(token_read);
            let tag = token.map_or(0, |(tag, _)| tag);
            out.push(Command::Refuse(Refuse { tag, text: Text::new(code, words) }));
        }
        Ok(())
    }

    fn want(&mut self, want: Want, out: &mut EncodeOut) -> Result<(), Fault> {
        // After a restart the job is forgotten, and asked for before anything else.
        let Some(work) = &mut self.work else {
            out.send(START_NEXT, question(0));
            return Ok(());
        };
        let limit = if want.limit == 0 { self.block } else { want.limit.into() };
        let size = limit.clamp(BLOCK_LEAST, BLOCK_MOST);
        let first = want.span.start / size;
        let total = work.size.div_ceil(size);
        if !std::mem::replace(&mut work.started, true) || (first > 0 && first.is_multiple_of(REPORT_EVERY)) {
            let details = Details::new(&[("receive", &format!("{first}/{total}"))]);
            send(&work.job, Status::InProgress, &details, out);
        }
        let count = want.span.end.min(work.size).div_ceil(size).saturating_sub(first);
        let token = token(want.tag, size);
        let request =
            Request { token: &token, file_id: work.file_id, size, first, count: count.clamp(1, BLOCK_MOST / size) };
        let captures = More::captures([work.stream.clone(), self.format.name().to_owned()]);
        out.send_with(GET_STREAM, request.write(self.format), captures);
        Ok(())
    }

    fn progress(&self, phase: Phase, done: Option<u64>, out: &mut EncodeOut) -> Result<(), Fault> {
        let work = self.work.as_ref().ok_or(Fault::Unsupported)?;
        let details = match phase {
            Phase::Offered => Details::default(),
            Phase::Downloading | Phase::Downloaded => {
                let total = work.size.div_ceil(self.block);
                let done = done.filter(|_| phase == Phase::Downloading).map_or(total, |done| done / self.block);
                Details::new(&[("receive", &format!("{}/{total}", done.min(total)))])
            }
            Phase::Verified | Phase::Installing | Phase::Rebooting => Details::new(&[("self_test", "ready")]),
            Phase::SelfTest => Details::new(&[("self_test", "active")]),
        };
        send(&work.job, Status::InProgress, &details, out);
        Ok(())
    }

    /// The self-test around the restart is reported once, how it ended as often as it is said.
    fn outcome(&mut self, outcome: &Outcome, out: &mut EncodeOut) -> Result<(), Fault> {
        let Some(work) = &mut self.work else {
            out.send(START_NEXT, question(0));
            return Ok(());
        };
        let told = std::mem::replace(&mut work.told, true);
        let words = outcome.text.message.as_str();
        let or = |fallback: &'static str| if words.is_empty() { fallback } else { words };
        let (status, reason) = match outcome.verdict {
            Verdict::Good => (Status::Succeeded, or("accepted")),
            Verdict::Refused => (Status::Rejected, or("rejected")),
            Verdict::BadDigest | Verdict::BadSize => (Status::Failed, "signature check failed"),
            Verdict::Cancelled => (Status::Failed, "aborted"),
            Verdict::DeviceFull => (Status::Failed, "no space left on device"),
            Verdict::Failed => (Status::Failed, or("failed")),
        };
        if status == Status::Succeeded && !told {
            for stage in ["ready", "active"] {
                send(&work.job, Status::InProgress, &Details::new(&[("self_test", stage)]), out);
            }
        }
        send(&work.job, status, &Details::new(&[("reason", reason)]), out);
        Ok(())
    }
}

fn send(job: &str, status: Status, details: &Details, out: &mut EncodeOut) {
    out.send_with(UPDATE, update(status, details), More::captures([job.to_owned()]));
}

/// The size of a block is not in its message, so that it stands in the token: `tag-size`, in hexadecimal digits.
fn token(tag: Tag, size: u64) -> String {
    format!("{tag:x}-{size:x}")
}

fn token_read(token: &str) -> Option<(Tag, u64)> {
    let (tag, size) = token.split_once('-')?;
    let size = u64::from_str_radix(size, 16).ok().filter(|size| (BLOCK_LEAST..=BLOCK_MOST).contains(size))?;
    Some((Tag::from_str_radix(tag, 16).ok()?, size))
}
