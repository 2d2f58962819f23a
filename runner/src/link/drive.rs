//! The loop around a machine: gathers what happened, hands it over, does what the machine wishes.
//!
//! ```text
//! bus --batch--> codec.decode --events--> machine --actions--> codec.encode --batch--> bus
//! spool --durable--> machine                 |
//! control, connection, clock --------------->+--> notes (checkpoints, progress)
//! ```

use super::channel::{Channel, Worth, wire_bytes};
use super::codec::Codec;
use super::machine::{Machine, Wish};
use super::pull::Landing;
use super::rejects::Rejects;
use super::settle::still_fits;
use super::source::Source;
use super::spool::SpoolNote;
use super::{Control, LinkNote, Meter};
use crate::bus::{Bus, BusError, BusStatus, Delivery, Subscription};
use crate::failpoint::Point;
use packhorse_core::failure::{Class, Failure};
use packhorse_core::transfer::{
    Action, Chunk, Command, CommandKind, Ending, Fault, Micros, Sent, SentKind, Span, Tag, Text, Time, TransferFailure,
    Verified,
};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, watch};

/// Messages in one call of the codec.
const BATCH: usize = 64;
/// Commands in one call of the codec: a quarter of the window that fills a link, so that packets leave while others are made.
const COMMANDS: usize = 16;
/// How often progress is told.
const TELL: Duration = Duration::from_millis(100);
/// How long a parting word may wait for room on the bus.
const PARTING: Duration = Duration::from_secs(2);

/// How a machine ended.
pub(super) enum End {
    Transfer(Ending),
    Answer(Verified),
    Failed(TransferFailure),
}

/// Everything that a running transfer touches.
pub(super) struct Drive<M> {
    pub(super) machine: M,
    pub(super) bus: Arc<dyn Bus>,
    pub(super) channel: Channel,
    pub(super) codec: Codec,
    pub(super) source: Option<Source>,
    pub(super) landing: Option<Landing>,
    pub(super) notes: mpsc::Sender<LinkNote>,
    pub(super) clock: Clock,
    pub(super) meter: Arc<dyn Meter>,
    pub(super) commands: Vec<(Command, SentKind)>,
    pub(super) told: Option<Instant>,
    pub(super) rejects: Rejects,
    /// When the device was last heard in an earlier attempt: UTC in milliseconds since 1970.
    pub(super) heard_before: Option<u64>,
    /// Bytes of the largest packet that this end sends with file bytes in it; 0 where it sends none.
    pub(super) packet: u64,
    /// The packet size cannot be another one in the next attempt.
    pub(super) fixed: bool,
}

/// Microseconds since the transfer began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    pub(super) fn now(self) -> Time {
        Time(u64::try_from(self.0.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    fn instant(self, time: Time) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.0 + Duration::from_micros(time.0))
    }
}

/// What woke the loop.
enum Woken {
    Deliveries,
    Ended,
    Spool(Option<SpoolNote>),
    Digests(Result<super::spool::Assembled, Failure>),
    Control,
    /// Whoever asked for the transfer is gone.
    Abandoned,
    Connection,
    Room,
    Time,
}

impl<M: Machine> Drive<M> {
    /// Runs until the machine ends.
    pub(super) async fn run(
        &mut self,
        subscription: &mut Subscription,
        control: &mut watch::Receiver<Control>,
    ) -> Result<End, Failure> {
        let mut status = self.bus.status();
        let mut batch = Vec::with_capacity(BATCH);
        self.connection(&mut status)?;
        self.control(control);
        loop {
            if let Some(end) = self.act().await? {
                self.part().await;
                return Ok(end);
            }
            self.tell(false);
            match self.woken(subscription, control, &mut status, &mut batch).await {
                Woken::Deliveries => self.deliveries(&mut batch)?,
                Woken::Ended => return Err(unsubscribed(&self.bus.status().borrow())),
                Woken::Spool(Some(SpoolNote::Durable(span))) => self.durable(span),
                Woken::Spool(Some(SpoolNote::Failed(words))) => return Err(spool_failed(&words)),
                Woken::Spool(None) => return Err(spool_failed("its writer is gone")),
                Woken::Digests(made) => self.digests(made?),
                Woken::Control => self.control(control),
                Woken::Abandoned => self.machine.park(self.clock.now()),
                Woken::Connection => self.connection(&mut status)?,
                Woken::Room => {
                    self.channel.flush(self.bus.as_ref());
                    self.untroubled()?;
                }
                Woken::Time => {
                    self.untroubled()?;
                    self.machine.handle_timeout(self.clock.now());
                }
            }
        }
    }

