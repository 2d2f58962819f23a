//! Whether the packets of a run fit the broker, before the run exists.

use crate::app::exit::Stop;
use crate::link::{Channel, settle};
use crate::plugin::Plugin;
use packhorse_core::effect::{Effect, TransferTask};
use packhorse_core::failure::Failure;
use packhorse_core::step::Start;
use packhorse_core::transfer::{Direction, Flow, Pairs};
use packhorse_core::workflow::expr::Scope;
use packhorse_core::workflow::{Step, StepKind, Workflow};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// What is looked at.
pub(super) struct Fit {
    pub(super) workflow: Arc<Workflow>,
    pub(super) plugin: Arc<Plugin>,
    pub(super) vars: Pairs,
    /// What expressions see before any step has run.
    pub(super) scope: Scope,
    /// The broker's maximum packet size, in bytes.
    pub(super) limit: u32,
}

impl Fit {
    /// Refuses the run where one of its transfers would be refused because of the broker, whichever numbers are known by
    /// now; those that only a step's outputs tell are looked at when the transfer begins. Needs a large stack.
    pub(super) fn check(&self) -> Result<(), Stop> {
        let all = [&self.workflow.steps, &self.workflow.on_failure, &self.workflow.finally];
        all.into_iter().try_for_each(|steps| self.steps(steps))
    }

    fn steps(&self, steps: &[Step]) -> Result<(), Stop> {
        for step in steps {
            match &step.kind {
                StepKind::Block(steps) => self.steps(steps)?,
                StepKind::Uses { primitive, with } if primitive.name.starts_with("transfer.") => {
                    let known = with.iter().filter_map(|(name, template)| {
                        let value = if name == "file" { Ok(any_file()) } else { template.resolve(&self.scope) };
                        Some((name.clone(), value.ok()?))
                    });
                    let known: Map<String, Value> = known.collect();
                    if let Ok(Start::Effect(effect)) = (primitive.start)(&known) {
                        self.effect(&step.id, &effect)?;
                    }
                }
                StepKind::Uses { .. } => {}
            }
        }
        Ok(())
    }

    fn effect(&self, step: &str, effect: &Effect) -> Result<(), Stop> {
        let Effect::Transfer(request) = effect else { return Ok(()) };
        let direction = match request.task {
            TransferTask::Push { .. } => Direction::Push,
            TransferTask::Pull { .. } => Direction::Pull,
            TransferTask::Verify { .. } => return Ok(()),
        };
        let Some(mode) = self.plugin.description().mode(direction) else { return Ok(()) };
        let Ok(routes) = self.plugin.routes(&request.device, &self.vars) else { return Ok(()) };
        let topic = Channel::new(Arc::new(routes), Flow::FromDevice).longest_topic();
        // What is wrong whatever the broker takes fails the step in its own words.
        if settle(request, mode, topic, None).is_err() {
            return Ok(());
        }
        settle(request, mode, topic, Some(self.limit)).map(drop).map_err(|failure| self.refused(step, failure))
    }

    fn refused(&self, step: &str, failure: Failure) -> Stop {
        let message =
            format!("step {step}: the broker takes packets of at most {} bytes: {}", self.limit, failure.message);
        let stop = Stop::unavailable("PH1034", message);
        match failure.hint {
            Some(hint) => stop.hint(hint),
            None => stop,
        }
    }
}

/// A file of no interest: the size of packets does not depend on it.
fn any_file() -> Value {
    json!({ "uri": "file:/any", "name": "any", "size": 1, "md5": "", "sha256": "", "meta": {} })
}
