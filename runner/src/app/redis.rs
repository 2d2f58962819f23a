//! The Redis server of the settings: connected to, and asked whether it is there, before anything is built on it.

use super::exit::Stop;
use crate::settings::RedisServer;
use crate::store::{RedisKeyValue, RedisSettings};
use packhorse_core::failure::chain;

/// Keys of workflows on a server that answers. Exit 69 where it does not, 2 where the settings lead to none.
pub(super) async fn key_value(server: &RedisServer) -> Result<RedisKeyValue, Stop> {
    let values = RedisKeyValue::new(&settings(server)).map_err(|error| Stop::usage("PH1020", chain(&error)))?;
    values.ping().await.map_err(|error| {
        Stop::unavailable("PH1021", chain(&error)).hint(
            "start the Redis server, mend the URL or its password, or leave --redis out to use the embedded store",
        )
    })?;
    Ok(values)
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
