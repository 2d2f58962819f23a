//! The loop around the peer machine: bus, weather, codec, disk.

use super::disk::Disk;
use super::fetch::fetch;
use super::options::{DeviceError, DeviceNote, DeviceOptions};
use super::weather::{Struck, Weather};
use crate::bus::{Bus, Delivery, Message, Subscription};
use crate::link::{Channel, SpoolError, SpoolNote, Worth};
use crate::plugin::{DeviceSession, Plugin};
use bytes::Bytes;
use packhorse_core::transfer::peer::{AckStyle, Kept, Peer, PeerAction, PeerPlan};
use packhorse_core::transfer::{
    Algorithm, Chunk, Command, Data, Direction, Event, FileInfo, Flow, Incoming, Micros, Mode, Opening, Outcome,
    Outgoing, Phase, Progress, Span, Sum, Text, Time, Verdict, Want,
};
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// Messages in one call of the codec.
const BATCH: usize = 64;
/// How often the folder is looked at for new files.
const LOOK: Duration = Duration::from_secs(1);
/// Codec failures before the device gives up.
const FAILURES: u32 = 100;
/// Ranges in a row that did not come from a URL before the device says so.
const FETCHES: u32 = 3;

/// A simulated device.
pub struct Device {
    options: DeviceOptions,
    plugin: Arc<Plugin>,
    bus: Arc<dyn Bus>,
    session: DeviceSession,
    channel: Channel,
    peer: Peer,
    disk: Disk,
    down: Weather<Delivery>,
    up: Weather<Outgoing>,
    random: SmallRng,
    started: Instant,
    /// Events that wait for the codec.
    events: Vec<Event>,
    /// Writes that are not on disk yet; of these, those from before a truncation.
    pending: usize,
    void: usize,
    restart_at: Option<Instant>,
    failures: u32,
    /// Where the file that was offered last is to be fetched, if not over MQTT; and ranges in a row that did not come.
    url: Option<String>,
    unfetched: u32,
    notes: mpsc::UnboundedSender<DeviceNote>,
    /// When it spoke last, until it is answered.
    spoke: Option<Instant>,
}

enum Woken {
    Deliveries,
    Closed,
    Disk(Option<SpoolNote>),
    Stop,
    Room,
    Look,
    Time,
}

impl Device {
    /// Opens disk and codec; takes up what an earlier life kept. Notes are few: their channel is not bounded.
    pub fn new(
        options: DeviceOptions,
        plugin: Arc<Plugin>,
        bus: Arc<dyn Bus>,
        notes: mpsc::UnboundedSender<DeviceNote>,
    ) -> Result<Self, DeviceError> {
        let disk = Disk::open(&options.dir, &options.id, options.spool.as_ref(), &plugin.description().digests)?;
        let session = plugin.open_device(&opening(&options, &plugin))?;
        let channel = Channel::new(Arc::clone(session.routes()), Flow::ToDevice);
        let mut peer = Peer::new(plan(&plugin), Time(0));
        peer.recall(disk.kept(), Time(0));
        let faults = options.faults;
        let mut device = Self {
            down: Weather::new(faults.loss_down, &faults, options.seed),
            up: Weather::new(faults.loss_up, &faults, options.seed ^ 0x5555_5555),
            random: SmallRng::seed_from_u64(options.seed ^ 0xaaaa_aaaa),
            started: Instant::now(),
            events: Vec::new(),
            pending: 0,
            void: 0,
            failures: 0,
            url: None,
            unfetched: 0,
            restart_at: None,
            options,
            plugin,
            bus,
            session,
            channel,
            peer,
            disk,
            notes,
            spoke: None,
        };
        device.schedule_restart();
        device.look();
        Ok(device)
    }

