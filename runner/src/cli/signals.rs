//! Ctrl-C and termination.

use crate::app::exit::{Exit, Stop};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The two signals that ask a process to stop.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Takes them over from here on.
    pub(super) fn take() -> Result<Self, Stop> {
        let failed = |error: std::io::Error| Stop::bug(format!("cannot listen to signals: {error}"));
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
        })
    }

    /// The next one, as the code to exit with.
    pub(super) async fn next(&mut self) -> Exit {
        tokio::select! {
            _ = self.interrupt.recv() => Exit::Interrupted,
            _ = self.terminate.recv() => Exit::Terminated,
        }
    }
}
