//! One transfer under way: the link's own conversation with a simulated bus, spool and file around it.

use crate::broker::SimBus;
use crate::disk::Disk;
use crate::files::Stored;
use crate::ground::{Origin, Stop, To};
use crate::job::Control;
use crate::mutant::Mutant;
use crate::outside::Outside;
use packhorse::bus::Delivery;
use packhorse::link::{
    Assembled, Beginning, End, Kept, LinkEnd, Next, NoMeter, Talk, answered, begin, clean, ended_badly, pushed, told,
};
use packhorse_core::effect::{Confirmed, Traffic, TransferReport, TransferRequest, TransferTask};
use packhorse_core::failure::{Class, Failure};
use packhorse_core::file::FileRef;
use packhorse_core::hex;
use packhorse_core::transfer::{
    Algorithm, Direction, Ending, Event, FileInfo, Flow, Intervals, Span, Time, Transfer, Verify, WaitReason,
};
use std::sync::Arc;

/// Messages in one call of the codec, as in the link.
const BATCH: usize = 64;
/// How often a silent transfer is looked at.
const LOOK: u64 = 5_000_000;

#[expect(clippy::large_enum_variant, reason = "there are few, and each lives where it is made")]
enum Either {
    Transfer(Talk<Transfer>),
    Verify(Talk<Verify>),
}

macro_rules! each {
    ($talk:expr, $name:ident => $do:expr) => {
        match $talk {
            Either::Transfer($name) => $do,
            Either::Verify($name) => $do,
        }
    };
}

/// See the file.
pub(crate) struct Drive {
    talk: Either,
    began: u64,
    pub(crate) part: String,
    task: TransferTask,
    source: Option<Stored>,
    made: Option<(Assembled, Vec<u8>)>,
    index: usize,
    epoch: u32,
    looked: u64,
    controlled: Control,
    /// Bytes of file sent, each time counted.
    sent: u64,
    base: Traffic,
    /// What was done before this session.
    before: Intervals,
    /// Messages that went out and came in.
    pub(crate) said: u64,
    heard: u64,
    /// What it said and the broker has not taken.
    pub(crate) bus: SimBus,
}

/// What an act came to.
#[derive(Default)]
pub(crate) struct Acted {
    /// Syncs of the spool that begin.
    pub(crate) syncs: Vec<(bool, u32)>,
    pub(crate) checkpoint: Option<Vec<u8>>,
    pub(crate) reachable: Option<bool>,
    pub(crate) end: Option<LinkEnd>,
}

