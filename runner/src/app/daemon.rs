//! A process that starts runs for others: takes up what is unfinished, follows the folders, answers over HTTP, lets go of runs that have
//! ended.

use super::journal::STORE;
use super::launch::{Launch, Local, Prepared, TAKEN, launch_as, prepare};
use super::library::Library;
use super::repin::{Repin, repin};
use super::start::{App, Ground, Offers};
use crate::app::exit::Stop;
use crate::catalog::{Catalogs, Options, Told};
use crate::engine::{EngineHandle, LiveView};
use crate::plugin::Host;
use crate::presence::{self, Presence};
use crate::serve::control::Start;
use crate::serve::http::metrics::Metrics;
use crate::serve::http::{
    Access, Answer, Api, DeviceView, Grant, Http, Limits, Once, Readiness, Runner, Scope, Started,
};
use crate::settings::{ServeSettings, Settings};
use crate::store::wall;
use crate::trigger::Triggers;
use packhorse_core::admission::Hold;
use packhorse_core::failure::{Class, Failure, chain};
use packhorse_core::run::RunId;
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle;

/// How long a run is waited for that another request with the same key is creating.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between looks.
const LOOK: Duration = Duration::from_millis(20);

/// A running daemon.
pub struct Daemon {
    /// Everything that any process has.
    pub app: App,
    /// What counts.
    pub catalogs: Catalogs,
    /// Its API.
    pub http: Http,
    triggers: Triggers,
    presence: Option<Presence>,
    ended: JoinHandle<()>,
    heartbeat: JoinHandle<()>,
}

/// What a start came to.
pub enum Rise<Q> {
    /// It works, and has taken up so many runs.
    Up(Box<Daemon>, usize),
    /// Somebody wanted its end before it took up any run.
    Quit(Q),
}

impl Daemon {
    /// Looks at the folders, brings everything up and takes up what is unfinished; paused runs stay paused. Tells how many those are. Where `quit`
    /// comes before a run is taken up, everything is dropped.
    pub async fn start<Q>(settings: Settings, host: Host, quit: impl Future<Output = Q>) -> Result<Rise<Q>, Stop> {
        let risen = tokio::select! {
            risen = Self::rise(settings, host) => risen?,
            quit = quit => return Ok(Rise::Quit(quit)),
        };
        let (daemon, taken) = risen.take_up().await?;
        Ok(Rise::Up(Box::new(daemon), taken))
    }

    async fn rise(settings: Settings, host: Host) -> Result<Risen, Stop> {
        let access = Arc::new(access(&settings.serve)?);
        let limits = Arc::new(Limits::new(settings.serve.rate_limit));
        // Before anything is begun: a port that is taken must not cost a park of every run.
        let listener = listen(settings.serve.listen).await?;
        let metrics = Arc::new(Metrics);
        let catalogs = catalogs(&settings, &host, &metrics).await?;
        let (ended, ends) = unbounded_channel();
        let triggers = Arc::new(OnceLock::new());
        let offers = Offers {
            catalogs: catalogs.clone(),
            metrics: Arc::clone(&metrics),
            ended,
            triggers: Arc::clone(&triggers),
        };
        let mut app = App::start_with(settings, host, Some(offers)).await?;
        app.services.http = listener.local_addr().ok();
        Ok(Risen { app, catalogs, listener, access, limits, metrics, triggers, ends })
    }

    /// Takes no more work, parks every run and stops everything in order.
    pub async fn stop(self) -> Result<(), Stop> {
        self.triggers.stop().await;
        drop(self.presence);
        self.http.stop().await;
        let stopped = self.app.stop().await;
        self.ended.abort();
        self.heartbeat.abort();
        stopped
    }
}

/// A process that has everything and works on nothing yet.
struct Risen {
    app: App,
    catalogs: Catalogs,
    listener: TcpListener,
    access: Arc<Access>,
    limits: Arc<Limits>,
    metrics: Arc<Metrics>,
    triggers: Arc<OnceLock<Triggers>>,
    ends: UnboundedReceiver<LiveView>,
}

impl Risen {
    async fn take_up(self) -> Result<(Daemon, usize), Stop> {
        let Self { app, catalogs, listener, access, limits, metrics, triggers, ends } = self;
        let ended = tokio::spawn(let_go((*app).clone(), ends, Arc::clone(&metrics)));
        let begun = ready(&app).await;
        let begun = begun.and_then(|taken| {
            // Before triggers: what they start should know who is there.
            let presence = listening(&app, &catalogs)?;
            Ok((taken, presence, super::triggers::begin(&app, &catalogs, &metrics)?))
        });
        match begun {
            Ok((taken, presence, begun)) => {
                drop(triggers.set(begun.clone()));
                let (ground, triggers) = ((*app).clone(), begun.clone());
                let runner = Arc::new(Behind { ground, catalogs: catalogs.clone(), triggers });
                let audit = Arc::clone(&app.audit);
                let refusals = Arc::default();
                let http = Http::start(listener, Api { runner, access, limits, metrics, audit, refusals });
                let heartbeat = super::heartbeat::begin();
                Ok((Daemon { app, catalogs, http, triggers: begun, presence, ended, heartbeat }, taken))
            }
            Err(stop) => {
                app.stop().await?;
                Err(stop)
            }
        }
    }
}

