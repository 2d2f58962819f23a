//! One transfer as asked for, and its way through the link.

use super::begin::{Beginning, Begun, begin, pairs, told};
use super::channel::Channel;
use super::codec::Codec;
use super::drive::{Clock, Drive};
use super::ending::{answered, clean, ended_badly, plain, pushed, through};
use super::machine::Machine;
use super::outside::{Claimed, Meter, Pulled, Shelf, allowance};
use super::pull::Landing;
use super::settle::payload;
use super::source::Source;
use super::talk::{End, Talk};
use super::turns::{Turn, session_epoch};
use super::{Control, Link};
use crate::bus::{BusError, Message, Subscription};
use crate::counts::Metered;
use crate::failpoint::Point;
use crate::plugin::Plugin;
use crate::store::wall;
use packhorse_core::digest::beside;
use packhorse_core::effect::{Layout, Traffic, TransferReport, TransferRequest, TransferTask};
use packhorse_core::failure::{Class, Failure, chain};
use packhorse_core::file::FileRef;
use packhorse_core::hex;
use packhorse_core::transfer::{
    self as core, Checkpoint, Digest, Direction, Ending, FileInfo, Pairs, ProgressReport, Time, Transfer, Verify,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// A transfer to carry out.
pub struct Order {
    /// The run, for logs and for [`Link::release`].
    pub run: String,
    /// From 1 (critical) to 5: whose turn with the device comes first.
    pub level: u8,
    /// Names the transfer's bytes in the spool: run and step.
    pub name: String,
    /// What the workflow asked for.
    pub request: TransferRequest,
    /// The codec, pinned by the run.
    pub plugin: Arc<Plugin>,
    /// Variables for the codec.
    pub vars: Pairs,
    /// Grows with every start and resumption of any transfer to the device ([`packhorse_core::epoch`]).
    pub epoch: u32,
    /// Which attempt of the step this is, from 1 on.
    pub attempt: u32,
    /// Of an earlier attempt: [`Kept`] as bytes.
    pub checkpoint: Option<Vec<u8>>,
    /// SHA-256 of the codec that the run began with, in hex: whose `saved` is in a checkpoint that does not say.
    pub began_with: Option<String>,
    /// A message of the device that came before anybody listened; the codec hears it first.
    pub first: Option<Message>,
    /// What it is told from outside.
    pub control: watch::Receiver<Control>,
    /// Changes when somebody else hears the device; nothing where nobody would tell.
    pub heard: Option<watch::Receiver<u64>>,
    /// Where checkpoints and progress go.
    pub notes: mpsc::Sender<LinkNote>,
    /// Whether the work is still ours.
    pub claim: Arc<dyn Claimed>,
    /// Counts what goes over the wire, and knows the budget.
    pub meter: Arc<dyn Meter>,
    /// Takes the file of a pull.
    pub shelf: Arc<dyn Shelf>,
}

impl std::fmt::Debug for Order {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Order")
            .field("name", &self.name)
            .field("request", &self.request)
            .finish_non_exhaustive()
    }
}

/// What a transfer tells while it runs.
#[derive(Debug, Clone)]
pub enum LinkNote {
    /// To be stored; an older one is worth nothing then.
    Checkpoint(Vec<u8>),
    /// How far it is, the last packets that were rejected, and the transfer's own time.
    Progress(Box<ProgressReport>, Vec<super::Rejected>, Time),
    /// What the device said of itself.
    Hello {
        /// Which device.
        device: String,
        /// What it said.
        hello: packhorse_core::transfer::Hello,
    },
    /// Another transfer has the device; this one waits for its turn.
    Queued,
}

/// How a transfer ended.
#[derive(Debug, Clone)]
pub enum LinkEnd {
    /// Well.
    Good(Box<TransferReport>),
    /// Not; `restart` makes the checkpoint worthless.
    Failed {
        /// Why.
        failure: Failure,
        /// What it cost.
        traffic: Traffic,
        /// Whether the next attempt starts from byte 0.
        restart: bool,
    },
    /// Goes on later.
    Parked(Traffic),
    /// For good.
    Cancelled(Traffic),
}

/// What a checkpoint holds: the machine's and the codec's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The machine's checkpoint as JSON text.
    #[serde(with = "text")]
    pub machine: Vec<u8>,
    /// What the codec's `save` gave.
    pub saved: Vec<u8>,
    /// When the device last said anything: UTC in milliseconds since 1970.
    #[serde(default)]
    pub heard: Option<u64>,
    /// SHA-256 of the codec whose `saved` it is, in hex: another build must not be given it. Absent in checkpoints of earlier programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codec: Option<String>,
}

