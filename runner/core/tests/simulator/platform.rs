//! The platform's end of a world: a `Transfer`, its spool, its checkpoints, and what its driver counts.

use packhorse_core::transfer::{
    Action, Checkpoint, Chunk, Command, CommandKind, Ending, Event, FailureClass, Fault, FileInfo, Intervals, Plan,
    Sent, SentKind, Span, Text, Time, Transfer,
};

use crate::counts::Struck;
use crate::device::digests;
use crate::disk::Disk;
use crate::ground::{Frame, Ground, HEADER, Happening, Word};
use crate::mutant::Mutant;
use crate::scenario::{Offers, Scenario};
use crate::world::Violation;

/// Attempts of one transfer, restarts not counted.
const ATTEMPTS: u32 = 8;

/// What the driver counts itself, to compare with the machine's accounts.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) messages: u64,
    pub(crate) wire: u64,
    /// Bytes of file sent, each time counted, and once.
    pub(crate) sent_bytes: u64,
    pub(crate) sent: Intervals,
    pub(crate) resumes: u32,
    pub(crate) deaths: u32,
}

/// See the file.
#[derive(Debug)]
pub(crate) struct Platform {
    scenario: Scenario,
    source: Vec<u8>,
    mutant: Option<Mutant>,
    pub(crate) transfer: Option<Transfer>,
    epoch: u32,
    newest: Option<Checkpoint>,
    before: Option<Checkpoint>,
    pub(crate) spool: Disk,
    pub(crate) ledger: Ledger,
    attempts: u32,
    pub(crate) ending: Option<Ending>,
}

impl Platform {
    pub(crate) fn new(scenario: &Scenario, source: &[u8], mutant: Option<Mutant>) -> Self {
        Self {
            scenario: scenario.clone(),
            source: source.to_vec(),
            mutant,
            transfer: None,
            epoch: 0,
            newest: None,
            before: None,
            spool: Disk::default(),
            ledger: Ledger::default(),
            attempts: 0,
            ending: None,
        }
    }

    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The step's time-out.
    pub(crate) fn time_out(&mut self, now: u64) {
        match &mut self.transfer {
            Some(transfer) => transfer.cancel(Text::default(), Time(now)),
            None => self.ending = Some(Ending::Cancelled),
        }
    }

    /// Begins, or goes on from the newest checkpoint.
    pub(crate) fn begin(&mut self, now: u64) -> Result<(), Violation> {
        self.epoch += 1;
        let checkpoint = match &self.newest {
            Some(checkpoint) => {
                let stored = serde_json::to_string(checkpoint).map_err(|error| error.to_string())?;
                self.ledger.resumes = checkpoint.traffic.resumes + 1;
                Some(serde_json::from_str(&stored).map_err(|error| format!("cannot read {stored}: {error}"))?)
            }
            None => {
                self.ledger.resumes = 0;
                None
            }
        };
        let transfer = Transfer::new(self.plan(), checkpoint, Time(now)).map_err(|error| error.to_string())?;
        self.transfer = Some(transfer);
        Ok(())
    }

    pub(crate) fn timeout(&self) -> Option<u64> {
        self.transfer.as_ref().and_then(Transfer::poll_timeout).map(|time| time.0)
    }

    pub(crate) fn handle_timeout(&mut self, ground: &mut Ground) {
        ground.counts.add(Struck::Timeout);
        if let Some(transfer) = &mut self.transfer {
            transfer.handle_timeout(Time(ground.now));
        }
    }

    pub(crate) fn arrive(&mut self, frame: Frame<Vec<Event>>, ground: &mut Ground) {
        let Some(transfer) = self.transfer.as_mut().filter(|_| ground.reachable()) else { return };
        let now = Time(ground.now);
        self.ledger.messages += 1;
        self.ledger.wire += frame.wire;
        transfer.handle_received(frame.wire, 1, now);
        let stale = self.scenario.epochs && frame.epoch != 0 && frame.epoch != self.epoch;
        match frame.word {
            Word::Malformed => transfer.handle_fault(Fault::Malformed("bytes were flipped".to_owned()), now),
            Word::NotMine => {
                ground.counts.add(Struck::NotMine);
                transfer.handle_fault(Fault::NotMine, now);
            }
            Word::Said(_) if stale => {
                ground.counts.add(Struck::StaleEpoch);
                transfer.handle_fault(Fault::NotMine, now);
            }
            Word::Said(events) => events.into_iter().for_each(|event| transfer.handle(event, now)),
        }
    }

    pub(crate) fn connection(&mut self, up: bool, ground: &Ground) {
        if let Some(transfer) = &mut self.transfer {
            transfer.handle_connection(up, Time(ground.now));
        }
    }