    /// Serves until `stop` says true or its sender is gone. Gives what the weather did, down and up.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<(Struck, Struck), DeviceError> {
        let mut subscription = self.channel.subscribe(self.bus.as_ref()).await?;
        drop(self.notes.send(DeviceNote::Listening));
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            self.act().await?;
            match self.woken(&mut subscription, &mut stop, &mut batch).await {
                Woken::Deliveries => {
                    let now = Instant::now();
                    if let Some(spoke) = self.spoke.take() {
                        self.options.pace.count(now - spoke);
                    }
                    let arrived: Vec<Delivery> =
                        batch.drain(..).flat_map(|delivery| self.down.pass(delivery, now, spoil)).collect();
                    self.hear(&arrived).await?;
                }
                Woken::Closed => return Err(DeviceError::Closed),
                Woken::Disk(Some(SpoolNote::Durable(span))) => self.durable(span),
                Woken::Disk(Some(SpoolNote::Failed(words))) => return Err(stopped(words)),
                Woken::Disk(None) => return Err(stopped("its writer is gone".to_owned())),
                Woken::Stop => return Ok((self.down.struck(), self.up.struck())),
                Woken::Room => self.channel.flush(self.bus.as_ref()),
                Woken::Look => self.look(),
                Woken::Time => self.time().await?,
            }
        }
    }

    async fn woken(
        &mut self,
        subscription: &mut Subscription,
        stop: &mut watch::Receiver<bool>,
        batch: &mut Vec<Delivery>,
    ) -> Woken {
        let due = self.due();
        let full = self.channel.is_full();
        let bus = Arc::clone(&self.bus);
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => Woken::Stop,
            note = self.disk.notes.recv(), if self.pending > 0 => Woken::Disk(note),
            count = subscription.recv_many(batch, BATCH) => if count == 0 { Woken::Closed } else { Woken::Deliveries },
            () = bus.ready(), if full => Woken::Room,
            () = tokio::time::sleep_until(due.into()) => Woken::Time,
            () = tokio::time::sleep(LOOK) => Woken::Look,
        }
    }

    /// When something must be done by the clock; at the latest in an hour.
    fn due(&self) -> Instant {
        let peer = self.peer.poll_timeout().map(|time| self.started + Duration::from_micros(time.0));
        let all = [peer, self.down.next(), self.up.next(), self.restart_at];
        all.into_iter().flatten().min().unwrap_or_else(|| Instant::now() + Duration::from_secs(3600))
    }

    async fn time(&mut self) -> Result<(), DeviceError> {
        let now = Instant::now();
        if self.restart_at.is_some_and(|at| at <= now) {
            return self.restart().await;
        }
        let late = self.down.due(now);
        self.hear(&late).await?;
        for message in self.up.due(now) {
            self.publish(message);
        }
        if self.peer.poll_timeout().is_some_and(|time| time <= self.now()) {
            self.peer.handle_timeout(self.now());
        }
        Ok(())
    }

    /// Messages that got through.
    async fn hear(&mut self, arrived: &[Delivery]) -> Result<(), DeviceError> {
        let incoming: Vec<Incoming> = arrived.iter().filter_map(|delivery| self.channel.incoming(delivery)).collect();
        for batch in incoming.chunks(BATCH) {
            match self.session.decode(batch.to_vec()) {
                Ok(decoded) => {
                    for reply in decoded.replies {
                        self.send(reply);
                    }
                    for command in decoded.commands {
                        self.command(command).await?;
                    }
                }
                Err(error) => self.reopen(error)?,
            }
        }
        Ok(())
    }

    async fn command(&mut self, command: Command) -> Result<(), DeviceError> {
        // A file may have been put into the folder a moment ago.
        if let Command::Offer(offer) = &command
            && offer.file.size.is_none()
            && !self.peer.has(&offer.file)
        {
            self.look();
        }
        if let Command::Offer(offer) = &command {
            self.url = Some(offer.url.clone()).filter(|url| !url.is_empty());
        }
        self.peer.handle(command, self.now());
        self.act().await
    }

    /// A request that goes to a URL and not over MQTT; the platform hears how far it is. One that failed is made again when the
    /// machine's patience is over; after a few the device says that it cannot, and waits for the next offer.
    async fn fetch(&mut self, url: &str, want: Want) {
        let Want { tag, span, .. } = want;
        self.events.push(Event::Progress(Progress { phase: Phase::Downloading, done: Some(span.start), total: None }));
        match fetch(url, span).await {
            Ok(fetched) => {
                self.unfetched = 0;
                let end = span.start + fetched.bytes.len() as u64;
                let last = fetched.size.is_some_and(|size| end >= size);
                let chunk = Chunk { tag, offset: span.start, bytes: fetched.bytes, last };
                self.peer.handle(Command::Chunk(chunk), self.now());
            }
            Err(error) => {
                self.unfetched += 1;
                if self.unfetched >= FETCHES {
                    (self.unfetched, self.url) = (0, None);
                    let text = Text { code: "network".to_owned(), message: error.to_string() };
                    self.events.push(Event::Outcome(Outcome { verdict: Verdict::Failed, text }));
                }
            }
        }
    }

    fn durable(&mut self, span: Span) {
        let mut spans = Vec::new();
        let mut next = Some(SpoolNote::Durable(span));
        while let Some(SpoolNote::Durable(span)) = next {
            self.pending -= 1;
            if self.void > 0 {
                self.void -= 1
            } else {
                spans.push(span)
            }
            next = if self.pending > 0 { self.disk.notes.try_recv().ok() } else { None };
        }
        self.peer.handle_durable(&spans, self.now());
    }

    /// Does what the machine wishes, then says what has gathered.
    async fn act(&mut self) -> Result<(), DeviceError> {
        while let Some(action) = self.peer.poll() {
            match action {
                PeerAction::Say(Event::Want(want)) if self.url.is_some() => {
                    let url = self.url.clone().unwrap_or_default();
                    self.fetch(&url, want).await;
                }
                PeerAction::Say(event) => self.events.push(event),
                PeerAction::SendData { tag, span, last } => {
                    let name = self.peer.serving().map(|file| file.name.clone()).unwrap_or_default();
                    match self.disk.read(&name, span) {
                        Ok(bytes) => {
                            self.events.push(Event::Data(Data {
                                tag,
                                offset: span.start,
                                bytes,
                                sum: Sum::Absent,
                                last,
                            }));
                        }
                        Err(error) => tracing::warn!(%error, "a piece cannot be served"),
                    }
                }
                PeerAction::Write { offset, bytes } => {
                    // What the machine knows of the file must be on disk before bytes of it can be acknowledged.
                    self.disk.keep(&self.peer.kept())?;
                    self.disk.write(offset, bytes).await?;
                    self.pending += 1;
                }
                PeerAction::Truncate => {
                    self.void = self.pending;
                    self.disk.truncate().await?;
                }
                PeerAction::Digest => self.digest()?,
                PeerAction::Verify { tag, file } => self.verify(tag, &file).await?,
                PeerAction::Stored(file) => self.stored(&file)?,
            }
            if self.events.len() >= BATCH {
                self.say()?;
            }
        }
        self.say()?;
        self.disk.keep(&self.peer.kept())?;
        Ok(())
    }

    fn digest(&mut self) -> Result<(), DeviceError> {
        let size = self.peer.kept().file.and_then(|file| file.size).unwrap_or(0);
        let made = self.disk.assemble(size)?;
        self.peer.handle_digests(&made.digests(), self.now());
        Ok(())
    }

    async fn verify(&mut self, tag: u64, file: &FileInfo) -> Result<(), DeviceError> {
        let found = self.disk.digest(file);
        let kept = self.peer.kept();
        let ours = kept.file.iter().flat_map(|kept| &kept.digests).chain(kept.stored.iter().flatten());
        let held = ours.into_iter().any(|digest| file.digests.contains(digest));
        let spoilt = found.as_ref().is_none_or(|(_, now)| kept.stored.as_ref().is_some_and(|then| then != now));
        self.peer.handle_verified(tag, found);
        if held && spoilt {
            // The file is not what was received any more: it has to come again.
            while let Some(action) = self.peer.poll() {
                if let PeerAction::Say(event) = action {
                    self.events.push(event);
                }
            }
            self.say()?;
            self.void = self.pending;
            self.disk.truncate().await?;
            self.peer.restart_with(Kept::default(), self.now());
        }
        Ok(())
    }

    fn stored(&mut self, file: &FileInfo) -> Result<(), DeviceError> {
        let path = self.disk.store(file)?;
        let md5 = file.digests.iter().find(|digest| digest.algorithm == Algorithm::Md5);
        let md5 = md5.map(|digest| packhorse_core::hex::encode(&digest.value)).unwrap_or_default();
        drop(self.notes.send(DeviceNote::Stored { path, size: file.size.unwrap_or(0), md5 }));
        self.look();
        Ok(())
    }

    fn look(&mut self) {
        for file in self.disk.look() {
            self.peer.offer_file(file);
        }
    }

    /// Puts the gathered events into messages and sends them out into the weather.
    fn say(&mut self) -> Result<(), DeviceError> {
        if self.events.is_empty() {
            return Ok(());
        }
        match self.session.encode(std::mem::take(&mut self.events)) {
            Ok(encoded) => {
                for message in encoded.messages {
                    self.send(message);
                }
                Ok(())
            }
            Err(error) => self.reopen(error),
        }
    }

    fn send(&mut self, message: Outgoing) {
        let now = Instant::now();
        for message in self.up.pass(message, now, |message, number| flip(&mut message.payload, number)) {
            self.publish(message);
        }
    }

    fn publish(&mut self, message: Outgoing) {
        self.spoke = Some(Instant::now());
        if let Err(error) = self.channel.send(self.bus.as_ref(), message, Worth::Word) {
            tracing::warn!(%error, "a message has no topic");
        }
    }

    fn reopen(&mut self, error: crate::plugin::CallError) -> Result<(), DeviceError> {
        self.failures += 1;
        drop(self.notes.send(DeviceNote::CodecFailed(error.to_string())));
        if self.failures >= FAILURES {
            return Err(DeviceError::Codec(self.failures, error));
        }
        self.session = self.plugin.open_device(&opening(&self.options, &self.plugin))?;
        Ok(())
    }

    /// Dies and comes back: what is on its way to the disk may arrive there, everything else is gone.
    async fn restart(&mut self) -> Result<(), DeviceError> {
        while self.pending > 0 {
            match self.disk.notes.recv().await {
                Some(SpoolNote::Durable(_)) => self.pending -= 1,
                Some(SpoolNote::Failed(words)) => return Err(stopped(words)),
                None => return Err(stopped("its writer is gone".to_owned())),
            }
        }
        self.void = 0;
        self.events.clear();
        self.url = None;
        self.session = self.plugin.open_device(&opening(&self.options, &self.plugin))?;
        self.peer.restart_with(self.disk.kept(), self.now());
        self.schedule_restart();
        drop(self.notes.send(DeviceNote::Restarted));
        Ok(())
    }

    fn schedule_restart(&mut self) {
        self.restart_at = self.options.faults.restart_every.map(|mean| {
            let spread: f64 = self.random.random_range(0.5..1.5);
            Instant::now() + mean.mul_f64(spread)
        });
    }

    fn now(&self) -> Time {
        Time(u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX))
    }
}