impl Kept {
    /// For the journal.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// From the journal.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// The machine's part.
    pub fn checkpoint(&self) -> Option<Checkpoint> {
        serde_json::from_slice(&self.machine).ok()
    }
}

mod text {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _, ser::Error as _};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(std::str::from_utf8(bytes).map_err(S::Error::custom)?)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        String::deserialize(deserializer).map(String::into_bytes).map_err(D::Error::custom)
    }
}

/// What the loop starts from.
struct Started {
    begun: Begun,
    subscription: Subscription,
}

impl Link {
    /// Carries a transfer out. Ends only by the machine's word, a failure, or what `control` says.
    pub async fn run(&self, mut order: Order) -> LinkEnd {
        // What was spent before counts too where this attempt ends before its machine begins.
        let mut spent = spent_before(&order);
        let Some(_turn) = self.turn(&mut order).await else {
            return ended(&order, &spent);
        };
        match self.epoch(&mut order).await {
            Ok(true) => {}
            Ok(false) => return ended(&order, &spent),
            Err(failure) => return LinkEnd::Failed { failure, traffic: spent, restart: false },
        }
        let result = match order.request.task.clone() {
            TransferTask::Push { file } => self.push(&mut order, file, &mut spent).await,
            TransferTask::Pull { file_type, name, layout } => {
                self.pull(&mut order, (file_type, name, layout), &mut spent).await
            }
            TransferTask::Verify { file } => self.verify(&mut order, file, &mut spent).await,
        };
        let end = result.unwrap_or_else(|failure| LinkEnd::Failed { failure, traffic: spent, restart: false });
        through(&order.plugin.title(), end)
    }

    /// Waits until nobody else moves a file to or from this device; nothing when told to end first.
    async fn turn(&self, order: &mut Order) -> Option<Turn> {
        let device = order.request.device.clone();
        if let Some(turn) = self.turns.try_take(&device) {
            return Some(turn);
        }
        drop(order.notes.try_send(LinkNote::Queued));
        tokio::select! {
            turn = self.turns.take(&device, order.level) => Some(turn),
            _ = order.control.wait_for(|control| *control != Control::Go) => None,
        }
    }

    /// Takes the session's epoch; false where there must be no session: the work is another's by now, or `control` says so.
    async fn epoch(&self, order: &mut Order) -> Result<bool, Failure> {
        order.epoch = session_epoch(self.epochs.as_ref(), &order.request.device, order.epoch).await?;
        Ok(tokio::select! {
            ours = order.claim.confirm() => ours,
            _ = order.control.wait_for(|control| *control != Control::Go) => false,
        })
    }

    async fn push(&self, order: &mut Order, file: FileRef, spent: &mut Traffic) -> Result<LinkEnd, Failure> {
        let beside = beside(&order.plugin.description().digests);
        let (source, digests) = Source::open(Arc::clone(&self.contents), &file, &beside).await?;
        let mut info = told(&file, &order.request.meta);
        info.digests.extend(digests);
        let Some(started) = self.start(order, Direction::Push, info, None).await? else {
            return Ok(ended(order, spent));
        };
        let clock = Clock::start();
        let machine = Transfer::new(started.begun.plan, started.begun.checkpoint, clock.now())
            .map_err(|error| unplanned(&error))?;
        let parts = (started.begun.codec, started.begun.channel, started.subscription, started.begun.packet);
        let (end, machine) = self.drive(order, machine, parts, (Some(source), None), clock).await;
        let traffic = machine.talk.machine.traffic();
        *spent = traffic;
        Ok(in_budget(order, pushed(file, end?, traffic)).await)
    }

