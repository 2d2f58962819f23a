//! The runner's end: offers the file, answers each request once, reads how it goes from telemetry.

use packhorse_codec::json::{ObjectWriter, Value, members};
use packhorse_codec::{
    Chunk, Command, DecodeOut, Description, EncodeOut, Event, Fault, Hello, Incoming, More, Offer, Outcome, Platform,
    Progress, Reader, Refuse, Span, Tag, Text, Transfer, Verdict, Want, Writer,
};

use crate::announcement::{Announcement, exact};
use crate::describe::{
    ANSWER_MAX, ATTRIBUTES, ATTRIBUTES_REQUEST, ATTRIBUTES_RESPONSE, FW_REQUEST, Kind, RPC_REQUEST, RPC_RESPONSE,
    SW_REQUEST, TELEMETRY, description,
};
use crate::request::{Request, id};
use crate::sizes::Sizes;
use crate::telemetry::{self, Report, State};

/// The platform side of one transfer.
#[derive(Debug)]
pub struct ThingsboardPlatform {
    kind: Kind,
    announcement: Announcement,
    size: u64,
    sizes: Sizes,
    running: Running,
}

/// What the device said last of itself: some say `UPDATED` of what they have run for years, at every start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Running {
    /// Nothing yet.
    Unknown,
    /// That it runs something else.
    Other,
    /// That an update is under way.
    Working,
}

impl Platform for ThingsboardPlatform {
    fn describe() -> Description {
        description()
    }

    fn open(transfer: Transfer) -> Result<Self, Text> {
        let announcement = Announcement::of(&transfer)?;
        let mut session = Self {
            kind: Kind::of(&transfer),
            size: announcement.size.unwrap_or_default(),
            announcement,
            sizes: Sizes::default(),
            running: Running::Unknown,
        };
        session.restore(&transfer.saved).map_err(|_| Text::new("saved", "of another version of this codec"))?;
        Ok(session)
    }

    fn decode(&mut self, message: Incoming, out: &mut DecodeOut<Event>) -> Result<(), Fault> {
        match message.route {
            ATTRIBUTES_REQUEST => self.asked(&message, out),
            TELEMETRY => self.reported(&message.payload, out),
            RPC_REQUEST => limits(message, out),
            route if route == self.kind.request() => self.wanted(&message, out),
            FW_REQUEST | SW_REQUEST => Err(Fault::NotMine),
            route => Err(Fault::malformed(format!("route {route} does not lead to the platform"))),
        }
    }

    fn encode(&mut self, command: Command, out: &mut EncodeOut) -> Result<(), Fault> {
        match command {
            Command::Offer(offer) => self.offer(&offer, out),
            Command::Chunk(chunk) => self.chunk(chunk, out),
            Command::Refuse(refuse) => self.refuse(&refuse, out),
            Command::Accept(_)
            | Command::Ack(_)
            | Command::Need(_)
            | Command::RequestUpload(_)
            | Command::Query(_)
            | Command::Outcome(_)
            | Command::Cancel(_)
            | Command::Pause(_) => Err(Fault::Unsupported),
        }
    }

    fn save(&self) -> Vec<u8> {
        if self.sizes.is_empty() && self.running == Running::Unknown {
            return Vec::new();
        }
        let mut state = Writer::with_capacity(64);
        state.u8(VERSION);
        state.u8(self.running as u8);
        self.sizes.write(&mut state);
        state.finish()
    }
}

/// Of what `save` gives.
const VERSION: u8 = 1;

impl ThingsboardPlatform {
    fn restore(&mut self, saved: &[u8]) -> Result<(), Fault> {
        if saved.is_empty() {
            return Ok(());
        }
        let mut state = Reader::new(saved);
        let (version, running) = (state.u8("version")?, state.u8("running")?);
        let known = [Running::Unknown, Running::Other, Running::Working].into_iter();
        let running = known.into_iter().find(|known| *known as u8 == running && version == VERSION);
        self.running = running.ok_or(Fault::Unsupported)?;
        self.sizes = Sizes::read(&mut state)?;
        Ok(())
    }

