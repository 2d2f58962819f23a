//! A device: the peer machine of the core, the codec's device side, a flash that forgets what was not synced, and lies.

use crate::broker::SimBus;
use crate::counts::Struck;
use crate::disk::Disk;
use crate::files::Stored;
use crate::ground::{Happening, Origin, Stop, To};
use crate::lies::Lie;
use crate::mutant::Mutant;
use crate::outside::Outside;
use packhorse::bus::{Delivery, Message};
use packhorse::link::{Channel, Worth};
use packhorse::plugin::{DeviceSession, Plugin};
use packhorse_core::hex;
use packhorse_core::transfer::peer::{AckStyle, Kept, Peer, PeerAction, PeerPlan};
use packhorse_core::transfer::{
    Algorithm, Command, Data, Digest, Direction, Driver, Event, FileInfo, Flow, Incoming, Intervals, Micros, Opening,
    Pairs, Span, Sum, Time,
};
use std::collections::BTreeMap;
use std::sync::Arc;

const BATCH: usize = 64;

/// What is on a device, as an outsider sees it.
#[derive(Default)]
pub(crate) struct Flash {
    pub(crate) disk: Disk,
    /// Whole files that arrived, by name.
    pub(crate) files: BTreeMap<String, Stored>,
    /// Files that it gives away, by name.
    pub(crate) shelf: BTreeMap<String, Stored>,
    /// The file that arrives.
    pub(crate) arriving: Option<FileInfo>,
    stored: Option<Vec<Digest>>,
    /// It lost what was durable, once.
    pub(crate) forgot: bool,
    /// How often it threw away a part of a file for another one, by the file's digests.
    pub(crate) thrown: Vec<Vec<Digest>>,
}

impl Flash {
    fn kept(&self) -> Kept {
        Kept { file: self.arriving.clone(), durable: self.disk.held().clone(), stored: self.stored.clone() }
    }
}

/// See the file.
pub(crate) struct Device {
    id: usize,
    name: String,
    plugin: Arc<Plugin>,
    vars: Pairs,
    session: DeviceSession,
    channel: Channel,
    bus: SimBus,
    peer: Peer,
    inbox: Vec<(Delivery, Origin)>,
    events: Vec<Event>,
    pub(crate) up: bool,
    pub(crate) lie: Option<Lie>,
    said: u64,
    /// Newest epoch that it heard in this life.
    newest: Option<u32>,
    /// Run and time of the newest frame ever.
    latest: Option<(usize, u64)>,
    drips: bool,
    touched: bool,
    /// A lie's true size and packet.
    truth: (u64, u64),
}

pub(crate) struct DeviceParts {
    pub(crate) id: usize,
    pub(crate) name: String,
    pub(crate) plugin: Arc<Plugin>,
    pub(crate) vars: Pairs,
    pub(crate) lie: Option<Lie>,
    pub(crate) patience: u64,
    pub(crate) drips: bool,
    pub(crate) size: u64,
}

impl Device {
    pub(crate) fn new(parts: DeviceParts, out: &mut Outside) -> Result<Self, Stop> {
        let DeviceParts { id, name, plugin, vars, lie, patience, drips, size } = parts;
        let session = open(&plugin, &name, &vars)?;
        let routes = Arc::clone(session.routes());
        for (filter, (_, topic, _)) in routes.subscriptions(Flow::ToDevice).into_iter().enumerate() {
            out.broker.subscribe(&topic, To::Device(id), filter, &mut out.ground);
        }
        let mut peer = Peer::new(plan(&plugin, patience), Time(0));
        for (name, stored) in &out.flash[id].shelf {
            peer.offer_file(info(name, stored));
        }
        Ok(Self {
            id,
            name,
            plugin,
            vars,
            session,
            channel: Channel::new(routes, Flow::ToDevice),
            bus: SimBus { unbounded: true, ..SimBus::default() },
            peer,
            inbox: Vec::new(),
            events: Vec::new(),
            up: true,
            lie,
            said: 0,
            newest: None,
            latest: None,
            drips,
            touched: true,
            truth: (size, 640),
        })
    }

    pub(crate) fn due(&self) -> Option<u64> {
        self.peer.poll_timeout().filter(|_| self.up).map(|time| time.0)
    }