fn stopped(words: String) -> DeviceError {
    DeviceError::Disk(super::DiskError::Spool(SpoolError::Stopped(words)))
}

/// Changes one byte of a delivery.
fn spoil(delivery: &mut Delivery, number: u64) {
    let mut payload = delivery.message.payload.to_vec();
    flip(&mut payload, number);
    delivery.message = Message { payload: Bytes::from(payload), ..delivery.message.clone() };
}

fn flip(payload: &mut [u8], number: u64) {
    if payload.is_empty() {
        return;
    }
    let at = usize::try_from(number >> 8).unwrap_or(0) % payload.len();
    payload[at] ^= 1 << (number & 7);
}

fn opening(options: &DeviceOptions, plugin: &Plugin) -> Opening {
    let mode = plugin.description().modes.first();
    Opening {
        direction: mode.map_or(Direction::Push, |mode| mode.driver.direction()),
        driver: mode.map_or(packhorse_core::transfer::Driver::PlatformPush, |mode| mode.driver),
        device: options.id.clone(),
        file: FileInfo::default(),
        packet_size: mode.map_or(512, |mode| mode.packet_default),
        epoch: 1,
        attempt: 1,
        started_at: 0,
        done: Vec::new(),
        vars: options.vars.clone(),
        saved: Vec::new(),
    }
}

fn plan(plugin: &Plugin) -> PeerPlan {
    let modes: Vec<Mode> = plugin.description().modes.clone();
    let first = modes.first();
    // A protocol that keeps many packets in flight by default has words for many at once.
    let batches = first.is_some_and(|mode| mode.window_default > 1 && mode.confirms);
    let acks =
        if batches { AckStyle::Batch { packets: 16, within: Micros::from_millis(2) } } else { AckStyle::EachPacket };
    PeerPlan {
        packet_size: first.map_or(512, |mode| mode.packet_default),
        window: first.map_or(1, |mode| mode.window_default.max(1)),
        acks,
        patience: Micros::from_millis(200),
        spontaneous: false,
        asks_past_end: 0,
        modes,
    }
}
