//! The crate from outside: client and server over real sockets, recorded traffic, random bytes, hostile traffic, crashes.

#[cfg(test)]
mod broken_peers;
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod crashes;
#[cfg(test)]
mod formats;
#[cfg(test)]
mod hostile;
#[cfg(test)]
#[expect(unreachable_pub, reason = "it is the library of the fuzz targets too")]
#[path = "../../fuzz/laws.rs"]
mod laws;
#[cfg(test)]
mod lists;
#[cfg(test)]
mod operations;
#[cfg(test)]
mod random_bytes;
#[cfg(test)]
mod recorded;
#[cfg(test)]
mod recorded_bytes;
