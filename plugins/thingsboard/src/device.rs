//! The device's end, for the simulated device and for tests: a client that keeps to the protocol, as far as it was written down.

use packhorse_codec::json::ObjectWriter;
use packhorse_codec::{
    Command, DecodeOut, Device, Digest, EncodeOut, Event, Fault, Hello, Incoming, Length, More, Offer, Outcome, Phase,
    Reader, Refuse, Tag, Text, Transfer, Verdict, Want, Writer,
};

use crate::announcement::{Announcement, Heard, exact, read};
use crate::describe::{
    ATTRIBUTES, ATTRIBUTES_REQUEST, ATTRIBUTES_RESPONSE, FW_ERROR, FW_RESPONSE, Kind, RPC_RESPONSE, SW_ERROR,
    SW_RESPONSE, TELEMETRY,
};
use crate::pending::{Asked, Pending};
use crate::request::{Request, id};
use crate::telemetry::{Report, State};

/// The device side of one session.
#[derive(Debug)]
pub struct ThingsboardDevice {
    kind: Kind,
    packet_size: u32,
    /// What runs: title and version, at first those that Python's client begins with.
    installed: (String, String),
    offered: Option<Offered>,
    stage: Stage,
    /// One for each download.
    request_id: u32,
    /// Of the next request for attributes.
    next_ask: u32,
    pending: Pending,
}

/// What tells one offer from another.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Offered {
    title: String,
    version: String,
    size: Option<u64>,
    digest: Vec<u8>,
}

/// How far the reports of a download are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// No download was begun.
    Idle,
    Downloading,
    /// Its end was reported.
    Told,
}

impl Device for ThingsboardDevice {
    fn open(transfer: Transfer) -> Result<Self, Text> {
        let mut session = Self {
            kind: Kind::of(&transfer),
            packet_size: transfer.packet_size,
            installed: ("Initial".into(), "v0".into()),
            offered: None,
            stage: Stage::Idle,
            request_id: 0,
            next_ask: 1,
            pending: Pending::default(),
        };
        if !transfer.saved.is_empty() {
            session.restore(&transfer.saved).map_err(|_| Text::new("saved", "of another version of this codec"))?;
        }
        Ok(session)
    }

    fn decode(&mut self, message: Incoming, out: &mut DecodeOut<Command>) -> Result<(), Fault> {
        match message.route {
            ATTRIBUTES => self.attributes(0, &message.payload, out),
            ATTRIBUTES_RESPONSE => {
                let tag = self.pending.asked(id(message.more.as_ref())?);
                self.attributes(tag, &message.payload, out)
            }
            route if route == self.kind.response() => self.chunk(message, out),
            route if route == self.kind.error() => {
                let code = String::from_utf8_lossy(&message.payload).into_owned();
                let tag = self.pending.give_up();
                out.push(Command::Refuse(Refuse { tag, text: Text::new(code, "") }));
                Ok(())
            }
            FW_RESPONSE | SW_RESPONSE | FW_ERROR | SW_ERROR | RPC_RESPONSE => Err(Fault::NotMine),
            route => Err(Fault::malformed(format!("route {route} does not lead to the device"))),
        }
    }

    fn encode(&mut self, event: Event, out: &mut EncodeOut) -> Result<(), Fault> {
        match event {
            Event::Hello(hello) => self.hello(&hello, out),
            Event::AskOffer(tag) => self.ask(tag, out),
            Event::Want(want) => return self.want(&want, out),
            Event::Progress(progress) if progress.phase != Phase::Offered => {
                self.report(State::Working(progress.phase), "", out);
            }
            Event::Outcome(outcome) | Event::Retrying(outcome) => self.outcome(&outcome, out),
            Event::Cancel(text) => self.outcome(&Outcome { verdict: Verdict::Cancelled, text }, out),
            Event::Progress(_)
            | Event::StartUpload(_)
            | Event::Data(_)
            | Event::Ack(_)
            | Event::AckThrough(_)
            | Event::Missing(_)
            | Event::Finish(_)
            | Event::Pause(_) => return Err(Fault::Unsupported),
        }
        Ok(())
    }

