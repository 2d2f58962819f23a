//! Whether there is room for a new run: what is left when the store is nearly full belongs to the runs that are under way.

use super::exit::Stop;
use super::redis;
use crate::settings::{RedisAt, Settings, StoreKind};
use crate::store::{Role, ServerReport};

/// A Redis server that is fuller than so many hundredths takes no new runs.
const MOST_PERCENT: u64 = 95;

/// Refuses a new run where the disk or the Redis server of the journal is nearly full; blocks.
pub(super) fn for_a_run(settings: &Settings) -> Result<(), Stop> {
    let free = free_bytes(&settings.data);
    disk(free, settings.store.reserve, &settings.data.display().to_string())?;
    match (settings.store.kind, &settings.redis) {
        (StoreKind::Redis, RedisAt::Server(server)) => server_has_room(&redis::inspected(server, Role::Journal)?),
        (StoreKind::Redis | StoreKind::Embedded, _) => Ok(()),
    }
}

/// `None` where the system does not tell.
fn free_bytes(folder: &std::path::Path) -> Option<u64> {
    rustix::fs::statvfs(folder).ok().map(|about| about.f_bavail.saturating_mul(about.f_frsize))
}

fn disk(free: Option<u64>, reserve: u64, folder: &str) -> Result<(), Stop> {
    match free {
        Some(free) if free < reserve => Err(Stop::unavailable(
            "PH7016",
            format!("no new run: {free} bytes are free for {folder}, and {reserve} are kept for runs under way"),
        )
        .hint("free disk space, or lower `store: { reserve: … }`; `packhorse gc` forgets old runs")),
        Some(_) | None => Ok(()),
    }
}

fn server_has_room(report: &ServerReport) -> Result<(), Stop> {
    if !report.is_fuller_than(MOST_PERCENT) {
        return Ok(());
    }
    let (used, most) = (report.memory_used, report.memory_limit);
    Err(Stop::unavailable(
        "PH7017",
        format!("no new run: the Redis server of the journal uses {used} of {most} bytes, more than {MOST_PERCENT} %"),
    )
    .hint("`packhorse gc` forgets old runs as long as the server takes writes; or raise `maxmemory` on it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_belongs_to_runs_under_way() {
        assert!(disk(Some(99), 100, "x").is_err_and(|stop| stop.failure.code == "PH7016"));
        assert!(disk(Some(100), 100, "x").is_ok() && disk(None, 100, "x").is_ok());
        assert!(free_bytes(std::path::Path::new("/")).is_some_and(|free| free > 0));
        assert!(
            packhorse_core::workflow::units::size("64MiB").is_ok_and(|size| size == 64 << 20),
            "the default of the setting"
        );
    }
}
