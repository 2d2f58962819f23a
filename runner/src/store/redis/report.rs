//! What a Redis server says of itself: whether it throws keys away, and what it keeps when it stops.

use super::target::{Connector, RedisSettings};
use crate::store::StoreError;
use redis::Connection;
use std::collections::HashMap;
use std::fmt;

/// What was asked of a server. Fields are `None` where it does not tell.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ServerReport {
    /// Its version.
    pub version: Option<String>,
    /// `master` or `slave`.
    pub role: Option<String>,
    /// `maxmemory-policy`: what goes when it is full.
    pub policy: Option<String>,
    /// Bytes that it may use; 0 is without bound.
    pub memory_limit: u64,
    /// Bytes that it uses.
    pub memory_used: u64,
    /// Whether it writes an append-only file.
    pub append_only: Option<bool>,
    /// When that is flushed to the disk.
    pub fsync: Option<Fsync>,
    /// `save`: when it writes snapshots; empty = never.
    pub save: Option<String>,
    /// Whether it lets us ask for its configuration; managed servers often do not.
    pub configuration: bool,
}

/// `appendfsync`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fsync {
    /// Before each answer.
    Always,
    /// Each second.
    Everysec,
    /// When the system does.
    No,
}

/// What somebody wants to keep on the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Keys of workflows.
    Keys,
    /// The journal.
    Journal,
}

/// Whether a server is fit for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fitness {
    /// Nothing to say.
    Good,
    /// It works, and somebody should know this.
    Warn(Vec<String>),
    /// It must not be used so: why, and what to do.
    Refuse {
        /// Why.
        why: String,
        /// What to do.
        hint: String,
    },
}

impl ServerReport {
    /// Whether what was confirmed is on its disk.
    pub fn syncs_always(&self) -> bool {
        self.append_only == Some(true) && self.fsync == Some(Fsync::Always)
    }

    /// Whether it is fuller than so many hundredths of what it may use.
    pub const fn is_fuller_than(&self, percent: u64) -> bool {
        self.memory_limit > 0 && self.memory_used.saturating_mul(100) > self.memory_limit.saturating_mul(percent)
    }

    /// Whether it is fit for a role.
    pub fn fitness(&self, role: Role) -> Fitness {
        let mut warnings = Vec::new();
        match (self.policy.as_deref(), role) {
            (Some("noeviction"), _) => {}
            (Some(policy), Role::Journal) => {
                return Fitness::Refuse {
                    why: format!("its maxmemory-policy is {policy}: when it is full it throws runs away"),
                    hint: "set `maxmemory-policy noeviction` on the server, or use --store embedded".to_owned(),
                };
            }
            (Some(policy), Role::Keys) => warnings.push(format!(
                "its maxmemory-policy is {policy}: when it is full it throws keys away without a word; set `maxmemory-policy noeviction`"
            )),
            (None, _) => warnings.push("it does not tell its maxmemory-policy: it must be noeviction".to_owned()),
        }
        if role == Role::Journal && !self.syncs_always() {
            warnings.push(format!(
                "it does not flush each write to its disk ({}): after a crash of the server the last writes may be gone, \
                 and what came of the last effects is then not known; `appendonly yes` and `appendfsync always` keep all",
                self.persistence()
            ));
        }
        if self.role.as_deref() == Some("slave") {
            warnings.push("it is a replica: nothing can be written there".to_owned());
        }
        if warnings.is_empty() { Fitness::Good } else { Fitness::Warn(warnings) }
    }

    /// What it keeps when it stops, in words.
    pub fn persistence(&self) -> String {
        let file = match (self.append_only, self.fsync) {
            (Some(true), Some(Fsync::Always)) => "append-only file, flushed with each write",
            (Some(true), Some(Fsync::Everysec)) => "append-only file, flushed each second",
            (Some(true), Some(Fsync::No)) => "append-only file, flushed when the system does",
            (Some(true), None) => "append-only file, flushed nobody tells when",
            (Some(false), _) => "no append-only file",
            (None, _) => "append-only file not known",
        };
        let snapshots = match self.save.as_deref() {
            Some("") => "no snapshots".to_owned(),
            Some(save) => format!("snapshots by `save {save}`"),
            None => "snapshots not known".to_owned(),
        };
        format!("{file}, {snapshots}")
    }
}

impl fmt::Display for ServerReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = self.version.as_deref().unwrap_or("?");
        let policy = self.policy.as_deref().unwrap_or("not told");
        write!(formatter, "Redis {version}, maxmemory-policy {policy}, {}", self.persistence())
    }
}