    fn save(&self) -> Vec<u8> {
        if self.offered.is_none() && self.request_id == 0 && self.next_ask == 1 {
            return Vec::new();
        }
        let mut state = Writer::with_capacity(256);
        state.u8(VERSION);
        state.u32_be(self.request_id);
        state.u32_be(self.next_ask);
        state.u8(self.stage as u8);
        let (title, version) = &self.installed;
        [title, version].into_iter().for_each(|text| write(text.as_bytes(), &mut state));
        state.u8(self.offered.is_some().into());
        if let Some(offered) = &self.offered {
            [&offered.title, &offered.version].into_iter().for_each(|text| write(text.as_bytes(), &mut state));
            state.u64_be(offered.size.unwrap_or(u64::MAX));
            write(&offered.digest, &mut state);
        }
        self.pending.write(&mut state);
        state.finish()
    }
}

/// Of what `save` gives.
const VERSION: u8 = 1;

impl ThingsboardDevice {
    fn restore(&mut self, saved: &[u8]) -> Result<(), Fault> {
        let mut state = Reader::new(saved);
        if state.u8("version")? != VERSION {
            return Err(Fault::Unsupported);
        }
        (self.request_id, self.next_ask) = (state.u32_be("request id")?, state.u32_be("request id")?);
        let stage = state.u8("stage")?;
        let known = [Stage::Idle, Stage::Downloading, Stage::Told].into_iter();
        self.stage = known.into_iter().find(|known| *known as u8 == stage).ok_or(Fault::Unsupported)?;
        self.installed = (text(&mut state)?, text(&mut state)?);
        if state.u8("offered")? == 1 {
            let (title, version) = (text(&mut state)?, text(&mut state)?);
            let size = Some(state.u64_be("size")?).filter(|size| *size != u64::MAX);
            let digest = state.prefixed_u8("digest")?.to_vec();
            self.offered = Some(Offered { title, version, size, digest });
        }
        self.pending = Pending::read(&mut state)?;
        Ok(())
    }

    fn attributes(&mut self, tag: Tag, payload: &[u8], out: &mut DecodeOut<Command>) -> Result<(), Fault> {
        match read(self.kind, payload)? {
            Heard::Offered(announcement) => {
                self.learn(&announcement);
                let url = announcement.url.clone();
                out.push(Command::Offer(Offer { tag, file: announcement.file(), url }));
                Ok(())
            }
            Heard::Withdrawn => {
                self.offered = None;
                self.pending.give_up();
                out.push(Command::Cancel(Text::new("deleted", "the attributes that offered the file were deleted")));
                Ok(())
            }
            // The answer to our own question may well be that there is nothing.
            Heard::Nothing if tag != 0 => Ok(()),
            Heard::Nothing => Err(Fault::NotMine),
        }
    }

    /// Another file begins another download; the same one again changes nothing.
    fn learn(&mut self, announcement: &Announcement) {
        let offered = Offered {
            title: clipped(&announcement.title),
            version: clipped(&announcement.version),
            size: announcement.size,
            digest: announcement.checksum.as_ref().map(|Digest { value, .. }| value.clone()).unwrap_or_default(),
        };
        if self.offered.as_ref() != Some(&offered) {
            self.offered = Some(offered);
            self.stage = Stage::Idle;
            self.pending.give_up();
        }
    }

    /// An answer that was not waited for is one that the network doubled, or of an earlier download.
    fn chunk(&mut self, message: Incoming, out: &mut DecodeOut<Command>) -> Result<(), Fault> {
        let request = Request::read(message.more.as_ref())?;
        let asked = self.pending.wanted(request.chunk).filter(|_| request.id == self.request_id);
        let asked = asked.ok_or(Fault::NotMine)?;
        out.push(Command::Chunk(asked.piece(message.payload, self.size())?));
        self.pending.settle(request.chunk);
        Ok(())
    }

    fn size(&self) -> Option<u64> {
        self.offered.as_ref().and_then(|offered| offered.size)
    }