    fn offer(&self, offer: &Offer, out: &mut EncodeOut) -> Result<(), Fault> {
        match offer.tag.checked_sub(ASKED) {
            None => out.send(ATTRIBUTES, self.announcement.message(self.kind, &offer.url)),
            Some(id) => {
                let answer = self.announcement.answer(self.kind, &offer.url);
                out.send_with(ATTRIBUTES_RESPONSE, answer, More::captures([id.to_string()]));
            }
        }
        Ok(())
    }

    fn chunk(&self, chunk: Chunk, out: &mut EncodeOut) -> Result<(), Fault> {
        let request = Request::of(chunk.tag).ok_or_else(|| Fault::malformed("a piece that no request asked for"))?;
        out.send_with(self.kind.response(), chunk.bytes, request.more());
        Ok(())
    }

    /// The error topic; a ThingsBoard server closes the connection after it.
    fn refuse(&self, refuse: &Refuse, out: &mut EncodeOut) -> Result<(), Fault> {
        let Text { code, message } = &refuse.text;
        let words = if code.is_empty() { message } else { code };
        if words.is_empty() {
            return Err(Fault::Unsupported);
        }
        out.send(self.kind.error(), words.clone().into_bytes());
        Ok(())
    }

    /// A request for attributes: ours when it names a key of ours, or no key at all.
    fn asked(&self, message: &Incoming, out: &mut DecodeOut<Event>) -> Result<(), Fault> {
        let id = id(message.more.as_ref())?;
        let payload = message.payload.trim_ascii();
        if !payload.is_empty() && !names_ours(self.kind, payload)? {
            return Err(Fault::NotMine);
        }
        out.push(Event::AskOffer(ASKED + Tag::from(id)));
        Ok(())
    }

    /// A chunk of `size` bytes begins at `chunk * size`. Without a size the last one of the request id counts, and without that the
    /// whole file is chunk 0 and all others are past its end.
    fn wanted(&mut self, message: &Incoming, out: &mut DecodeOut<Event>) -> Result<(), Fault> {
        let request = Request::read(message.more.as_ref())?;
        match chunk_size(&message.payload)? {
            0 => {}
            size => self.sizes.remember(request.id, size),
        }
        let size = self.sizes.of(request.id).map_or(self.size, u64::from);
        let start = size.saturating_mul(request.chunk.into());
        let end = start.saturating_add(size).min(self.size).max(start);
        let length = end - start;
        if length > u64::from(ANSWER_MAX) {
            return Err(self.too_large(length, out));
        }
        out.push(Event::Want(Want { tag: request.tag(), span: Span::new(start, end), limit: length as u32 }));
        Ok(())
    }

    /// As the server says it; the client could only wait for ever, and would ask the same again.
    fn too_large(&self, length: u64, out: &mut DecodeOut<Event>) -> Fault {
        out.reply(self.kind.error(), TOO_LARGE.into());
        let words = format!(
            "the device asked for {length} bytes in one message, at most {ANSWER_MAX} can go: set its chunk size"
        );
        Fault::fatal(TOO_LARGE, words)
    }

    fn reported(&mut self, payload: &[u8], out: &mut DecodeOut<Event>) -> Result<(), Fault> {
        let mut mine = false;
        for report in telemetry::read(self.kind, payload)? {
            if let Some(event) = self.event(report) {
                out.push(event);
                mine = true;
            }
        }
        if mine { Ok(()) } else { Err(Fault::NotMine) }
    }

    /// While an update is under way, what runs is no greeting, though clients say it in every report: the core answers a greeting with
    /// an offer, and a client that is offered the file in the middle begins anew.
    fn event(&mut self, report: Report) -> Option<Event> {
        let ours = self.runs_ours(&report);
        match report.state {
            Some(State::Working(phase)) => {
                self.running = Running::Working;
                Some(Event::Progress(Progress { phase, done: None, total: None }))
            }
            Some(State::Failed) => Some(failure(&report)),
            Some(State::Server) => None,
            Some(State::Updated) if ours.is_none() && self.running != Running::Other => {
                Some(outcome(Verdict::Good, &report))
            }
            Some(State::Updated | State::Idle) | None => match ours? {
                true => Some(outcome(Verdict::Good, &report)),
                false => {
                    self.running = Running::Other;
                    let Report { title, version, .. } = report;
                    Some(Event::Hello(Hello { tag: 0, title, version, meta: Vec::new() }))
                }
            },
        }
    }

