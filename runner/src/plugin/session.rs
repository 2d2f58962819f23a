//! Sessions: one instance of a plugin, serving one transfer, on the platform's side or the device's.

use std::sync::Arc;

use packhorse_core::transfer::{
    Command, Decoded, DeviceDecoded, Encoded, Event, Faulted, Flow, Incoming, Opening, Outgoing, Routes, Text,
};

use super::Violation;
use super::check::{Checked, Checker};
use super::contract;
use super::guest::{Guest, GuestStore};
use super::{CallError, Failure, Function, MAX_BATCH_BYTES, MAX_BATCH_ITEMS, MAX_SAVED_BYTES, Plugin, PluginError};

/// Bytes of payload in one call, unless one item alone has more: what a codec may have to digest within a call's processor time. A
/// call with a heavier item has that time for each so many bytes.
const CALL_BYTES: usize = 256 << 10;

/// The platform's end of one transfer.
///
/// Calls block for as long as the guest runs (10 ms of processor time at the most, 40 ms with an item of 1 MiB). After an error, but
/// [`Failure::BatchTooLarge`], the session is dead: every call gives that error again, and the caller opens a new one from
/// what `save` gave last.
pub struct Session {
    side: Side,
    exports: contract::Platform,
}

/// The device's end of one transfer, for the simulated device and for tests. It dies as [`Session`] does.
pub struct DeviceSession {
    side: Side,
    exports: contract::Device,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Session").field(&self.side).finish()
    }
}

impl std::fmt::Debug for DeviceSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("DeviceSession").field(&self.side).finish()
    }
}

impl Session {
    pub(crate) fn open(plugin: &Arc<Plugin>, opening: &Opening) -> Result<Self, PluginError> {
        let mut side = Side::new(plugin, opening, Flow::ToDevice)?;
        let exports = side.guest.platform()?;
        let completed = side.completed(opening);
        side.open(|store| exports.open(store, &completed))?;
        Ok(Self { side, exports })
    }

    /// Translates what arrived, in order of arrival: at most 64 messages, none of more than 1 MiB.
    pub fn decode(&mut self, batch: Vec<Incoming>) -> Result<Decoded, CallError> {
        let exports = &self.exports;
        let weigh = |message: &Incoming| message.payload.len();
        self.side.call(Function::Decode, batch, weigh, |store, batch| exports.decode(store, batch))
    }

    /// Puts what is to be said into messages: at most 64 commands, none with more than 1 MiB.
    pub fn encode(&mut self, batch: Vec<Command>) -> Result<Encoded, CallError> {
        let exports = &self.exports;
        let weigh = |command: &Command| if let Command::Chunk(chunk) = command { chunk.bytes.len() } else { 0 };
        self.side.call(Function::Encode, batch, weigh, |store, batch| exports.encode(store, batch))
    }

    /// What a later `open` takes as `saved`: at most 4096 bytes. Of use after a call that was `dirty`.
    pub fn save(&mut self) -> Result<Vec<u8>, CallError> {
        let exports = &self.exports;
        self.side.save(|store| exports.save(store))
    }

    /// The topics of this session's routes: for [`packhorse_core::transfer::Outgoing`] and for subscribing.
    pub const fn routes(&self) -> &Arc<Routes> {
        &self.side.routes
    }

    /// The plugin that serves it.
    pub const fn plugin(&self) -> &Arc<Plugin> {
        &self.side.plugin
    }
}

impl DeviceSession {
    pub(crate) fn open(plugin: &Arc<Plugin>, opening: &Opening) -> Result<Self, PluginError> {
        let mut side = Side::new(plugin, opening, Flow::FromDevice)?;
        let exports = side.guest.device()?;
        let completed = side.completed(opening);
        side.open(|store| exports.open(store, &completed))?;
        Ok(Self { side, exports })
    }

    /// Translates what arrived at the device: at most 64 messages, none of more than 1 MiB.
    pub fn decode(&mut self, batch: Vec<Incoming>) -> Result<DeviceDecoded, CallError> {
        let exports = &self.exports;
        let weigh = |message: &Incoming| message.payload.len();
        self.side.call(Function::Decode, batch, weigh, |store, batch| exports.decode(store, batch))
    }

    /// Puts what the device has to say into messages: at most 64 events, none with more than 1 MiB.
    pub fn encode(&mut self, batch: Vec<Event>) -> Result<Encoded, CallError> {
        let exports = &self.exports;
        let weigh = |event: &Event| if let Event::Data(data) = event { data.bytes.len() } else { 0 };
        self.side.call(Function::Encode, batch, weigh, |store, batch| exports.encode(store, batch))
    }

    /// As [`Session::save`].
    pub fn save(&mut self) -> Result<Vec<u8>, CallError> {
        let exports = &self.exports;
        self.side.save(|store| exports.save(store))
    }

    /// The topics of this session's routes; the device subscribes to [`Flow::ToDevice`].
    pub const fn routes(&self) -> &Arc<Routes> {
        &self.side.routes
    }

    /// The plugin that serves it.
    pub const fn plugin(&self) -> &Arc<Plugin> {
        &self.side.plugin
    }
}

/// How many items go into one call: as long as they are light together, and always one.
fn first_part<Item>(batch: &[Item], weigh: impl Fn(&Item) -> usize) -> usize {
    let mut bytes = 0;
    let fits = |item: &&Item| {
        bytes += weigh(item);
        bytes <= CALL_BYTES
    };
    batch.iter().take_while(fits).count().max(1).min(batch.len())
}

/// Results of calls that follow each other.
trait Joined {
    /// Takes in what a later call gave, whose first item is number `from` of the whole.
    fn join(&mut self, later: Self, from: usize);
}

