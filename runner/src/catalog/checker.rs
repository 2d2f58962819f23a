//! A thread with a stack that every accepted expression fits in, on which workflows are checked; what it found is kept.

use super::judge;
use super::scan::Content;
use packhorse_core::failure::{Class, Failure};
use packhorse_core::workflow::Workflow;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Stack in bytes: what `packhorse_core` asks for.
const STACK: usize = 64 << 20;

type Checked = Result<Arc<Workflow>, Failure>;
type Work = Box<dyn FnOnce() + Send>;

/// Asks the thread; it ends with the last one who could.
#[derive(Debug)]
pub(super) struct Checker {
    work: mpsc::UnboundedSender<Work>,
    /// By name: the digest that was checked, and what came of it.
    known: HashMap<String, (String, Checked)>,
}

impl Checker {
    pub(super) fn start() -> std::io::Result<Self> {
        let (work, mut queue) = mpsc::unbounded_channel::<Work>();
        let thread = std::thread::Builder::new().name("checker".to_owned()).stack_size(STACK);
        thread.spawn(move || {
            while let Some(work) = queue.blocking_recv() {
                // Whoever asked is told; others are checked as before.
                drop(catch_unwind(AssertUnwindSafe(work)));
            }
        })?;
        Ok(Self { work, known: HashMap::new() })
    }

    /// What each content is; those that have not changed are not checked again, and those that are gone are forgotten.
    pub(super) async fn check<'a>(
        &mut self,
        contents: impl Iterator<Item = (&'a str, &'a Content)>,
    ) -> HashMap<String, Checked> {
        let mut all = HashMap::new();
        for (name, content) in contents {
            let known = self.known.remove(name).filter(|(digest, _)| *digest == content.digest && !digest.is_empty());
            let checked = match known {
                Some((_, checked)) => checked,
                None => self.checked(name, content).await,
            };
            all.insert(name.to_owned(), (content.digest.clone(), checked));
        }
        let result = all.iter().map(|(name, (_, checked))| (name.clone(), checked.clone())).collect();
        self.known = all;
        result
    }

    async fn checked(&self, name: &str, content: &Content) -> Checked {
        let (name, content) = (name.to_owned(), content.clone());
        self.ask(move || {
            let bytes = content.bytes.as_ref().map_err(Clone::clone);
            bytes.and_then(|bytes| judge::workflow(&name, bytes, &content.path))
        })
        .await
    }

    async fn ask(&self, question: impl FnOnce() -> Checked + Send + 'static) -> Checked {
        let (reply, answer) = oneshot::channel();
        // Where the thread is gone, so is the reply.
        drop(self.work.send(Box::new(move || drop(reply.send(question())))));
        answer.await.unwrap_or_else(|_| Err(Failure::new("PH9001", Class::Bug, "checking it panicked")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_the_answer_to_one_question_alone() {
        let checker = Checker::start().unwrap();
        assert_eq!(checker.ask(|| panic!("on purpose")).await.unwrap_err().code, "PH9001");
        let answer = checker.ask(|| Err(Failure::new("PH2001", Class::Permanent, "read"))).await;
        assert_eq!(answer.unwrap_err().code, "PH2001");
    }
}
