//! The WebAssembly engine: which features exist, how instances are laid out, and the clock that ends long calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use packhorse_core::profile::Profile;
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::{Ceilings, Limits, PluginError};

/// How often a running guest is looked at: what a call may use more than its limit.
const TICK: Duration = Duration::from_millis(2);
/// The ticker goes to sleep after so many ticks without a call, so that a busy program seldom has to wake it.
const IDLE_TICKS: u32 = 50;
/// Of the runtime's own records of an instance, which grow with a module's functions and imports.
const INSTANCE_RECORD_BYTES: usize = 1 << 20;

/// Builds the engine of a profile. One of each a process is enough: the standard one reserves 4 GiB of addresses a slot.
///
/// A pool has room for the largest in each of its slots, which would be a lot for a few large plugins: theirs is made on demand.
pub(crate) fn engine(ceilings: &Ceilings, profile: Profile) -> Result<Engine, PluginError> {
    let mut config = config(ceilings.limits);
    config.allocation_strategy(match profile {
        Profile::Standard => InstanceAllocationStrategy::Pooling(pool(ceilings)),
        Profile::Large => InstanceAllocationStrategy::OnDemand,
    });
    Engine::new(&config).map_err(|error| PluginError::Engine { problem: format!("{error:#}") })
}

/// An engine that only compiles, for one that was built with these limits: it reserves nothing and starts no thread.
pub(crate) fn compiling(limits: Limits) -> wasmtime::Result<Engine> {
    Engine::new(config(limits).parallel_compilation(false))
}

/// Threads, garbage collection and exceptions are not even compiled in.
fn config(limits: Limits) -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        // Off: it makes a call three times as dear, and no codec may wait.
        .concurrency_support(false)
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .wasm_relaxed_simd(false)
        .wasm_tail_call(false)
        .wasm_simd(true)
        .epoch_interruption(limits.fuel.is_none())
        .consume_fuel(limits.fuel.is_some())
        .max_wasm_stack(limits.stack)
        .memory_init_cow(true)
        // Nobody walks a stack through a guest, and loading is quicker without the tables for it.
        .native_unwind_info(false)
        .generate_address_map(false);
    config
}

/// The reservation stays at its 4 GiB: with less, every access is checked by code of its own and guests run half as fast.
fn pool(ceilings: &Ceilings) -> PoolingAllocationConfig {
    let Ceilings { slots, core_instances, tables, .. } = *ceilings;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .max_component_instance_size(INSTANCE_RECORD_BYTES)
        .max_core_instances_per_component(core_instances)
        .max_memories_per_component(1)
        .max_tables_per_component(tables)
        .total_core_instances(slots.saturating_mul(core_instances))
        .max_core_instance_size(INSTANCE_RECORD_BYTES)
        .total_memories(slots)
        .max_memories_per_module(1)
        .max_memory_size(ceilings.limits.memory)
        .total_tables(slots.saturating_mul(tables))
        .max_tables_per_module(tables)
        .table_elements(ceilings.table_elements);
    pool
}

/// A thread that advances the engine's epoch while a guest runs, and sleeps otherwise.
#[derive(Debug)]
pub(crate) struct Ticker {
    state: Arc<State>,
    thread: Thread,
    handle: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    running: AtomicUsize,
    asleep: AtomicBool,
    ended: AtomicBool,
}

impl Ticker {
    /// Starts the thread; it ends when the ticker is dropped.
    pub(crate) fn start(engine: &Engine) -> Result<Self, PluginError> {
        let state = Arc::new(State::default());
        let (engine, seen) = (engine.weak(), Arc::clone(&state));
        let ticking = move || seen.tick(|| engine.upgrade().map(|engine| engine.increment_epoch()).is_some());
        let handle = std::thread::Builder::new()
            .name("plugin-ticker".to_owned())
            .spawn(ticking)
            .map_err(|error| PluginError::Engine { problem: format!("no thread for the ticker: {error}") })?;
        Ok(Self { state, thread: handle.thread().clone(), handle: Some(handle) })
    }

    /// To be held while a guest runs.
    pub(crate) fn running(&self) -> Running<'_> {
        self.state.running.fetch_add(1, Ordering::SeqCst);
        if self.state.asleep.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
        Running(&self.state)
    }
}

impl Ticker {
    /// To be held while a guest that runs waits for the host: it needs no looking at.
    pub(crate) fn waiting(&self) -> Waiting<'_> {
        self.state.running.fetch_sub(1, Ordering::SeqCst);
        Waiting(self)
    }
}

/// A running guest waits as long as this lives.
#[derive(Debug)]
pub(crate) struct Waiting<'a>(&'a Ticker);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        std::mem::forget(self.0.running());
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        self.thread.unpark();
        if let Some(handle) = self.handle.take() {
            // The thread has nothing to say when it ends.
            let _ = handle.join();
        }
    }
}

impl State {
    fn tick(&self, mut advance: impl FnMut() -> bool) {
        let mut idle = 0;
        while !self.ended.load(Ordering::SeqCst) {
            if idle < IDLE_TICKS {
                std::thread::sleep(TICK);
                if !advance() {
                    return;
                }
                idle = if self.running.load(Ordering::SeqCst) == 0 { idle + 1 } else { 0 };
                continue;
            }
            // Both sides write before they read, so one of them sees the other: no call runs without a ticker.
            self.asleep.store(true, Ordering::SeqCst);
            if self.running.load(Ordering::SeqCst) == 0 && !self.ended.load(Ordering::SeqCst) {
                std::thread::park();
            }
            self.asleep.store(false, Ordering::SeqCst);
            idle = 0;
        }
    }
}

/// A guest runs as long as this lives.
#[derive(Debug)]
pub(crate) struct Running<'a>(&'a State);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What a running call has used, looked at when the epoch advances under it.
#[derive(Debug)]
pub(crate) struct Budget {
    limits: Limits,
    /// Processor time of this thread and time of the wall when the call was first looked at: at most a tick after it began,
    /// which spares every call that is shorter two questions to the kernel.
    first_look: Option<(Duration, std::time::Instant)>,
}

/// Why a call was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OverBudget {
    #[error("processor time")]
    Cpu,
    #[error("wall time")]
    Wall,
}

impl Budget {
    pub(crate) const fn new(limits: Limits) -> Self {
        Self { limits, first_look: None }
    }

    /// A new call begins.
    pub(crate) const fn reset(&mut self) {
        self.first_look = None;
    }

    /// Whether the call may go on until the next tick.
    pub(crate) fn look(&mut self) -> Result<(), OverBudget> {
        let (cpu, wall) = (thread_cpu_time(), std::time::Instant::now());
        let (first_cpu, first_wall) = *self.first_look.get_or_insert((cpu, wall));
        if cpu.saturating_sub(first_cpu) >= self.limits.cpu {
            return Err(OverBudget::Cpu);
        }
        if wall.saturating_duration_since(first_wall) >= self.limits.wall {
            return Err(OverBudget::Wall);
        }
        Ok(())
    }
}

fn thread_cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
