//! The Redis server of the settings: connected to, and asked what it is, before anything is built on it.

use super::exit::Stop;
use super::journal::judged;
use crate::settings::{RedisServer, without_password};
use crate::store::{RedisKeyValue, RedisSettings, Role, ServerReport, inspect};
use packhorse_core::failure::chain;

/// Keys of workflows on a server that answers; blocks. Exit 69 where it does not, 2 where the settings lead to none.
pub(super) fn key_value(server: &RedisServer) -> Result<RedisKeyValue, Stop> {
    inspected(server, Role::Keys)?;
    keys(server)
}

/// The same without looking at the server.
pub(super) fn keys(server: &RedisServer) -> Result<RedisKeyValue, Stop> {
    RedisKeyValue::new(&settings(server)).map_err(|error| Stop::usage("PH1020", chain(&error)))
}

/// What a server that answers says of itself; refused where it is not fit for the role.
pub(super) fn inspected(server: &RedisServer, role: Role) -> Result<ServerReport, Stop> {
    keys(server)?;
    let report = inspect(&settings(server)).map_err(|error| {
        Stop::unavailable("PH1021", chain(&error)).hint(
            "start the Redis server, mend the URL or its password, or leave --redis out to use the embedded store",
        )
    })?;
    judged(&report, role, &without_password(&server.url))?;
    Ok(report)
}

/// As the store's room wants them.
pub(super) fn settings(server: &RedisServer) -> RedisSettings {
    RedisSettings {
        url: server.url.clone(),
        password: server.password.clone(),
        ca_file: server.ca.clone(),
        sentinels: server.sentinels.clone(),
        sentinel_password: server.sentinel_password.clone(),
        connect_timeout: server.connect_timeout,
        timeout: server.timeout,
    }
}
