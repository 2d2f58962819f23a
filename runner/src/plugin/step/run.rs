//! One run of a step plugin, on a thread of its own where its host functions may wait.

use std::sync::Arc;
use std::time::Duration;

use packhorse_core::failure::Class;
use packhorse_core::grant::Grants;
use serde_json::{Map, Value};
use tokio::sync::{oneshot, watch};
use wasmtime::component::{HasSelf, InstancePre, Linker};
use wasmtime::{Store, UpdateDeadline};

use super::super::guest::{self, Beside};
use super::super::{CallError, Ceilings, Failure, Function, Limits, MAX_RESULT_BYTES, PluginError, Trap};
use super::bindings::{diagnostics, entry, fastdfs, log, mqtt, redis, types};
use super::calls::{Calls, Dropped, MOST_REFUSALS};
use super::{Effects, StepPlugin};

/// Processor time of one run.
const CPU: Duration = Duration::from_secs(2);
/// Stack of its thread: the guest's own is bounded apart, the rest is for what the host functions do.
const STACK: usize = 2 << 20;
/// Most bytes of its outputs, as JSON.
const MAX_OUTPUT: usize = 64 << 10;

/// What is run, and for whom.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the contract says what they are")]
pub struct StepCall {
    pub run: String,
    pub workflow: String,
    pub step: String,
    pub attempt: u32,
    pub device: Option<String>,
    pub input: Value,
    /// What it may ask for.
    pub grants: Grants,
}

/// How a run ended: with outputs, or not.
pub type StepEnd = Result<Map<String, Value>, StepFailure>;

