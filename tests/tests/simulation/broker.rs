//! The broker and the air around it: who has subscribed to what, what the weather does, who is away.

use crate::counts::Struck;
use crate::ground::{Ground, Happening, Origin, To, Violation};
use crate::weather::{Link, LinkPlan};
use bytes::Bytes;
use packhorse::bus::{BoxFuture, Bus, BusError, BusStatus, Message, Qos, Subscription};
use packhorse::link::wire_bytes;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// Messages that a runner's bus holds before it says that it is busy.
pub(crate) const OUTBOX: usize = 48;
/// Old frames that may be heard again.
const OLD: usize = 64;
/// Messages that the broker keeps for a device that is away.
const KEPT: usize = 512;

/// A runner's end of the bus: takes messages, which the world carries on.
#[derive(Debug, Default)]
pub(crate) struct SimBus {
    pub(crate) sent: Mutex<VecDeque<Message>>,
    /// Where the planted bug lets it grow without end.
    pub(crate) unbounded: bool,
}

impl SimBus {
    pub(crate) fn take(&self) -> VecDeque<Message> {
        std::mem::take(&mut *self.sent.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn len(&self) -> usize {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Bus for SimBus {
    fn publish(&self, message: Message) -> Result<(), BusError> {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        if sent.len() >= OUTBOX && !self.unbounded {
            return Err(BusError::Busy);
        }
        sent.push_back(message);
        Ok(())
    }

    fn ready(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn subscribe_many(&self, _: &[(&str, Qos)]) -> BoxFuture<'_, Result<Subscription, BusError>> {
        Box::pin(std::future::ready(Err(BusError::Closed)))
    }

    fn status(&self) -> watch::Receiver<BusStatus> {
        watch::channel(BusStatus::Closed).1
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// A device's two directions.
#[derive(Debug)]
pub(crate) struct Wire {
    down: Link,
    up: Link,
    /// Away until then.
    pub(crate) offline_until: u64,
    /// The broker keeps messages for it while it is away.
    session: bool,
    kept: VecDeque<(u64, usize, Message, Origin)>,
    old_down: VecDeque<(Message, Origin)>,
    old_up: VecDeque<(Message, Origin)>,
}

/// See the file.
#[derive(Debug)]
pub(crate) struct Broker {
    subscribers: BTreeMap<Arc<str>, Vec<(To, usize)>>,
    retained: BTreeMap<Arc<str>, (Message, Origin)>,
    pub(crate) wires: Vec<Wire>,
    pub(crate) up: bool,
    max_packet: Option<u32>,
    quantum: u64,
}

impl Broker {
    pub(crate) fn new(wires: Vec<(LinkPlan, LinkPlan, bool)>, max_packet: Option<u32>, quantum: u64) -> Self {
        let wire = |(down, up, session)| Wire {
            down: Link::new(down),
            up: Link::new(up),
            offline_until: 0,
            session,
            kept: VecDeque::new(),
            old_down: VecDeque::new(),
            old_up: VecDeque::new(),
        };
        Self {
            subscribers: BTreeMap::new(),
            retained: BTreeMap::new(),
            wires: wires.into_iter().map(wire).collect(),
            up: true,
            max_packet,
            quantum: quantum.max(1),
        }
    }

    pub(crate) fn heal(&mut self) {
        for wire in &mut self.wires {
            wire.down.heal();
            wire.up.heal();
        }
    }

    pub(crate) fn subscribe(&mut self, topic: &str, to: To, filter: usize, ground: &mut Ground) {
        if let Some((message, from)) = self.retained.get(topic) {
            ground.counts.add(Struck::Retained);
            let (message, from) = (message.clone().retained(), *from);
            ground.later(self.quantum, Happening::Arrive { to: to.clone(), filter, message, from });
        }
        self.subscribers.entry(topic.into()).or_default().push((to, filter));
    }

    pub(crate) fn unsubscribe(&mut self, gone: impl Fn(&To) -> bool) {
        self.subscribers.retain(|_, subscribers| {
            subscribers.retain(|(to, _)| !gone(to));
            !subscribers.is_empty()
        });
    }

    /// Somebody publishes; his own connection is up.
    pub(crate) fn publish(&mut self, message: Message, from: Origin, ground: &mut Ground) -> Result<(), Violation> {
        ground.counts.packets += 1;
        ground.trace.bytes(&message.payload);
        ground.tell(if matches!(from, Origin::Device(_)) { 2 } else { 1 }, || brief(&message, from));
        let size = wire_bytes(&message);
        if let Some(most) = self.max_packet.filter(|most| size > u64::from(*most)) {
            return Err(format!("O8: a packet of {size} bytes where the broker takes {most}: {}", message.topic));
        }
        if !self.up {
            return Ok(());
        }
        if let Origin::Device(device) = from {
            return self.upward(device, message, from, ground);
        }
        for (to, filter) in self.subscribers.get(&message.topic).cloned().unwrap_or_default() {
            match to {
                To::Device(device) => self.downward(device, filter, message.clone(), from, ground),
                To::Job { .. } => {
                    ground.later(self.quantum, Happening::Arrive { to, filter, message: message.clone(), from });
                }
            }
        }
        Ok(())
    }

    fn upward(&mut self, device: usize, message: Message, from: Origin, ground: &mut Ground) -> Result<(), Violation> {
        let wire = &mut self.wires[device];
        if ground.now < wire.offline_until {
            return Ok(());
        }
        let mut heard: Vec<(u64, Message)> = wire
            .up
            .carry(ground.now, &message.payload, &mut ground.chance, &mut ground.counts)
            .into_iter()
            .map(|(at, payload)| (at, with(&message, payload)))
            .collect();
        if ground.chance.hit(wire.up.plan.replay)
            && let Some((old, _)) = pick(&wire.old_up, ground)
        {
            ground.counts.add(Struck::Replayed);
            heard.push((ground.now + 1, old));
        }
        remember(&mut wire.old_up, &message, from);
        if ground.chance.hit(wire.up.plan.replay / 8.0) {
            self.retained.insert(message.topic.clone(), (message.clone(), from));
        }
        for (at, message) in heard {
            for (to, filter) in self.subscribers.get(&message.topic).cloned().unwrap_or_default() {
                let what = Happening::Arrive { to, filter, message: message.clone(), from };
                ground.at(at.next_multiple_of(self.quantum), what);
            }
        }
        Ok(())
    }

    fn downward(&mut self, device: usize, filter: usize, message: Message, from: Origin, ground: &mut Ground) {
        let foreign = self.foreign(device, &message, from, ground);
        let wire = &mut self.wires[device];
        if ground.now < wire.offline_until {
            if wire.session && wire.kept.len() < KEPT {
                wire.kept.push_back((ground.now, filter, message, from));
            }
            return;
        }
        let mut heard: Vec<(u64, Message, Origin)> = wire
            .down
            .carry(ground.now, &message.payload, &mut ground.chance, &mut ground.counts)
            .into_iter()
            .map(|(at, payload)| (at, with(&message, payload), from))
            .collect();
        if ground.chance.hit(wire.down.plan.replay)
            && let Some((old, whose)) = pick(&wire.old_down, ground)
            && old.topic == message.topic
        {
            ground.counts.add(Struck::Replayed);
            heard.push((ground.now + 1, old, whose));
            heard.extend(foreign.map(|(old, whose)| (ground.now + 1, old, whose)));
        }
        remember(&mut wire.old_down, &message, from);
        for (at, message, from) in heard {
            let what = Happening::Arrive { to: To::Device(device), filter, message, from };
            ground.at(at.next_multiple_of(self.quantum), what);
        }
    }

    /// A frame of another device, put on this one's topic by somebody who should not.
    fn foreign(&self, device: usize, like: &Message, beside: Origin, ground: &mut Ground) -> Option<(Message, Origin)> {
        // Where only the topic tells for whom a frame is, as with json-base64, one on the wrong topic is as good as any.
        let names_nobody = like.topic.starts_with("packhorse/");
        if self.wires.len() < 2 || names_nobody || !ground.chance.hit(self.wires[device].down.plan.replay) {
            return None;
        }
        let other = (device + 1) % self.wires.len();
        let (old, from) = pick(&self.wires[other].old_down, ground)?;
        // A later epoch would be a new session to the device: who may write to its topics can take it over.
        if let (Origin::Session { epoch: theirs, .. }, Origin::Session { epoch: ours, .. }) = (from, beside)
            && packhorse_core::epoch::later(theirs, ours)
        {
            return None;
        }
        ground.counts.add(Struck::Foreign);
        Some((with(like, old.payload), from))
    }

    /// The device is away; its session at the broker may be kept.
    pub(crate) fn offline(&mut self, device: usize, until: u64) {
        let wire = &mut self.wires[device];
        wire.offline_until = wire.offline_until.max(until);
    }

    /// It is back: what was kept for it and is not too old goes out.
    pub(crate) fn online(&mut self, device: usize, ground: &mut Ground) {
        let wire = &mut self.wires[device];
        if ground.now < wire.offline_until {
            return;
        }
        for (at, filter, message, from) in std::mem::take(&mut wire.kept) {
            let expiry = message.properties.as_ref().and_then(|properties| properties.expiry);
            if expiry.is_some_and(|seconds| ground.now - at > u64::from(seconds) * 1_000_000) {
                ground.counts.add(Struck::Expired);
                continue;
            }
            ground.later(self.quantum, Happening::Arrive { to: To::Device(device), filter, message, from });
        }
    }

    /// All connections break; `lost` = sessions too.
    pub(crate) fn restart(&mut self, lost: bool) {
        self.up = false;
        if lost {
            self.wires.iter_mut().for_each(|wire| wire.kept.clear());
            self.retained.clear();
        }
    }

    /// After a reconnect a broker that kept the session delivers again what it had no acknowledgement for.
    pub(crate) fn redeliver(&mut self, ground: &mut Ground) {
        for device in 0..self.wires.len() {
            let again: Vec<_> = self.wires[device].old_up.iter().rev().take(8).cloned().collect();
            for (message, from) in again.into_iter().rev() {
                for (to, filter) in self.subscribers.get(&message.topic).cloned().unwrap_or_default() {
                    ground.counts.add(Struck::Duplicate);
                    ground.later(self.quantum, Happening::Arrive { to, filter, message: message.clone(), from });
                }
            }
        }
    }
}

fn with(message: &Message, payload: Bytes) -> Message {
    Message { payload, ..message.clone() }
}

fn pick(old: &VecDeque<(Message, Origin)>, ground: &mut Ground) -> Option<(Message, Origin)> {
    if old.is_empty() {
        return None;
    }
    let at = ground.chance.from(0, old.len() as u64 - 1) as usize;
    old.get(at).cloned()
}

/// Old frames are kept thinly, so that some are of earlier sessions.
fn remember(old: &mut VecDeque<(Message, Origin)>, message: &Message, from: Origin) {
    if old.len() >= OLD {
        old.pop_front();
    }
    old.push_back((message.clone(), from));
}

fn brief(message: &Message, from: Origin) -> String {
    let text: String = String::from_utf8_lossy(&message.payload).chars().take(70).collect();
    format!("{from:?} {} {} bytes {text:?}", message.topic, message.payload.len())
}