fn shifted(index: u16, from: usize) -> u16 {
    index.saturating_add(u16::try_from(from).unwrap_or(u16::MAX))
}

fn messages(later: Vec<Outgoing>, from: usize) -> impl Iterator<Item = Outgoing> {
    later.into_iter().map(move |message| Outgoing { cause: shifted(message.cause, from), ..message })
}

fn faults(later: Vec<Faulted>, from: usize) -> impl Iterator<Item = Faulted> {
    later.into_iter().map(move |faulted| Faulted { index: shifted(faulted.index, from), ..faulted })
}

impl Joined for Decoded {
    fn join(&mut self, later: Self, from: usize) {
        self.events.extend(later.events);
        self.replies.extend(messages(later.replies, from));
        self.faults.extend(faults(later.faults, from));
        self.dirty |= later.dirty;
    }
}

impl Joined for DeviceDecoded {
    fn join(&mut self, later: Self, from: usize) {
        self.commands.extend(later.commands);
        self.replies.extend(messages(later.replies, from));
        self.faults.extend(faults(later.faults, from));
        self.dirty |= later.dirty;
    }
}

impl Joined for Encoded {
    fn join(&mut self, later: Self, from: usize) {
        self.messages.extend(messages(later.messages, from));
        self.faults.extend(faults(later.faults, from));
        self.dirty |= later.dirty;
    }
}

/// What both sides have in common: the instance, its topics, and whether it still lives.
#[derive(Debug)]
struct Side {
    plugin: Arc<Plugin>,
    guest: Guest,
    routes: Arc<Routes>,
    vars: packhorse_core::transfer::Pairs,
    /// The flow of the messages that this side sends.
    sends: Flow,
    dead: Option<CallError>,
}

impl Side {
    fn new(plugin: &Arc<Plugin>, opening: &Opening, sends: Flow) -> Result<Self, PluginError> {
        let (vars, routes) = plugin.bind(&opening.device, &opening.vars)?;
        let guest = plugin.instantiate()?;
        Ok(Self { plugin: Arc::clone(plugin), guest, routes: Arc::new(routes), vars, sends, dead: None })
    }

    /// With the variables that were left out.
    fn completed(&self, opening: &Opening) -> Opening {
        Opening { vars: self.vars.clone(), ..opening.clone() }
    }

    fn open(
        &mut self,
        call: impl FnOnce(&mut GuestStore) -> wasmtime::Result<Result<(), Text>>,
    ) -> Result<(), PluginError> {
        let opened = self.guest.call(Function::Open, call)?;
        opened.map_err(|text| PluginError::Refused { plugin: self.plugin.title(), text })
    }

    /// In as many calls as it takes: a batch of n is worth n batches of one, and the time of a call does not grow with its bytes.
    fn call<Item, Given: Checked + Joined>(
        &mut self,
        function: Function,
        mut batch: Vec<Item>,
        weigh: impl Fn(&Item) -> usize,
        call: impl Fn(&mut GuestStore, Vec<Item>) -> wasmtime::Result<Given>,
    ) -> Result<Given, CallError> {
        self.alive()?;
        let items = batch.len();
        let heaviest = batch.iter().map(&weigh).max().unwrap_or(0);
        if items > MAX_BATCH_ITEMS || heaviest > MAX_BATCH_BYTES {
            return Err(self.plugin.failed(function, Failure::BatchTooLarge { items, bytes: heaviest }));
        }
        let mut first = first_part(&batch, &weigh);
        let mut rest = batch.split_off(first);
        let mut given = self.call_once(function, batch, &weigh, &call)?;
        while !rest.is_empty() {
            let later = rest.split_off(first_part(&rest, &weigh));
            let count = rest.len();
            given.join(self.call_once(function, rest, &weigh, &call)?, first);
            (first, rest) = (first + count, later);
        }
        Ok(given)
    }

    fn call_once<Item, Given: Checked>(
        &mut self,
        function: Function,
        batch: Vec<Item>,
        weigh: impl Fn(&Item) -> usize,
        call: impl Fn(&mut GuestStore, Vec<Item>) -> wasmtime::Result<Given>,
    ) -> Result<Given, CallError> {
        let items = batch.len();
        let bytes: usize = batch.iter().map(weigh).sum();
        self.guest.shares(u32::try_from(bytes.div_ceil(CALL_BYTES)).unwrap_or(u32::MAX).max(1));
        let begun = std::time::Instant::now();
        let given = self.guest.call(function, |store| call(store, batch));
        self.plugin.calls.took(function.indexed(), begun.elapsed());
        let given = given.map_err(|error| self.die(error))?;
        let checker = Checker { batch: items, routes: &self.routes, sends: self.sends };
        match given.check(&checker) {
            Ok(()) => Ok(given),
            Err(violation) => Err(self.violated(function, violation)),
        }
    }

    fn save(&mut self, call: impl FnOnce(&mut GuestStore) -> wasmtime::Result<Vec<u8>>) -> Result<Vec<u8>, CallError> {
        self.alive()?;
        let saved = self.guest.call(Function::Save, call).map_err(|error| self.die(error))?;
        if saved.len() > MAX_SAVED_BYTES {
            let violation = Violation::SaveTooLarge { bytes: saved.len(), limit: MAX_SAVED_BYTES };
            return Err(self.violated(Function::Save, violation));
        }
        Ok(saved)
    }

    fn alive(&self) -> Result<(), CallError> {
        self.dead.clone().map_or(Ok(()), Err)
    }

    fn violated(&mut self, function: Function, violation: Violation) -> CallError {
        let error = self.plugin.failed(function, Failure::Violation(violation));
        self.die(error)
    }

    fn die(&mut self, error: CallError) -> CallError {
        self.plugin.calls.failed(error.function.indexed().1);
        self.dead = Some(error.clone());
        error
    }
}
