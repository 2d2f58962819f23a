//! The real performer: carries effects out over the bus, the file store, the key-value store and the link.
//!
//! * `transfer`: pushes, pulls, verifies
//! * `message`: MQTT; `hello`: what devices say of themselves; `presence`: whether they are there
//! * `plugin`: step plugins, and the way from their host functions to effects; `pins`: plugins that runs are pinned to;
//!   `quarantine`: those that failed with several devices
//! * `file`: the file store, local files, digests, and the index of what is stored
//! * `shelf`: files of pulls; `ledger`: the books of traffic; `mirror`: what outside systems read in Redis

mod file;
mod hello;
mod ledger;
mod message;
mod mirror;
mod pins;
mod plugin;
mod presence;
mod quarantine;
mod shelf;
mod transfer;

pub use file::Files;
pub use hello::hello_key;
pub use ledger::Ledger;
pub use mirror::Mirror;
pub use presence::Presences;
pub use quarantine::{Quarantine, quarantine, release};

use super::{Control, Job, JobEnd, Performer};
use crate::blob::{BlobStore, Contents};
use crate::bus::Bus;
use crate::failpoint::Point;
use crate::link::Link;
use crate::plugin::Host;
use crate::store::{BoxFuture, Journal, KeyValue, KvError, steady};
use packhorse_core::effect::{Effect, KvRequest, LogLevel, Outcome, Reply, Traffic};
use packhorse_core::failure::{Class, Failure, chain};
use packhorse_core::file::FileRef;
use packhorse_core::grant::Grants;
use packhorse_core::run::{RunId, RunStatus};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// Everything that effects reach.
#[derive(Clone)]
pub struct World {
    /// MQTT.
    pub bus: Arc<dyn Bus>,
    /// The file store.
    pub blobs: Arc<dyn BlobStore>,
    /// File bytes through the cache.
    pub contents: Arc<Contents>,
    /// The key-value store of workflows.
    pub values: Arc<dyn KeyValue>,
    /// Our own keys: which file lies where in the file store. Beside the journal, whatever `values` is.
    pub index: Arc<dyn KeyValue>,
    /// What went over the wire.
    pub ledger: Arc<Ledger>,
    /// For outside systems, where a Redis is named.
    pub mirror: Option<Arc<Mirror>>,
    /// Whether devices are there, in a daemon.
    pub presence: Option<Arc<Presences>>,
    /// Objects: the plugins that runs are pinned to.
    pub journal: Arc<dyn Journal>,
    /// Plugins.
    pub host: Host,
    /// What each step plugin was granted, by name.
    pub grants: Arc<BTreeMap<String, Grants>>,
    /// Transfers.
    pub link: Arc<Link>,
}

impl Performer for World {
    fn perform(&self, job: Job) -> BoxFuture<'static, JobEnd> {
        let world = self.clone();
        Box::pin(async move {
            if let Effect::Transfer(request) = &job.effect {
                let request = request.clone();
                return world.transfer(job, request).await;
            }
            if let Effect::PluginRun(request) = &job.effect {
                let request = request.clone();
                return world.plugin(job, request).await;
            }
            let mut control = job.control.clone();
            let effect = job.effect.clone();
            tokio::select! {
                biased;
                outcome = world.plain(&job.run.id, &job.id.step, effect) => JobEnd::Outcome(outcome, Traffic::default()),
                end = stopped(&mut control) => end,
            }
        })
    }
}