    async fn woken(
        &mut self,
        subscription: &mut Subscription,
        control: &mut watch::Receiver<Control>,
        status: &mut watch::Receiver<BusStatus>,
        batch: &mut Vec<Delivery>,
    ) -> Woken {
        let deadline = self.machine.poll_timeout().map(|time| self.clock.instant(time));
        let full = self.channel.is_full();
        let landing = self.landing.as_mut();
        tokio::select! {
            biased;
            changed = control.changed() => if changed.is_ok() { Woken::Control } else { Woken::Abandoned },
            count = subscription.recv_many(batch, BATCH) => if count == 0 { Woken::Ended } else { Woken::Deliveries },
            woken = async { match landing { Some(landing) => landing.woken().await, None => std::future::pending().await } } => match woken {
                super::pull::Woken::Note(note) => Woken::Spool(note),
                super::pull::Woken::Digests(made) => Woken::Digests(made),
            },
            changed = status.changed() => { let _ = changed; Woken::Connection }
            () = self.bus.ready(), if full => Woken::Room,
            () = until(deadline), if !full => Woken::Time,
            () = tokio::time::sleep(TELL * 5) => { self.tell(true); Woken::Room }
        }
    }

    /// Does what the machine wishes until it wishes nothing, or the bus is full.
    async fn act(&mut self) -> Result<Option<End>, Failure> {
        loop {
            if self.commands.len() >= COMMANDS {
                self.say()?;
            }
            let wish = if self.channel.is_full() { None } else { self.machine.poll(self.clock.now()) };
            match wish {
                None => {
                    self.say()?;
                    // What was said may have made the machine wish something new.
                    if self.channel.is_full() || self.commands.is_empty() && !self.wishes() {
                        return Ok(None);
                    }
                }
                Some(Wish::Do(action)) => self.perform(action).await?,
                Some(Wish::End(ending)) => return self.end(End::Transfer(ending)).map(Some),
                Some(Wish::Answer(verified)) => return self.end(End::Answer(verified)).map(Some),
                Some(Wish::Fail(failure)) => return self.end(End::Failed(failure)).map(Some),
            }
        }
    }

    /// Whether a timer is due already, so that the loop need not sleep.
    fn wishes(&mut self) -> bool {
        let now = self.clock.now();
        let due = self.machine.poll_timeout().is_some_and(|time| time <= now);
        if due {
            self.machine.handle_timeout(now);
        }
        due
    }

    fn end(&mut self, end: End) -> Result<End, Failure> {
        self.say()?;
        self.checkpoint()?;
        Point::LinkEnded.pass();
        self.tell(true);
        Ok(end)
    }

    async fn perform(&mut self, action: Action) -> Result<(), Failure> {
        match action {
            Action::Say(command) => self.commands.push((command, SentKind::Other)),
            Action::Send { tag, span, last } => {
                let chunk = self.chunk(tag, span, last).await?;
                self.commands.push((Command::Chunk(chunk), SentKind::Piece(span)));
            }
            Action::Write { offset, bytes, .. } => self.landing()?.write(offset, bytes).await?,
            Action::Truncate => self.landing()?.truncate().await?,
            Action::Digest => {
                let size = self.machine.progress(self.clock.now()).total;
                self.landing()?.assemble(size.unwrap_or(0));
            }
            Action::Checkpoint => self.checkpoint()?,
            Action::Finished(_) => return Err(ours("an ending came as an action")),
        }
        Ok(())
    }

    async fn chunk(&self, tag: Tag, span: Span, last: bool) -> Result<Chunk, Failure> {
        let source = self.source.as_ref().ok_or_else(|| ours("a piece was wished for without a file"))?;
        let bytes = source.read(span).await?;
        Ok(Chunk { tag, offset: span.start, bytes, last })
    }

