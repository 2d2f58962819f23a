//! A thread with a stack that every accepted expression fits in, on which workflows are checked; what it found is kept.

use super::judge;
use super::scan::Content;
use packhorse_core::failure::{Class, Failure};
use packhorse_core::workflow::Workflow;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Stack in bytes: what `packhorse_core` asks for.
const STACK: usize = 64 << 20;

type Checked = Result<Arc<Workflow>, Failure>;
type Work = (String, Content, oneshot::Sender<Checked>);

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
            while let Some((name, content, reply)) = queue.blocking_recv() {
                let bytes = content.bytes.as_ref().map_err(Clone::clone);
                drop(reply.send(bytes.and_then(|bytes| judge::workflow(&name, bytes, &content.path))));
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
        let (reply, answer) = oneshot::channel();
        let sent = self.work.send((name.to_owned(), content.clone(), reply));
        let gone = || Failure::new("PH9001", Class::Bug, "the thread that checks workflows stopped");
        sent.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}
