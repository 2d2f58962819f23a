//! One request and its answer, whatever the operation.

use std::net::SocketAddr;

use bytes::Bytes;

use super::{Client, ClientError, Operation, connection::Fault, error::Attempt, pool::Lease};
use crate::wire::{Command, FileId, Header, Status, message};

/// Largest answer that is not content: far above any list of storages or set of metadata.
pub(super) const MAX_ANSWER: usize = 1 << 20;

/// What is being done, for errors.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) operation: Operation,
    pub(super) file: Option<&'a FileId>,
}

impl<'a> Call<'a> {
    pub(super) fn on(operation: Operation, file: &'a FileId) -> Self {
        Self { operation, file: Some(file) }
    }

    pub(super) fn new(operation: Operation) -> Self {
        Self { operation, file: None }
    }

    pub(super) fn attempt(&self, address: SocketAddr) -> Box<Attempt> {
        Box::new(Attempt { operation: self.operation, file: self.file.map(ToString::to_string), address })
    }

    pub(super) fn fault(&self, address: SocketAddr, fault: Fault) -> ClientError {
        let attempt = self.attempt(address);
        match fault {
            Fault::Io(source) => ClientError::Broken { attempt, source },
            Fault::TimedOut(after) => ClientError::TimedOut { attempt, after },
            Fault::Wire(source) => ClientError::Answer { attempt, source },
            Fault::TooLarge { size, limit } => ClientError::TooLarge { attempt, size, limit },
        }
    }

    pub(super) fn status(&self, address: SocketAddr, status: Status) -> ClientError {
        ClientError::Status { attempt: self.attempt(address), status }
    }
}

/// A request without content.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) command: Command,
    /// Flags, for file info; else 0.
    pub(super) flags: Status,
    pub(super) body: &'a [u8],
}

impl<'a> Request<'a> {
    pub(super) fn new(command: Command, body: &'a [u8]) -> Self {
        Self { command, flags: Status::OK, body }
    }
}

impl Client {
    /// Sends a request and returns its whole body, which may have at most `limit` bytes.
    pub(super) async fn ask(
        &self,
        call: Call<'_>,
        address: SocketAddr,
        request: Request<'_>,
        limit: usize,
    ) -> Result<Bytes, ClientError> {
        let (mut lease, header) = self.begin(call, address, request).await?;
        let body = lease.connection.body(header.length, limit).await.map_err(|fault| call.fault(address, fault))?;
        lease.keep();
        Ok(body)
    }

    /// As [`Client::ask`], at whichever storage of the file can be reached, which is returned too.
    pub(super) async fn ask_reading(
        &self,
        call: Call<'_>,
        file: &FileId,
        request: Request<'_>,
        limit: usize,
    ) -> Result<(SocketAddr, Bytes), ClientError> {
        let (mut lease, header) = self.begin_reading(call, file, request).await?;
        let address = lease.connection.address;
        let body = lease.connection.body(header.length, limit).await.map_err(|fault| call.fault(address, fault))?;
        lease.keep();
        Ok((address, body))
    }

    /// As [`Client::begin`], at the storage that the tracker names, or at another one when that cannot be reached.
    pub(super) async fn begin_reading(
        &self,
        call: Call<'_>,
        file: &FileId,
        request: Request<'_>,
    ) -> Result<(Lease<'_>, Header), ClientError> {
        let first = self.fetch_target(file).await?.address;
        let unreachable = match self.begin(call, first, request).await {
            Err(error @ ClientError::Connect { .. }) => error,
            begun => return begun,
        };
        for other in self.fetch_targets(file).await?.into_iter().filter(|other| other.address != first) {
            match self.begin(call, other.address, request).await {
                Err(ClientError::Connect { .. }) => {}
                begun => return begun,
            }
        }
        Err(unreachable)
    }

    /// Sends a request and reads the header of a good answer; its body is still to come.
    pub(super) async fn begin(
        &self,
        call: Call<'_>,
        address: SocketAddr,
        request: Request<'_>,
    ) -> Result<(Lease<'_>, Header), ClientError> {
        let bytes = message(request.command, request.flags, request.body);
        let mut lease = self.shared.pool.lease(address).await?;
        let mut answered = send(&mut lease, &bytes).await;
        if let Err(fault) = &answered
            && lease.may_be_stale(fault)
            && call.operation.is_idempotent()
        {
            tracing::debug!(%address, "a connection was closed while it rested");
            lease.renew().await?;
            answered = send(&mut lease, &bytes).await;
        }
        let header = answered.map_err(|fault| call.fault(address, fault))?;
        if header.status.is_ok() {
            return Ok((lease, header));
        }
        // A storage closes after this one; after any other the connection is good, for nothing is left to read.
        if header.status != Status::INVALID && header.length == 0 {
            lease.keep();
        }
        Err(call.status(address, header.status))
    }
}

async fn send(lease: &mut Lease<'_>, bytes: &[u8]) -> Result<Header, Fault> {
    lease.connection.write(bytes).await?;
    lease.connection.answer().await
}
