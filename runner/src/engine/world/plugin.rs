//! Step plugins: the one that the run is pinned to, with its grants, and its host functions as effects.

use super::pins::unloaded;
use super::quarantine::Named;
use super::{World, stopped};
use crate::engine::{Job, JobEnd, Note, NoteSender};
use crate::plugin::{Effects, StepCall, StepFailure, StepRun};
use crate::store::BoxFuture;
use packhorse_core::effect::{Effect, Outcome, PluginRequest, Reply, Traffic};
use packhorse_core::failure::{Class, Failure, chain};
use packhorse_core::grant::RefusedCall;
use packhorse_core::run::RunId;
use packhorse_core::step::plugin_failed;
use std::sync::Arc;

/// What host functions reach: the effects that are over in a moment, for this run and step.
struct Reached {
    world: World,
    run: RunId,
    step: String,
    notes: NoteSender,
}

impl Effects for Reached {
    fn perform(&self, effect: Effect) -> BoxFuture<'_, Outcome> {
        Box::pin(self.world.plain(&self.run, &self.step, effect))
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
        let call = StepCall {
            run: job.run.id.to_string(),
            workflow: job.run.workflow.clone(),
            step: job.id.step.clone(),
            attempt: job.id.attempt,
            device: job.run.device.clone(),
            input: request.input.clone(),
            grants: self.grants.get(plugin.name()).cloned().unwrap_or_default(),
        };
        let reached = Reached {
            world: self.clone(),
            run: job.run.id.clone(),
            step: job.id.step.clone(),
            notes: job.notes.clone(),
        };
        let run = plugin.start(call, Arc::new(reached)).await.map_err(|error| unloaded(&error))?;
        Ok((run, digest))
    }
}

fn outcome(plugin: &str, ended: Result<serde_json::Map<String, serde_json::Value>, StepFailure>) -> Outcome {
    ended.map(|outputs| Reply::Plugin { outputs }).map_err(|failure| match failure {
        StepFailure::Said { class, code, message } => plugin_failed(plugin, class, &code, &message),
        StepFailure::Plugin(error) => unloaded(&error),
        StepFailure::Output(_) | StepFailure::Call(_) => {
            Failure::new("PH6102", Class::Permanent, format!("plugin {plugin}: {}", chain(&failure)))
        }
    })
}
