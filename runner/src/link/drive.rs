//! The loop around a machine: gathers what happened, hands it over, does what the machine wishes.
//!
//! ```text
//! bus --batch--> codec.decode --events--> machine --actions--> codec.encode --batch--> bus
//! spool --durable--> machine                 |
//! control, connection, clock --------------->+--> notes (checkpoints, progress)
//! ```

use super::machine::Machine;
use super::pull::Landing;
use super::settle::still_fits;
use super::source::Source;
use super::spool::SpoolNote;
use super::talk::{End, Next, Talk};
use super::{Control, Kept, LinkNote};
use crate::bus::{Bus, BusError, BusStatus, Delivery, Subscription};
use crate::counts::Metered;
use crate::failpoint::Point;
use packhorse_core::failure::{Class, Failure};
use packhorse_core::transfer::{Micros, Span, Tag, Time};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};

/// Messages in one call of the codec.
const BATCH: usize = 64;
/// How often progress is told.
const TELL: Duration = Duration::from_millis(100);
/// How long a parting word may wait for room on the bus.
const PARTING: Duration = Duration::from_secs(2);

/// Everything that a running transfer touches.
pub(super) struct Drive<M> {
    pub(super) talk: Talk<M>,
    /// Heard before anything else.
    pub(super) first: Option<Delivery>,
    /// Its id.
    pub(super) device: String,
    pub(super) bus: Arc<dyn Bus>,
    pub(super) source: Option<Source>,
    pub(super) landing: Option<Landing>,
    pub(super) notes: mpsc::Sender<LinkNote>,
    /// Changes when somebody else hears the device.
    pub(super) heard: Option<watch::Receiver<u64>>,
    pub(super) clock: Clock,
    pub(super) told: Option<Instant>,
    /// When the device was last heard in an earlier attempt: UTC in milliseconds since 1970.
    pub(super) heard_before: Option<u64>,
    /// Bytes of the largest packet that this end sends with file bytes in it; 0 where it sends none.
    pub(super) packet: u64,
    /// The packet size cannot be another one in the next attempt.
    pub(super) fixed: bool,
    /// What it costs, for whoever watches all transfers.
    pub(super) metered: Metered,
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
    /// Somebody else has heard the device.
    Heard,
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
        let end = self.work(subscription, control).await;
        self.metered.count(&self.talk.machine.traffic());
        end
    }

    async fn work(
        &mut self,
        subscription: &mut Subscription,
        control: &mut watch::Receiver<Control>,
    ) -> Result<End, Failure> {
        let mut status = self.bus.status();
        let mut batch = Vec::with_capacity(BATCH);
        self.connection(&mut status)?;
        self.control(control);
        if let Some(first) = self.first.take() {
            batch.push(first);
            self.deliveries(&mut batch)?;
        }
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
                Woken::Abandoned => self.talk.machine.park(self.clock.now()),
                Woken::Connection => self.connection(&mut status)?,
                Woken::Heard => self.talk.machine.wake(self.clock.now()),
                Woken::Room => {
                    self.talk.channel.flush(self.bus.as_ref());
                    self.untroubled()?;
                }
                Woken::Time => {
                    self.untroubled()?;
                    self.talk.expire(self.clock.now());
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
        let deadline = self.talk.machine.poll_timeout().map(|time| self.clock.instant(time));
        let full = self.talk.channel.is_full();
        let (landing, heard) = (self.landing.as_mut(), self.heard.as_mut());
        tokio::select! {
            biased;
            changed = control.changed() => if changed.is_ok() { Woken::Control } else { Woken::Abandoned },
            count = subscription.recv_many(batch, BATCH) => if count == 0 { Woken::Ended } else { Woken::Deliveries },
            woken = async { match landing { Some(landing) => landing.woken().await, None => std::future::pending().await } } => match woken {
                super::pull::Woken::Note(note) => Woken::Spool(note),
                super::pull::Woken::Digests(made) => Woken::Digests(made),
            },
            changed = status.changed() => { let _ = changed; Woken::Connection }
            () = changed(heard) => Woken::Heard,
            () = self.bus.ready(), if full => Woken::Room,
            () = until(deadline), if !full => Woken::Time,
            () = tokio::time::sleep(TELL * 5) => { self.tell(true); Woken::Room }
        }
    }

    /// Does what the machine wishes until it wishes nothing, or the bus is full.
    async fn act(&mut self) -> Result<Option<End>, Failure> {
        loop {
            match self.talk.next(self.bus.as_ref(), self.clock.now())? {
                Next::Read { tag, span, last } => self.piece(tag, span, last).await?,
                Next::Write { offset, bytes } => self.landing()?.write(offset, bytes).await?,
                Next::Truncate => self.landing()?.truncate().await?,
                Next::Assemble { size } => self.landing()?.assemble(size),
                // A full queue only costs re-sending after a crash; the next checkpoint is 100 ms away.
                Next::Keep(kept) => {
                    Point::LinkCheckpoint.pass();
                    drop(self.notes.try_send(LinkNote::Checkpoint(self.heard(kept).to_bytes())));
                }
                Next::End(end) => {
                    Point::LinkEnded.pass();
                    self.tell(true);
                    return Ok(Some(end));
                }
                Next::Wait => return Ok(None),
            }
        }
    }

    async fn piece(&mut self, tag: Tag, span: Span, last: bool) -> Result<(), Failure> {
        let source = self.source.as_ref().ok_or_else(|| ours("a piece was wished for without a file"))?;
        let bytes = source.read(span).await?;
        self.talk.piece(tag, span, last, bytes);
        Ok(())
    }

    fn deliveries(&mut self, batch: &mut Vec<Delivery>) -> Result<(), Failure> {
        self.talk.deliveries(batch, self.bus.as_ref(), self.clock.now())?;
        Point::LinkHeard.pass();
        if let Some(hello) = self.talk.hello.take()
            && let Err(TrySendError::Full(LinkNote::Hello { hello, .. })) =
                self.notes.try_send(LinkNote::Hello { device: self.device.clone(), hello })
        {
            // Told with what is heard next.
            self.talk.hello = Some(hello);
        }
        Ok(())
    }

    fn durable(&mut self, span: Span) {
        let Some(landing) = self.landing.as_mut() else { return };
        let spans = landing.durable(span);
        self.talk.durable(&spans, self.clock.now());
    }

    fn digests(&mut self, made: super::spool::Assembled) {
        self.talk.digests(&made, self.clock.now());
        if let Some(landing) = self.landing.as_mut() {
            landing.made = Some(made);
        }
    }

    fn control(&mut self, control: &mut watch::Receiver<Control>) {
        let now = self.clock.now();
        match &*control.borrow_and_update() {
            Control::Go => {}
            Control::Park => self.talk.machine.park(now),
            Control::Cancel => self.talk.cancel(now),
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
        self.talk.machine.handle_connection(up, self.clock.now());
        Ok(())
    }

    /// Fails where what is sent cannot arrive: silence would be taken for a bad link otherwise, and filled with resends.
    fn untroubled(&self) -> Result<(), Failure> {
        match self.talk.channel.trouble(self.bus.as_ref()) {
            None => Ok(()),
            Some(BusError::Closed) => Err(unsubscribed(&self.bus.status().borrow())),
            Some(error) => Err(error.failure()),
        }
    }

    fn heard(&self, kept: Kept) -> Kept {
        let now = self.clock.now();
        let heard = self.talk.machine.progress(now).last_heard.map(|heard| wall(now.since(heard)));
        Kept { heard: heard.or(self.heard_before), ..kept }
    }

    /// Tells progress, at most every 100 ms unless `at_once`.
    fn tell(&mut self, at_once: bool) {
        if !at_once && self.told.is_some_and(|told| told.elapsed() < TELL) {
            return;
        }
        self.told = Some(Instant::now());
        self.metered.count(&self.talk.machine.traffic());
        let now = self.clock.now();
        let report = Box::new(self.talk.machine.progress(now));
        drop(self.notes.try_send(LinkNote::Progress(report, self.talk.rejects.last(), now)));
    }

    /// Gives the last words a chance to leave.
    async fn part(&mut self) {
        let bus = Arc::clone(&self.bus);
        let leave = async {
            while self.talk.channel.is_full() {
                bus.ready().await;
                self.talk.channel.flush(bus.as_ref());
            }
        };
        drop(tokio::time::timeout(PARTING, leave).await);
    }

    fn landing(&mut self) -> Result<&mut Landing, Failure> {
        self.landing.as_mut().ok_or_else(|| ours("bytes came to a transfer that takes none"))
    }
}

/// The wall clock as it was so long ago: UTC in milliseconds since 1970.
fn wall(ago: Micros) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX).saturating_sub(ago.0 / 1_000)
}

async fn changed(watched: Option<&mut watch::Receiver<u64>>) {
    if let Some(watched) = watched
        && watched.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
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