/// Looks at the folders for the first time, and counts what later looks change.
async fn catalogs(settings: &Settings, host: &Host, metrics: &Arc<Metrics>) -> Result<Catalogs, Stop> {
    let counted = Arc::clone(metrics);
    let options = Options {
        workflows: settings.workflows.clone(),
        plugins: settings.plugins.clone(),
        devices: settings.devices.clone(),
        host: host.clone(),
        downgrades: settings.downgrades.clone(),
        clock: wall,
        told: Arc::new(move |told: &Told| counted.loaded(told.kind, &told.change)),
    };
    // A task of its own: what it does at once keeps nobody else from being heard.
    let started = tokio::spawn(Catalogs::start(options)).await.map_err(|error| Stop::bug(error.to_string()))?;
    started.map_err(|error| Stop::bug(format!("cannot start a thread: {error}")))
}

async fn listen(address: SocketAddr) -> Result<TcpListener, Stop> {
    TcpListener::bind(address).await.map_err(|error| {
        Stop::unavailable("PH1002", format!("the API cannot listen on {address}: {error}"))
            .hint("choose another address with --listen; port 0 takes a free one")
    })
}

/// Listens to the status topics of devices.
fn listening(app: &App, catalogs: &Catalogs) -> Result<Option<Presence>, Stop> {
    let Some(presences) = app.world.presence.clone() else { return Ok(None) };
    let parts = presence::Parts {
        bus: app.world.bus.clone(),
        presences,
        catalogs: catalogs.clone(),
        engine: app.engine.clone(),
    };
    let started = Presence::start(parts);
    started.map(Some).map_err(|error| Stop::bug(format!("cannot start a thread: {error}")))
}

/// Writes down where everything is, and takes up what is unfinished.
async fn ready(app: &App) -> Result<usize, Stop> {
    let written = app.services.write(&app.settings.data);
    written.map_err(|error| Stop::unavailable("PH1003", format!("cannot write services.json: {error}")))?;
    let (taken, failed) = app.engine.recover_all().await.map_err(|error| Stop::journal(chain(&error)))?;
    for error in &failed {
        tracing::error!("a run cannot be taken up: {}", chain(error));
    }
    Ok(taken.len())
}

/// Who may do what; without tokens nobody but this machine is served.
fn access(settings: &ServeSettings) -> Result<Access, Stop> {
    if settings.tokens.is_empty() && !settings.listen.ip().is_loopback() {
        let message = format!("{} is no loopback address, and there are no tokens", settings.listen);
        return Err(Stop::usage("PH8411", message).hint("make one with `packhorse token NAME`, or listen on 127.0.0.1"));
    }
    let grant = |token: &crate::settings::TokenSettings| {
        let scopes = token.scopes.iter().map(|text| text.parse::<Scope>()).collect::<Result<Vec<_>, _>>();
        let wrong = |why| Stop::usage("PH1007", format!("serve.tokens, {}: {why}", token.name));
        let scopes = scopes.map_err(wrong)?;
        Ok(Grant { name: token.name.clone(), sha256: token.sha256, scopes, expires: token.expires })
    };
    let grants = settings.tokens.iter().map(grant).collect::<Result<Vec<_>, Stop>>()?;
    Ok(Access { grants, clock: wall })
}

/// Of a run that has ended nothing need be kept at hand.
async fn let_go(ground: Ground, mut ends: UnboundedReceiver<LiveView>, metrics: Arc<Metrics>) {
    while let Some(ended) = ends.recv().await {
        metrics.finished(&ended);
        ground.world.over(&ended.view.run, ended.view.status).await;
    }
}

/// What answers the API.
struct Behind {
    ground: Ground,
    catalogs: Catalogs,
    triggers: Triggers,
}

impl Runner for Behind {
    fn engine(&self) -> &EngineHandle {
        &self.ground.engine
    }

    fn catalogs(&self) -> &Catalogs {
        &self.catalogs
    }

    fn triggers(&self) -> &Triggers {
        &self.triggers
    }

    fn start(&self, start: Start, once: Option<Once>) -> Answer<Result<Started, Failure>> {
        let (ground, catalogs) = (self.ground.clone(), self.catalogs.clone());
        Box::pin(async move { self::start(&ground, &catalogs, start, once).await })
    }

    fn repin(&self, run: RunId, from: String, to: String) -> Answer<Result<(), Failure>> {
        let (ground, generation) = (self.ground.clone(), self.catalogs.current());
        Box::pin(async move {
            let library = Library::Generation(&generation, &ground.world.host);
            let asked = Repin { runs: &[run.to_string()], from: &from, to: &to, all: true };
            let moved = repin(&ground.engine, &library, asked).await?;
            moved.items.into_iter().find_map(|item| item.error).map_or(Ok(()), Err)
        })
    }