impl Drive {
    /// As `link::order` does it: the file is looked at, the plan settled, the codec opened, its topics subscribed to.
    pub(crate) fn open(
        index: usize,
        request: &TransferRequest,
        (epoch, attempt, checkpoint): (u32, u32, Option<&[u8]>),
        (part, disk): (String, &mut Disk),
        to: To,
        out: &mut Outside,
    ) -> Result<Result<Self, Failure>, Stop> {
        out.ground.counts.sessions += 1;
        out.oracle.opened(index, epoch, out.ground.mutant)?;
        let epoch = if out.ground.is(Mutant::SameEpoch) { out.oracle.first_epoch(index, epoch)? } else { epoch };
        let (direction, file, source) = match &request.task {
            TransferTask::Push { file } => match source(file, out) {
                Ok(source) => (Direction::Push, told(file, &request.meta), Some(source)),
                Err(failure) => return Ok(Err(failure)),
            },
            TransferTask::Pull { file_type, .. } => {
                out.spool_is_true(index, disk)?;
                if checkpoint.is_none() && disk.held().covered() > 0 {
                    disk.truncate();
                }
                (Direction::Pull, FileInfo { name: file_type.clone(), ..FileInfo::default() }, None)
            }
            TransferTask::Verify { file } => (Direction::Push, told(file, &request.meta), None),
        };
        let held = (direction == Direction::Pull).then(|| disk.held().clone());
        let plugin = out.plugin(index);
        let vars = out.vars(index);
        let beginning = Beginning {
            request,
            plugin: &plugin,
            vars: &vars,
            epoch,
            attempt,
            started_at: out.wall_ms() / 1_000,
            checkpoint,
            began_with: None,
            direction,
            file,
            held,
            broker: out.scenario.max_packet,
        };
        let begun = match begin(beginning) {
            Ok(begun) => begun,
            Err(failure) => return Ok(Err(failure)),
        };
        for (filter, (_, topic, _)) in begun.codec.routes().subscriptions(Flow::FromDevice).into_iter().enumerate() {
            out.broker.subscribe(&topic, to.clone(), filter, &mut out.ground);
        }
        let base = begun.checkpoint.as_ref().map(|kept| kept.traffic).unwrap_or_default();
        let before = begun.checkpoint.as_ref().map(|kept| kept.done.clone()).unwrap_or_default();
        let (codec, channel) = (begun.codec, begun.channel);
        let unplanned = |error: packhorse_core::transfer::TransferError| {
            Failure::new("PH5107", Class::Permanent, error.to_string())
        };
        let talk = match request.task {
            TransferTask::Verify { .. } => Verify::new(begun.plan, Time(0))
                .map(|machine| Either::Verify(Talk::new(machine, codec, channel, Arc::new(NoMeter)))),
            _ => Transfer::new(begun.plan, begun.checkpoint, Time(0))
                .map(|machine| Either::Transfer(Talk::new(machine, codec, channel, Arc::new(NoMeter)))),
        };
        Ok(talk.map_err(unplanned).map(|talk| Self {
            talk,
            began: out.ground.now,
            part,
            task: request.task.clone(),
            source,
            made: None,
            index,
            epoch,
            looked: out.ground.now,
            controlled: Control::Go,
            sent: 0,
            base,
            before,
            said: 0,
            heard: 0,
            bus: SimBus { unbounded: out.ground.is(Mutant::UnboundedQueue), ..SimBus::default() },
        }))
    }

    /// Whether messages wait for room on the bus.
    pub(crate) fn is_full(&self) -> bool {
        each!(&self.talk, talk => talk.channel.is_full())
    }

    /// The machine counts every message that went out or came in, and no other.
    pub(crate) fn accounts(&self) -> Result<(), Stop> {
        let counted = self.traffic().packets - self.base.packets;
        if self.bus.len() > 0 || self.is_full() || counted == self.said + self.heard {
            return Ok(());
        }
        let (said, heard) = (self.said, self.heard);
        Err(Stop::Wrong(format!("O9: the accounts tell {counted} messages, {said} went out and {heard} came in")))
    }

    pub(crate) fn origin(&self) -> Origin {
        Origin::Session { run: self.index, epoch: self.epoch, at: 0 }
    }

    fn time(&self, now: u64) -> Time {
        Time(now - self.began)
    }

    pub(crate) fn due(&self) -> Option<u64> {
        // What the bus has no room for is waited for, and not the clock.
        let machine = each!(&self.talk, talk => talk.timeout()).filter(|_| !self.is_full());
        let machine = machine.map(|time| self.began.saturating_add(time.0));
        let look = self.looked + LOOK;
        Some(machine.map_or(look, |at| at.min(look)))
    }

    pub(crate) fn connection(&mut self, up: bool, out: &mut Outside) {
        let now = self.time(out.ground.now);
        each!(&mut self.talk, talk => talk.machine.handle_connection(up, now));
        if up
            && out.ground.is(Mutant::ResendsAll)
            && let (Either::Transfer(talk), Some(source)) = (&mut self.talk, &self.source)
        {
            talk.machine.handle(Event::Missing(Span::new(0, source.bytes.len() as u64)), now);
        }
    }

    pub(crate) fn durable(&mut self, spans: &[Span], now: u64) {
        let now = self.time(now);
        each!(&mut self.talk, talk => talk.durable(spans, now));
    }

