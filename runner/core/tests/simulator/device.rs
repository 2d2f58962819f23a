//! The device's end of a world: a `Peer`, its disk, its codec in spirit, and its lies.

use md5::{Digest as _, Md5};
use packhorse_core::transfer::peer::{AckStyle, Kept, Peer, PeerAction, PeerPlan};
use packhorse_core::transfer::{
    Algorithm, Command, Data, Digest, Event, FileInfo, Intervals, Offer, Phase, Progress, Span, Sum, Time,
};
use sha2::Sha256;

use crate::counts::Struck;
use crate::disk::Disk;
use crate::ground::{Frame, Ground, HEADER, Happening, Word};
use crate::scenario::{Offers, Scenario};
use crate::world::Violation;

/// See the file.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) peer: Peer,
    pub(crate) disk: Disk,
    /// The bytes of the file that it gives away.
    source: Vec<u8>,
    file: FileInfo,
    scenario: Scenario,
    up: bool,
    /// The newest epoch heard.
    epoch: u32,
    /// Whether its codec has told the file of this session.
    told: bool,
    said: u64,
    /// Words that will leave as one message.
    message: Vec<Event>,
    /// Bytes of file sent, each time counted.
    pub(crate) sent_bytes: u64,
    pub(crate) sent: Intervals,
    pub(crate) stored: bool,
}

impl Device {
    pub(crate) fn new(scenario: &Scenario, source: &[u8]) -> Self {
        let plan = PeerPlan {
            modes: vec![scenario.mode.clone()],
            packet_size: scenario.packet,
            window: scenario.window,
            acks: scenario.acks,
            patience: scenario.patience,
            spontaneous: scenario.spontaneous,
            asks_past_end: scenario.asks_past_end,
        };
        let mut peer = Peer::new(plan, Time(0));
        let digests = if scenario.tells_digests { digests(source) } else { Vec::new() };
        let file = FileInfo { name: "f".to_owned(), size: Some(source.len() as u64), digests, meta: Vec::new() };
        if !scenario.is_push() {
            peer.offer_file(file.clone());
            if scenario.spontaneous {
                peer.start_upload("f", Time(0));
            }
        }
        Self {
            peer,
            disk: Disk::default(),
            source: source.to_vec(),
            file,
            scenario: scenario.clone(),
            up: true,
            epoch: 0,
            told: false,
            said: 0,
            message: Vec::new(),
            sent_bytes: 0,
            sent: Intervals::default(),
            stored: false,
        }
    }

    pub(crate) fn timeout(&self) -> Option<u64> {
        self.peer.poll_timeout().filter(|_| self.up).map(|time| time.0)
    }

    pub(crate) fn handle_timeout(&mut self, ground: &mut Ground) {
        ground.counts.add(Struck::DeviceTimeout);
        self.peer.handle_timeout(Time(ground.now));
    }

    pub(crate) fn arrive(&mut self, frame: Frame<Command>, ground: &mut Ground) {
        if !self.up || !ground.reachable() {
            return;
        }
        let now = Time(ground.now);
        let command = match frame.word {
            Word::Said(command) => command,
            Word::Malformed => return,
            Word::NotMine => return ground.counts.add(Struck::NotMine),
        };
        if self.scenario.epochs && frame.epoch < self.epoch {
            return ground.counts.add(Struck::StaleEpoch);
        }
        if frame.epoch > self.epoch {
            self.epoch = frame.epoch;
            self.told = false;
        }
        if matches!(command, Command::Chunk(_)) && self.scenario.offers == Offers::Embedded && !self.told {
            self.told = true;
            let file = FileInfo { name: "f".to_owned(), ..self.file.clone() };
            self.peer.handle(Command::Offer(Offer { tag: 0, file, url: String::new() }), now);
        }
        self.peer.handle(command, now);
    }

    pub(crate) fn synced(&mut self, generation: u32, ground: &mut Ground) {
        let spans = self.disk.finish_sync(generation);
        if !spans.is_empty() {
            self.peer.handle_durable(&spans, Time(ground.now));
            self.sync(ground);
        }
    }

    /// The process dies.
    pub(crate) fn die(&mut self, away: u64, ground: &mut Ground) {
        ground.counts.add(Struck::DeviceRestart);
        self.up = false;
        self.disk.crash();
        ground.later(away, Happening::DeviceBack);
    }

    /// Its storage loses everything from some durable byte on. Never after it has called the file good.
    pub(crate) fn forget(&mut self, ground: &mut Ground) {
        if self.peer.verdict().is_some() {
            return;
        }
        ground.counts.add(Struck::DeviceForgot);
        let kept = self.peer.kept();
        let keep = ground.chance.from(0, kept.durable.prefix());
        let mut durable = Intervals::default();
        durable.insert(Span::new(0, keep));
        self.disk.forget_from(keep);
        self.peer.restart_with(Kept { durable, ..kept }, Time(ground.now));
    }

    pub(crate) fn back(&mut self, ground: &Ground) {
        if !self.up {
            self.up = true;
            self.told = false;
            self.epoch = 0;
            self.peer.restart(Time(ground.now));
        }
    }

