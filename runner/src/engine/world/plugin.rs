//! Step plugins: the one that the run is pinned to, with its grants, and its host functions as effects.

use super::pins::unloaded;
use super::quarantine::Named;
use super::{World, stopped};
use crate::engine::{Job, JobEnd, Note, NoteSender};
use crate::plugin::{Effects, StepCall, StepFailure, StepRun};
use crate::store::{BoxFuture, steady};
use packhorse_core::effect::{Effect, KvRequest, Outcome, PluginRequest, Reply, Traffic};
use packhorse_core::failure::{Class, Failure, chain};
use packhorse_core::grant::{RefusedCall, Usage};
use packhorse_core::run::RunId;
use packhorse_core::step::plugin_failed;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// What a plugin has used of its grants in a run is kept so long after its last call.
const KEPT: Duration = Duration::from_secs(90 * 86_400);

/// What host functions reach: the effects that are over in a moment, for this run and step.
struct Reached {
    world: World,
    run: RunId,
    step: String,
    plugin: String,
    notes: NoteSender,
}

impl Reached {
    fn key(&self) -> String {
        format!("\u{1}grants:{}:{}", self.run, self.plugin)
    }

    async fn kept(&self, request: KvRequest) -> Result<Value, Failure> {
        let failed = |error| Failure::new("PH7002", Class::Transient, chain(&error));
        self.world.index.operate(request, steady()).await.map_err(failed)
    }

    /// What earlier attempts have used.
    async fn used(&self) -> Result<Usage, Failure> {
        let kept = self.kept(KvRequest::Get { key: self.key() }).await?;
        let used = kept.as_str().and_then(|text| text.split_once(' '));
        let used =
            used.and_then(|(calls, bytes)| Some(Usage { calls: calls.parse().ok()?, bytes: bytes.parse().ok()? }));
        Ok(used.unwrap_or_default())
    }
}

impl Effects for Reached {
    fn perform(&self, effect: Effect) -> BoxFuture<'_, Outcome> {
        Box::pin(self.world.plain(&self.run, &self.step, effect))
    }

    fn charge(&self, usage: Usage) -> BoxFuture<'_, Result<(), Failure>> {
        let value = format!("{} {}", usage.calls, usage.bytes);
        let set = KvRequest::Set { key: self.key(), value, expire: Some(KEPT) };
        Box::pin(async move { self.kept(set).await.map(drop) })
    }

    fn refused(&self, call: RefusedCall) {
        let (run, step) = (self.run.as_str(), self.step.as_str());
        tracing::warn!(
            run,
            step,
            plugin = call.plugin,
            call = call.call,
            why = call.why,
            "a plugin was refused a call"
        );
        self.notes.send(Note::Refused(call));
    }
}

impl World {
    /// Runs a step plugin until it ends or is told to stop: then it is dropped, and begins anew when the run goes on.
    pub(super) async fn plugin(&self, job: Job, request: PluginRequest) -> JobEnd {
        let mut control = job.control.clone();
        let begun = tokio::select! {
            biased;
            begun = self.begin_plugin(&job, &request) => begun,
            end = stopped(&mut control) => return end,
        };
        let (mut run, digest) = match begun {
            Ok(begun) => begun,
            Err(failure) => return JobEnd::Outcome(Err(failure), Traffic::default()),
        };
        tokio::select! {
            biased;
            ended = run.ended() => {
                let trapped = matches!(&ended, Err(StepFailure::Call(call)) if call.is_trap());
                let outcome = outcome(&request.plugin, ended);
                if let (true, Err(failure)) = (trapped, &outcome) {
                    let device = job.run.device.as_deref().unwrap_or(job.run.id.as_str());
                    self.trapped(Named { digest: &digest, title: &request.plugin }, device, failure).await;
                }
                JobEnd::Outcome(outcome, Traffic::default())
            }
            end = stopped(&mut control) => {
                run.stop();
                // What it gives now is not asked for any more.
                drop(run.ended().await);
                end
            }
        }
    }

    /// The run, and the digest of its plugin.
    async fn begin_plugin(&self, job: &Job, request: &PluginRequest) -> Result<(StepRun, String), Failure> {
        let plugin = self.pinned_step(&request.plugin, job.run.plugins.get(&request.plugin)).await?;
        let digest = plugin.digest().to_owned();
        self.free(Named { digest: &digest, title: &request.plugin }).await?;
        let reached = Reached {
            world: self.clone(),
            run: job.run.id.clone(),
            step: job.id.step.clone(),
            plugin: plugin.name().to_owned(),
            notes: job.notes.clone(),
        };
        let call = StepCall {
            run: job.run.id.to_string(),
            workflow: job.run.workflow.clone(),
            step: job.id.step.clone(),
            attempt: job.id.attempt,
            device: job.run.device.clone(),
            input: request.input.clone(),
            grants: self.grants.get(plugin.name()).cloned().unwrap_or_default(),
            used: reached.used().await?,
        };
        let run = plugin.start(call, Arc::new(reached)).await.map_err(|error| unloaded(&error))?;
        Ok((run, digest))
    }
}

fn outcome(plugin: &str, ended: Result<serde_json::Map<String, Value>, StepFailure>) -> Outcome {
    ended.map(|outputs| Reply::Plugin { outputs }).map_err(|failure| match failure {
        StepFailure::Said { class, code, message } => plugin_failed(plugin, class, &code, &message),
        StepFailure::Plugin(error) => unloaded(&error),
        StepFailure::Output(_) | StepFailure::Call(_) => {
            Failure::new("PH6102", Class::Permanent, format!("plugin {plugin}: {}", chain(&failure)))
        }
    })
}