    /// Whether the device runs what we offer; nothing where it does not say what it runs.
    fn runs_ours(&self, report: &Report) -> Option<bool> {
        let Report { title, version, .. } = report;
        if title.is_empty() && version.is_empty() {
            return None;
        }
        let titled = title.is_empty() || *title == self.announcement.title;
        Some(titled && *version == self.announcement.version)
    }
}

/// Added to an attribute request's id: a tag of 0 says that nobody asked.
const ASKED: Tag = 1;

const TOO_LARGE: &str = "PAYLOAD_TOO_LARGE";

fn outcome(verdict: Verdict, report: &Report) -> Event {
    Event::Outcome(ended(verdict, report))
}

fn ended(verdict: Verdict, report: &Report) -> Outcome {
    let code = report.state.map_or("", State::name);
    Outcome { verdict, text: Text::new(code, report.error.clone()) }
}

/// Shipped clients begin again by themselves, unless a repetition could only end alike.
fn failure(report: &Report) -> Event {
    match report.verdict() {
        verdict @ (Verdict::Refused | Verdict::DeviceFull | Verdict::Cancelled) => outcome(verdict, report),
        verdict => Event::Retrying(ended(verdict, report)),
    }
}

/// Decimal digits, or nothing for 0; blanks, quotation marks and zero bytes around them do not count.
fn chunk_size(payload: &[u8]) -> Result<u32, Fault> {
    let around = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b'"' | 0);
    let start = payload.iter().position(|byte| !around(byte)).unwrap_or(payload.len());
    let end = payload.iter().rposition(|byte| !around(byte)).map_or(start, |last| last + 1);
    let size = payload[start..end].iter().try_fold(0u64, |size, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        Some(size.saturating_mul(10).saturating_add(digit).min(u32::MAX.into()))
    });
    let size = size.ok_or_else(|| Fault::malformed("the chunk size is not a decimal number"))?;
    Ok(size as u32)
}

/// `sharedKeys` is text with commas, or a list; where neither it nor `clientKeys` is there, everything is asked for. An answer on the
/// topic of requests is an echo.
fn names_ours(kind: Kind, payload: &[u8]) -> Result<bool, Fault> {
    let (mut named, mut others) = (false, false);
    let mut all = members(payload)?;
    while let Some((key, value)) = all.member()? {
        let shared = key.is("sharedKeys");
        others |= shared || key.is("clientKeys") || key.is("shared") || key.is("client");
        let text = value.text().filter(|_| shared).unwrap_or_default();
        named |= text.split(',').any(|name| name.trim().starts_with(kind.prefix()));
        let listed = |name: &Value<'_>| name.text().is_some_and(|name| name.trim().starts_with(kind.prefix()));
        named |= shared && value.items().flatten().any(|name| listed(&name));
    }
    Ok(named || !others)
}

/// The one procedure that shipped clients call, at connect: no limits but what the broker has. The same topic carries what a broker
/// echoes, and other procedures, which are not ours to answer.
fn limits(message: Incoming, out: &mut DecodeOut<Event>) -> Result<(), Fault> {
    let mut all = members(&message.payload)?;
    let mut asked = false;
    while let Some((key, value)) = all.member()? {
        asked |= key.is("method") && value.text().is_some_and(|method| method == "getSessionLimits");
    }
    if !asked {
        return Err(Fault::NotMine);
    }
    let id = id(message.more.as_ref())?;
    let mut answer = ObjectWriter::with_capacity(17);
    answer.raw("rateLimits", "{}");
    out.reply_with(RPC_RESPONSE, exact(answer.finish()), More::captures([id.to_string()]));
    Ok(())
}
