//! What an error of the client means for the operation that met it.

use redis::{RedisError, ServerError};

/// What an error means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The server has not done it and may do it later: it is loading, a replica, full, or cannot write to its disk.
    Later,
    /// Nobody knows whether it was done: the connection broke, or no answer came in time.
    Unknown,
    /// The server will not do it, however often it is asked.
    Refused,
}

/// Answers of a server that will do later what it cannot do now.
const LATER: &[&str] = &[
    "LOADING",
    "READONLY",
    "OOM",
    "MISCONF",
    "MASTERDOWN",
    "TRYAGAIN",
    "CLUSTERDOWN",
    "BUSY",
    "NOREPLICAS",
    "UNKILLABLE",
];

/// What the error of an operation that was sent means.
pub(super) fn fault(error: &RedisError) -> Fault {
    match error.clone().into_server_errors() {
        Some(errors) if errors.iter().any(|(_, error)| is_later(error)) => Fault::Later,
        Some(_) => Fault::Refused,
        None if error.code().is_some() => Fault::Refused,
        None if error.is_connection_refusal() => Fault::Later,
        None => Fault::Unknown,
    }
}

/// Before version 7 a script's errors come as `ERR` with the code of the command among the words.
pub(super) fn is_later(error: &ServerError) -> bool {
    let words = error.details().unwrap_or_default();
    LATER.contains(&error.code())
        || error.code() == "ERR" && LATER.iter().any(|code| words.contains(&format!("-{code} ")))
}

/// Whether the server said that this connection is of no use for writing: its server has become a replica.
pub(super) fn wants_another_server(error: &RedisError) -> bool {
    let errors = error.clone().into_server_errors();
    errors.is_some_and(|errors| errors.iter().any(|(_, error)| error.code() == "READONLY"))
}
