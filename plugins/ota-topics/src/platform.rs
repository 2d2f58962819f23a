//! The runner's end: offers the file, counts failed downloads, and believes a success that names this offer or its digest.

use packhorse_codec::{
    Command, DecodeOut, Description, EncodeOut, Event, Fault, Finish, Incoming, Offer, Outcome, Phase, Platform,
    Progress, ReadError, Reader, Text, Transfer, Verdict, Writer,
};

use crate::attempts::{Attempts, Next};
use crate::describe::{METADATA, PROGRESS, REQUEST, RETRY, SUCCESS, VERIFY, description};
use crate::offer::{Digests, Offered};
use crate::report::Report;

/// The platform side of one transfer.
#[derive(Debug)]
pub struct OtaTopicsPlatform {
    offered: Offered,
    /// What the offer's id was made of.
    epoch: u32,
    /// The platform's attempt: the next one offers under another id, and counts from 0.
    attempt: u32,
    attempts: Attempts,
    /// What the device computed of its newest download, where that is right.
    verified: Digests,
    /// What it computed last is another file's.
    wrong: bool,
    /// It ended: nothing that is still said of this offer counts.
    closed: bool,
}

impl Platform for OtaTopicsPlatform {
    fn describe() -> Description {
        description()
    }

    fn open(transfer: Transfer) -> Result<Self, Text> {
        let mut session = Self {
            offered: Offered::of(&transfer)?,
            epoch: transfer.epoch,
            attempt: transfer.attempt,
            attempts: Attempts::default(),
            verified: Digests::default(),
            wrong: false,
            closed: false,
        };
        session.restore(&transfer.saved).map_err(|_| Text::new("saved", "of another version of this codec"))?;
        Ok(session)
    }

    fn decode(&mut self, message: Incoming, out: &mut DecodeOut<Event>) -> Result<(), Fault> {
        if !(REQUEST..=RETRY).contains(&message.route) {
            return Err(Fault::malformed(format!("route {} does not lead to the platform", message.route)));
        }
        let report = Report::read(&message.payload)?;
        if self.closed || (!report.offer.is_empty() && report.offer != self.offered.id) {
            return Err(Fault::NotMine);
        }
        match message.route {
            PROGRESS => self.progress(&report, out),
            VERIFY => self.verify(&report, out),
            SUCCESS => self.success(&report, out),
            RETRY => self.retry(&report, out),
            _ => {
                out.push(Event::AskOffer(0));
                Ok(())
            }
        }
    }

    fn encode(&mut self, command: Command, out: &mut EncodeOut) -> Result<(), Fault> {
        match command {
            Command::Offer(offer) => self.offer(&offer, out),
            Command::Cancel(_) => {
                out.send(METADATA, b"{}".to_vec());
                Ok(())
            }
            Command::Chunk(_)
            | Command::Refuse(_)
            | Command::Accept(_)
            | Command::Ack(_)
            | Command::Need(_)
            | Command::RequestUpload(_)
            | Command::Query(_)
            | Command::Outcome(_)
            | Command::Pause(_) => Err(Fault::Unsupported),
        }
    }

    fn save(&self) -> Vec<u8> {
        if self.closed {
            return Vec::new();
        }
        let mut state = Writer::with_capacity(70);
        state.u8(VERSION);
        state.u32_be(self.epoch);
        state.u32_be(self.attempt);
        self.attempts.save(&mut state);
        state.u8(self.wrong.into());
        self.verified.save(&mut state);
        state.finish()
    }
}

/// Of what `save` gives.
const VERSION: u8 = 2;

impl OtaTopicsPlatform {
    fn restore(&mut self, saved: &[u8]) -> Result<(), ReadError> {
        if saved.is_empty() {
            return Ok(());
        }
        let mut state = Reader::new(saved);
        if state.u8("version")? != VERSION {
            return state.slice("this version", usize::MAX).map(|_| ());
        }
        let (epoch, attempt) = (state.u32_be("epoch")?, state.u32_be("attempt")?);
        let attempts = Attempts::restore(&mut state)?;
        let (wrong, verified) = (state.u8("wrong")? == 1, Digests::restore(&mut state)?);
        state.end()?;
        if attempt == self.attempt {
            self.offered.id = format!("{epoch:08x}");
            (self.epoch, self.attempts, self.wrong, self.verified) = (epoch, attempts, wrong, verified);
        }
        Ok(())
    }

