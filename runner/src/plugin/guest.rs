//! One instance in its store: calls under a budget, and what a call that failed is called.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::component::{Instance, InstancePre, Linker};
use wasmtime::{Engine, ResourceLimiter, Store, UpdateDeadline};

use crate::counts::Memory;

use super::contract::{self, Device, Functions, Platform};
use super::engine::{Budget, OverBudget, Ticker};
use super::{CallError, Ceilings, Failure, Function, Limits, MAX_RESULT_BYTES, Trap, texts};

/// What the host keeps beside each instance.
#[derive(Debug)]
pub(crate) struct Beside {
    ceilings: Ceilings,
    budget: Budget,
    last_words: Option<String>,
    /// Times the processor time of a call that the next one has.
    shares: u32,
    memory: Memory,
}

impl Beside {
    pub(crate) fn new(ceilings: Ceilings) -> Self {
        Self { ceilings, budget: Budget::new(ceilings.limits), last_words: None, shares: 1, memory: Memory::default() }
    }

    /// A call begins.
    pub(crate) const fn begin(&mut self) {
        self.budget.reset(self.shares);
        self.shares = 1;
    }

    /// Whether the call may go on until the next tick.
    pub(crate) fn look(&mut self) -> Result<(), OverBudget> {
        self.budget.look()
    }

    /// Keeps what a guest says right before a trap.
    pub(crate) fn keep_last_words(&mut self, message: String) {
        self.last_words = Some(texts::last_words(message));
    }

    pub(crate) fn take_last_words(&mut self) -> Option<String> {
        self.last_words.take()
    }
}

/// Growing too far is a trap with a name: the guest would only make an `unreachable` of a refusal.
impl ResourceLimiter for Beside {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        if desired > self.ceilings.limits.memory {
            return Err(TooLarge::Memory.into());
        }
        self.memory.grew(desired.saturating_sub(current));
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        if desired > self.ceilings.table_elements { Err(TooLarge::Table.into()) } else { Ok(true) }
    }

    fn instances(&self) -> usize {
        self.ceilings.core_instances as usize
    }

    fn tables(&self) -> usize {
        self.ceilings.tables as usize
    }

    /// What is said of memory is said of one.
    fn memories(&self) -> usize {
        1
    }
}

/// Why something was not allowed to grow.
#[derive(Debug, Clone, Copy, thiserror::Error)]
enum TooLarge {
    #[error("memory")]
    Memory,
    #[error("table")]
    Table,
}

/// The store of one instance.
pub(crate) type GuestStore = Store<Beside>;

/// What a codec may import.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Beside>> {
    let mut linker = Linker::new(engine);
    contract::link(&mut linker)?;
    Ok(linker)
}

/// What all instances of one plugin share.
#[derive(Clone)]
pub(crate) struct Template {
    pub(crate) title: Arc<str>,
    pub(crate) pre: InstancePre<Beside>,
    pub(crate) functions: Functions,
    pub(crate) ticker: Arc<Ticker>,
    pub(crate) ceilings: Ceilings,
    /// Places for instances, where the allocator does not count them.
    pub(crate) slots: Option<Arc<Semaphore>>,
}

impl std::fmt::Debug for Template {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Template").field("title", &self.title).finish_non_exhaustive()
    }
}

/// A living instance. A trap leaves it unusable: the engine itself refuses to enter it again.
pub(crate) struct Guest {
    store: GuestStore,
    instance: Instance,
    template: Template,
    _slot: Option<OwnedSemaphorePermit>,
}

impl std::fmt::Debug for Guest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guest").field("title", &self.template.title).finish_non_exhaustive()
    }
}

/// Why there is no instance.
#[derive(Debug)]
pub(crate) enum NoGuest {
    /// All slots are taken.
    NoSlot,
    /// Its start function failed.
    Failed(CallError),
}

impl Guest {
    pub(crate) fn new(template: &Template) -> Result<Self, NoGuest> {
        let slot = template.slots.clone().map(Semaphore::try_acquire_owned).transpose().map_err(|_| NoGuest::NoSlot)?;
        let mut store = Store::new(template.pre.engine(), Beside::new(template.ceilings));
        store.limiter(|beside| beside);
        store.set_hostcall_fuel(MAX_RESULT_BYTES);
        store.epoch_deadline_callback(|mut store| {
            store.data_mut().look()?;
            Ok(UpdateDeadline::Continue(1))
        });
        let made = run(&mut store, template, |store| template.pre.instantiate(store));
        match made {
            Ok(instance) => Ok(Self { store, instance, template: template.clone(), _slot: slot }),
            Err(error) if error.is::<wasmtime::PoolConcurrencyLimitError>() => Err(NoGuest::NoSlot),
            Err(error) => Err(NoGuest::Failed(named(&mut store, template, Function::Start, &error))),
        }
    }