    /// Says everything that has gathered, in one call of the codec.
    fn say(&mut self) -> Result<(), Failure> {
        if self.commands.is_empty() {
            return Ok(());
        }
        let (commands, kinds): (Vec<_>, Vec<_>) = self.commands.drain(..).unzip();
        let names: Vec<CommandKind> = commands.iter().map(CommandKind::from).collect();
        let encoded = self.codec.encode(commands)?;
        let mut cost = vec![(0_u64, 0_u32); kinds.len()];
        for message in encoded.messages {
            let cause = usize::from(message.cause).min(kinds.len() - 1);
            let worth = if matches!(kinds[cause], SentKind::Piece(_)) { Worth::Piece } else { Worth::Word };
            let bytes = self.channel.send(self.bus.as_ref(), message, worth).map_err(|error| misrouted(&error))?;
            cost[cause] = (cost[cause].0 + bytes, cost[cause].1 + 1);
        }
        let now = self.clock.now();
        let all: u64 = cost.iter().map(|(bytes, _)| bytes).sum();
        for ((what, (wire_bytes, messages)), name) in kinds.into_iter().zip(cost).zip(&names) {
            if messages > 0 {
                self.machine.handle_sent(Sent { what, wire_bytes, messages }, now);
            } else {
                tracing::trace!(?name, "the codec said nothing for a command");
            }
        }
        self.spend(all);
        for faulted in encoded.faults {
            match (faulted.fault, names.get(usize::from(faulted.index))) {
                (Fault::Unsupported, Some(name)) => self.machine.handle_unsupported(*name, now),
                (fault, _) => self.machine.handle_fault(fault, now),
            }
        }
        Ok(())
    }

    fn deliveries(&mut self, batch: &mut Vec<Delivery>) -> Result<(), Failure> {
        let now = self.clock.now();
        let bytes = batch.iter().map(|delivery| wire_bytes(&delivery.message)).sum();
        self.machine.handle_received(bytes, u32::try_from(batch.len()).unwrap_or(u32::MAX), now);
        self.spend(bytes);
        let incoming: Vec<_> = batch.iter().filter_map(|delivery| self.channel.incoming(delivery)).collect();
        let channel = &self.channel;
        let again = |index: usize| batch.iter().filter_map(|delivery| channel.incoming(delivery)).nth(index);
        let decoded = self.codec.decode(incoming, again)?;
        for faulted in decoded.faults {
            let payload = batch.iter().filter_map(|delivery| channel.incoming(delivery)).nth(faulted.index.into());
            self.rejects.faulted(&faulted.fault, payload.as_ref().map(|message| message.payload.as_slice()), now);
            self.machine.handle_fault(faulted.fault, now);
        }
        let before = doubted(&self.machine);
        for event in decoded.events {
            self.machine.handle(event, now);
        }
        if doubted(&self.machine) > before {
            let only = batch.first().filter(|_| batch.len() == 1).map(|delivery| delivery.message.payload.as_ref());
            self.rejects.push(self.machine.faults().last.last().map_or("", String::as_str), only, now);
        }
        for reply in decoded.replies {
            let wire_bytes =
                self.channel.send(self.bus.as_ref(), reply, Worth::Word).map_err(|error| misrouted(&error))?;
            self.machine.handle_sent(Sent { what: SentKind::Other, wire_bytes, messages: 1 }, now);
            self.spend(wire_bytes);
        }
        batch.clear();
        Point::LinkHeard.pass();
        Ok(())
    }

    /// Writes down what went over the wire, and tells the machine what may still go.
    fn spend(&mut self, bytes: u64) {
        if bytes > 0
            && let Some(left) = self.meter.spend(bytes)
        {
            self.machine.handle_budget(left, self.clock.now());
        }
    }

    fn durable(&mut self, span: Span) {
        let Some(landing) = self.landing.as_mut() else { return };
        let spans = landing.durable(span);
        if !spans.is_empty() {
            self.machine.handle_durable(&spans, self.clock.now());
        }
    }

    fn digests(&mut self, made: super::spool::Assembled) {
        let (digests, size) = (made.digests(), made.size);
        if let Some(landing) = self.landing.as_mut() {
            landing.made = Some(made);
        }
        self.machine.handle_digests(&digests, size, self.clock.now());
    }

