//! Pulls: device-push, where the device sends and we acknowledge, and platform-pull, where we ask for ranges.
//!
//! * `data`: bytes that arrive, and what is known of the file.
//! * `ask`: requests of a platform-pull, holes of a device-push, and what wakes a silent device.
//! * `end`: when everything is here, and whether it is good.

mod ask;
mod data;
mod end;

use std::collections::VecDeque;

use super::action::CommandKind;
use super::checkpoint::Checkpoint;
use super::failure::verdict_failure;
use super::flight::Flight;
use super::intervals::Intervals;
use super::line::Line;
use super::plan::Plan;
use super::progress::{WaitReason, Waiting, grouped};
use super::rtt::Rtt;
use super::time::{Micros, Time};
use super::timers::Timer;
use super::words::{Acks, Command, Digest, Driver, Event, Finish, Receipt, Span, Tag};
use end::Stage;

/// The state of a pull.
#[derive(Debug)]
pub(super) struct Receive {
    /// Platform-pull; else device-push.
    by_request: bool,
    /// The device hears of what is durable.
    acknowledges: bool,
    packet: u64,
    align: u64,
    grid: bool,
    window: usize,
    size_limit: u64,
    size: Option<u64>,
    /// The lowest offset from which the device had nothing to give.
    nothing_from: Option<u64>,
    name: String,
    told: Vec<Digest>,
    /// Of what is in the spool, once it is whole.
    own: Vec<Digest>,
    upload_id: String,
    /// By what the device names its upload; empty where its protocol does not.
    resume_key: String,
    /// Durable.
    done: Intervals,
    /// Durable, or handed out to be written.
    taken: Intervals,
    /// Taken, or asked for.
    asked: Intervals,
    receipts: VecDeque<(Tag, Span)>,
    flight: Flight,
    rtt: Rtt,
    answered: bool,
    probe_due: bool,
    /// A device-push went quiet with holes: they are asked for.
    hunting: bool,
    /// The device has begun to send.
    begun: bool,
    /// It said that everything was sent.
    closed: bool,
    last_data: Time,
    last_asked: Time,
    nudges: u32,
    bad_in_row: u32,
    changes: u32,
    last_start: Tag,
    starts: u32,
    stage: Stage,
}

impl Receive {
    pub(super) fn new(plan: &Plan, checkpoint: Option<&Checkpoint>, line: &mut Line, now: Time) -> Self {
        let by_request = plan.mode.driver == Driver::PlatformPull;
        let kept = checkpoint.filter(|_| plan.mode.grid).map(|checkpoint| checkpoint.packet_size);
        let packet = u64::from(kept.unwrap_or(plan.packet_size));
        let done = checkpoint.map(|checkpoint| checkpoint.done.clone()).unwrap_or_default();
        let upload_id = checkpoint.map(|checkpoint| checkpoint.upload_id.clone()).filter(|id| !id.is_empty());
        let mut receive = Self {
            by_request,
            acknowledges: !by_request || plan.mode.acks == Acks::Message,
            packet,
            align: if plan.mode.grid { packet } else { u64::from(plan.mode.packet_align.max(1)) },
            grid: plan.mode.grid,
            window: plan.effective_window(),
            size_limit: plan.size_limit(),
            size: checkpoint.and_then(|checkpoint| checkpoint.size),
            nothing_from: None,
            name: checkpoint.map(|checkpoint| checkpoint.name.clone()).unwrap_or_default(),
            told: checkpoint.map(|checkpoint| checkpoint.digests.clone()).unwrap_or_default(),
            own: Vec::new(),
            upload_id: upload_id.unwrap_or_else(|| format!("{:08x}{:08x}", scatter(plan.seed), plan.epoch)),
            resume_key: checkpoint.map(|checkpoint| checkpoint.resume_key.clone()).unwrap_or_default(),
            taken: done.clone(),
            asked: done.clone(),
            done,
            receipts: VecDeque::new(),
            flight: Flight::default(),
            rtt: Rtt::default(),
            answered: false,
            probe_due: false,
            hunting: false,
            begun: false,
            closed: false,
            last_data: now,
            last_asked: now,
            nudges: 0,
            bad_in_row: 0,
            changes: 0,
            last_start: 0,
            starts: 0,
            stage: Stage::Receiving,
        };
        if !by_request && !receive.is_whole() {
            receive.request_upload(line, now);
        }
        receive
    }

