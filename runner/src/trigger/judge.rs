//! A thread with a stack that every accepted expression fits in, on which what came is judged.

use packhorse_core::failure::{Class, Failure};
use packhorse_core::trigger::{Trigger, Verdict};
use packhorse_core::workflow::Workflow;
use packhorse_core::workflow::expr::STACK;
use serde_json::Value;
use std::panic::{AssertUnwindSafe, catch_unwind};
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

type Work = Box<dyn FnOnce() + Send>;

/// Asks the thread; it ends with the last one who could.
#[derive(Debug, Clone)]
pub struct Judge {
    work: mpsc::Sender<Work>,
}

impl Judge {
    /// Starts a thread of this name.
    ///
    /// # Errors
    ///
    /// Where the system gives none.
    pub fn start(name: &str) -> std::io::Result<Self> {
        let (work, mut queue) = mpsc::channel::<Work>(WAITING);
        let thread = std::thread::Builder::new().name(name.to_owned()).stack_size(STACK);
        thread.spawn(move || {
            while let Some(work) = queue.blocking_recv() {
                // Whoever asked is told; others are answered as before.
                drop(catch_unwind(AssertUnwindSafe(work)));
            }
        })?;
        Ok(Self { work })
    }

    /// What a question comes to.
    ///
    /// # Errors
    ///
    /// PH9001 where answering it panicked.
    pub async fn ask<T: Send + 'static>(&self, question: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
        let (reply, answer) = oneshot::channel();
        drop(self.work.send(Box::new(move || drop(reply.send(question())))).await);
        answer.await.map_err(|_| Failure::new("PH9001", Class::Bug, "evaluating it panicked"))
    }

    /// What this comes to.
    pub(super) async fn judge(&self, definition: &Definition, context: &Value) -> Verdict {
        let (definition, context) = (definition.clone(), context.clone());
        let judged = self.ask(move || definition.trigger.judge(&definition.workflow, &context)).await;
        judged.unwrap_or_else(Verdict::Malformed)
    }
}
