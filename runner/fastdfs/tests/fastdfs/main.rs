//! The crate from outside: client and server over real sockets, recorded traffic, random bytes, hostile traffic, crashes.

#[cfg(test)]
mod asking;
#[cfg(test)]
mod broken_peers;
#[cfg(test)]
mod client_conf;
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod crashes;
#[cfg(test)]
mod cuts;
#[cfg(test)]
mod fetching;
#[cfg(test)]
mod formats;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod hostile_servers;
#[cfg(test)]
mod kills;
#[cfg(test)]
#[expect(unreachable_pub, reason = "it is the library of the fuzz targets too")]
#[path = "../../fuzz/laws.rs"]
mod laws;
#[cfg(test)]
mod lists;
#[cfg(test)]
mod model;
#[cfg(test)]
mod operations;
#[cfg(test)]
mod peers;
#[cfg(test)]
mod random_bytes;
#[cfg(test)]
mod recorded;
#[cfg(test)]
mod recorded_bytes;
#[cfg(test)]
mod recorded_client;
#[cfg(test)]
mod replicas;
#[cfg(test)]
mod resuming;
#[cfg(test)]
mod store_paths;
#[cfg(test)]
mod weather;

/// Whether the counts that issues ask for are due, and not a tenth of them.
#[cfg(test)]
fn full() -> bool {
    std::env::var("PACKHORSE_FULL").is_ok_and(|full| full == "1")
}