    async fn pull(
        &self,
        order: &mut Order,
        (file_type, name, layout): (String, Option<String>, Layout),
        spent: &mut Traffic,
    ) -> Result<LinkEnd, Failure> {
        let beside = beside(&order.plugin.description().digests);
        let mut landing = Landing::new(&self.spool, &order.name, &self.folder.join(super::PARTS), beside);
        let _at_work = self.begun(&order.run, &landing);
        if order.checkpoint.is_none() && !landing.held().is_empty() {
            // Nothing says which file these bytes are of.
            landing.truncate().await?;
        }
        let asked = FileInfo { name: file_type.clone(), meta: pairs(&order.request.meta), ..FileInfo::default() };
        let Some(started) = self.start(order, Direction::Pull, asked, Some(&landing)).await? else {
            return Ok(ended(order, spent));
        };
        let clock = Clock::start();
        let machine = Transfer::new(started.begun.plan, started.begun.checkpoint, clock.now())
            .map_err(|error| unplanned(&error))?;
        let parts = (started.begun.codec, started.begun.channel, started.subscription, started.begun.packet);
        let (end, drive) = self.drive(order, machine, parts, (None, Some(landing)), clock).await;
        let traffic = drive.talk.machine.traffic();
        *spent = traffic;
        let landing = drive.landing.ok_or_else(|| Failure::new("PH9002", Class::Bug, "a pull lost its landing"))?;
        match end? {
            End::Transfer(Ending::Good { confirmed, size, digests_by_device }) => {
                let last = drive.talk.machine.checkpoint();
                let name = name.unwrap_or(if last.name.is_empty() { file_type } else { last.name });
                let file = self.store(order, landing, (clean(&name), last.packet_size, layout)).await?;
                let report = TransferReport {
                    file,
                    confirmed,
                    device_size: Some(size),
                    device_digests: digests_by_device,
                    own_digests: Vec::new(),
                    traffic,
                };
                Ok(LinkEnd::Good(Box::new(report)))
            }
            End::Transfer(Ending::Failed(failure))
                if landing.made.is_some() && failure.code != core::code::TRAFFIC_BUDGET =>
            {
                let to = landing.quarantine(&self.folder.join("quarantine")).await?;
                let mut failure = plain(failure);
                failure.message = format!("{}; the file is kept in {}", failure.message, to.display());
                Ok(LinkEnd::Failed { failure, traffic, restart: true })
            }
            end => Ok(in_budget(order, ended_badly(end, traffic)).await),
        }
    }

    /// Puts a finished pull into the file store.
    async fn store(
        &self,
        order: &Order,
        landing: Landing,
        (name, packet_size, layout): (String, u32, Layout),
    ) -> Result<FileRef, Failure> {
        let made =
            landing.made.clone().ok_or_else(|| Failure::new("PH9002", Class::Bug, "a pull ended without its file"))?;
        let pulled = Pulled {
            path: landing.path().to_owned(),
            name,
            size: made.size,
            md5: hex::encode(&made.md5),
            sha256: hex::encode(&made.sha256),
            packet_size,
            layout,
        };
        Point::PullUpload.pass();
        let file = order.shelf.store(pulled).await?;
        Point::PullUploaded.pass();
        self.stored(&order.run, &landing.finish());
        Ok(file)
    }

    async fn verify(&self, order: &mut Order, file: FileRef, spent: &mut Traffic) -> Result<LinkEnd, Failure> {
        let mut info = told(&file, &order.request.meta);
        info.digests.extend(self.beside(order, &file).await);
        let Some(started) = self.start(order, Direction::Push, info, None).await? else {
            return Ok(ended(order, spent));
        };
        if !started.begun.mode.can_query {
            let message = format!("codec {} cannot ask a device what it holds", order.plugin.title());
            let hint = "leave the verify out; transfer.push tells by `confirmed` how sure it is";
            return Err(Failure::new("PH5105", Class::Permanent, message).hint(hint));
        }
        let clock = Clock::start();
        let machine = Verify::new(started.begun.plan, clock.now()).map_err(|error| unplanned(&error))?;
        let parts = (started.begun.codec, started.begun.channel, started.subscription, started.begun.packet);
        let (end, drive) = self.drive(order, machine, parts, (None, None), clock).await;
        let traffic = drive.talk.machine.traffic();
        *spent = traffic;
        Ok(in_budget(order, answered(file, end?, traffic)).await)
    }

    /// What a device may answer that is neither MD5 nor SHA-256. A file that cannot be read, or is another one by now, is asked
    /// about by what is known of it.
    async fn beside(&self, order: &Order, file: &FileRef) -> Vec<Digest> {
        let kinds = beside(&order.plugin.description().digests);
        if kinds.is_empty() {
            return Vec::new();
        }
        match Source::open(Arc::clone(&self.contents), file, &kinds).await {
            Ok((_, digests)) => digests,
            Err(failure) => {
                tracing::warn!(run = %order.run, %failure, "a device is asked with fewer digests than its codec knows");
                Vec::new()
            }
        }
    }