    fn offer(&self, offer: &Offer, out: &mut EncodeOut) -> Result<(), Fault> {
        if offer.url.is_empty() {
            let words = "devices fetch this file by its address: name it in the push's meta, as `meta: { url: … }`";
            return Err(Fault::fatal("no-url", words));
        }
        out.send(METADATA, self.offered.message(&offer.url));
        Ok(())
    }

    fn progress(&self, report: &Report, out: &mut DecodeOut<Event>) -> Result<(), Fault> {
        let size = self.offered.size;
        let done = report.bytes(size);
        out.push(Event::Progress(Progress { phase: report.phase()?, done, total: Some(size) }));
        Ok(())
    }

    fn is_wrong(&self, report: &Report) -> Option<Verdict> {
        if report.size.is_some_and(|size| size != self.offered.size) {
            return Some(Verdict::BadSize);
        }
        report.digests.contradict(&self.offered.digests).then_some(Verdict::BadDigest)
    }

    /// What the device computed. A wrong digest is a failed download, whether it says so itself or not.
    fn verify(&mut self, report: &Report, out: &mut DecodeOut<Event>) -> Result<(), Fault> {
        if let Some(verdict) = self.is_wrong(report) {
            (self.wrong, self.verified) = (true, Digests::default());
            self.failed(report, verdict, true, out);
            return Ok(());
        }
        if !report.digests.match_any(&self.offered.digests) {
            return Err(Fault::malformed("it names no digest of an algorithm that was offered"));
        }
        (self.wrong, self.verified) = (false, report.digests);
        self.attempts.verified();
        let size = self.offered.size;
        out.push(Event::Progress(Progress { phase: Phase::Verified, done: Some(size), total: Some(size) }));
        Ok(())
    }

    /// A success must name this offer, or the content; and what the device computed, now or before, must be ours.
    fn success(&mut self, report: &Report, out: &mut DecodeOut<Event>) -> Result<(), Fault> {
        let verdict = self.is_wrong(report);
        let proven = report.digests.match_any(&self.offered.digests);
        if report.offer.is_empty() && verdict.is_none() && !proven {
            return Err(Fault::malformed("it names neither the offer nor a digest, and may be about another file"));
        }
        let unsettled = Some(Verdict::BadDigest).filter(|_| self.wrong && !proven);
        if let Some(verdict) = verdict.or(unsettled) {
            let words = "the device says success, and has computed the size or digest of another file";
            self.end(verdict, Text::new("success", words), out);
            return Ok(());
        }
        let told = if proven { report.digests } else { self.verified };
        if !told.is_empty() {
            out.push(Event::Finish(Finish { tag: 0, size: report.size, digests: told.list() }));
        }
        self.end(Verdict::Good, Text::new("success", report.message.clone()), out);
        Ok(())
    }

    fn retry(&mut self, report: &Report, out: &mut DecodeOut<Event>) -> Result<(), Fault> {
        match report.verdict() {
            verdict @ (Verdict::Refused | Verdict::Cancelled) => {
                self.end(verdict, Text::new(report.reason.clone(), report.message.clone()), out);
            }
            verdict => self.failed(report, verdict, false, out),
        }
        Ok(())
    }

    fn failed(&mut self, report: &Report, verdict: Verdict, by_digest: bool, out: &mut DecodeOut<Event>) {
        let reason = match (report.reason.as_str(), verdict) {
            ("", Verdict::BadSize) => "size",
            ("", Verdict::BadDigest) => "digest",
            ("", _) => "failed",
            (reason, _) => reason,
        };
        match self.attempts.failed(report.attempt, by_digest) {
            Next::Again => {
                out.push(Event::Retrying(Outcome { verdict, text: Text::new(reason, report.message.clone()) }));
                out.push(Event::AskOffer(0));
            }
            Next::Known => out.push(Event::AskOffer(0)),
            Next::GiveUp(count) => {
                let colon = if report.message.is_empty() { "" } else { ": " };
                let words = format!("{count} downloads failed, the last one{colon}{}", report.message);
                self.end(verdict, Text::new(reason, words), out);
            }
        }
    }

    /// A sign of life goes before a verdict: without one the host takes a bad verdict for one on an earlier offer.
    fn end(&mut self, verdict: Verdict, text: Text, out: &mut DecodeOut<Event>) {
        if verdict != Verdict::Good {
            out.push(Event::Progress(Progress { phase: Phase::Offered, done: None, total: Some(self.offered.size) }));
        }
        out.push(Event::Outcome(Outcome { verdict, text }));
        self.closed = true;
    }
}
