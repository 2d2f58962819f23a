//! What a codec costs beside its packets: to compile, to load, and to keep an instance of.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use packhorse_core::transfer::{Command, Opening};
use serde::Serialize;

use super::super::{CacheFolder, Host, HostSettings, Plugin, PluginError};

/// Loads from the cache; the median counts.
const LOADS: usize = 9;
/// Instances alive at one time, which share what is measured.
const INSTANCES: u64 = 16;

/// The median of several tries where one is cheap.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Costs {
    /// Bytes of the component.
    pub size: usize,
    /// Processor time of the process that compiles.
    pub compile_ms: f64,
    /// Time to load compiled code from the cache, its MAC checked.
    pub load_ms: f64,
    /// Memory of its own that an instance keeps after a call: pages that it wrote to, and what the host keeps for it. Absent where the
    /// kernel does not tell.
    pub instance_kib: Option<f64>,
}

/// Compiles and loads the plugin on a host of its own, set up as `host` is. `opening` and `commands` are what each instance is given to do.
pub(super) fn costs(
    host: &Host,
    plugin: &Arc<Plugin>,
    opening: &Opening,
    commands: &[Command],
) -> Result<Costs, PluginError> {
    let cache = tempfile::tempdir();
    let cache = cache.map_err(|source| PluginError::File { verb: "write", path: std::env::temp_dir(), source })?;
    let host = host_with(host, cache.path())?;
    let (name, bytes) = (plugin.name(), plugin.bytes());
    let before = children_time();
    drop(host.load_bytes(name, &bytes)?);
    let compile = children_time().saturating_sub(before);
    let mut loads = Vec::with_capacity(LOADS);
    for _ in 0..LOADS {
        let clock = Instant::now();
        drop(host.load_bytes(name, &bytes)?);
        loads.push(clock.elapsed());
    }
    loads.sort();
    Ok(Costs {
        size: bytes.len(),
        compile_ms: millis(compile),
        load_ms: millis(loads[LOADS / 2]),
        instance_kib: memory(&host.load_bytes(name, &bytes)?, opening, commands)?,
    })
}

/// As the other one, with an empty cache.
fn host_with(host: &Host, cache: &Path) -> Result<Host, PluginError> {
    // A cache's folder must be its owner's alone, which a temporary folder is.
    Host::new(HostSettings { cache: CacheFolder::At(cache.to_owned()), ..host.settings().clone() })
}

fn memory(plugin: &Arc<Plugin>, opening: &Opening, commands: &[Command]) -> Result<Option<f64>, PluginError> {
    let session = || {
        let mut session = plugin.open(opening)?;
        session.encode(commands.to_vec())?;
        Ok::<_, PluginError>(session)
    };
    // The first one makes what all share.
    drop(session()?);
    let before = anonymous_kib();
    let sessions = (0..INSTANCES).map(|_| session()).collect::<Result<Vec<_>, _>>()?;
    let after = anonymous_kib();
    drop(sessions);
    Ok(before.zip(after).map(|(before, after)| after.saturating_sub(before) as f64 / INSTANCES as f64))
}

/// Pages of this process that no file has.
fn anonymous_kib() -> Option<u64> {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").ok()?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Processor time of all children that have ended, in steps of 10 ms.
fn children_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the program's name, which may hold anything, the third field is the first of them.
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(13).take(2);
    let ticks: u64 = fields.filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