    pub(crate) fn synced(&mut self, generation: u32, ground: &mut Ground) {
        let spans = self.spool.finish_sync(generation);
        if let Some(transfer) = self.transfer.as_mut().filter(|_| !spans.is_empty()) {
            transfer.handle_durable(&spans, Time(ground.now));
        }
        self.sync(ground);
    }

    /// The process dies; `old` = its newest checkpoint never reached the disk.
    pub(crate) fn die(&mut self, away: u64, old: bool, ground: &mut Ground) {
        if self.transfer.take().is_none() {
            return;
        }
        ground.counts.add(Struck::PlatformRestart);
        self.ledger.deaths += 1;
        if old && self.before.is_some() {
            ground.counts.add(Struck::OldCheckpoint);
            self.newest = self.before.take();
        }
        self.spool.crash();
        ground.later(away, Happening::PlatformBack);
    }

    pub(crate) fn back(&mut self, ground: &Ground) -> Result<(), Violation> {
        if self.transfer.is_some() || self.ending.is_some() {
            return Ok(());
        }
        self.begin(ground.now)?;
        self.connection(ground.connected, ground);
        Ok(())
    }

    pub(crate) fn run(&mut self, ground: &mut Ground) -> Result<(), Violation> {
        loop {
            let Some(action) = self.transfer.as_mut().and_then(|transfer| transfer.poll(Time(ground.now))) else {
                return Ok(());
            };
            self.act(action, ground)?;
        }
    }

    fn act(&mut self, action: Action, ground: &mut Ground) -> Result<(), Violation> {
        match action {
            Action::Say(Command::Chunk(_)) => return Err("a chunk came as a say".to_owned()),
            Action::Say(command) => {
                self.promises_only_what_is_durable(&command)?;
                if matches!(command, Command::Outcome(_)) {
                    // The driver stores what it has before it says the last word.
                    self.before = None;
                }
                self.say(command, ground);
            }
            Action::Send { tag, span, last } => self.send(tag, span, last, ground)?,
            Action::Write { offset, bytes, .. } => {
                self.spool.write(offset, &bytes);
                if self.mutant == Some(Mutant::DurableTooEarly) {
                    let span = Span::new(offset, offset + bytes.len() as u64);
                    self.now(ground, |transfer, now| transfer.handle_durable(&[span], now));
                }
                self.sync(ground);
            }
            Action::Truncate => {
                // What an older checkpoint says of the spool is void from here on.
                self.spool.truncate();
                self.newest = None;
                self.before = None;
            }
            Action::Digest => {
                let seen = self.spool.seen();
                let (digests, size) = (digests(seen), seen.len() as u64);
                self.now(ground, |transfer, now| transfer.handle_digests(&digests, size, now));
            }
            Action::Checkpoint => self.store_checkpoint()?,
            Action::Finished(ending) => self.finished(ending, ground)?,
        }
        Ok(())
    }

    fn say(&mut self, command: Command, ground: &mut Ground) {
        let kind = CommandKind::from(&command);
        if !self.has_words(kind) {
            ground.counts.add(Struck::NoWords);
            self.now(ground, |transfer, now| transfer.handle_unsupported(kind, now));
            return;
        }
        self.count_sent(SentKind::Other, HEADER, ground);
        ground.send_down(command, self.epoch, HEADER);
    }

    fn send(&mut self, tag: u64, span: Span, last: bool, ground: &mut Ground) -> Result<(), Violation> {
        let size = self.source.len() as u64;
        if span.end > size || last != (span.end == size) || span.len() > u64::from(self.scenario.packet) {
            return Err(format!("sends {span:?}, last {last}, of a file of {size} bytes"));
        }
        let mut bytes = self.source[span.start as usize..span.end as usize].to_vec();
        if let Some(mutant) = self.mutant {
            mutant.spoil(&mut bytes, span);
        }
        self.ledger.sent_bytes += span.len();
        self.ledger.sent.insert(span);
        self.count_sent(SentKind::Piece(span), HEADER + span.len(), ground);
        let chunk = Command::Chunk(Chunk { tag, offset: span.start, bytes, last });
        if self.mutant == Some(Mutant::SendsTwice) {
            self.ledger.sent_bytes += span.len();
            self.count_sent(SentKind::Piece(span), HEADER + span.len(), ground);
            ground.send_down(chunk.clone(), self.epoch, HEADER + span.len());
        }
        if self.mutant == Some(Mutant::AcksForDevice) {
            self.now(ground, |transfer, now| transfer.handle(Event::Ack(span), now));
        }
        ground.send_down(chunk, self.epoch, HEADER + span.len());
        Ok(())
    }

