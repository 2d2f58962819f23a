//! Connections of the journal, and the patience with a server that is away, slow, full, or not yet ready.

use super::super::fault::{Fault, fault, wants_another_server};
use super::super::target::Connector;
use crate::counts;
use crate::store::StoreError;
use redis::{Connection, RedisError, RedisResult};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Connections that are kept for the next reader.
const MOST_IDLE: usize = 4;
/// Between two tries; doubles up to [`LONGEST`].
const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(2);
/// Between two log lines that say what is waited for.
const SAY_AGAIN: Duration = Duration::from_secs(10);

/// Connections to one server.
#[derive(Debug)]
pub(super) struct Lines {
    connector: Arc<Connector>,
    patience: Duration,
    idle: Mutex<Vec<Idle>>,
}

struct Idle(Connection);

impl std::fmt::Debug for Idle {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Connection")
    }
}

impl Lines {
    pub(super) fn new(connector: Arc<Connector>, patience: Duration) -> Self {
        Self { connector, patience, idle: Mutex::new(Vec::new()) }
    }

    pub(super) fn server(&self) -> String {
        self.connector.settings().shown()
    }

    /// Does `work`, and does it again while the server may do it later or its answer was lost: it must be such that doing it twice is
    /// doing it once.
    pub(super) fn patiently<T>(
        &self,
        what: &str,
        mut work: impl FnMut(&mut Connection) -> RedisResult<T>,
    ) -> Result<T, StoreError> {
        let begun = Instant::now();
        let (mut told, mut pause) = (None::<Instant>, SHORTEST);
        loop {
            let (error, later) = match self.once(&mut work) {
                Ok(done) => {
                    if told.is_some() {
                        tracing::warn!(server = self.server(), what, "the Redis server answers again");
                    }
                    return Ok(done);
                }
                Err(failed) => failed,
            };
            if !later || begun.elapsed() >= self.patience {
                return Err(StoreError::failed(format!("{what} on the Redis server {}", self.server()), error));
            }
            if begun.elapsed() > Duration::from_secs(1) && told.is_none_or(|told| told.elapsed() >= SAY_AGAIN) {
                let (waited, most) = (begun.elapsed().as_secs(), self.patience.as_secs());
                tracing::warn!(server = self.server(), what, %error, waited, most, "waiting for the Redis server");
                told = Some(Instant::now());
            }
            std::thread::sleep(pause.min(self.patience.saturating_sub(begun.elapsed())));
            pause = (pause * 2).min(LONGEST);
        }
    }

    /// One try, without patience.
    pub(super) fn once<T>(
        &self,
        work: &mut impl FnMut(&mut Connection) -> RedisResult<T>,
    ) -> Result<T, (RedisError, bool)> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match idle {
            Some(Idle(connection)) => connection,
            // A server that does not let us in now may do so when its failover is over.
            None => self.connector.connect().map_err(|error| (error, true))?,
        };
        let begun = Instant::now();
        let done = work(&mut connection);
        counts::redis_asked("journal", done.is_ok(), begun.elapsed());
        let of_use = match &done {
            Ok(_) => true,
            Err(error) => fault(error) != Fault::Unknown && !wants_another_server(error),
        };
        if of_use {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < MOST_IDLE {
                idle.push(Idle(connection));
            }
        }
        done.map_err(|error| {
            let later = fault(&error) != Fault::Refused;
            (error, later)
        })
    }
}
