//! The codec of one transfer: batches in and out, and what happens when it traps.
//!
//! A trap costs the packet that caused it, not the transfer: the session is opened anew from its last `save`, under the same
//! epoch, and the other packets of the batch are tried one by one. The third trap ends the transfer with the plugin's name
//! and words.

use crate::plugin::{CallError, Plugin, PluginError, Session};
use packhorse_core::failure::{Class, Failure, chain};
use packhorse_core::transfer::{Command, Decoded, Encoded, Fault, Faulted, Incoming, Opening, Routes};
use std::sync::Arc;

/// Traps that a transfer bears.
const TRAPS: u32 = 3;

/// A codec session that outlives its instances.
#[derive(Debug)]
pub struct Codec {
    plugin: Arc<Plugin>,
    opening: Opening,
    session: Session,
    dirty: bool,
    traps: u32,
}

impl Codec {
    /// Opens the first instance.
    pub fn open(plugin: Arc<Plugin>, opening: Opening) -> Result<Self, Failure> {
        let session = plugin.open(&opening).map_err(|error| refused(&error))?;
        Ok(Self { plugin, opening, session, dirty: false, traps: 0 })
    }

    /// The topics.
    pub fn routes(&self) -> &Arc<Routes> {
        self.session.routes()
    }

    /// SHA-256 of its bytes, in hex.
    pub(super) fn digest(&self) -> &str {
        self.plugin.digest()
    }

    /// Translates what arrived, at most 64 messages. `again` makes the batch's message `index` anew after a trap.
    pub(super) fn decode(
        &mut self,
        batch: Vec<Incoming>,
        again: impl Fn(usize) -> Option<Incoming>,
    ) -> Result<Decoded, Failure> {
        let count = batch.len();
        match self.session.decode(batch) {
            Ok(decoded) => {
                self.dirty |= decoded.dirty;
                Ok(decoded)
            }
            Err(error) => {
                self.trapped(&error, count)?;
                self.decode_singly(count, again)
            }
        }
    }

    fn decode_singly(&mut self, count: usize, again: impl Fn(usize) -> Option<Incoming>) -> Result<Decoded, Failure> {
        let mut all = Decoded::default();
        for index in (0..count).filter(|_| count > 1) {
            let Some(message) = again(index) else { continue };
            match self.session.decode(vec![message]) {
                Ok(one) => {
                    self.dirty |= one.dirty;
                    all.events.extend(one.events);
                    all.replies.extend(one.replies);
                    let index = u16::try_from(index).unwrap_or(u16::MAX);
                    all.faults.extend(one.faults.into_iter().map(|faulted| Faulted { index, ..faulted }));
                }
                Err(error) => {
                    self.trapped(&error, 1)?;
                    all.faults.push(malformed(index, &error));
                }
            }
        }
        if count == 1 {
            all.faults.push(Faulted { index: 0, fault: Fault::Malformed("the codec trapped on it".to_owned()) });
        }
        Ok(all)
    }

    /// Puts commands into messages, at most 64. `cause` of each message is the index into the batch.
    pub(super) fn encode(&mut self, batch: Vec<Command>) -> Result<Encoded, Failure> {
        // Kept for the rare trap; pieces are a few hundred bytes.
        let kept = (batch.len() > 1).then(|| batch.clone());
        match self.session.encode(batch) {
            Ok(encoded) => {
                self.dirty |= encoded.dirty;
                Ok(encoded)
            }
            Err(error) => {
                let count = kept.as_ref().map_or(1, Vec::len);
                self.trapped(&error, count)?;
                self.encode_singly(kept.unwrap_or_default())
            }
        }
    }

    fn encode_singly(&mut self, batch: Vec<Command>) -> Result<Encoded, Failure> {
        let mut all = Encoded::default();
        for (index, command) in batch.into_iter().enumerate() {
            let cause = u16::try_from(index).unwrap_or(u16::MAX);
            match self.session.encode(vec![command]) {
                Ok(one) => {
                    self.dirty |= one.dirty;
                    all.messages.extend(
                        one.messages.into_iter().map(|message| packhorse_core::transfer::Outgoing { cause, ..message }),
                    );
                    all.faults.extend(one.faults.into_iter().map(|faulted| Faulted { index: cause, ..faulted }));
                }
                Err(error) => self.trapped(&error, 1)?,
            }
        }
        Ok(all)
    }

    /// What the next instance starts from; taken before a checkpoint. The same bytes again while nothing changed.
    pub(super) fn save(&mut self) -> Result<&[u8], Failure> {
        if self.dirty {
            match self.session.save() {
                Ok(saved) => (self.opening.saved, self.dirty) = (saved, false),
                Err(error) => self.trapped(&error, 1)?,
            }
        }
        Ok(&self.opening.saved)
    }

    /// Counts a trap and opens the session anew. A trap of a whole batch is not counted: its culprit will trap again.
    fn trapped(&mut self, error: &CallError, count: usize) -> Result<(), Failure> {
        tracing::warn!(plugin = %self.plugin.title(), device = %self.opening.device, %error, "codec trapped");
        self.traps += u32::from(count == 1);
        if self.traps >= TRAPS {
            let message = format!(
                "codec {} failed {TRAPS} times on device {}: {error}",
                self.plugin.title(),
                self.opening.device
            );
            let hint = "send this to the codec's vendor; `packhorse plugin repin` moves the run to a mended build, then `packhorse retry`";
            return Err(Failure::new("PH6001", Class::Permanent, message).hint(hint));
        }
        self.session = self.plugin.open(&self.opening).map_err(|error| refused(&error))?;
        Ok(())
    }
}

fn malformed(index: usize, error: &CallError) -> Faulted {
    Faulted { index: u16::try_from(index).unwrap_or(u16::MAX), fault: Fault::Malformed(error.to_string()) }
}

/// A session that could not be opened.
pub(super) fn refused(error: &PluginError) -> Failure {
    if let PluginError::Call(call) = error {
        return Failure::new("PH6001", Class::Permanent, call.to_string()).hint("send this to the codec's vendor");
    }
    let class = if matches!(error, PluginError::NoSlot { .. }) { Class::Transient } else { Class::Permanent };
    Failure::new("PH6002", class, chain(error))
}
