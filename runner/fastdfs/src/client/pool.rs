//! Connections that rest between requests.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

use super::{
    ClientError, ClientOptions,
    connection::{Connection, Fault},
};

#[derive(Debug)]
pub(super) struct Pool {
    resting: Mutex<HashMap<SocketAddr, Vec<Connection>>>,
    in_use: Semaphore,
    connect: Duration,
    io: Duration,
    probe_after: Duration,
    idle_limit: Duration,
    max_idle: usize,
}

impl Pool {
    pub(super) fn new(options: &ClientOptions) -> Self {
        Self {
            resting: Mutex::default(),
            in_use: Semaphore::new(options.max_connections.max(1)),
            connect: options.connect_timeout,
            io: options.io_timeout,
            probe_after: options.probe_after,
            idle_limit: options.idle_limit,
            max_idle: options.max_idle,
        }
    }

    /// A connection that rested and is still good, else a new one. Waits while as many as are allowed are in use, so whoever
    /// holds one must not ask for another.
    pub(super) async fn lease(&self, address: SocketAddr) -> Result<Lease<'_>, ClientError> {
        let permit = self.in_use.acquire().await.expect("it is never closed");
        while let Some(mut connection) = self.rested(address) {
            let rested = connection.rested_since.elapsed();
            if rested > self.idle_limit || !connection.is_quiet() {
                continue;
            }
            let there = rested <= self.probe_after
                || timeout(self.connect, connection.probe()).await.is_ok_and(|probed| probed.is_ok());
            if there {
                return Ok(Lease { connection, pool: self, _permit: permit });
            }
            // What rested as long is no better: one silent server must not cost a wait for each.
            self.forget(address);
        }
        Ok(Lease { connection: self.open(address).await?, pool: self, _permit: permit })
    }

    async fn open(&self, address: SocketAddr) -> Result<Connection, ClientError> {
        let opened = Connection::open(address, self.connect, self.io).await;
        opened.map_err(|source| ClientError::Connect { address: address.to_string(), source })
    }

    /// Closes what rests of a server: when one connection broke, the others have most likely broken too.
    pub(super) fn forget(&self, address: SocketAddr) {
        self.locked().remove(&address);
    }

    /// Takes all resting connections out.
    pub(super) fn empty(&self) -> Vec<Connection> {
        self.locked().drain().flat_map(|(_, connections)| connections).collect()
    }

    fn rested(&self, address: SocketAddr) -> Option<Connection> {
        let mut connection = self.locked().get_mut(&address)?.pop()?;
        connection.reused = true;
        Some(connection)
    }

    fn rest(&self, mut connection: Connection) {
        connection.rested_since = Instant::now();
        let mut resting = self.locked();
        let of_server = resting.entry(connection.address).or_default();
        // The last one is used first: those before it may rest for ever.
        of_server.retain(|connection| connection.rested_since.elapsed() <= self.idle_limit);
        if of_server.len() < self.max_idle {
            of_server.push(connection);
        }
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<SocketAddr, Vec<Connection>>> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection in use. Closed when dropped; only [`Lease::keep`] brings it back, once its answer was read to the end.
pub(super) struct Lease<'a> {
    pub(super) connection: Connection,
    pool: &'a Pool,
    _permit: SemaphorePermit<'a>,
}

impl Lease<'_> {
    pub(super) fn keep(self) {
        self.pool.rest(self.connection);
    }

    /// Goes on with a new connection to the same server.
    pub(super) async fn renew(&mut self) -> Result<(), ClientError> {
        self.connection = self.pool.open(self.connection.address).await?;
        Ok(())
    }

    /// Whether a failure may only mean that the server closed the connection while it rested.
    pub(super) fn may_be_stale(&self, fault: &Fault) -> bool {
        self.connection.reused && matches!(fault, Fault::Io(_))
    }
}