    /// Settles the plan, opens the codec and subscribes; nothing when told to end before that.
    async fn start(
        &self,
        order: &mut Order,
        direction: Direction,
        file: FileInfo,
        landing: Option<&Landing>,
    ) -> Result<Option<Started>, Failure> {
        let mut begun = begin(Beginning {
            request: &order.request,
            plugin: &order.plugin,
            vars: &order.vars,
            epoch: order.epoch,
            attempt: order.attempt,
            started_at: wall().0 / 1_000,
            checkpoint: order.checkpoint.as_deref(),
            began_with: order.began_with.as_deref(),
            direction,
            file,
            held: landing.map(Landing::held),
            broker: self.broker_limit(),
        })?;
        let (payload, topic) = (payload(&begun.mode, begun.plan.packet_size), begun.channel.longest_topic());
        begun.plan.budget = allowance(order.meter.as_ref(), payload, topic).await?;
        let subscribed = tokio::select! {
            subscribed = begun.channel.subscribe(self.bus.as_ref()) => subscribed,
            _ = order.control.wait_for(|control| *control != Control::Go) => return Ok(None),
        };
        let subscription = subscribed.map_err(|error| unsubscribed(&error))?;
        Ok(Some(Started { begun, subscription }))
    }

    async fn drive<M: Machine>(
        &self,
        order: &mut Order,
        machine: M,
        (codec, channel, mut subscription, (packet, fixed)): (Codec, Channel, Subscription, (u64, bool)),
        (source, landing): (Option<Source>, Option<Landing>),
        clock: Clock,
    ) -> (Result<End, Failure>, Drive<M>) {
        let first = order.first.take().and_then(|message| channel.delivery(message));
        let metered = Metered::new(direction(&order.request.task), order.plugin.name(), &machine.traffic());
        let mut drive = Drive {
            first,
            talk: Talk::new(machine, codec, channel, Arc::clone(&order.meter)),
            device: order.request.device.clone(),
            bus: Arc::clone(&self.bus),
            source,
            landing,
            notes: order.notes.clone(),
            heard: order.heard.take(),
            clock,
            told: None,
            heard_before: order.checkpoint.as_deref().and_then(Kept::read).and_then(|kept| kept.heard),
            packet,
            fixed,
            metered,
        };
        let end = drive.run(&mut subscription, &mut order.control).await;
        (end, drive)
    }

    fn broker_limit(&self) -> Option<u32> {
        self.bus.status().borrow().limits().and_then(|limits| limits.max_packet_size)
    }
}

/// As counts and logs call it.
const fn direction(task: &TransferTask) -> &'static str {
    match task {
        TransferTask::Push { .. } => "push",
        TransferTask::Pull { .. } => "pull",
        TransferTask::Verify { .. } => "verify",
    }
}

/// The accounts of earlier attempts, as the checkpoint carries them.
fn spent_before(order: &Order) -> Traffic {
    let kept = order.checkpoint.as_deref().and_then(Kept::read);
    kept.and_then(|kept| kept.checkpoint()).map(|checkpoint| checkpoint.traffic).unwrap_or_default()
}

/// What ended before it began.
fn ended(order: &Order, traffic: &Traffic) -> LinkEnd {
    match *order.control.borrow() {
        Control::Cancel => LinkEnd::Cancelled(*traffic),
        Control::Go | Control::Park => LinkEnd::Parked(*traffic),
    }
}

/// A budget that is spent is told in the words of its books: how much it was, and when there is more.
async fn in_budget(order: &Order, end: LinkEnd) -> LinkEnd {
    match end {
        LinkEnd::Failed { failure, traffic, .. } if failure.code == core::code::TRAFFIC_BUDGET => {
            LinkEnd::Failed { failure: order.meter.spent().await, traffic, restart: false }
        }
        end => end,
    }
}

fn unplanned(error: &core::TransferError) -> Failure {
    Failure::new("PH5107", Class::Permanent, chain(error))
}

fn unsubscribed(error: &BusError) -> Failure {
    let words = format!("cannot subscribe to the device's topics: {}", chain(error));
    let hint = error.advice().unwrap_or("check that the broker's access list lets this user subscribe to them");
    Failure::new("PH5103", error.class(), words).hint(hint)
}