    /// Takes in what arrived and does what the machine wishes.
    pub(crate) fn act(
        &mut self,
        connected: bool,
        control: Control,
        inbox: &mut Vec<Delivery>,
        disk: &mut Disk,
        out: &mut Outside,
    ) -> Result<Acted, Stop> {
        let mut acted = Acted::default();
        let failed = self.take_in(connected, control, inbox, out).err();
        let mut result = match failed {
            Some(failure) => Err(failure),
            None => self.perform(disk, &mut acted, out)?,
        };
        if let Err(failure) = &mut result {
            acted.end = Some(LinkEnd::Failed { failure: failure.clone(), traffic: self.traffic(), restart: false });
        }
        self.look(&mut acted, disk, out)?;
        Ok(acted)
    }

    fn take_in(
        &mut self,
        connected: bool,
        control: Control,
        inbox: &mut Vec<Delivery>,
        out: &mut Outside,
    ) -> Result<(), Failure> {
        let now = self.time(out.ground.now);
        if connected {
            each!(&mut self.talk, talk => talk.channel.flush(&self.bus));
        }
        if control != self.controlled {
            self.controlled = control;
            match control {
                Control::Go => {}
                Control::Park => each!(&mut self.talk, talk => packhorse::link::Machine::park(&mut talk.machine, now)),
                Control::Cancel => each!(&mut self.talk, talk => talk.cancel(now)),
            }
        }
        if !connected {
            inbox.clear();
        }
        while !inbox.is_empty() {
            let mut batch: Vec<Delivery> = inbox.drain(..inbox.len().min(BATCH)).collect();
            self.heard += batch.len() as u64;
            each!(&mut self.talk, talk => talk.deliveries(&mut batch, &self.bus, now))?;
        }
        let due = each!(&self.talk, talk => talk.timeout()).is_some_and(|at| at <= now);
        if due {
            each!(&mut self.talk, talk => talk.expire(now));
        }
        Ok(())
    }

    fn perform(&mut self, disk: &mut Disk, acted: &mut Acted, out: &mut Outside) -> Result<Result<(), Failure>, Stop> {
        loop {
            let now = self.time(out.ground.now);
            let next = match each!(&mut self.talk, talk => talk.next(&self.bus, now)) {
                Ok(next) => next,
                Err(failure) => return Ok(Err(failure)),
            };
            match next {
                Next::Read { tag, span, last } => {
                    let bytes = self.bytes(span, out);
                    out.oracle.sends(self.index, span)?;
                    self.sent += span.len();
                    each!(&mut self.talk, talk => talk.piece(tag, span, last, bytes));
                }
                Next::Write { offset, bytes } => {
                    disk.write(offset, &bytes);
                    let span = Span::new(offset, offset + bytes.len() as u64);
                    if out.ground.is(Mutant::AckBeforeDurable) {
                        self.durable(&[span], out.ground.now);
                    }
                    acted.syncs.extend(disk.begin_sync().map(|generation| (false, generation)));
                    out.ground.boundary("bytes handed to the spool")?;
                }
                Next::Truncate => disk.truncate(),
                Next::Assemble { size } => self.assemble(size, disk, out)?,
                Next::Keep(kept) => {
                    let bytes = self.twisted(kept.to_bytes(), out);
                    self.check(&bytes, disk, out)?;
                    acted.checkpoint = Some(bytes);
                }
                Next::End(end) => {
                    acted.end = Some(self.end(end, disk, out)?);
                    return Ok(Ok(()));
                }
                Next::Wait => return Ok(Ok(())),
            }
        }
    }

    fn bytes(&self, span: Span, out: &Outside) -> Vec<u8> {
        let Some(source) = &self.source else { return Vec::new() };
        let all = &source.bytes;
        let wrong = u64::from(out.ground.is(Mutant::WrongRange) && span.end < all.len() as u64);
        let mut bytes = all[(span.start + wrong) as usize..(span.end + wrong) as usize].to_vec();
        if out.ground.is(Mutant::SpoilsAByte)
            && span.start == 0
            && let Some(byte) = bytes.last_mut()
        {
            *byte ^= 1;
        }
        bytes
    }

