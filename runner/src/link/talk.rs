//! What a transfer says and understands: machine, codec and topics together, and nothing that waits.
//!
//! The drive around it waits for messages, disk and clock. A simulation puts another drive around the same conversation.

use super::channel::{Channel, Worth, wire_bytes};
use super::codec::Codec;
use super::machine::{Machine, Wish};
use super::order::Kept;
use super::outside::Meter;
use super::rejects::Rejects;
use super::spool::Assembled;
use crate::bus::{Bus, Delivery};
use packhorse_core::failure::{Class, Failure};
use packhorse_core::transfer::{
    Action, Chunk, Command, CommandKind, Ending, Event, Fault, Faulted, Hello, Sent, SentKind, Span, Tag, Text, Time,
    TransferFailure, Verified,
};
use std::sync::Arc;

/// Commands in one call of the codec: a quarter of the window that fills a link, so that packets leave while others are made.
const COMMANDS: usize = 16;

/// How a machine ended.
#[derive(Debug)]
pub enum End {
    /// As a transfer.
    Transfer(Ending),
    /// With the answer of a verify.
    Answer(Verified),
    /// Without one.
    Failed(TransferFailure),
}

/// What the drive must do next; in order.
#[derive(Debug)]
pub enum Next {
    /// Read these bytes of the file and give them to [`Talk::piece`].
    Read {
        /// For the piece.
        tag: Tag,
        /// Which bytes.
        span: Span,
        /// Whether the file ends with them.
        last: bool,
    },
    /// Put bytes into the spool; [`Talk::durable`] when they are on disk.
    Write {
        /// Where they belong.
        offset: u64,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Void what is in the spool.
    Truncate,
    /// Make the file of its pieces; [`Talk::digests`] when it is made.
    Assemble {
        /// In bytes.
        size: u64,
    },
    /// Keep this checkpoint; nobody waits for it. When the device was last heard is for the drive to fill in.
    Keep(Kept),
    /// It is over.
    End(End),
    /// Nothing, until something happens, the bus has room, or [`Talk::timeout`] is due.
    Wait,
}

/// One conversation with a device.
pub struct Talk<M> {
    /// The machine.
    pub machine: M,
    /// Its topics on the bus.
    pub channel: Channel,
    /// What the device said last of itself, until it is taken.
    pub(super) hello: Option<Hello>,
    pub(super) rejects: Rejects,
    codec: Codec,
    meter: Arc<dyn Meter>,
    commands: Vec<(Command, SentKind)>,
    end: Option<End>,
}

impl<M: Machine> Talk<M> {
    /// Nothing is said yet.
    pub fn new(machine: M, codec: Codec, channel: Channel, meter: Arc<dyn Meter>) -> Self {
        Self {
            machine,
            channel,
            hello: None,
            rejects: Rejects::default(),
            codec,
            meter,
            commands: Vec::new(),
            end: None,
        }
    }

    /// Writes down what went over the wire, and tells the machine what may still go.
    fn spend(&mut self, bytes: u64, now: Time) {
        if bytes > 0
            && let Some(left) = self.meter.spend(bytes)
        {
            self.machine.handle_budget(left, now);
        }
    }

    /// When [`Talk::expire`] wants to be called.
    pub fn timeout(&self) -> Option<Time> {
        self.machine.poll_timeout()
    }

    /// The time that [`Talk::timeout`] named has come.
    pub fn expire(&mut self, now: Time) {
        self.machine.handle_timeout(now);
    }

    /// Says on the bus what the machine wishes to be said, and gives the next thing that is for others to do.
    pub fn next(&mut self, bus: &dyn Bus, now: Time) -> Result<Next, Failure> {
        if let Some(end) = self.end.take() {
            return Ok(Next::End(end));
        }
        loop {
            if self.commands.len() >= COMMANDS {
                self.say(bus, now)?;
            }
            let wish = if self.channel.is_full() { None } else { self.machine.poll(now) };
            match wish {
                None => {
                    self.say(bus, now)?;
                    // What was said may have made the machine wish something new.
                    if self.channel.is_full() || !self.wishes(now) {
                        return Ok(Next::Wait);
                    }
                }
                Some(Wish::Do(Action::Say(command))) => self.commands.push((command, SentKind::Other)),
                Some(Wish::Do(action)) => return self.action(action, now),
                Some(Wish::End(ending)) => return self.over(End::Transfer(ending), bus, now),
                Some(Wish::Answer(verified)) => return self.over(End::Answer(verified), bus, now),
                Some(Wish::Fail(failure)) => return self.over(End::Failed(failure), bus, now),
            }
        }
    }

    fn action(&mut self, action: Action, now: Time) -> Result<Next, Failure> {
        Ok(match action {
            Action::Send { tag, span, last } => Next::Read { tag, span, last },
            Action::Write { offset, bytes, .. } => Next::Write { offset, bytes },
            Action::Truncate => Next::Truncate,
            Action::Digest => Next::Assemble { size: self.machine.progress(now).total.unwrap_or(0) },
            Action::Checkpoint => self.checkpoint()?.map_or(Next::Wait, Next::Keep),
            Action::Say(_) | Action::Finished(_) => return Err(ours("an action came to the wrong place")),
        })
    }

    /// The last checkpoint goes before the end.
    fn over(&mut self, end: End, bus: &dyn Bus, now: Time) -> Result<Next, Failure> {
        self.say(bus, now)?;
        Ok(match self.checkpoint()? {
            Some(kept) => {
                self.end = Some(end);
                Next::Keep(kept)
            }
            None => Next::End(end),
        })
    }