/// Why a run gave no outputs.
#[derive(Debug, thiserror::Error)]
pub enum StepFailure {
    /// It says itself that it failed.
    #[error("{message}")]
    Said {
        /// What that means.
        class: Class,
        /// Its own, perhaps none.
        code: String,
        /// Its words.
        message: String,
    },
    /// What it gave is no JSON object, or too long.
    #[error("what it gave {0}")]
    Output(String),
    /// It was stopped.
    #[error(transparent)]
    Call(#[from] CallError),
    /// It could not be begun.
    #[error(transparent)]
    Plugin(#[from] PluginError),
}

/// A run under way. Dropping it stops the run; its thread ends within a few milliseconds.
#[derive(Debug)]
pub struct StepRun {
    stop: watch::Sender<bool>,
    end: oneshot::Receiver<StepEnd>,
    title: String,
}

impl StepPlugin {
    /// Begins a run, as soon as there is a thread for it. Must be called on a tokio runtime, where its effects are carried out.
    ///
    /// # Errors
    /// [`PluginError::NotGranted`], or whatever else keeps it from being linked.
    pub async fn start(self: &Arc<Self>, call: StepCall, effects: Arc<dyn Effects>) -> Result<StepRun, PluginError> {
        self.check_grants(&call.grants)?;
        let pre = self.linked(&call.grants)?;
        let refused = |problem: String| PluginError::Engine { problem };
        let threads = Arc::clone(self.host.step_threads());
        let permit = threads.acquire_owned().await.map_err(|error| refused(error.to_string()))?;
        let (stop, stopped) = watch::channel(false);
        let (sender, end) = oneshot::channel();
        let (plugin, runtime) = (Arc::clone(self), tokio::runtime::Handle::current());
        let work = move || {
            let calls = Calls {
                beside: Beside::new(Ceilings { limits: plugin.limits(), ..plugin.host.room().ceilings }),
                plugin: plugin.name.clone(),
                device: call.device.clone(),
                grants: call.grants.clone(),
                effects,
                runtime,
                ticker: plugin.host.ticker(),
                stop: stopped,
                made: 0,
                moved: 0,
                refusals: 0,
            };
            let ended = plugin.run(&pre, calls, call);
            drop(permit);
            // Whoever waited may have gone.
            drop(sender.send(ended));
        };
        let thread = std::thread::Builder::new().name("plugin-step".to_owned()).stack_size(STACK).spawn(work);
        thread.map_err(|error| refused(format!("no thread for a step plugin: {error}")))?;
        Ok(StepRun { stop, end, title: self.name.clone() })
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits { cpu: CPU, wall: Duration::MAX, ..self.host.settings().limits }
    }

    /// An interface that was not granted is not there to be linked.
    fn linked(&self, grants: &Grants) -> Result<InstancePre<Calls>, PluginError> {
        let made = || -> wasmtime::Result<InstancePre<Calls>> {
            let mut linker = Linker::new(self.component.engine());
            diagnostics::add_to_linker::<_, HasSelf<_>>(&mut linker, |calls: &mut Calls| calls)?;
            types::add_to_linker::<_, HasSelf<_>>(&mut linker, |calls: &mut Calls| calls)?;
            if grants.mqtt.is_some() {
                mqtt::add_to_linker::<_, HasSelf<_>>(&mut linker, |calls: &mut Calls| calls)?;
            }
            if grants.redis.is_some() {
                redis::add_to_linker::<_, HasSelf<_>>(&mut linker, |calls: &mut Calls| calls)?;
            }
            if grants.fastdfs.is_some() {
                fastdfs::add_to_linker::<_, HasSelf<_>>(&mut linker, |calls: &mut Calls| calls)?;
            }
            if grants.log {
                log::add_to_linker::<_, HasSelf<_>>(&mut linker, |calls: &mut Calls| calls)?;
            }
            linker.instantiate_pre(&self.component)
        };
        made().map_err(|error| PluginError::Compile { name: self.name.clone(), problem: format!("{error:#}") })
    }

    fn run(&self, pre: &InstancePre<Calls>, calls: Calls, call: StepCall) -> StepEnd {
        let ticker = Arc::clone(&calls.ticker);
        let mut store = Store::new(pre.engine(), calls);
        store.limiter(|calls| calls);
        store.set_hostcall_fuel(MAX_RESULT_BYTES);
        store.epoch_deadline_callback(|mut store| {
            store.data_mut().look()?;
            Ok(UpdateDeadline::Continue(1))
        });
        if let Some(fuel) = self.limits().fuel {
            store.set_fuel(fuel).map_err(|error| self.stopped(&mut store, Function::Start, &error))?;
        }
        store.set_epoch_deadline(1);
        let _running = ticker.running();
        let made = pre.instantiate(&mut store).and_then(|instance| {
            let entry = entry::GuestIndices::new(pre)?.load(&mut store, &instance)?;
            Ok(entry)
        });
        let entry = made.map_err(|error| {
            if error.is::<wasmtime::PoolConcurrencyLimitError>() {
                let slots = self.host.settings().bearable_slots();
                return StepFailure::Plugin(PluginError::NoSlot { plugin: self.name.clone(), slots });
            }
            self.stopped(&mut store, Function::Start, &error).into()
        })?;
        let input = types::Input {
            run: call.run,
            workflow: call.workflow,
            step: call.step,
            attempt: call.attempt,
            device: call.device,
            json: call.input.to_string(),
        };
        match entry.call_run(&mut store, &input) {
            Ok(Ok(text)) => outputs(&text),
            Ok(Err(failure)) => Err(said(failure)),
            Err(error) => Err(self.stopped(&mut store, Function::Run, &error).into()),
        }
    }

    fn stopped(&self, store: &mut Store<Calls>, function: Function, error: &wasmtime::Error) -> CallError {
        let trap = match error.downcast_ref::<Dropped>() {
            Some(Dropped::Stopped) => Trap::Stopped,
            Some(Dropped::Refused) => Trap::Refused(MOST_REFUSALS),
            None => guest::trap(self.limits(), error),
        };
        let last_words = store.data_mut().beside.take_last_words();
        CallError { plugin: self.name.clone(), function, failure: Failure::Trap(trap), last_words }
    }
}

impl StepRun {
    /// Tells it to stop; [`StepRun::ended`] comes soon.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits for its end. Safe to cancel; once.
    pub async fn ended(&mut self) -> StepEnd {
        (&mut self.end).await.unwrap_or_else(|_| {
            let problem = format!("the thread of plugin {} stopped", self.title);
            Err(StepFailure::Plugin(PluginError::Engine { problem }))
        })
    }
}

fn outputs(text: &str) -> StepEnd {
    if text.len() > MAX_OUTPUT {
        return Err(StepFailure::Output(format!("has {} bytes, more than {MAX_OUTPUT}", text.len())));
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(outputs)) => Ok(outputs),
        Ok(_) => Err(StepFailure::Output("is no JSON object".to_owned())),
        Err(error) => Err(StepFailure::Output(format!("is no JSON: {error}"))),
    }
}

fn said(failure: types::Failure) -> StepFailure {
    let class = match failure.class {
        types::Class::Transient => Class::Transient,
        types::Class::DeviceOffline => Class::DeviceOffline,
        types::Class::Permanent => Class::Permanent,
        types::Class::Operator => Class::Operator,
    };
    StepFailure::Said { class, code: failure.code, message: failure.message }
}
