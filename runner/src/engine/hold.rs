//! Whether a run is still ours: asked of the journal where what comes next cannot be fenced off there.

use super::command::Signal;
use crate::store::{Append, Writer};
use tokio::sync::{mpsc, oneshot};

/// The claim under which a job works.
#[derive(Clone)]
pub struct Hold {
    writer: Writer,
    /// Without facts and checkpoint: it passes the fence and changes nothing.
    nothing: Append,
    signals: mpsc::UnboundedSender<Signal>,
}

impl Hold {
    pub(super) fn new(writer: Writer, nothing: Append, signals: mpsc::UnboundedSender<Signal>) -> Self {
        Self { writer, nothing, signals }
    }

    /// Whether the run was ours at some moment after the call; everything that was written before is durable then. Where it was not, the
    /// engine lets go of the run, and the job ends without a word.
    pub async fn confirm(&self) -> bool {
        let (sender, receiver) = oneshot::channel();
        let (signals, run) = (self.signals.clone(), self.nothing.run.clone());
        self.writer.append(self.nothing.clone(), move |committed| {
            let ours = committed.is_ok();
            if !ours {
                drop(signals.send(Signal::Refused { run, committed }));
            }
            let _ = sender.send(ours);
        });
        receiver.await.unwrap_or(false)
    }
}

impl std::fmt::Debug for Hold {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Hold({})", self.nothing.run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::new_run_id;
    use crate::store::{Journal, Mark, MemoryJournal, WriteError};
    use packhorse_core::run::WallTime;
    use std::sync::Arc;
    use std::time::Duration;

    #[tokio::test]
    async fn a_claim_holds_until_another_has_the_run() {
        let journal = Arc::new(MemoryJournal::default());
        let run = new_run_id();
        let claim = |owner, now| journal.claim(&run, owner, Duration::from_secs(1), WallTime(now)).expect("free");
        let (token, facts, mark) = (claim("a", 0), Vec::new(), Mark::Unfinished);
        let nothing = Append { run: run.clone(), token, expected: 0, facts, checkpoint: None, mark };
        let (writer, thread) = Writer::start(journal.clone()).expect("a thread");
        let (signals, mut inbox) = mpsc::unbounded_channel();
        let hold = Hold::new(writer, nothing, signals);
        assert!(hold.confirm().await && hold.confirm().await);
        claim("b", 5_000);
        assert!(!hold.confirm().await);
        let told = inbox.try_recv().expect("the engine is told");
        assert!(matches!(told, Signal::Refused { run: lost, committed: Err(WriteError::Refused(_)) } if lost == run));
        assert!(inbox.try_recv().is_err(), "once, and not while the claim held");
        drop(hold);
        thread.join().expect("the writer ends with its last handle");
    }
}
