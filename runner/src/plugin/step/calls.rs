//! What stands beside an instance of a step plugin: its grants, what is left of its budgets, and the way out.

use std::sync::Arc;

use packhorse_core::effect::{Effect, Reply};
use packhorse_core::failure::{Class, Failure};
use packhorse_core::grant::{Grants, RefusedCall, Usage};
use tokio::runtime::Handle;
use tokio::sync::watch;
use wasmtime::ResourceLimiter;

use super::super::engine::{OverBudget, Ticker};
use super::super::guest::Beside;
use super::Effects;
use super::bindings::types::{self, Error};

/// Refused calls after which an instance is dropped: it does not listen.
pub(super) const MOST_REFUSALS: u32 = 16;

/// Beside one instance.
pub(super) struct Calls {
    pub(super) beside: Beside,
    pub(super) plugin: String,
    pub(super) device: Option<String>,
    pub(super) grants: Grants,
    pub(super) effects: Arc<dyn Effects>,
    pub(super) runtime: Handle,
    pub(super) ticker: Arc<Ticker>,
    /// True, or closed, once the run is to end.
    pub(super) stop: watch::Receiver<bool>,
    /// What the run has used of its grants.
    pub(super) used: Usage,
    /// What of that, and ahead of it, is written down.
    pub(super) charged: Usage,
    pub(super) refusals: u32,
}

/// Why an instance is dropped by a host function or between its instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Dropped {
    #[error("stopped")]
    Stopped,
    #[error("refused too often")]
    Refused,
}

/// What a host function gives the guest, or a trap.
pub(super) type Answer<T> = wasmtime::Result<Result<T, Error>>;

impl Calls {
    /// Whether the guest may go on until the next tick.
    pub(super) fn look(&mut self) -> wasmtime::Result<()> {
        if *self.stop.borrow() || self.stop.has_changed().is_err() {
            return Err(Dropped::Stopped.into());
        }
        self.beside.look().map_err(|over: OverBudget| over.into())
    }

    /// One call: judged, counted, carried out. `subject` is what it is about, for people; `out` the bytes that go out with it.
    pub(super) fn ask(&mut self, what: &str, subject: &str, effect: Effect, out: usize) -> Answer<Reply> {
        self.used.calls = self.used.calls.saturating_add(1);
        if let Err(why) = self.grants.allows(&effect, self.device.as_deref()) {
            return self.refuse(what, subject, why, Error::Denied);
        }
        if let Err(why) = self.spend(out as u64) {
            return self.refuse(what, subject, why, Error::Spent);
        }
        if let Err(failure) = self.charge()? {
            return Ok(Err(Error::Failed(told(failure))));
        }
        match self.carry_out(effect)? {
            Ok(reply) => match self.spend_answer(&reply) {
                Ok(()) => {
                    // The answer is there: what cannot be written down of it now is written with the next call.
                    drop(self.charge()?);
                    Ok(Ok(reply))
                }
                Err(why) => self.refuse(what, subject, why, Error::Spent),
            },
            Err(failure) => Ok(Err(Error::Failed(told(failure)))),
        }
    }

    /// Carries out what was judged, or what undoes it; the guest waits here.
    pub(super) fn carry_out(&mut self, effect: Effect) -> wasmtime::Result<Result<Reply, Failure>> {
        let effects = Arc::clone(&self.effects);
        self.wait(effects.perform(effect))
    }

    /// Writes down what is used now, and a share more, where that is not written yet.
    fn charge(&mut self) -> wasmtime::Result<Result<(), Failure>> {
        if self.used.is_within(self.charged) {
            return Ok(Ok(()));
        }
        let (ahead, effects) = (self.used.ahead(self.grants.budget), Arc::clone(&self.effects));
        let charged = self.wait(effects.charge(ahead))?;
        if charged.is_ok() {
            self.charged = ahead;
        }
        Ok(charged)
    }

    /// At the end only what was used counts; of one that was stopped, what was written down.
    pub(super) fn settle(self) {
        if self.used != self.charged && !*self.stop.borrow() {
            // What cannot be written now counts as used.
            drop(self.wait(self.effects.charge(self.used)));
        }
    }

    /// Waits as a host function does: until the step is stopped.
    fn wait<T>(&self, work: impl Future<Output = T>) -> wasmtime::Result<T> {
        let ticker = Arc::clone(&self.ticker);
        let _waiting = ticker.waiting();
        let mut stop = self.stop.clone();
        self.runtime.block_on(async move {
            tokio::select! {
                biased;
                // An error means that whoever could stop it is gone.
                _ = stop.wait_for(|stop| *stop) => Err(Dropped::Stopped.into()),
                done = work => Ok(done),
            }
        })
    }

    /// Refuses, and has it written down.
    pub(super) fn refuse<T>(
        &mut self,
        what: &str,
        subject: &str,
        why: String,
        error: impl FnOnce(String) -> Error,
    ) -> Answer<T> {
        self.refusals += 1;
        self.effects.refused(RefusedCall::new(&self.plugin, &format!("{what} {subject}"), &why));
        if self.refusals > MOST_REFUSALS {
            return Err(Dropped::Refused.into());
        }
        Ok(Err(error(why)))
    }

    /// Takes bytes from what is left.
    pub(super) fn spend(&mut self, bytes: u64) -> Result<(), String> {
        let budget = self.grants.budget;
        if self.used.calls > budget.calls {
            return Err(format!("more than {} calls, `calls` of its grants", budget.calls));
        }
        if self.used.bytes.saturating_add(bytes) > budget.bytes {
            return Err(format!("more than {} bytes, `bytes` of its grants", budget.bytes));
        }
        self.used.bytes += bytes;
        Ok(())
    }

    fn spend_answer(&mut self, reply: &Reply) -> Result<(), String> {
        let bytes = match reply {
            Reply::Message(message) => message.payload.len(),
            Reply::Bytes { bytes } => bytes.len(),
            Reply::Value { value: serde_json::Value::String(text) } => text.len(),
            Reply::Value { value } => value.to_string().len(),
            _ => 0,
        };
        // Bytes that were counted before they came are not counted again.
        if matches!(reply, Reply::Bytes { .. }) { Ok(()) } else { self.spend(bytes as u64) }
    }
}

impl ResourceLimiter for Calls {
    fn memory_growing(&mut self, current: usize, desired: usize, most: Option<usize>) -> wasmtime::Result<bool> {
        self.beside.memory_growing(current, desired, most)
    }

    fn table_growing(&mut self, current: usize, desired: usize, most: Option<usize>) -> wasmtime::Result<bool> {
        self.beside.table_growing(current, desired, most)
    }
}

fn told(failure: Failure) -> types::Failure {
    types::Failure {
        class: match failure.class {
            Class::Transient => types::Class::Transient,
            Class::DeviceOffline => types::Class::DeviceOffline,
            Class::Permanent | Class::Bug => types::Class::Permanent,
            Class::Operator => types::Class::Operator,
        },
        code: failure.code,
        message: failure.message,
    }
}