    /// The platform's exports of this instance.
    pub(crate) fn platform(&mut self) -> Result<Platform, CallError> {
        let found = self.template.functions.platform(&mut self.store, &self.instance);
        found.map_err(|error| self.failed(Function::Start, &error))
    }

    /// The device's exports of this instance; only where the template has them.
    pub(crate) fn device(&mut self) -> Result<Device, CallError> {
        let found = self.template.functions.device(&mut self.store, &self.instance);
        found.map_err(|error| self.failed(Function::Start, &error))?.ok_or_else(|| CallError {
            plugin: self.template.title.to_string(),
            function: Function::Open,
            failure: Failure::Trap(Trap::Other("it has no device side".to_owned())),
            last_words: None,
        })
    }

    /// What it has of memory, to be counted somewhere.
    pub(crate) fn memory(&mut self) -> &mut Memory {
        &mut self.store.data_mut().memory
    }

    /// The next call is given more than others can be: it has so many times their processor time.
    pub(crate) fn shares(&mut self, shares: u32) {
        self.store.data_mut().shares = shares;
    }

    /// One call, under the budget of one call.
    pub(crate) fn call<T>(
        &mut self,
        function: Function,
        call: impl FnOnce(&mut GuestStore) -> wasmtime::Result<T>,
    ) -> Result<T, CallError> {
        run(&mut self.store, &self.template, call).map_err(|error| self.failed(function, &error))
    }

    fn failed(&mut self, function: Function, error: &wasmtime::Error) -> CallError {
        named(&mut self.store, &self.template, function, error)
    }
}

fn run<T>(
    store: &mut GuestStore,
    template: &Template,
    call: impl FnOnce(&mut GuestStore) -> wasmtime::Result<T>,
) -> wasmtime::Result<T> {
    if let Some(fuel) = template.ceilings.limits.fuel {
        store.set_fuel(fuel)?;
        return call(store);
    }
    store.data_mut().begin();
    store.set_epoch_deadline(1);
    let _running = template.ticker.running();
    call(store)
}

fn named(store: &mut GuestStore, template: &Template, function: Function, error: &wasmtime::Error) -> CallError {
    CallError {
        plugin: template.title.to_string(),
        function,
        failure: Failure::Trap(trap(store.data().budget.limits(), error)),
        last_words: store.data_mut().take_last_words(),
    }
}

/// What an error of the engine is called.
pub(crate) fn trap(limits: Limits, error: &wasmtime::Error) -> Trap {
    let millis = |limit: std::time::Duration| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
    match error.downcast_ref::<OverBudget>() {
        Some(OverBudget::Cpu) => return Trap::Cpu(millis(limits.cpu)),
        Some(OverBudget::Wall) => return Trap::Wall(millis(limits.wall)),
        None => {}
    }
    match error.downcast_ref::<TooLarge>() {
        Some(TooLarge::Memory) => return Trap::Memory(limits.memory),
        Some(TooLarge::Table) => return Trap::Other("it wanted a larger table than it may have".to_owned()),
        None => {}
    }
    match error.downcast_ref::<wasmtime::Trap>() {
        Some(wasmtime::Trap::UnreachableCodeReached) => Trap::Unreachable("unreachable".to_owned()),
        Some(wasmtime::Trap::IntegerDivisionByZero) => Trap::Unreachable("division by zero".to_owned()),
        Some(wasmtime::Trap::OutOfFuel) => Trap::Fuel(limits.fuel.unwrap_or(0)),
        Some(wasmtime::Trap::StackOverflow) => Trap::StackOverflow,
        Some(wasmtime::Trap::MemoryOutOfBounds) => Trap::OutOfBounds,
        Some(other) => Trap::Other(other.to_string()),
        None => by_words(&format!("{error:#}")),
    }
}

/// The engine has no types for what goes wrong between guest and host; its words are pinned by the hostile guests in `tests`.
fn by_words(words: &str) -> Trap {
    if words.contains("too much data is being copied") {
        return Trap::Output(MAX_RESULT_BYTES);
    }
    Trap::Invalid(words.lines().next().unwrap_or_default().to_owned())
}