    fn control(&mut self, control: &mut watch::Receiver<Control>) {
        let now = self.clock.now();
        match &*control.borrow_and_update() {
            Control::Go => {}
            Control::Park => self.machine.park(now),
            Control::Cancel => {
                self.machine.cancel(
                    Text { code: "cancelled".to_owned(), message: "cancelled by the platform".to_owned() },
                    now,
                );
            }
        }
    }

    fn connection(&mut self, status: &mut watch::Receiver<BusStatus>) -> Result<(), Failure> {
        let (up, limits) = {
            let status = status.borrow_and_update();
            if let BusStatus::GivenUp(error) = &*status {
                return Err(error.failure());
            }
            (status.is_connected(), status.limits())
        };
        still_fits(self.packet, limits.and_then(|limits| limits.max_packet_size), self.fixed)?;
        self.machine.handle_connection(up, self.clock.now());
        Ok(())
    }

    /// Fails where what is sent cannot arrive: silence would be taken for a bad link otherwise, and filled with resends.
    fn untroubled(&self) -> Result<(), Failure> {
        match self.channel.trouble(self.bus.as_ref()) {
            None => Ok(()),
            Some(BusError::Closed) => Err(unsubscribed(&self.bus.status().borrow())),
            Some(error) => Err(error.failure()),
        }
    }

    fn checkpoint(&mut self) -> Result<(), Failure> {
        let Some(machine) = self.machine.checkpoint() else { return Ok(()) };
        let saved = self.codec.save()?.to_vec();
        let now = self.clock.now();
        let heard = self.machine.progress(now).last_heard.map(|heard| wall(now.since(heard)));
        let kept = super::Kept { machine, saved, heard: heard.or(self.heard_before) };
        Point::LinkCheckpoint.pass();
        // A full queue only costs re-sending after a crash; the next checkpoint is 100 ms away.
        drop(self.notes.try_send(LinkNote::Checkpoint(kept.to_bytes())));
        Ok(())
    }

    /// Tells progress, at most every 100 ms unless `at_once`.
    fn tell(&mut self, at_once: bool) {
        if !at_once && self.told.is_some_and(|told| told.elapsed() < TELL) {
            return;
        }
        self.told = Some(Instant::now());
        let now = self.clock.now();
        let report = Box::new(self.machine.progress(now));
        drop(self.notes.try_send(LinkNote::Progress(report, self.rejects.last(), now)));
    }

    /// Gives the last words a chance to leave.
    async fn part(&mut self) {
        let bus = Arc::clone(&self.bus);
        let leave = async {
            while self.channel.is_full() {
                bus.ready().await;
                self.channel.flush(bus.as_ref());
            }
        };
        drop(tokio::time::timeout(PARTING, leave).await);
    }

    fn landing(&mut self) -> Result<&mut Landing, Failure> {
        self.landing.as_mut().ok_or_else(|| ours("bytes came to a transfer that takes none"))
    }
}

/// What could be read and was not believed.
fn doubted(machine: &impl Machine) -> u64 {
    machine.faults().implausible + machine.faults().bad_sums
}

/// The wall clock as it was so long ago: UTC in milliseconds since 1970.
fn wall(ago: Micros) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX).saturating_sub(ago.0 / 1_000)
}

async fn until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn ours(words: &str) -> Failure {
    Failure::new("PH9002", Class::Bug, words)
}

fn unsubscribed(status: &BusStatus) -> Failure {
    if let BusStatus::GivenUp(error) = status {
        return error.failure();
    }
    let hint = "the broker refused the device's topics after a reconnect, or the program is closing; check the broker's access list";
    Failure::new("PH5103", Class::Transient, "the subscription to the device's topics has ended").hint(hint)
}

fn spool_failed(words: &str) -> Failure {
    Failure::new("PH5104", Class::Operator, format!("the spool cannot be written: {words}"))
        .hint("make room or mend the disk under the data folder, then `packhorse resume`")
}

fn misrouted(error: &packhorse_core::transfer::RouteError) -> Failure {
    Failure::new("PH6003", Class::Permanent, format!("the codec's message has no topic: {error}"))
}