    fn ask(&mut self, tag: Tag, out: &mut EncodeOut) {
        let keys = ["checksum", "checksum_algorithm", "size", "tag", "title", "url", "version"];
        let mut request = ObjectWriter::with_capacity(120);
        request.string("sharedKeys", &keys.map(|key| self.kind.key(key)).join(","));
        let more = More::captures([self.next_ask.to_string()]);
        out.send_with(ATTRIBUTES_REQUEST, exact(request.finish()), more);
        self.pending.ask(self.next_ask, tag);
        self.next_ask = self.next_ask % REQUEST_MAX + 1;
    }

    fn want(&mut self, want: &Want, out: &mut EncodeOut) -> Result<(), Fault> {
        let asked = Asked::of(want, self.packet_size, self.size())?;
        // Past the end nothing is downloaded, so that nothing begins.
        let begins = self.size().is_none_or(|size| want.span.start < size || size == 0);
        if begins && self.stage != Stage::Downloading {
            self.stage = Stage::Downloading;
            self.request_id = self.request_id % REQUEST_MAX + 1;
            self.pending.give_up();
            self.report(State::Working(Phase::Downloading), "", out);
        }
        let request = Request { id: self.request_id, chunk: asked.chunk };
        out.send_with(self.kind.request(), asked.size.to_string().into_bytes(), request.more());
        self.pending.want(asked);
        Ok(())
    }

    fn hello(&self, hello: &Hello, out: &mut EncodeOut) {
        let (title, version) = &self.installed;
        let or = |said: &String, known: &String| if said.is_empty() { known.clone() } else { said.clone() };
        let (title, version) = (or(&hello.title, title), or(&hello.version, version));
        let report = Report { title, version, state: Some(State::Idle), error: String::new() };
        out.send(TELEMETRY, report.message(self.kind));
    }

    fn report(&self, state: State, error: &str, out: &mut EncodeOut) {
        let (title, version) = self.installed.clone();
        let report = Report { title, version, state: Some(state), error: error.to_owned() };
        out.send(TELEMETRY, report.message(self.kind));
    }

    /// The states between the last byte and the end, once for each download, and how it ended.
    fn outcome(&mut self, outcome: &Outcome, out: &mut EncodeOut) {
        let good = outcome.verdict == Verdict::Good;
        let whole = good || outcome.verdict == Verdict::BadDigest;
        let between = [(whole, Phase::Downloaded), (good, Phase::Verified), (good, Phase::Installing)];
        for (_, phase) in between.into_iter().filter(|(said, _)| *said && self.stage == Stage::Downloading) {
            self.report(State::Working(phase), "", out);
        }
        self.stage = Stage::Told;
        if let Some(offered) = self.offered.as_ref().filter(|_| good) {
            self.installed = (offered.title.clone(), offered.version.clone());
        }
        match good {
            true => self.report(State::Updated, "", out),
            false => self.report(State::Failed, failure(outcome), out),
        }
        // As Python's client does: it asks for the offer, and the answer begins the next try.
        if matches!(outcome.verdict, Verdict::BadDigest | Verdict::BadSize | Verdict::Failed) {
            self.ask(0, out);
        }
    }
}

/// What stands in `fw_error`: the device's own words, or those of shipped clients.
fn failure(outcome: &Outcome) -> &str {
    match (outcome.verdict, outcome.text.message.as_str()) {
        (Verdict::BadDigest, _) => "Checksum verification failed!",
        (_, "") => match outcome.verdict {
            Verdict::BadSize => "wrong size",
            Verdict::Refused => "not meant for this device",
            Verdict::Cancelled => "cancelled",
            Verdict::DeviceFull => "no space left on device",
            Verdict::Good | Verdict::BadDigest | Verdict::Failed => "failed",
        },
        (_, words) => words,
    }
}

/// Request ids are numbers of 32 bits with a sign for ThingsBoard.
const REQUEST_MAX: u32 = i32::MAX as u32;

/// What is saved has one byte for its length.
fn clipped(text: &str) -> String {
    text.get(..text.floor_char_boundary(255)).unwrap_or_default().to_owned()
}

fn write(bytes: &[u8], state: &mut Writer) {
    let open = state.begin(Length::U8);
    state.slice(bytes);
    state.end(open).expect("titles are clipped to 255 bytes, digests have 64");
}

fn text(state: &mut Reader<'_>) -> Result<String, Fault> {
    Ok(clipped(&String::from_utf8_lossy(state.prefixed_u8("text")?)))
}
