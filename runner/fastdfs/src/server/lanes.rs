//! Disk work, apart from network work: for each store path so many reads and so many writes at once; the rest waits its turn.
//!
//! A connection has at most one job in a lane, so a lane's queue is never longer than the number of connections. The jobs
//! run on the runtime's blocking threads.

use std::{panic::resume_unwind, sync::Arc};

use tokio::{
    sync::Semaphore,
    task::{JoinHandle, spawn_blocking},
};

#[derive(Debug)]
pub(super) struct Lane {
    turns: Arc<Semaphore>,
}

impl Lane {
    pub(super) fn new(at_once: usize) -> Self {
        Self { turns: Arc::new(Semaphore::new(at_once.max(1))) }
    }

    /// Waits for its turn and for its end. A caller that goes away leaves the job to run to its end.
    pub(super) async fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        Running(self.start(job).await).end().await
    }

    /// Waits for its turn only.
    pub(super) async fn begin<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Running<T> {
        Running(self.start(job).await)
    }

    async fn start<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        let turn = Arc::clone(&self.turns).acquire_owned().await.expect("lanes are never closed");
        spawn_blocking(move || {
            let result = job();
            drop(turn);
            result
        })
    }
}

/// A job that has begun.
pub(super) struct Running<T>(JoinHandle<T>);

impl<T> Running<T> {
    pub(super) async fn end(self) -> T {
        match self.0.await {
            Ok(result) => result,
            Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
            // The runtime ends, and this task with it.
            Err(_) => std::future::pending().await,
        }
    }
}