impl World {
    /// The effects that are over in a moment, or can be dropped in the middle and begun again.
    async fn plain(&self, run: &RunId, step: &str, effect: Effect) -> Outcome {
        match effect {
            Effect::Transfer(_) => Err(Failure::new("PH9002", Class::Bug, "a transfer came as a plain effect")),
            Effect::PluginRun(_) => Err(Failure::new("PH9002", Class::Bug, "a plugin's run came as a plain effect")),
            Effect::Publish(request) => {
                Point::MessagePublish.pass();
                let outcome = self.publish(request).await;
                Point::MessagePublished.pass();
                outcome
            }
            Effect::Request(request) => self.request(request).await,
            Effect::Wait(request) => self.wait(request).await,
            Effect::Kv(request) => {
                Point::KeyOperate.pass();
                let outcome = self.operate(request).await;
                Point::KeyOperated.pass();
                outcome
            }
            Effect::Upload { file, ext } => self.upload(run, file, &ext).await,
            Effect::BlobPut { bytes, ext, grows } => self.files().put(&bytes, &ext, grows).await,
            Effect::BlobAppend { uri, bytes } => self.files().append(&uri, &bytes).await,
            Effect::BlobRead { uri, offset, length } => self.files().read(&uri, offset, length).await,
            Effect::Download { file, to } => self.files().download(file, &to).await,
            Effect::BlobInfo { uri } => self.files().info(&uri).await,
            Effect::BlobDelete { uri } => self.files().delete(&uri).await,
            Effect::Digest { file } => self.files().digest(&file).await,
            Effect::Log { level, message, fields } => {
                let fields = serde_json::to_string(&fields).unwrap_or_default();
                say(level, (run.as_str(), step), &message, &fields);
                Ok(Reply::Done)
            }
        }
    }

    async fn upload(&self, run: &RunId, file: FileRef, ext: &str) -> Outcome {
        let stored = self.files().upload(file, ext).await?;
        if let (Some(mirror), Reply::Stored { file }) = (&self.mirror, &stored)
            && let Some(written) = mirror::stored(file)
        {
            mirror.put(run.as_str(), written);
        }
        Ok(stored)
    }

    /// A run has ended, durably: nothing of it need be kept at hand.
    pub async fn over(&self, run: &RunId, status: RunStatus) {
        let again = matches!(status, RunStatus::Failed | RunStatus::TimedOut);
        self.link.release(run.as_str(), again).await;
        if let Some(mirror) = &self.mirror {
            mirror.over(run.as_str()).await;
        }
    }

    async fn operate(&self, request: KvRequest) -> Outcome {
        match self.values.operate(request, steady()).await {
            Ok(value) => Ok(Reply::Value { value }),
            Err(error @ (KvError::WrongType { .. } | KvError::NotAnInteger { .. })) => {
                Err(Failure::new("PH7001", Class::Permanent, chain(&error)))
            }
            Err(error @ KvError::Unfit { .. }) => Err(Failure::new("PH7010", Class::Permanent, chain(&error))),
            Err(error @ KvError::Refused { .. }) => Err(Failure::new("PH7012", Class::Operator, chain(&error))),
            Err(error @ KvError::UnknownOutcome { .. }) => Err(Failure::new("PH7011", Class::Transient, chain(&error))),
            Err(error @ KvError::Store(_)) => Err(Failure::new("PH7002", Class::Transient, chain(&error))),
        }
    }

    /// The file side alone.
    pub fn files(&self) -> Files<'_> {
        Files {
            blobs: self.blobs.as_ref(),
            contents: &self.contents,
            index: self.index.as_ref(),
            mirror: self.mirror.as_deref(),
        }
    }
}

fn say(level: LogLevel, (run, step): (&str, &str), message: &str, fields: &str) {
    match level {
        LogLevel::Debug => tracing::debug!(run, step, fields, "{message}"),
        LogLevel::Info => tracing::info!(run, step, fields, "{message}"),
        LogLevel::Warn => tracing::warn!(run, step, fields, "{message}"),
        LogLevel::Error => tracing::error!(run, step, fields, "{message}"),
    }
}

/// Resolves when the job is told to stop: it can be begun again as a whole.
async fn stopped(control: &mut watch::Receiver<Control>) -> JobEnd {
    let wish = control.wait_for(|control| *control != Control::Go).await.map(|control| *control);
    match wish {
        Ok(Control::Cancel) => JobEnd::Cancelled(Traffic::default()),
        _ => JobEnd::Parked(Traffic::default()),
    }
}