    pub(crate) fn pause(&mut self, millis: u32) {
        if self.up {
            self.peer.pause(millis);
        }
    }

    pub(crate) fn speak(&mut self, ground: &mut Ground) {
        if self.up {
            let progress = Progress { phase: Phase::Downloading, done: None, total: None };
            ground.send_up(vec![Event::Progress(progress)], self.stamp(), HEADER);
        }
    }

    pub(crate) fn run(&mut self, ground: &mut Ground) -> Result<(), Violation> {
        while self.up {
            let Some(action) = self.peer.poll() else { break };
            self.act(action, ground)?;
        }
        self.flush(ground);
        Ok(())
    }

    fn act(&mut self, action: PeerAction, ground: &mut Ground) -> Result<(), Violation> {
        match action {
            PeerAction::Say(event) => {
                self.acks_only_what_is_durable(&event)?;
                self.word(event, ground);
            }
            PeerAction::SendData { tag, span, last } => {
                let bytes = self.source[span.start as usize..span.end as usize].to_vec();
                self.sent_bytes += span.len();
                self.sent.insert(span);
                self.flush(ground);
                self.send(Event::Data(Data { tag, offset: span.start, bytes, sum: Sum::Good, last }), ground);
            }
            PeerAction::Write { offset, bytes } => {
                self.disk.write(offset, &bytes);
                self.sync(ground);
            }
            PeerAction::Truncate => self.disk.truncate(),
            PeerAction::Digest => {
                let digests = digests(self.disk.seen());
                self.peer.handle_digests(&digests, Time(ground.now));
            }
            PeerAction::Verify { tag, .. } => {
                let seen = self.disk.seen();
                self.peer.handle_verified(tag, Some((seen.len() as u64, digests(seen))));
            }
            PeerAction::Stored(_) => self.stored = true,
        }
        Ok(())
    }

    /// Puts a word into messages as a codec would. Where one acknowledgement tells of many, all that is said at once is one
    /// message; where each piece has its own, a lower `ack-through` is an acknowledgement and a list of what is missing.
    fn word(&mut self, event: Event, ground: &mut Ground) {
        if let AckStyle::Batch { .. } = self.scenario.acks {
            self.message.push(event);
            return;
        }
        self.flush(ground);
        match event {
            Event::AckThrough(offset) => {
                let size = self.source.len() as u64;
                self.message.push(Event::Ack(Span::new(0, offset)));
                if offset < size && self.scenario.offers != Offers::Never {
                    self.message.push(Event::Missing(Span::new(offset, size)));
                }
            }
            event => self.message.push(event),
        }
        self.flush(ground);
    }

    fn flush(&mut self, ground: &mut Ground) {
        let said = std::mem::take(&mut self.message);
        let message: Vec<Event> = said.into_iter().flat_map(|event| self.twisted(event, ground)).collect();
        if !message.is_empty() {
            // What begins a session belongs to none yet.
            let begins = matches!(message[0], Event::Hello(_) | Event::AskOffer(_) | Event::StartUpload(_));
            ground.send_up(message, if begins { 0 } else { self.stamp() }, HEADER);
        }
    }

    /// What the device sends under this session's epoch, where packets carry one.
    fn stamp(&self) -> u32 {
        if self.scenario.epochs { self.epoch } else { 0 }
    }

    /// Sends pieces, each as one message.
    fn send(&mut self, piece: Event, ground: &mut Ground) {
        for event in self.twisted(piece, ground) {
            let bytes = if let Event::Data(data) = &event { data.bytes.len() as u64 } else { 0 };
            ground.send_up(vec![event], self.stamp(), HEADER + bytes);
        }
    }

    /// What a liar says instead.
    fn twisted(&mut self, event: Event, ground: &mut Ground) -> Vec<Event> {
        self.said += 1;
        let Some(lie) = self.scenario.lie else { return vec![event] };
        let twisted = lie.twist(event.clone(), self.said, self.source.len() as u64, u64::from(self.scenario.packet));
        if twisted.len() != 1 || twisted[0] != event {
            ground.counts.add(Struck::Lie);
        }
        twisted
    }

    fn sync(&mut self, ground: &mut Ground) {
        if let Some(generation) = self.disk.begin_sync() {
            let by = ground.chance.from(self.scenario.device_sync / 4, self.scenario.device_sync);
            if by >= 4_000 {
                ground.counts.add(Struck::SlowDisk);
            }
            ground.later(by, Happening::DeviceSynced(generation));
        }
    }

    fn acks_only_what_is_durable(&self, event: &Event) -> Result<(), Violation> {
        let span = match event {
            Event::Ack(span) => *span,
            Event::AckThrough(offset) => Span::new(0, *offset),
            _ => return Ok(()),
        };
        if self.disk.holds(span) {
            Ok(())
        } else {
            Err(format!("the device acknowledged {span:?}, not all of it durable"))
        }
    }
}

/// What either end computes of a file.
pub(crate) fn digests(bytes: &[u8]) -> Vec<Digest> {
    vec![
        Digest { algorithm: Algorithm::Md5, value: Md5::digest(bytes).to_vec() },
        Digest { algorithm: Algorithm::Sha256, value: Sha256::digest(bytes).to_vec() },
    ]
}