    pub(crate) fn arrive(&mut self, filter: usize, message: Message, from: Origin) {
        if self.up && self.inbox.len() < 4096 && self.in_order(from) {
            self.inbox.push((Delivery { filter, message, receipt: None }, from));
            self.touched = true;
        }
    }

    /// A codec without epochs relies on the order that brokers keep (MQTT 5, section 4.6): nothing of one run comes after what
    /// another said later.
    fn in_order(&mut self, from: Origin) -> bool {
        let Origin::Session { run, at, .. } = from else { return true };
        let (of, newest) = *self.latest.get_or_insert((run, at));
        let good = self.fenced() || of == run || at >= newest;
        if good {
            self.latest = Some((run, at.max(newest)));
        }
        good
    }

    /// Whether its codec has epochs.
    fn fenced(&self) -> bool {
        self.plugin.name() == "acme-tlv"
    }

    /// Does what there is to do.
    pub(crate) fn work(&mut self, out: &mut Outside) -> Result<(), Stop> {
        if !self.up || out.ground.now < out.broker.wires[self.id].offline_until {
            return Ok(());
        }
        let now = Time(out.ground.now);
        let due = self.peer.poll_timeout().is_some_and(|at| at <= now);
        if !self.touched && !due {
            return Ok(());
        }
        self.touched = false;
        let inbox = std::mem::take(&mut self.inbox);
        // Frames of one session in one call, so that it is known whose words the commands are.
        for batch in inbox.chunk_by(|one, other| one.1.session() == other.1.session()) {
            for batch in batch.chunks(BATCH) {
                self.hear(batch, out)?;
            }
        }
        if due {
            self.peer.handle_timeout(now);
        }
        self.act(out)
    }

    fn hear(&mut self, batch: &[(Delivery, Origin)], out: &mut Outside) -> Result<(), Stop> {
        let from = batch[0].1;
        let incoming: Vec<Incoming> =
            batch.iter().filter_map(|(delivery, _)| self.channel.incoming(delivery)).collect();
        let epoch = match from {
            Origin::Session { epoch, .. } => epoch,
            Origin::Device(_) => return Ok(()),
        };
        let stale = self.fenced() && self.newest.is_some_and(|newest| packhorse_core::epoch::later(newest, epoch));
        if stale {
            out.ground.counts.add(Struck::StaleFrame);
            if out.ground.is(Mutant::AcceptsStaleEpoch) {
                self.session = open(&self.plugin, &self.name, &self.vars)?;
            }
        }
        let decoded = match self.session.decode(incoming) {
            Ok(decoded) => decoded,
            Err(error) => return Err(Stop::Wrong(format!("the device's codec trapped: {error}"))),
        };
        decoded.faults.iter().for_each(|_| out.ground.counts.add(Struck::Codec));
        if stale && decoded.commands.iter().any(|command| matches!(command, Command::Chunk(_) | Command::Offer(_))) {
            return Err(Stop::Wrong(format!("O4: a device takes words of epoch {epoch} after {:?}", self.newest)));
        }
        if !decoded.commands.is_empty() && !stale {
            self.newest = Some(epoch);
        }
        for reply in decoded.replies {
            drop(self.channel.send(&self.bus, reply, Worth::Word));
        }
        for command in decoded.commands {
            self.peer.handle(command, Time(out.ground.now));
            self.act(out)?;
        }
        Ok(())
    }

