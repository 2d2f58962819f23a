//! One request and its answer, whatever the operation.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;

use super::{
    Client, ClientError, Operation,
    connection::Fault,
    error::{Attempt, Sent},
    pool::Lease,
};
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

    /// A connection that failed when all of the request was out.
    pub(super) fn fault(&self, address: SocketAddr, fault: Fault) -> ClientError {
        self.fault_when(Sent::Whole, address, fault)
    }

    pub(super) fn fault_when(&self, sent: Sent, address: SocketAddr, fault: Fault) -> ClientError {
        let attempt = self.attempt(address);
        match fault {
            Fault::Io(source) => ClientError::Broken { attempt, sent, source },
            Fault::TimedOut(after) => ClientError::TimedOut { attempt, sent, after },
            Fault::Wire(source) => ClientError::Answer { attempt, source },
            Fault::TooLarge { size, limit } => ClientError::TooLarge { attempt, size, limit },
        }
    }

    /// Whether another storage of the group may do better: this one is away, or has no such file, which it may not have been sent yet.
    /// Metadata is left out: that there is none is the same answer.
    fn may_be_elsewhere(&self, error: &ClientError) -> bool {
        let missing = matches!(self.operation, Operation::Download | Operation::FileInfo) && error.is_missing_file();
        missing || matches!(error, ClientError::Connect { .. })
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
    /// How much longer than usual its answer may take.
    pub(super) patience: Duration,
}

impl<'a> Request<'a> {
    pub(super) fn new(command: Command, body: &'a [u8]) -> Self {
        Self { command, flags: Status::OK, body, patience: Duration::ZERO }
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

    /// As [`Client::begin`], at the storage that the tracker names, or at another one when that cannot be reached or has no such file.
    pub(super) async fn begin_reading(
        &self,
        call: Call<'_>,
        file: &FileId,
        request: Request<'_>,
    ) -> Result<(Lease<'_>, Header), ClientError> {
        let first = self.route_to_read(file).await?.address;
        let mut failed = match self.begin(call, first, request).await {
            Err(error) if call.may_be_elsewhere(&error) => error,
            begun => return begun,
        };
        for other in self.route_to_all(file).await?.into_iter().filter(|other| other.address != first) {
            match self.begin(call, other.address, request).await {
                // Who cannot be reached may have what all others have not.
                Err(error) if call.may_be_elsewhere(&error) && failed.is_missing_file() => failed = error,
                Err(error) if call.may_be_elsewhere(&error) => {}
                begun => return begun,
            }
        }
        Err(failed)
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
        let mut answered = exchange(&mut lease, &bytes, request.patience).await;
        if let Err((sent, fault)) = &answered
            && lease.may_be_stale(fault)
            && (*sent == Sent::Partly || can_be_done_twice(call.operation))
        {
            tracing::debug!(%address, "a connection was closed while it rested");
            lease.renew().await?;
            answered = exchange(&mut lease, &bytes, request.patience).await;
        }
        let header = answered.map_err(|(sent, fault)| self.broken(call, sent, address, fault))?;
        if header.status.is_ok() {
            return Ok((lease, header));
        }
        // A storage closes after this one; after any other the connection is good, for nothing is left to read.
        if header.status != Status::INVALID && header.length == 0 {
            lease.keep();
        }
        Err(call.status(address, header.status))
    }

    /// A failed connection, after which those that rest are not trusted either.
    pub(super) fn broken(&self, call: Call<'_>, sent: Sent, address: SocketAddr, fault: Fault) -> ClientError {
        self.shared.pool.forget(address);
        call.fault_when(sent, address, fault)
    }
}

async fn exchange(lease: &mut Lease<'_>, bytes: &[u8], patience: Duration) -> Result<Header, (Sent, Fault)> {
    lease.connection.write(bytes).await.map_err(|fault| (Sent::Partly, fault))?;
    lease.connection.late_answer(patience).await.map_err(|fault| (Sent::Whole, fault))
}

/// Without a word to whoever asked for it: a second deletion finds nothing, which must then be no error.
fn can_be_done_twice(operation: Operation) -> bool {
    operation.is_idempotent() && operation != Operation::Delete
}