    fn count_sent(&mut self, what: SentKind, wire_bytes: u64, ground: &Ground) {
        self.ledger.messages += 1;
        self.ledger.wire += wire_bytes;
        let messages = if self.mutant == Some(Mutant::CountsTwice) { 2 } else { 1 };
        self.now(ground, |transfer, now| transfer.handle_sent(Sent { what, wire_bytes, messages }, now));
    }

    fn store_checkpoint(&mut self) -> Result<(), Violation> {
        let Some(transfer) = &self.transfer else { return Ok(()) };
        let mut checkpoint = transfer.checkpoint();
        if let Some(mutant) = self.mutant {
            mutant.checkpoint(&mut checkpoint);
        }
        let pulls = !self.scenario.is_push() && self.mutant.is_none();
        if let Some(gap) = checkpoint.done.iter().find(|span| pulls && !self.spool.holds(*span)) {
            return Err(format!("the checkpoint holds {gap:?}, not all of it durable"));
        }
        self.before = self.newest.replace(checkpoint);
        Ok(())
    }

    fn finished(&mut self, ending: Ending, ground: &mut Ground) -> Result<(), Violation> {
        ground.trace.note(ground.now, 3, 0, 0, || format!("== {ending:?}"));
        let Some(transfer) = self.transfer.take() else { return Ok(()) };
        let again = match &ending {
            Ending::Failed(failure) => {
                if !matches!(failure.class, FailureClass::Transient | FailureClass::DeviceOffline) {
                    false
                } else {
                    self.newest = (!failure.restart).then(|| transfer.checkpoint());
                    self.before = None;
                    if failure.restart {
                        self.spool.truncate();
                    }
                    true
                }
            }
            Ending::Good { .. } | Ending::Cancelled | Ending::Parked => false,
        };
        self.attempts += 1;
        if again && self.attempts < ATTEMPTS {
            ground.later(2_000_000, Happening::PlatformBack);
        } else {
            self.transfer = Some(transfer);
            self.ending = Some(ending);
        }
        Ok(())
    }

    fn has_words(&self, kind: CommandKind) -> bool {
        match kind {
            CommandKind::Offer => self.scenario.offers == Offers::Said,
            CommandKind::Query => self.scenario.mode.can_query,
            CommandKind::Cancel => self.scenario.mode.can_cancel,
            // Without it a new epoch could not begin while the device sends under the old one.
            CommandKind::RequestUpload if self.scenario.epochs => true,
            CommandKind::RequestUpload => !(self.scenario.spontaneous && self.scenario.seed.is_multiple_of(3)),
            CommandKind::Pause => false,
            CommandKind::Accept
            | CommandKind::Refuse
            | CommandKind::Chunk
            | CommandKind::Ack
            | CommandKind::Need
            | CommandKind::Outcome => true,
        }
    }

    fn promises_only_what_is_durable(&self, command: &Command) -> Result<(), Violation> {
        let span = match command {
            Command::Ack(receipt) if receipt.good => receipt.span,
            Command::Accept(accept) => Span::new(0, accept.resume_at),
            _ => return Ok(()),
        };
        if self.spool.holds(span) {
            Ok(())
        } else {
            Err(format!("the platform acknowledged {span:?}, not all of it durable"))
        }
    }

    fn sync(&mut self, ground: &mut Ground) {
        if let Some(generation) = self.spool.begin_sync() {
            let by = ground.chance.from(self.scenario.platform_sync / 4, self.scenario.platform_sync);
            if by >= 4_000 {
                ground.counts.add(Struck::SlowDisk);
            }
            ground.later(by, Happening::PlatformSynced(generation));
        }
    }

    fn now(&mut self, ground: &Ground, act: impl FnOnce(&mut Transfer, Time)) {
        if let Some(transfer) = &mut self.transfer {
            act(transfer, Time(ground.now));
        }
    }

    fn plan(&self) -> Plan {
        let mut file = FileInfo { name: "f".to_owned(), ..FileInfo::default() };
        if self.scenario.is_push() {
            file.size = Some(self.source.len() as u64);
            file.digests = digests(&self.source);
        }
        let mut plan = Plan::new(self.scenario.mode.clone(), "dev-1", file);
        plan.packet_size = self.scenario.packet;
        plan.window = self.scenario.window;
        plan.epoch = self.epoch;
        plan.rate = self.scenario.rate;
        plan.seed = self.scenario.seed;
        plan.file_max = 64 << 20;
        if self.scenario.lie.is_none() {
            // A lossy link makes an honest device ask more often than a sane one ever does.
            plan.repeat_limit = 100_000;
            plan.past_end_limit = 100_000;
        }
        plan
    }
}