    pub(super) fn handle(&mut self, event: Event, line: &mut Line, now: Time) {
        match event {
            Event::Data(data) => self.data(data, line, now),
            Event::StartUpload(start) => self.start(start, line, now),
            Event::Finish(finish) => self.finished(finish, line, now),
            Event::Outcome(outcome) => {
                if let Some(failure) = verdict_failure(&line.device, &outcome) {
                    line.fail(failure);
                }
            }
            Event::Hello(_) => self.hello(line, now),
            Event::Progress(_) | Event::Retrying(_) | Event::Cancel(_) | Event::Pause(_) => {}
            Event::AskOffer(_) | Event::Want(_) | Event::Ack(_) | Event::AckThrough(_) | Event::Missing(_) => {
                line.implausible("the device speaks as if it were to receive a file; this is a pull");
            }
        }
    }

    /// The device sent everything, or answers; it may tell size and digests only now.
    fn finished(&mut self, finish: Finish, line: &mut Line, now: Time) {
        if let Some(size) = finish.size {
            self.learn_size(size, line);
        }
        for digest in finish.digests {
            if !digest.value.is_empty() && !self.told.contains(&digest) {
                self.told.push(digest);
            }
        }
        self.closed = true;
        if !line.running() {
            return;
        }
        if self.stage != Stage::Receiving {
            self.repeat_end(line, now);
        } else if !self.all_taken() {
            self.hunt(line);
        }
    }

    pub(super) fn settle(&mut self, line: &mut Line, now: Time) {
        line.returned = false;
        self.flight.settle(&mut self.rtt);
        self.lose(now);
        self.settle_size(line);
        self.end(line, now);
        line.traffic.payload_bytes = self.done.covered();
    }

    /// Bytes reached the disk: now they may be acknowledged.
    pub(super) fn durable(&mut self, spans: &[Span], line: &mut Line) {
        for span in spans {
            let parts: Vec<Span> = self.taken.parts(*span).collect();
            for part in parts {
                if self.done.insert(part) > 0 {
                    line.progress();
                }
            }
        }
        let done = &self.done;
        self.receipts.retain(|(tag, span)| {
            let durable = done.contains(*span);
            if durable {
                line.say(Command::Ack(Receipt { tag: *tag, span: *span, good: true }));
            }
            !durable
        });
    }

    pub(super) fn vital(&self) -> Option<CommandKind> {
        self.by_request.then_some(CommandKind::Need)
    }

    pub(super) fn cannot_need(&mut self) {
        self.stop_hunting();
    }

    pub(super) fn cannot_ack(&mut self) {
        self.acknowledges = false;
        self.receipts.clear();
    }

    pub(super) fn handle_timeout(&mut self, line: &mut Line, now: Time) {
        if line.timers.due(Timer::Probe, now) {
            self.probe_timer(line, now);
        }
        if line.timers.due(Timer::Quiet, now) {
            line.backoff += 1;
            self.nudge(line, now);
        }
        self.linger(line, now);
    }

    pub(super) fn waiting(&self, line: &Line, now: Time) -> Option<Waiting> {
        if self.stage == Stage::Digesting {
            let text = "every byte is here; its digests are being computed".to_owned();
            return Some(Waiting { reason: WaitReason::Digest, since: self.last_data, text });
        }
        if self.by_request || self.stage != Stage::Receiving {
            return None;
        }
        let (since, text) = if self.begun {
            let text = format!("waits for the device to send on; {} bytes are here", grouped(self.done.covered()));
            (self.last_data, text)
        } else {
            (line.began, "asked the device to begin sending".to_owned())
        };
        (now.since(since) >= Micros::from_secs(1)).then_some(Waiting { reason: WaitReason::DeviceTurn, since, text })
    }

    pub(super) fn silent_text(&self) -> String {
        match self.size {
            Some(size) => format!("silent since byte {} of {} of our pull", grouped(self.done.prefix()), grouped(size)),
            None => format!("silent since byte {} of our pull", grouped(self.done.prefix())),
        }
    }

    pub(super) fn done(&self) -> &Intervals {
        &self.done
    }

    pub(super) fn size(&self) -> Option<u64> {
        self.size
    }

    pub(super) fn in_flight(&self) -> usize {
        self.flight.len()
    }

    pub(super) fn srtt(&self) -> Option<Micros> {
        self.rtt.smoothed()
    }

    pub(super) fn fill(&self, checkpoint: &mut Checkpoint) {
        checkpoint.done = self.done.clone();
        checkpoint.size = self.size;
        checkpoint.packet_size = u32::try_from(self.packet).unwrap_or(u32::MAX);
        checkpoint.name.clone_from(&self.name);
        checkpoint.digests.clone_from(&self.told);
        checkpoint.upload_id.clone_from(&self.upload_id);
        checkpoint.resume_key.clone_from(&self.resume_key);
    }
}

/// Spreads a seed over 32 bits (splitmix64).
fn scatter(seed: u64) -> u32 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 32) as u32
}