    fn repin_all(&self, runs: Vec<String>, from: String, to: String) -> Answer<Result<Value, Failure>> {
        let (ground, generation) = (self.ground.clone(), self.catalogs.current());
        Box::pin(async move {
            let library = Library::Generation(&generation, &ground.world.host);
            let asked = Repin { runs: &runs, from: &from, to: &to, all: true };
            let moved = repin(&ground.engine, &library, asked).await?;
            serde_json::to_value(moved).map_err(|error| super::unwritten(&error))
        })
    }

    fn explain(&self, subject: String) -> Answer<Result<Value, Failure>> {
        let ground = self.ground.clone();
        Box::pin(async move { super::answers::explained(&ground, &subject).await })
    }

    fn device(&self, id: String) -> Answer<Result<DeviceView, Failure>> {
        let (ground, catalogs) = (self.ground.clone(), self.catalogs.clone());
        Box::pin(async move { device(&ground, &catalogs, &id).await })
    }

    fn holds(&self) -> Answer<Result<Vec<Hold>, Failure>> {
        let ground = self.ground.clone();
        Box::pin(async move { super::holds::Kept::of(&ground).all().await })
    }

    fn hold(&self, selector: String, reason: Option<String>, by: String) -> Answer<Result<Hold, Failure>> {
        let ground = self.ground.clone();
        Box::pin(async move { super::holds::hold(&ground, selector, reason, &by).await })
    }

    fn release(&self, id: String, by: String) -> Answer<Result<(), Failure>> {
        let ground = self.ground.clone();
        Box::pin(async move { super::holds::release(&ground, Some(&id), &by).await.map(drop) })
    }

    fn ready(&self) -> Readiness {
        let broker = self.ground.world.bus.status().borrow().is_connected();
        let file = std::fs::metadata(self.ground.settings.data.join(STORE)).ok();
        let journal_bytes = file.map(|file| file.len());
        Readiness { journal: !self.ground.engine.has_stopped(), broker, journal_bytes }
    }
}

/// What a device id comes to.
pub(super) async fn device(ground: &Ground, catalogs: &Catalogs, id: &str) -> Result<DeviceView, Failure> {
    let hello = super::devices::hello(&*ground.world.index, id).await?;
    let known = match &ground.world.presence {
        Some(presence) => presence.known(id).await,
        None => None,
    };
    Ok(DeviceView::of(&catalogs.current(), id, hello, known.map(|known| known.view())))
}

/// Starts a run of what counts now; with a key, one for all who come with it. Who is not at this machine's terminal names no files.
pub(super) async fn start(
    ground: &Ground,
    catalogs: &Catalogs,
    start: Start,
    once: Option<Once>,
) -> Result<Started, Failure> {
    let run = match &once {
        None => crate::engine::new_run_id(),
        Some(once) => {
            let run = super::once::run_of(&*ground.world.index, once).await?;
            if exists(ground, &run).await? {
                return Ok(Started { run, replayed: true });
            }
            run
        }
    };
    let afar = start.folder.is_none();
    if let Some(codec) = start.codec.as_deref().filter(|codec| afar && crate::plugin::is_path(codec)) {
        let message = format!("`{codec}` is a path: over HTTP a codec is named");
        return Err(Failure::new("PH8410", Class::Permanent, message));
    }
    let prepared = prepared(ground, catalogs, start).await?;
    match launch_as(ground, prepared, run.clone()).await {
        Ok(run) => Ok(Started { run, replayed: false }),
        // Another request with the same key is creating it right now.
        Err(stop) if once.is_some() && stop.failure.code == TAKEN => created(ground, run).await,
        Err(stop) => Err(whole(stop)),
    }
}

async fn exists(ground: &Ground, run: &RunId) -> Result<bool, Failure> {
    match ground.engine.view(run).await {
        Ok(_) => Ok(true),
        Err(crate::engine::EngineError::Unknown(_)) => Ok(false),
        Err(error) => Err(Failure::new("PH7002", Class::Transient, chain(&error))),
    }
}

async fn created(ground: &Ground, run: RunId) -> Result<Started, Failure> {
    let begun = tokio::time::Instant::now();
    while begun.elapsed() < PATIENCE {
        if exists(ground, &run).await? {
            return Ok(Started { run, replayed: true });
        }
        tokio::time::sleep(LOOK).await;
    }
    Err(Failure::new(TAKEN, Class::Transient, "a request with this key is under way"))
}

async fn prepared(ground: &Ground, catalogs: &Catalogs, asked: Start) -> Result<Prepared, Failure> {
    let Start { workflow, inputs, codec, vars, priority, folder, trigger, message, idempotency_key: _ } = asked;
    let local = folder.map_or(Local::Nobody, Local::From);
    let asked = Launch { workflow, inputs, codec, vars, priority, local, trigger, message };
    let generation = catalogs.current();
    let library = Library::Generation(&generation, &ground.world.host);
    prepare(asked, &ground.settings, &library).await.map_err(whole)
}

/// What is wrong, with everything that was laid out for people.
pub(super) fn whole(stop: Stop) -> Failure {
    match stop.rendered {
        Some(rendered) => {
            Failure { message: format!("{}\n{}", stop.failure.message, rendered.trim_end()), ..stop.failure }
        }
        None => stop.failure,
    }
}
