//! Triggers of the daemon: what starts runs for them, and what the control socket answers about them.

use super::mqtt::bus_settings;
use super::start::{App, Ground};
use crate::app::exit::Stop;
use crate::bus::{Acknowledge, Bus, BusError, RumqttcBus, Session, Settings};
use crate::catalog::Catalogs;
use crate::serve::control::{LetterWish, Question, Start};
use crate::serve::http::Once;
use crate::serve::http::metrics::Metrics;
use crate::store::BoxFuture;
use crate::trigger::{Asked, Begun, Connect, Joined, Line, Parts, Starter, Triggers};
use packhorse_core::failure::{Class, Failure, chain};
use packhorse_core::trigger::workflow_kind;
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// Who the triggers are to the broker.
const SESSION: &str = "trigger-session.json";

/// Starts runs of what counts.
struct Starting {
    ground: Ground,
    catalogs: Catalogs,
    metrics: Arc<Metrics>,
}

/// Has the triggers of what counts listen.
pub(super) fn begin(app: &App, catalogs: &Catalogs, metrics: &Arc<Metrics>) -> Result<Triggers, Stop> {
    let starting = Starting { ground: (**app).clone(), catalogs: catalogs.clone(), metrics: Arc::clone(metrics) };
    let parts = Parts {
        line: line(app)?,
        index: Arc::clone(&app.world.index),
        starter: Arc::new(starting),
        catalogs: catalogs.clone(),
    };
    Triggers::start(parts).map_err(|error| Stop::bug(format!("cannot start a thread: {error}")))
}

/// The connection that messages come on.
fn line(app: &App) -> Result<Line, Stop> {
    let mut settings = bus_settings(&app.services.mqtt, &app.settings.mqtt_access)?;
    (settings.session, settings.receipts) = (Session::Keep, Acknowledge::WhenDropped);
    let named = app.settings.mqtt_access.client_id.clone().map(|client_id| format!("{client_id}-triggers"));
    let common: Arc<dyn Bus> = app.world.bus.clone();
    let connect: Connect = Box::new(move |client_id| {
        let client_id = named.clone().unwrap_or(client_id);
        Box::pin(connected(Settings { client_id, ..settings.clone() }, Arc::clone(&common)))
    });
    let path = app.settings.data.join(SESSION);
    Line::open(&path, connect).map_err(|error| super::start::cannot_write(&app.settings.data, &error))
}

/// A broker that will not have a second connection of ours still has the first.
async fn connected(settings: Settings, common: Arc<dyn Bus>) -> Result<Joined, BusError> {
    let client_id = settings.client_id.clone();
    match RumqttcBus::connect(settings).await {
        Ok(bus) => Ok(Joined { bus: Arc::new(bus), own: true }),
        Err(error) if error.class() == Class::Transient => Err(error),
        Err(error) => {
            let cause = chain(&error);
            tracing::warn!(
                client_id,
                cause,
                "triggers have no connection of their own: messages that come while this process is not there are lost"
            );
            Ok(Joined { bus: common, own: false })
        }
    }
}

impl Starter for Starting {
    fn start(&self, asked: Asked) -> BoxFuture<'static, Result<Begun, Failure>> {
        let (ground, catalogs, metrics) = (self.ground.clone(), self.catalogs.clone(), Arc::clone(&self.metrics));
        Box::pin(async move {
            // A task of its own: what was begun is not left half done when its trigger is gone.
            let task = tokio::spawn(started(ground, catalogs, metrics, asked));
            task.await.unwrap_or_else(|error| Err(Failure::new("PH9002", Class::Bug, error.to_string())))
        })
    }
}

async fn started(ground: Ground, catalogs: Catalogs, metrics: Arc<Metrics>, asked: Asked) -> Result<Begun, Failure> {
    let Asked { workflow, inputs, folder, context, key, live, message } = asked;
    if let (Some(presence), Some(device), true) = (&ground.world.presence, inputs.get("device"), live) {
        presence.heard(device);
    }
    let (name, kind) = (workflow.clone(), workflow_kind(&context).to_owned());
    let once = key.map(|key| Once { key: key.key, request: key.request });
    let start = Start { workflow, inputs, folder, trigger: context, message, ..Start::default() };
    let started = super::daemon::start(&ground, &catalogs, start, once).await?;
    if !started.replayed {
        metrics.started(&name, &kind);
    }
    Ok(Begun { run: started.run, replayed: started.replayed })
}

/// Whether a question is one about triggers.
pub(super) const fn concerns(question: &Question) -> bool {
    matches!(question, Question::Triggers | Question::Letters { .. })
}

/// Answers a question about triggers.
pub(super) async fn answer(triggers: &Triggers, question: Question) -> Result<Value, Failure> {
    let letters = triggers.letters();
    match question {
        Question::Letters { wish: LetterWish::List, .. } => Ok(json!({ "items": value(&letters.list().await?)? })),
        Question::Letters { wish: LetterWish::Show, id } => value(&letters.show(id).await?),
        Question::Letters { wish: LetterWish::Drop, id } => value(&letters.drop(id).await?),
        Question::Letters { wish: LetterWish::Retry, id } => {
            let begun = triggers.retry(id).await?;
            let replayed = begun.as_ref().is_some_and(|begun| begun.replayed);
            Ok(json!({ "run": begun.map(|begun| begun.run), "replayed": replayed }))
        }
        _ => Ok(json!({ "items": value(&triggers.list())? })),
    }
}

fn value(of: &impl Serialize) -> Result<Value, Failure> {
    serde_json::to_value(of).map_err(|error| Failure::new("PH9002", Class::Bug, error.to_string()))
}