/// Asks a server about itself; blocks, at most as long as its time-outs say.
pub fn inspect(settings: &RedisSettings) -> Result<ServerReport, StoreError> {
    let failed = |error: redis::RedisError| {
        StoreError::failed(format!("ask the Redis server {} about itself", settings.shown()), error)
    };
    let connector = Connector::new(settings).map_err(|error| StoreError::failed("use the Redis server", error))?;
    let mut connection = connector.connect().map_err(failed)?;
    let info: String = redis::cmd("INFO").query(&mut connection).map_err(failed)?;
    Ok(report(&fields(&info), &configuration(&mut connection)))
}

/// Empty where the server does not let us ask.
fn configuration(connection: &mut Connection) -> HashMap<String, String> {
    let mut all = HashMap::new();
    for name in ["maxmemory-policy", "appendonly", "appendfsync", "save"] {
        let asked: redis::RedisResult<HashMap<String, String>> =
            redis::cmd("CONFIG").arg("GET").arg(name).query(connection);
        match asked {
            Ok(found) => all.extend(found),
            Err(error) => {
                tracing::debug!(%error, "the Redis server does not tell its configuration");
                return HashMap::new();
            }
        }
    }
    all
}

fn fields(info: &str) -> HashMap<String, String> {
    let pair = |line: &str| line.trim_end().split_once(':').map(|(name, value)| (name.to_owned(), value.to_owned()));
    info.lines().filter_map(pair).collect()
}

fn report(info: &HashMap<String, String>, configuration: &HashMap<String, String>) -> ServerReport {
    let number = |name: &str| info.get(name).and_then(|value| value.parse().ok()).unwrap_or(0);
    let policy = configuration.get("maxmemory-policy").or_else(|| info.get("maxmemory_policy")).cloned();
    let append_only = match (configuration.get("appendonly"), info.get("aof_enabled")) {
        (Some(value), _) => Some(value == "yes"),
        (None, Some(value)) => Some(value == "1"),
        (None, None) => None,
    };
    let fsync = match configuration.get("appendfsync").map(String::as_str) {
        Some("always") => Some(Fsync::Always),
        Some("everysec") => Some(Fsync::Everysec),
        Some("no") => Some(Fsync::No),
        _ => None,
    };
    ServerReport {
        version: info.get("redis_version").cloned(),
        role: info.get("role").cloned(),
        policy,
        memory_limit: number("maxmemory"),
        memory_used: number("used_memory"),
        append_only,
        fsync,
        save: configuration.get("save").cloned(),
        configuration: !configuration.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::RedisServer;
    use super::*;

    #[test]
    fn a_server_tells_what_it_keeps_and_throws_away() {
        let server = RedisServer::with(&["--save", "", "--appendonly", "yes", "--appendfsync", "always"]);
        let report = inspect(&RedisSettings::new(server.url())).expect("it answers");
        assert!(report.syncs_always() && report.configuration, "{report:?}");
        assert_eq!(report.fitness(Role::Journal), Fitness::Good);
        server.tell(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
        let report = inspect(&RedisSettings::new(server.url())).expect("it answers");
        assert!(matches!(report.fitness(Role::Journal), Fitness::Refuse { .. }));
        assert!(matches!(report.fitness(Role::Keys), Fitness::Warn(said) if said[0].contains("allkeys-lru")));
    }

    #[test]
    fn a_server_that_hides_its_configuration_is_judged_by_its_info() {
        let server = RedisServer::with(&["--save", "", "--rename-command", "CONFIG", ""]);
        let report = inspect(&RedisSettings::new(server.url())).expect("it answers");
        assert!(!report.configuration && report.fsync.is_none());
        assert_eq!(report.policy.as_deref(), Some("noeviction"));
        assert_eq!(report.append_only, Some(false));
        assert!(matches!(report.fitness(Role::Journal), Fitness::Warn(said) if said.len() == 1));
        assert_eq!(report.fitness(Role::Keys), Fitness::Good);
    }

    #[test]
    fn fullness_is_reckoned_in_hundredths() {
        let report = |used, limit| {
            let text = format!("used_memory:{used}\r\nmaxmemory:{limit}\r\n");
            report(&fields(&text), &HashMap::new())
        };
        assert!(report(96, 100).is_fuller_than(95) && !report(95, 100).is_fuller_than(95));
        assert!(!report(96, 0).is_fuller_than(95));
    }
}
