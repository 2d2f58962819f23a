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
mod lists;
#[cfg(test)]
mod operations;
#[cfg(test)]
mod recorded;
#[cfg(test)]
mod recorded_bytes;
