//! A thread with a stack that every accepted expression fits in, on which triggers judge what came.

use packhorse_core::failure::{Class, Failure};
use packhorse_core::trigger::{Trigger, Verdict};
use packhorse_core::workflow::Workflow;
use packhorse_core::workflow::expr::STACK;
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Questions that may wait.
const WAITING: usize = 64;

/// A trigger with the workflow that it stands in.
#[derive(Debug, Clone)]
pub(super) struct Definition {
    pub(super) workflow: Arc<Workflow>,
    pub(super) trigger: Arc<Trigger>,
}

type Work = (Definition, Value, oneshot::Sender<Verdict>);

/// Asks the thread; it ends with the last one who could.
#[derive(Debug, Clone)]
pub(super) struct Judge {
    work: mpsc::Sender<Work>,
}

impl Judge {
    pub(super) fn start() -> std::io::Result<Self> {
        let (work, mut queue) = mpsc::channel::<Work>(WAITING);
        let thread = std::thread::Builder::new().name("triggers".to_owned()).stack_size(STACK);
        thread.spawn(move || {
            while let Some((definition, context, reply)) = queue.blocking_recv() {
                drop(reply.send(definition.trigger.judge(&definition.workflow, &context)));
            }
        })?;
        Ok(Self { work })
    }

    /// What this comes to.
    pub(super) async fn judge(&self, definition: &Definition, context: &Value) -> Verdict {
        let (reply, answer) = oneshot::channel();
        drop(self.work.send((definition.clone(), context.clone(), reply)).await);
        let gone = || Failure::new("PH9001", Class::Bug, "the thread that judges triggers stopped");
        answer.await.unwrap_or_else(|_| Verdict::Malformed(gone()))
    }
}
