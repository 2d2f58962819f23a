//! Options from the `client.conf` of FastDFS: `key = value` lines, `#` comments, `tracker_server` as often as there are trackers.

use std::{
    fs::File,
    io::{self, Read as _},
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use super::ClientOptions;

const TRACKER_PORT: u16 = 22122;
/// Far above any that a person wrote.
const MAX_SIZE: u64 = 1 << 20;
/// A year: far above what anybody means, and no sum of it with a clock overflows.
const MAX_SECONDS: u64 = 365 * 24 * 3600;

/// A `client.conf` that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file has more than 1 MiB.
    #[error("{path} has more than 1 MiB")]
    TooLarge {
        /// Which file.
        path: PathBuf,
    },
    /// A line that cannot be understood.
    #[error("line {line}: {problem}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// There is no `tracker_server`.
    #[error("no tracker_server is given")]
    NoTracker,
}

impl ClientOptions {
    /// Reads a `client.conf`, as [`ClientOptions::parse_conf`] understands it. Blocks for as long as reading a small file takes.
    pub fn from_conf(path: impl AsRef<Path>) -> Result<Self, ConfError> {
        let path = path.as_ref();
        let mut text = String::new();
        let read = File::open(path).and_then(|file| file.take(MAX_SIZE + 1).read_to_string(&mut text));
        match read {
            Ok(size) if size as u64 > MAX_SIZE => Err(ConfError::TooLarge { path: path.to_owned() }),
            Ok(_) => Self::parse_conf(&text),
            Err(source) => Err(ConfError::Read { path: path.to_owned(), source }),
        }
    }

    /// Understands `tracker_server` (`host:port`; `a,b:port` names one tracker by two addresses, of which each is tried; port 22122
    /// where none is given), `connect_timeout` and `network_timeout` (seconds; 0 and less mean the default, as they do to
    /// FastDFS), `use_connection_pool` and `connection_pool_max_idle_time` (seconds). Other keys and all sections have no meaning
    /// here and are skipped. `#include` is an error: what it includes would be missed.
    pub fn parse_conf(text: &str) -> Result<Self, ConfError> {
        let mut options = Self::new(Vec::<String>::new());
        let mut pooled = true;
        let mut in_section = false;
        // Some editors put a mark before the first line.
        for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let wrong = |problem| ConfError::Line { line: index + 1, problem };
            let line = line.trim();
            // FastDFS takes it in any case.
            if line.split_whitespace().next().is_some_and(|word| word.eq_ignore_ascii_case("#include")) {
                return Err(wrong("#include is not supported, put the settings into this file".to_owned()));
            }
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if line.starts_with('[') && line.ends_with(']') {
                in_section = true;
                continue;
            }
            let (key, value) = line.split_once('=').ok_or_else(|| wrong(format!("{line:?} is not key = value")))?;
            if !in_section {
                options.set(key.trim(), value.trim(), &mut pooled).map_err(wrong)?;
            }
        }
        if options.trackers.is_empty() {
            return Err(ConfError::NoTracker);
        }
        if !pooled {
            options.max_idle = 0;
        }
        Ok(options)
    }

    fn set(&mut self, key: &str, value: &str, pooled: &mut bool) -> Result<(), String> {
        match key {
            "tracker_server" => self.trackers.extend(trackers(value)?),
            "connect_timeout" => set_seconds(&mut self.connect_timeout, key, value)?,
            "network_timeout" => set_seconds(&mut self.io_timeout, key, value)?,
            "connection_pool_max_idle_time" => set_seconds(&mut self.idle_limit, key, value)?,
            "use_connection_pool" => *pooled = yes_or_no(key, value)?,
            _ => tracing::debug!(key, "a setting of client.conf that has no meaning here"),
        }
        Ok(())
    }
}

fn set_seconds(limit: &mut Duration, key: &str, value: &str) -> Result<(), String> {
    let seconds: i64 = value.parse().map_err(|_| format!("{key} = {value:?} is not a number of seconds"))?;
    match u64::try_from(seconds) {
        Ok(0) | Err(_) => Ok(()),
        Ok(seconds @ ..=MAX_SECONDS) => {
            *limit = Duration::from_secs(seconds);
            Ok(())
        }
        Ok(_) => Err(format!("{key} = {value} is more than a year")),
    }
}

fn yes_or_no(key: &str, value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err(format!("{key} = {value:?} is neither true nor false")),
    }
}

/// `host:port`, or several hosts of which the last one's port counts for those that have none.
fn trackers(value: &str) -> Result<Vec<String>, String> {
    let hosts = value.split(',').map(|host| host_and_port(host.trim()).ok_or(host));
    let wrong = |host: &str| format!("tracker_server = {value:?}: {host:?} is not host:port");
    let hosts: Vec<_> = hosts.collect::<Result<_, _>>().map_err(wrong)?;
    let last = hosts.last().and_then(|(_, port)| *port).unwrap_or(TRACKER_PORT);
    Ok(hosts.into_iter().map(|(host, port)| format!("{host}:{}", port.unwrap_or(last))).collect())
}

/// IPv6 addresses come back in brackets.
fn host_and_port(text: &str) -> Option<(String, Option<u16>)> {
    if let Ok(IpAddr::V6(address)) = text.parse() {
        return Some((format!("[{address}]"), None));
    }
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let (host, port) = match bracketed {
        Some((address, rest)) => {
            let address: IpAddr = address.parse().ok().filter(IpAddr::is_ipv6)?;
            (format!("[{address}]"), if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host.to_owned(), Some(port)),
            None => (text.to_owned(), None),
        },
    };
    let plain =
        |host: &str| host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
    if host.is_empty() || bracketed.is_none() && !plain(&host) {
        return None;
    }
    match port.map(str::trim).map(str::parse) {
        None => Some((host, None)),
        Some(Ok(port @ 1..)) => Some((host, Some(port))),
        Some(Ok(0) | Err(_)) => None,
    }
}
