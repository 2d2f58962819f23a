//! The device's end, for the simulated device and for tests: says how the download fares that others carry out.

use packhorse_codec::{
    Command, DecodeOut, Device, EncodeOut, Event, Fault, Finish, Hello, Incoming, Length, Offer, Outcome, Progress,
    ReadError, Reader, Tag, Text, Transfer, Verdict, Writer,
};

use crate::describe::{METADATA, PROGRESS, REQUEST, RETRY, SUCCESS, VERIFY};
use crate::offer::{Digests, Offered};
use crate::report::{Report, phase_name, reason_name};

/// The device side of one session.
#[derive(Debug, Default)]
pub struct OtaTopicsDevice {
    offered: Option<Offered>,
    /// Which download of it, from 1 on.
    attempt: u64,
    /// This download failed, and the platform heard of it: what it offers next begins another.
    failed: bool,
    /// Of a question for the offer that is not answered yet.
    asked: Tag,
}

impl Device for OtaTopicsDevice {
    fn open(transfer: Transfer) -> Result<Self, Text> {
        let mut session = Self::default();
        session.restore(&transfer.saved).map_err(|_| Text::new("saved", "of another version of this codec"))?;
        Ok(session)
    }

    fn decode(&mut self, message: Incoming, out: &mut DecodeOut<Command>) -> Result<(), Fault> {
        if message.route != METADATA {
            return Err(Fault::malformed(format!("route {} does not lead to the device", message.route)));
        }
        let Some(offered) = Offered::read(&message.payload)? else {
            self.offered = None;
            out.push(Command::Cancel(Text::new("", "nothing is offered any more")));
            return Ok(());
        };
        self.learn(&offered);
        let tag = std::mem::take(&mut self.asked);
        out.push(Command::Offer(Offer { tag, file: offered.file(), url: offered.url }));
        Ok(())
    }

    fn encode(&mut self, event: Event, out: &mut EncodeOut) -> Result<(), Fault> {
        match event {
            Event::AskOffer(tag) => self.ask(tag, String::new(), out),
            Event::Hello(Hello { tag, version, .. }) => self.ask(tag, version, out),
            // No bytes go over these topics: it does not know where the file lies, and asks.
            Event::Want(_) => self.ask(0, String::new(), out),
            Event::Progress(progress) => return self.progress(&progress, out),
            Event::Finish(finish) => return self.finish(finish, out),
            Event::Outcome(outcome) | Event::Retrying(outcome) => self.outcome(&outcome, out),
            Event::Cancel(text) => self.outcome(&Outcome { verdict: Verdict::Cancelled, text }, out),
            Event::StartUpload(_)
            | Event::Data(_)
            | Event::Ack(_)
            | Event::AckThrough(_)
            | Event::Missing(_)
            | Event::Pause(_) => return Err(Fault::Unsupported),
        }
        Ok(())
    }

    fn save(&self) -> Vec<u8> {
        let Some(offered) = &self.offered else { return Vec::new() };
        let mut state = Writer::with_capacity(256);
        state.u8(VERSION);
        state.u64_be(self.attempt);
        state.u8(self.failed.into());
        state.u64_be(self.asked);
        state.u64_be(offered.size);
        offered.digests.save(&mut state);
        for text in [&offered.id, &offered.version] {
            let open = state.begin(Length::U8);
            state.slice(text.get(..text.floor_char_boundary(255)).unwrap_or_default().as_bytes());
            state.end(open).expect("it was cut to 255 bytes");
        }
        state.finish()
    }
}

/// Of what `save` gives.
const VERSION: u8 = 1;

impl OtaTopicsDevice {
    fn restore(&mut self, saved: &[u8]) -> Result<(), ReadError> {
        if saved.is_empty() {
            return Ok(());
        }
        let mut state = Reader::new(saved);
        if state.u8("version")? != VERSION {
            return state.slice("this version", usize::MAX).map(|_| ());
        }
        self.attempt = state.u64_be("attempt")?;
        self.failed = state.u8("failed")? == 1;
        self.asked = state.u64_be("tag")?;
        let (size, digests) = (state.u64_be("size")?, Digests::restore(&mut state)?);
        let mut text = |what| Ok(String::from_utf8_lossy(state.prefixed_u8(what)?).into_owned());
        let (id, version) = (text("offer")?, text("version")?);
        // Name and address are of no use here any more: they came with the offer, and come again with the next.
        self.offered = Some(Offered { id, version, size, digests, ..Offered::default() });
        state.end()
    }

    /// Another offer begins at its first download, the same one after a failure at the next.
    fn learn(&mut self, offered: &Offered) {
        if self.offered.as_ref().is_some_and(|known| known.repeats(offered)) {
            self.attempt = self.attempt.saturating_add(self.failed.into());
        } else {
            self.attempt = 1;
        }
        self.failed = false;
        self.offered = Some(offered.clone());
    }

    fn ask(&mut self, tag: Tag, version: String, out: &mut EncodeOut) {
        self.asked = tag;
        out.send(REQUEST, Report { version, ..Report::default() }.message());
    }

    fn about(&self) -> Report {
        let offer = self.offered.as_ref().map(|offered| offered.id.clone()).unwrap_or_default();
        Report { offer, attempt: Some(self.attempt).filter(|attempt| *attempt > 0), ..Report::default() }
    }

    fn progress(&self, progress: &Progress, out: &mut EncodeOut) -> Result<(), Fault> {
        let phase = phase_name(progress.phase).ok_or(Fault::Unsupported)?.to_owned();
        let Report { offer, attempt, .. } = self.about();
        out.send(PROGRESS, Report { offer, attempt, phase, done: progress.done, ..Report::default() }.message());
        Ok(())
    }

    /// What it computed; an answer to a question has no place here.
    fn finish(&self, finish: Finish, out: &mut EncodeOut) -> Result<(), Fault> {
        let file = packhorse_codec::File { digests: finish.digests, ..packhorse_codec::File::unknown() };
        let digests = Digests::of(&file);
        if digests.is_empty() {
            return Err(Fault::Unsupported);
        }
        out.send(VERIFY, Report { size: finish.size, digests, ..self.about() }.message());
        Ok(())
    }

    /// A good file is verified and then reported: it has the digests that were offered, or it would not be good.
    fn outcome(&mut self, outcome: &Outcome, out: &mut EncodeOut) {
        let Outcome { verdict, text } = outcome;
        if *verdict != Verdict::Good {
            self.failed = true;
            let code = Some(text.code.clone()).filter(|code| !code.is_empty() && *verdict == Verdict::Failed);
            let reason = code.unwrap_or_else(|| reason_name(*verdict).to_owned());
            out.send(RETRY, Report { reason, message: text.message.clone(), ..self.about() }.message());
            return;
        }
        let known = self.offered.as_ref().map(|offered| (offered.size, offered.digests, offered.version.clone()));
        let Some((size, digests, version)) = known else { return };
        out.send(VERIFY, Report { size: Some(size), digests, ..self.about() }.message());
        out.send(SUCCESS, Report { version, digests, ..self.about() }.message());
    }
}