    fn assemble(&mut self, size: u64, disk: &mut Disk, out: &mut Outside) -> Result<(), Stop> {
        if !disk.holds(Span::new(0, size)) {
            return Err(Stop::Wrong(format!("O3: a pull is assembled with holes below byte {size}")));
        }
        let stored = Stored::new(disk.seen().iter().take(size as usize).copied().collect());
        let digest = |text: &str| hex::decode(text).unwrap_or_default();
        let mut made = Assembled {
            size,
            md5: digest(&stored.md5).try_into().unwrap_or_default(),
            sha256: digest(&stored.sha256).try_into().unwrap_or_default(),
            beside: Vec::new(),
        };
        if out.ground.is(Mutant::SkipsPullDigest)
            && let Either::Transfer(talk) = &self.talk
        {
            for told in talk.machine.checkpoint().digests {
                match told.algorithm {
                    Algorithm::Md5 => made.md5 = told.value.try_into().unwrap_or(made.md5),
                    Algorithm::Sha256 => made.sha256 = told.value.try_into().unwrap_or(made.sha256),
                    _ => {}
                }
            }
        }
        let now = self.time(out.ground.now);
        each!(&mut self.talk, talk => talk.digests(&made, now));
        self.made = Some((made, stored.bytes.to_vec()));
        Ok(())
    }

    /// A planted bug may spoil a checkpoint.
    fn twisted(&self, bytes: Vec<u8>, out: &Outside) -> Vec<u8> {
        if !out.ground.is(Mutant::CheckpointsAhead) {
            return bytes;
        }
        let Some(kept) = Kept::read(&bytes) else { return bytes };
        let Some(mut checkpoint) = kept.checkpoint() else { return bytes };
        let sent: Vec<Span> = checkpoint.sent.iter().collect();
        for span in sent {
            checkpoint.done.insert(span);
        }
        Kept { machine: serde_json::to_vec(&checkpoint).unwrap_or_default(), ..kept }.to_bytes()
    }

    /// O3: a checkpoint holds no more than what is durable at the sink.
    fn check(&self, bytes: &[u8], disk: &Disk, out: &Outside) -> Result<(), Stop> {
        let Some(checkpoint) = Kept::read(bytes).and_then(|kept| kept.checkpoint()) else {
            return Err(Stop::Wrong("O10: a checkpoint cannot be read back".to_owned()));
        };
        match &self.task {
            TransferTask::Pull { .. } => {
                let gap = checkpoint.done.iter().find(|span| !disk.holds(*span));
                match gap {
                    Some(gap) => Err(Stop::Wrong(format!("O3: a checkpoint of a pull holds {gap:?}, not durable"))),
                    None => Ok(()),
                }
            }
            TransferTask::Push { file } => {
                out.durable_at_device(self.index, file, (&checkpoint.done, &self.before)).map_err(Stop::Wrong)
            }
            TransferTask::Verify { .. } => Ok(()),
        }
    }

    /// Tells whether the device is there.
    fn look(&mut self, acted: &mut Acted, disk: &Disk, out: &mut Outside) -> Result<(), Stop> {
        self.looked = out.ground.now;
        let now = self.time(out.ground.now);
        let Either::Transfer(talk) = &self.talk else { return Ok(()) };
        let report = talk.machine.progress(now);
        let offline = report.waiting.as_ref().is_some_and(|waiting| waiting.reason == WaitReason::DeviceOffline);
        acted.reachable = Some(!offline);
        // What was quarantined at the end is not there any more.
        let pulls = acted.end.is_none() && matches!(self.task, TransferTask::Pull { .. });
        if pulls && report.done > disk.held().covered() {
            return Err(Stop::Wrong(format!(
                "O3: a pull tells {} bytes, {} are durable",
                report.done,
                disk.held().covered()
            )));
        }
        Ok(())
    }