    /// Whether a timer is due already, so that nobody need sleep.
    fn wishes(&mut self, now: Time) -> bool {
        let due = self.machine.poll_timeout().is_some_and(|time| time <= now);
        if due {
            self.machine.handle_timeout(now);
        }
        due
    }

    /// The bytes of a [`Next::Read`].
    pub fn piece(&mut self, tag: Tag, span: Span, last: bool, bytes: Vec<u8>) {
        let chunk = Chunk { tag, offset: span.start, bytes, last };
        self.commands.push((Command::Chunk(chunk), SentKind::Piece(span)));
    }

    /// Says everything that has gathered, in one call of the codec.
    fn say(&mut self, bus: &dyn Bus, now: Time) -> Result<(), Failure> {
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
            let bytes = self.channel.send(bus, message, worth).map_err(|error| misrouted(&error))?;
            cost[cause] = (cost[cause].0 + bytes, cost[cause].1 + 1);
        }
        let all = cost.iter().map(|(bytes, _)| bytes).sum();
        for ((what, (wire_bytes, messages)), name) in kinds.into_iter().zip(cost).zip(&names) {
            if messages > 0 {
                self.machine.handle_sent(Sent { what, wire_bytes, messages }, now);
            } else {
                tracing::trace!(?name, "the codec said nothing for a command");
            }
        }
        self.spend(all, now);
        for faulted in encoded.faults {
            match (faulted.fault, names.get(usize::from(faulted.index))) {
                (Fault::Unsupported, Some(name)) => self.machine.handle_unsupported(*name, now),
                (fault, _) => self.machine.handle_fault(fault, now),
            }
        }
        Ok(())
    }

    /// Understands what arrived, at most 64 messages; empties `batch`.
    pub fn deliveries(&mut self, batch: &mut Vec<Delivery>, bus: &dyn Bus, now: Time) -> Result<(), Failure> {
        let bytes = batch.iter().map(|delivery| wire_bytes(&delivery.message)).sum();
        self.machine.handle_received(bytes, u32::try_from(batch.len()).unwrap_or(u32::MAX), now);
        self.spend(bytes, now);
        let incoming: Vec<_> = batch.iter().filter_map(|delivery| self.channel.incoming(delivery)).collect();
        let channel = &self.channel;
        let again = |index: usize| batch.iter().filter_map(|delivery| channel.incoming(delivery)).nth(index);
        let decoded = self.codec.decode(incoming, again)?;
        let (fatal, others): (Vec<_>, Vec<_>) =
            decoded.faults.into_iter().partition(|faulted| matches!(faulted.fault, Fault::Fatal(_)));
        for faulted in others {
            self.faulted(faulted, batch, now);
        }
        let before = doubted(&self.machine);
        for event in decoded.events {
            if let Event::Hello(hello) = &event {
                self.hello = Some(hello.clone());
            }
            self.machine.handle(event, now);
        }
        if doubted(&self.machine) > before {
            let only = batch.first().filter(|_| batch.len() == 1).map(|delivery| delivery.message.payload.as_ref());
            self.rejects.push(self.machine.faults().last.last().map_or("", String::as_str), only, now);
        }
        for reply in decoded.replies {
            let wire_bytes = self.channel.send(bus, reply, Worth::Word).map_err(|error| misrouted(&error))?;
            self.machine.handle_sent(Sent { what: SentKind::Other, wire_bytes, messages: 1 }, now);
            self.spend(wire_bytes, now);
        }
        // Last: what was said before it, and the answers to it, count and go out.
        for faulted in fatal {
            self.faulted(faulted, batch, now);
        }
        batch.clear();
        Ok(())
    }

    fn faulted(&mut self, faulted: Faulted, batch: &[Delivery], now: Time) {
        let payload = batch.iter().filter_map(|delivery| self.channel.incoming(delivery)).nth(faulted.index.into());
        self.rejects.faulted(&faulted.fault, payload.as_ref().map(|message| message.payload.as_slice()), now);
        self.machine.handle_fault(faulted.fault, now);
    }

    /// These bytes of a pull are on disk.
    pub fn durable(&mut self, spans: &[Span], now: Time) {
        if !spans.is_empty() {
            self.machine.handle_durable(spans, now);
        }
    }

    /// The file of a pull is made.
    pub fn digests(&mut self, made: &Assembled, now: Time) {
        self.machine.handle_digests(&made.digests(), made.size, now);
    }

    /// Ends for good; tells the device where its protocol can say so.
    pub fn cancel(&mut self, now: Time) {
        let reason = Text { code: "cancelled".to_owned(), message: "cancelled by the platform".to_owned() };
        self.machine.cancel(reason, now);
    }

    /// Machine and codec, as a later attempt goes on from.
    fn checkpoint(&mut self) -> Result<Option<Kept>, Failure> {
        let Some(machine) = self.machine.checkpoint() else { return Ok(None) };
        let saved = self.codec.save()?.to_vec();
        Ok(Some(Kept { machine, saved, heard: None, codec: Some(self.codec.digest().to_owned()) }))
    }
}

/// What could be read and was not believed.
fn doubted(machine: &impl Machine) -> u64 {
    machine.faults().implausible + machine.faults().bad_sums
}

fn ours(words: &str) -> Failure {
    Failure::new("PH9002", Class::Bug, words)
}

fn misrouted(error: &packhorse_core::transfer::RouteError) -> Failure {
    Failure::new("PH6003", Class::Permanent, format!("the codec's message has no topic: {error}"))
}
