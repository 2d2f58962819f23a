//! What reaches the engine's thread: commands from handles, signals from jobs, writer and loaders.

use super::handle::{Counted, EngineError, LiveView, NewRun};
use super::load::Loaded;
use super::performer::JobEnd;
use crate::store::{Committed, Token};
use packhorse_core::admission::Hold;
use packhorse_core::run::{RunEvent, RunId};
use packhorse_core::workflow::Workflow;
use std::sync::Arc;
use tokio::sync::{oneshot, watch};

/// Who asked, and hears what became of it. Nobody may be listening any more.
pub(super) type Reply<T> = oneshot::Sender<Result<T, EngineError>>;

/// What handles ask for.
#[expect(clippy::large_enum_variant, reason = "few live at a time, and none is kept")]
pub(super) enum Command {
    Start {
        new: Box<NewRun>,
        reply: Reply<()>,
    },
    /// Something for one run, which is taken up first where need be.
    Wish {
        run: RunId,
        wish: Wish,
        reply: Reply<()>,
    },
    /// Nothing where the engine does not work on the run.
    View {
        run: RunId,
        reply: Reply<Option<LiveView>>,
    },
    Subscribe {
        run: RunId,
        reply: Reply<Option<watch::Receiver<LiveView>>>,
    },
    /// The engine's thread has the stack for it. Nothing where the workflow is not accepted.
    Compile {
        digest: String,
        source: Vec<u8>,
        reply: Reply<Option<Arc<Workflow>>>,
    },
    /// How many runs there are in memory, of each kind.
    Census {
        reply: Reply<Vec<Counted>>,
    },
    /// These holds count from now on.
    Hold {
        holds: Vec<Hold>,
        reply: Reply<()>,
    },
    /// A device was heard.
    Heard {
        device: String,
        reply: Reply<()>,
    },
    /// Runs are taken up until it is said that all have been: admission waits.
    TakingUp {
        begun: bool,
        reply: Reply<()>,
    },
    Shutdown {
        reply: Reply<()>,
    },
}

/// Something for one run.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "few live at a time, and none is kept")]
pub(super) enum Wish {
    /// To be worked on, nothing more.
    TakeUp,
    /// To be worked on, and to go on where it is paused.
    Resume,
    /// An event.
    Event(RunEvent),
}

/// What others tell.
#[derive(Debug)]
pub(super) enum Signal {
    /// An append with facts is durable or refused; in the order of the appends.
    Committed { run: RunId, committed: Committed },
    /// A checkpoint alone is durable or refused.
    Saved { run: RunId, committed: Committed },
    /// The journal refused a job's question whether the run is ours.
    Refused { run: RunId, committed: Committed },
    /// There are notes in a job's box.
    Noted { run: RunId, ticket: u64 },
    /// A job is over.
    Ended { run: RunId, ticket: u64, finish: Finish },
    /// A run was read from the journal, or could not be.
    Loaded { run: RunId, loaded: Result<Loaded, EngineError> },
    /// A new run is claimed and its workflow kept, or not.
    Claimed { run: RunId, claimed: Result<Token, EngineError> },
}

/// How a job is over.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "few live at a time, and none is kept")]
pub(super) enum Finish {
    /// As it should.
    Ended(JobEnd),
    /// With a panic and its words.
    Panicked(String),
    /// It was dropped.
    Dropped,
}