    fn act(&mut self, out: &mut Outside) -> Result<(), Stop> {
        while let Some(action) = self.peer.poll() {
            let flash = &mut out.flash[self.id];
            match action {
                PeerAction::Say(event) => self.tell(event, out)?,
                PeerAction::SendData { tag, span, last } => {
                    let name = self.peer.serving().map(|file| file.name.clone()).unwrap_or_default();
                    let Some(stored) = flash.shelf.get(&name) else { continue };
                    let bytes = stored.bytes[span.start as usize..span.end as usize].to_vec();
                    self.tell(Event::Data(Data { tag, offset: span.start, bytes, sum: Sum::Absent, last }), out)?;
                }
                PeerAction::Write { offset, bytes } => {
                    let kept = self.peer.kept();
                    (flash.arriving, flash.stored) = (kept.file, kept.stored);
                    flash.disk.write(offset, &bytes);
                    let id = self.id;
                    out.ground.tell(4, || format!("device {id} writes {} bytes at {offset}", bytes.len()));
                    self.sync(out);
                }
                PeerAction::Truncate => {
                    if let Some(part) = flash.arriving.as_ref().filter(|_| flash.disk.held().covered() > 0) {
                        flash.thrown.push(part.digests.clone());
                    }
                    flash.disk.truncate();
                    let (id, kept) = (self.id, self.peer.kept());
                    out.ground.tell(3, || format!("device {id} throws away what arrived, for {:?}", kept.file));
                }
                PeerAction::Digest => {
                    let digests = digests(&Stored::new(flash.disk.seen().to_vec()));
                    self.peer.handle_digests(&digests, Time(out.ground.now));
                }
                PeerAction::Verify { tag, file } => {
                    let held = flash.files.values().chain(flash.shelf.values());
                    let found = held.map(|stored| (stored.bytes.len() as u64, digests(stored)));
                    let found = found
                        .into_iter()
                        .find(|(_, digests)| digests.iter().any(|digest| file.digests.contains(digest)));
                    self.peer.handle_verified(tag, found);
                }
                PeerAction::Stored(file) => {
                    let name = if file.name.is_empty() { "unnamed".to_owned() } else { file.name.clone() };
                    let stored = Stored::new(flash.disk.seen().to_vec());
                    // What arrived can be asked about and given away like any other file.
                    self.peer.offer_file(info(&name, &stored));
                    flash.shelf.insert(name.clone(), stored.clone());
                    flash.files.insert(format!("{name}:{}", stored.sha256), stored);
                }
            }
            if self.events.len() >= BATCH {
                self.say(out)?;
            }
        }
        self.say(out)?;
        let kept = self.peer.kept();
        let flash = &mut out.flash[self.id];
        (flash.arriving, flash.stored) = (kept.file, kept.stored);
        Ok(())
    }

    /// O3 at the device's end: it acknowledges what is durable; unless it lies.
    fn tell(&mut self, event: Event, out: &mut Outside) -> Result<(), Stop> {
        let span = match &event {
            Event::Ack(span) => Some(*span),
            Event::AckThrough(end) => Some(Span::new(0, *end)),
            _ => None,
        };
        let flash = &out.flash[self.id];
        if let Some(span) = span.filter(|span| !flash.disk.holds(*span) && flash.stored.is_none()) {
            return Err(Stop::Wrong(format!("O3: a device acknowledges {span:?}, not all durable")));
        }
        self.said += 1;
        match self.lie {
            Some(lie) => {
                let (size, packet) = self.truth;
                let before = event.clone();
                let told = lie.twist(event, self.said, size, packet);
                if told.len() != 1 || told[0] != before {
                    out.ground.counts.add(Struck::Lie);
                    if lie == Lie::FutureAck {
                        out.ground.counts.add(Struck::DeviceFuture);
                    }
                }
                self.events.extend(told);
            }
            None => self.events.push(event),
        }
        Ok(())
    }

    fn say(&mut self, out: &mut Outside) -> Result<(), Stop> {
        if !self.events.is_empty() {
            let events = std::mem::take(&mut self.events);
            for chunk in events.chunks(BATCH) {
                match self.session.encode(chunk.to_vec()) {
                    Ok(encoded) => {
                        for message in encoded.messages {
                            drop(self.channel.send(&self.bus, message, Worth::Word));
                        }
                    }
                    // What a liar wants to say may be more than its codec can put into words.
                    Err(_) if self.lie.is_some() => self.session = open(&self.plugin, &self.name, &self.vars)?,
                    Err(error) => return Err(Stop::Wrong(format!("the device's codec trapped: {error}"))),
                }
            }
        }
        for message in self.bus.take() {
            if self.drips && out.ground.chance.hit(0.9) && !out.oracle.healed {
                out.ground.counts.add(Struck::SlowDrip);
                continue;
            }
            out.publish(message, Origin::Device(self.id))?;
        }
        Ok(())
    }

