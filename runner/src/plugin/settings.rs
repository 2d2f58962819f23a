//! What a host may be told, and the limits that every plugin lives under.

use std::path::PathBuf;
use std::time::Duration;

use packhorse_core::profile::{Profile, Profiles};

use super::{CompileLimits, Compiler, Trust};

/// The largest component that is taken with the standard profile.
pub const MAX_COMPONENT_BYTES: usize = 2 << 20;
/// The largest component that is taken at all.
pub const MAX_LARGE_COMPONENT_BYTES: usize = 64 << 20;
/// The most items that one call may carry in.
pub const MAX_BATCH_ITEMS: usize = 64;
/// The most payload bytes that one call may carry in.
pub const MAX_BATCH_BYTES: usize = 1 << 20;
/// The most items that one call may give back.
pub const MAX_RESULT_ITEMS: usize = 4096;
/// The most bytes that one call may give back.
pub const MAX_RESULT_BYTES: usize = 2 << 20;
/// The most that `save` may give.
pub const MAX_SAVED_BYTES: usize = 4096;
/// Longer texts for people are cut.
pub const MAX_TEXT_BYTES: usize = 256;
/// Longer last words are cut.
pub const MAX_LAST_WORDS_BYTES: usize = 1024;

/// Slots where nobody asks for more: enough for a program that runs a few transfers, and for tests.
const FEW_SLOTS: u32 = 1024;
/// Each slot reserves 4 GiB of addresses, and a process has 128 TiB.
const MOST_SLOTS: u32 = 12_000;

/// Of plugins with the large profile: each may use 128 MiB.
const LARGE_SLOTS: u32 = 64;

/// How a host is set up.
#[derive(Debug, Clone)]
pub struct HostSettings {
    /// Where `NAME.wasm` and `NAME@VERSION.wasm` lie; none = the embedded codecs only.
    pub plugins_dir: Option<PathBuf>,
    /// Where compiled code is kept.
    pub cache: CacheFolder,
    /// Instances at one time; brought down to what the kernel can map.
    pub slots: u32,
    /// What one instance may use, with the standard profile.
    pub limits: Limits,
    /// Who compiles what is not inside this program.
    pub compiler: Compiler,
    /// What a child that compiles may use, with the standard profile.
    pub compile: CompileLimits,
    /// Which plugins may use more.
    pub profiles: Profiles,
    /// Who must have signed what is not inside this program.
    pub trust: Trust,
}

impl Default for HostSettings {
    fn default() -> Self {
        Self {
            plugins_dir: None,
            cache: CacheFolder::User,
            slots: FEW_SLOTS,
            limits: Limits::default(),
            compiler: Compiler::Here,
            compile: CompileLimits::default(),
            profiles: Profiles::default(),
            trust: Trust::default(),
        }
    }
}

impl HostSettings {
    /// For a process that carries as many transfers as the machine bears; one such host a process.
    pub fn serving() -> Self {
        Self { slots: MOST_SLOTS, ..Self::default() }
    }

    /// `slots`, brought down to a fifth of the kernel's `vm.max_map_count`: an instance takes up to five mappings.
    pub(crate) fn bearable_slots(&self) -> u32 {
        let maps = std::fs::read_to_string("/proc/sys/vm/max_map_count");
        let bearable = maps.ok().and_then(|text| text.trim().parse::<u32>().ok()).map_or(MOST_SLOTS, |maps| maps / 5);
        self.slots.clamp(1, MOST_SLOTS).min(bearable.max(1))
    }
}

/// All that is bounded by a plugin's profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ceilings {
    /// Bytes of a component.
    pub component: usize,
    /// Core instances in one instance of a component.
    pub core_instances: u32,
    /// Tables in one instance of a component.
    pub tables: u32,
    /// Elements of a table.
    pub table_elements: usize,
    /// Instances at one time.
    pub slots: u32,
    /// What one instance may use.
    pub limits: Limits,
    /// What compiling may take.
    pub compile: CompileLimits,
    /// Bytes of compiled code.
    pub code: u64,
}

impl HostSettings {
    /// What plugins of a profile may use.
    pub fn ceilings(&self, profile: Profile) -> Ceilings {
        match profile {
            Profile::Standard => Ceilings {
                component: MAX_COMPONENT_BYTES,
                // A main module, and what `wit-component` puts around it (two small ones).
                core_instances: 4,
                // The main module's and the one of `wit-component`'s shim.
                tables: 2,
                table_elements: 10_000,
                slots: self.bearable_slots(),
                limits: self.limits,
                compile: self.compile,
                code: 64 << 20,
            },
            Profile::Large => Ceilings {
                component: MAX_LARGE_COMPONENT_BYTES,
                core_instances: 128,
                tables: 64,
                table_elements: 100_000,
                slots: LARGE_SLOTS.min(self.slots),
                limits: Limits { fuel: self.limits.fuel, ..Limits::large() },
                compile: CompileLimits::large(),
                code: 512 << 20,
            },
        }
    }
}

/// Where compiled code is kept between runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheFolder {
    /// `$XDG_CACHE_HOME/packhorse` or `~/.cache/packhorse`.
    User,
    /// This folder.
    At(PathBuf),
    /// Nowhere: every load compiles.
    Off,
}

/// What one instance may use in one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory, all together.
    pub memory: usize,
    /// Bytes of stack.
    pub stack: usize,
    /// Time on the processor.
    pub cpu: Duration,
    /// Time on the wall, against a host that sleeps in the middle of a call.
    pub wall: Duration,
    /// Counts instructions instead of looking at clocks: the same call ends at the same place everywhere, at a third of the speed.
    /// For simulations; `cpu` and `wall` say nothing then.
    pub fuel: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 8 << 20,
            stack: 256 << 10,
            cpu: Duration::from_millis(10),
            wall: Duration::from_millis(500),
            fuel: None,
        }
    }
}

impl Limits {
    /// For a guest that brings an interpreter along.
    pub fn large() -> Self {
        Self {
            memory: 128 << 20,
            stack: 512 << 10,
            cpu: Duration::from_millis(500),
            wall: Duration::from_secs(5),
            fuel: None,
        }
    }
}