    fn end(&mut self, end: End, disk: &mut Disk, out: &mut Outside) -> Result<LinkEnd, Stop> {
        let traffic = self.traffic();
        out.ground.tell(3, || format!("ends as {end:?}"));
        Ok(match self.task.clone() {
            TransferTask::Push { file } => pushed(file, end, traffic),
            TransferTask::Verify { file } => answered(file, end, traffic),
            TransferTask::Pull { file_type, name, .. } => self.pulled((file_type, name), end, disk, out)?,
        })
    }

    fn pulled(
        &mut self,
        (file_type, name): (String, Option<String>),
        end: End,
        disk: &mut Disk,
        out: &mut Outside,
    ) -> Result<LinkEnd, Stop> {
        let traffic = self.traffic();
        let end = match end {
            End::Transfer(Ending::Failed(_)) if out.ground.is(Mutant::IgnoresDigest) && self.made.is_some() => {
                let size = self.made.as_ref().map_or(0, |(made, _)| made.size);
                let digests_by_device = match &self.talk {
                    Either::Transfer(talk) => talk.machine.checkpoint().digests,
                    Either::Verify(_) => Vec::new(),
                };
                End::Transfer(Ending::Good { confirmed: Confirmed::Acks, size, digests_by_device })
            }
            end => end,
        };
        match end {
            End::Transfer(Ending::Good { confirmed, size, digests_by_device }) => {
                let Some((made, bytes)) = self.made.take() else {
                    return Err(Stop::Wrong("a pull ended without its file".to_owned()));
                };
                let told = match &self.talk {
                    Either::Transfer(talk) => talk.machine.checkpoint().name,
                    Either::Verify(_) => String::new(),
                };
                let name = name.unwrap_or(if told.is_empty() { file_type } else { told });
                out.ground.boundary("before a pulled file is stored")?;
                let uri = match out.files.put(&bytes.into(), true, &mut out.ground) {
                    Ok(uri) => uri,
                    Err(failure) => {
                        out.excuse(self.index, &failure)?;
                        return Ok(LinkEnd::Failed { failure, traffic, restart: false });
                    }
                };
                out.ground.boundary("after a pulled file is stored")?;
                let (md5, sha256) = (hex::encode(&made.md5), hex::encode(&made.sha256));
                let file = FileRef { uri, name: clean(&name), size: made.size, md5, sha256, meta: Default::default() };
                let (device_size, device_digests) = (Some(size), digests_by_device);
                Ok(LinkEnd::Good(Box::new(TransferReport {
                    file,
                    confirmed,
                    device_size,
                    device_digests,
                    own_digests: Vec::new(),
                    traffic,
                })))
            }
            End::Transfer(Ending::Failed(failure)) if self.made.is_some() => {
                disk.truncate();
                match ended_badly(End::Transfer(Ending::Failed(failure)), traffic) {
                    LinkEnd::Failed { failure, traffic, .. } => Ok(LinkEnd::Failed { failure, traffic, restart: true }),
                    end => Ok(end),
                }
            }
            end => Ok(ended_badly(end, traffic)),
        }
    }

    fn traffic(&self) -> Traffic {
        each!(&self.talk, talk => talk.machine.traffic())
    }
}

/// The bytes of a push, which must still be those of the run's file.
fn source(file: &FileRef, out: &mut Outside) -> Result<Stored, Failure> {
    let stored = out.files.open(&file.uri, &mut out.ground)?;
    if stored.bytes.len() as u64 != file.size || stored.sha256 != file.sha256 {
        let message = format!("{} is another file than when the run was created", file.uri);
        return Err(Failure::new("PH4107", Class::Permanent, message));
    }
    Ok(stored)
}

/// The first of `spans` that is new since `before` and not held.
pub(crate) fn beyond(spans: &Intervals, before: &Intervals, held: &Intervals) -> Option<Span> {
    let mut fresh = spans.iter().flat_map(|span| before.gaps(span));
    fresh.find(|span| !held.contains(*span))
}
