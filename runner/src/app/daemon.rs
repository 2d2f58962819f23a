//! A process that starts runs for others: takes up what is unfinished, follows the folders, lets go of runs that have ended.

use super::launch::{Launch, launch, prepare};
use super::library::Library;
use super::start::{App, Ground, Offers};
use crate::app::exit::Stop;
use crate::catalog::{Catalogs, Options, Reload};
use crate::engine::LiveView;
use crate::plugin::Host;
use crate::settings::Settings;
use crate::store::wall;
use packhorse_core::failure::{Failure, chain};
use packhorse_core::run::RunId;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle;

/// A running daemon.
pub struct Daemon {
    /// Everything that any process has.
    pub app: App,
    /// What counts.
    pub catalogs: Catalogs,
    ended: JoinHandle<()>,
}

impl Daemon {
    /// Looks at the folders, brings everything up and takes up what is unfinished; paused runs stay paused. Tells how many those are.
    pub async fn start(settings: Settings, host: Host) -> Result<(Self, usize), Stop> {
        let options = Options {
            workflows: settings.workflows.clone(),
            plugins: settings.plugins.clone(),
            host: host.clone(),
            clock: wall,
        };
        let catalogs = Catalogs::start(options).await;
        let catalogs = catalogs.map_err(|error| Stop::bug(format!("cannot start a thread: {error}")))?;
        let (sender, ends) = unbounded_channel();
        let offers = Offers { catalogs: Some(catalogs.clone()), ended: Some(sender) };
        let app = App::start_with(settings, host, offers).await?;
        let ended = tokio::spawn(let_go((*app).clone(), ends));
        let recovered = app.engine.recover_all().await;
        let (taken, failed) = match recovered {
            Ok(recovered) => recovered,
            Err(error) => {
                app.stop().await?;
                return Err(Stop::journal(chain(&error)));
            }
        };
        for error in &failed {
            tracing::error!("a run cannot be taken up: {}", chain(error));
        }
        Ok((Self { app, catalogs, ended }, taken.len()))
    }

    /// Parks every run and stops everything in order.
    pub async fn stop(self) -> Result<(), Stop> {
        let stopped = self.app.stop().await;
        self.ended.abort();
        stopped
    }
}

/// Of a run that has ended nothing need be kept at hand.
async fn let_go(ground: Ground, mut ends: UnboundedReceiver<LiveView>) {
    while let Some(ended) = ends.recv().await {
        ground.world.over(&ended.view.run).await;
    }
}

/// Starts a run of what counts now.
pub(super) async fn start(ground: &Ground, catalogs: &Catalogs, asked: Launch) -> Result<RunId, Failure> {
    let generation = catalogs.current();
    let host = &ground.world.host;
    let prepared = prepare(asked, &ground.settings, &Library::Generation(&generation, host)).await;
    let prepared = prepared.map_err(whole)?;
    launch(ground, prepared).await.map_err(whole)
}

/// What is wrong, with everything that was laid out for people.
fn whole(stop: Stop) -> Failure {
    match stop.rendered {
        Some(rendered) => {
            Failure { message: format!("{}\n{}", stop.failure.message, rendered.trim_end()), ..stop.failure }
        }
        None => stop.failure,
    }
}

/// What a reload came to, as JSON.
pub(super) fn reloaded(reload: &Reload) -> Value {
    let generation = &reload.generation;
    let changes =
        reload.changes.iter().map(|told| json!({ "kind": told.kind, "name": told.name, "change": told.change }));
    let workflows = generation.workflows.entries().filter(|(_, entry)| entry.live.is_some()).count();
    let plugins = generation.plugins.entries().filter(|(_, entry)| entry.live.is_some()).count();
    let refused = generation.workflows.refused() + generation.plugins.refused();
    json!({
        "generation": generation.number,
        "loaded_at": generation.since.to_rfc3339(),
        "workflows": workflows,
        "plugins": plugins,
        "refused": refused,
        "changes": changes.collect::<Vec<_>>(),
    })
}