    fn sync(&self, out: &mut Outside) {
        if let Some(generation) = out.flash[self.id].disk.begin_sync() {
            let most = out.scenario.device_sync;
            let by = out.ground.chance.from(most / 4, most);
            out.ground.later(by, Happening::DeviceSynced { device: self.id, generation });
        }
    }

    pub(crate) fn synced(&mut self, generation: u32, out: &mut Outside) {
        let spans = out.flash[self.id].disk.finish_sync(generation);
        let id = self.id;
        out.ground.tell(4, || format!("device {id} has on its flash {spans:?}"));
        if !spans.is_empty() && self.up {
            self.peer.handle_durable(&spans, Time(out.ground.now));
            self.touched = true;
            self.sync(out);
        }
    }

    /// The process dies.
    pub(crate) fn die(&mut self, away: u64, out: &mut Outside) {
        if !std::mem::take(&mut self.up) {
            return;
        }
        out.ground.counts.add(Struck::DeviceRestart);
        out.flash[self.id].disk.crash();
        self.inbox.clear();
        self.events.clear();
        out.ground.later(away, Happening::DeviceBack(self.id));
    }

    /// Its flash loses everything from some durable byte on; never after it has called the file good.
    pub(crate) fn forget(&mut self, out: &mut Outside) {
        if self.peer.verdict().is_some() || !self.up {
            return;
        }
        out.ground.counts.add(Struck::DeviceForgot);
        let keep = out.ground.chance.from(0, self.peer.kept().durable.prefix());
        let flash = &mut out.flash[self.id];
        flash.forgot = true;
        flash.disk.forget_from(keep);
        let mut durable = Intervals::default();
        durable.insert(Span::new(0, keep));
        let kept = Kept { durable, ..flash.kept() };
        self.peer.restart_with(kept, Time(out.ground.now));
        self.touched = true;
    }

    pub(crate) fn back(&mut self, out: &mut Outside) -> Result<(), Stop> {
        if self.up {
            return Ok(());
        }
        self.up = true;
        self.newest = None;
        self.session = open(&self.plugin, &self.name, &self.vars)?;
        self.peer.restart_with(out.flash[self.id].kept(), Time(out.ground.now));
        self.touched = true;
        Ok(())
    }

    pub(crate) fn pause(&mut self, millis: u32, out: &mut Outside) {
        out.ground.counts.add(Struck::DevicePause);
        self.peer.pause(millis);
        self.touched = true;
    }
}

pub(crate) fn info(name: &str, stored: &Stored) -> FileInfo {
    FileInfo {
        name: name.to_owned(),
        size: Some(stored.bytes.len() as u64),
        digests: digests(stored),
        meta: Vec::new(),
    }
}

pub(crate) fn digests(stored: &Stored) -> Vec<Digest> {
    let digest = |algorithm, text: &str| Digest { algorithm, value: hex::decode(text).unwrap_or_default() };
    vec![digest(Algorithm::Md5, &stored.md5), digest(Algorithm::Sha256, &stored.sha256)]
}

fn open(plugin: &Arc<Plugin>, name: &str, vars: &Pairs) -> Result<DeviceSession, Stop> {
    let opening = Opening {
        direction: Direction::Push,
        driver: Driver::PlatformPush,
        device: name.to_owned(),
        file: FileInfo::default(),
        packet_size: 640,
        epoch: 1,
        attempt: 1,
        started_at: 0,
        done: Vec::new(),
        vars: vars.clone(),
        saved: Vec::new(),
    };
    plugin.open_device(&opening).map_err(|error| Stop::Wrong(format!("the device's codec does not open: {error}")))
}

/// As `device::shell` has it.
fn plan(plugin: &Plugin, patience: u64) -> PeerPlan {
    let modes = plugin.description().modes.clone();
    let first = modes.first();
    let batches = first.is_some_and(|mode| mode.window_default > 1 && mode.confirms);
    let acks =
        if batches { AckStyle::Batch { packets: 16, within: Micros::from_millis(2) } } else { AckStyle::EachPacket };
    PeerPlan {
        packet_size: first.map_or(512, |mode| mode.packet_default),
        window: first.map_or(1, |mode| mode.window_default.max(1)),
        acks,
        patience: Micros(patience),
        spontaneous: false,
        asks_past_end: 0,
        modes,
    }
}
