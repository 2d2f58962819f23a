//! A whole process around one data folder: lock, store, services, bus, engine, control socket.

use super::answers;
use super::journal::{Opened, open_journal};
use super::mqtt::connect;
use super::redis;
use super::services::Services;
use super::sweep::Sweeping;
use crate::app::exit::{Exit, Stop};
use crate::blob::{BlobStore, Contents, FastdfsBlobs, PacketBlobs};
use crate::catalog::Catalogs;
use crate::engine::{EngineHandle, Ledger, LiveView, Mirror, Parts, Presences, World};
use crate::failpoint::Point;
use crate::link::{Link, Spool};
use crate::plugin::{Compiler, Host, HostSettings, Trust};
use crate::serve::audit::Audit;
use crate::serve::control::Control;
use crate::serve::http::metrics::Metrics;
use crate::settings::{RedisAt, Settings};
use crate::store::{DataFolder, FolderError, KeyValue, RedisJournal, wall};
use crate::trigger::Triggers;
use packhorse_core::failure::{Class, Failure, chain};
use packhorse_core::profile::Profiles;
use packhorse_core::workflow::Workflow;
use packhorse_fastdfs::{Client, ClientOptions};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;

/// How long somebody who only looks at a data folder may have it.
const PASSING: Duration = Duration::from_secs(3);

/// What runs are started on.
#[derive(Clone)]
pub struct Ground {
    /// Where everything is.
    pub settings: Settings,
    /// Its runs.
    pub engine: EngineHandle,
    /// What effects reach.
    pub world: World,
}

/// What a process is started with beside its settings, where it starts runs for others.
#[derive(Clone)]
pub struct Offers {
    /// Workflows and plugins that count.
    pub catalogs: Catalogs,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Told of each run when its end is durable.
    pub ended: UnboundedSender<LiveView>,
    /// What starts runs by itself, as soon as it does.
    pub triggers: Arc<OnceLock<Triggers>>,
}

/// A running process.
pub struct App {
    ground: Ground,
    /// Its servers.
    pub services: Services,
    /// The journal, where it lies on Redis.
    pub redis: Option<RedisJournal>,
    /// Where it is written down who changed what.
    pub audit: Arc<Audit>,
    control: Option<Control>,
    sweeping: Option<Sweeping>,
    /// Last: the folder is free only when everything else is gone.
    _folder: DataFolder,
}

impl std::ops::Deref for App {
    type Target = Ground;

    fn deref(&self) -> &Ground {
        &self.ground
    }
}

impl App {
    /// Locks the data folder and brings everything up. Fails with exit 69 where a service, a port or the folder is not to be had.
    pub async fn start(settings: Settings, host: Host) -> Result<Self, Stop> {
        Self::start_with(settings, host, None).await
    }

    /// The same for a process that starts runs for others.
    pub async fn start_with(settings: Settings, host: Host, offers: Option<Offers>) -> Result<Self, Stop> {
        let folder = lock(&settings.data).await?;
        Point::AppLocked.pass();
        let chosen = settings.clone();
        let stores = tokio::task::spawn_blocking(move || stores(&chosen)).await;
        let (opened, values) = stores.map_err(|error| Stop::bug(error.to_string()))??;
        let spool =
            Spool::open(&settings.data.join("spool")).map_err(|error| Stop::unavailable("PH1003", chain(&error)))?;
        let services = Services::start(&settings).await?;
        let bus = Arc::new(connect(&services.mqtt, &settings.mqtt_access).await?);
        let files = FastdfsBlobs::new(Client::new(ClientOptions::new(services.trackers.iter().cloned())));
        let blobs: Arc<dyn BlobStore> = Arc::new(PacketBlobs::new(Arc::new(files)));
        let contents = Arc::new(Contents::new(blobs.clone()));
        let Opened { journal, index, owner, durability, redis, .. } = opened;
        let link = Link::new(bus.clone(), contents.clone(), spool, settings.data.clone(), index.clone());
        link.tidy();
        let link = Arc::new(link);
        let ledger = Arc::new(Ledger::new(index.clone()));
        let mirror = match &settings.redis {
            RedisAt::Embedded => None,
            RedisAt::Server(_) => Some(Arc::new(Mirror::start(values.clone(), index.clone()))),
        };
        let kept = journal.clone();
        let grants = Arc::new(settings.grants.clone());
        // What counts is known before runs are taken up: a device that was gone holds them back at once.
        let presence = offers.as_ref().map(|offers| {
            let presences = Presences::new(index.clone());
            presences.follow(Arc::clone(&offers.catalogs.current().registry));
            Arc::new(presences)
        });
        let world =
            World { bus, blobs, contents, values, index, ledger, mirror, presence, journal: kept, host, grants, link };
        let sweeping = Sweeping::start(&world, owner.clone(), &settings);
        let engine = EngineHandle::launch(Parts {
            journal,
            performer: Arc::new(world.clone()),
            compile: Arc::new(compile),
            owner,
            durability,
            jobs: tokio::runtime::Handle::current(),
            ended: offers.as_ref().map(|offers| offers.ended.clone()),
        })
        .map_err(|error| Stop::bug(chain(&error)))?;
        services.write(&settings.data).map_err(|error| cannot_write(&settings.data, &error))?;
        Point::ServicesWritten.pass();
        let data = settings.data.clone();
        let ground = Ground { settings, engine, world };
        held(&ground).await.map_err(|failure| Stop { exit: Exit::Unavailable, failure, rendered: None })?;
        let audit = Arc::new(Audit::open(&data, wall).map_err(|error| cannot_write(&data, &error))?);
        let control = Control::listen(&data, answers::answerer(ground.clone(), offers), Arc::clone(&audit))
            .map_err(|error| cannot_write(&data, &error))?;
        Point::ControlListening.pass();
        Ok(Self { ground, services, redis, audit, control: Some(control), sweeping: Some(sweeping), _folder: folder })
    }

    /// Parks every run, then stops everything in order.
    pub async fn stop(mut self) -> Result<(), Stop> {
        Point::StopBegun.pass();
        if let Some(control) = self.control.take() {
            control.finish().await;
        }
        if let Some(sweeping) = self.sweeping.take() {
            sweeping.stop().await;
        }
        let parked = self.engine.shutdown().await;
        Point::StopParked.pass();
        if let Some(mirror) = &self.world.mirror {
            mirror.close().await;
        }
        self.world.bus.close().await;
        Point::StopParted.pass();
        self.services.stop().await;
        Point::StopServices.pass();
        drop(std::fs::remove_file(self.ground.settings.data.join(super::SERVICES)));
        Point::StopUnwritten.pass();
        parked.map_err(|error| Stop::journal(chain(&error)))
    }
}

/// Holds count before anybody can ask for a run.
async fn held(ground: &Ground) -> Result<(), Failure> {
    if ground.settings.serve.paused {
        super::holds::pause(ground).await?;
    }
    super::holds::tell(ground).await
}

/// The journal, and the keys of workflows; blocks.
fn stores(settings: &Settings) -> Result<(Opened, Arc<dyn KeyValue>), Stop> {
    let opened = open_journal(settings)?;
    let values: Arc<dyn KeyValue> = match (&settings.redis, &opened.embedded) {
        (RedisAt::Server(server), _) => Arc::new(redis::key_value(server)?),
        (RedisAt::Embedded, Some(store)) => store.clone(),
        (RedisAt::Embedded, None) => opened.index.clone(),
    };
    Ok((opened, values))
}

/// Whoever only looks at the folder has it for a moment, and listens to nobody: that one is waited for.
async fn lock(data: &Path) -> Result<DataFolder, Stop> {
    let begun = tokio::time::Instant::now();
    loop {
        let error = match DataFolder::open(data) {
            Ok(folder) => return Ok(folder),
            Err(error) => error,
        };
        let FolderError::InUse { .. } = &error else {
            return Err(Stop::unavailable("PH1003", chain(&error)));
        };
        if begun.elapsed() >= PASSING || crate::serve::control::is_heard(data).await {
            return Err(Stop::unavailable("PH1004", chain(&error)).hint(
                "use `packhorse ps`, `show`, `explain` and `cancel` beside it, or choose another folder with --data",
            ));
        }
        tokio::time::sleep(PASSING / 50).await;
    }
}

/// Starts the plugin host of these settings.
pub async fn host(settings: &Settings) -> Result<Host, Stop> {
    let trust = Trust::read(&settings.plugin_keys);
    let trust = trust.map_err(|problem| Stop::usage("PH1007", format!("plugin_keys: {problem}")))?;
    host_of(&settings.plugins, &settings.profiles, trust).await
}

/// Starts a plugin host off the async threads.
pub async fn host_of(plugins: &Path, profiles: &Profiles, trust: Trust) -> Result<Host, Stop> {
    // By this path the program is found even when another one has taken its name.
    let compiler = Compiler::Child("/proc/self/exe".into());
    let (plugins_dir, profiles) = (Some(plugins.to_owned()), profiles.clone());
    let settings = HostSettings { plugins_dir, compiler, profiles, trust, ..HostSettings::default() };
    let host = tokio::task::spawn_blocking(move || Host::new(settings)).await;
    host.map_err(|error| Stop::bug(error.to_string()))?.map_err(|error| Stop::bug(chain(&error)))
}

/// Opens one spool for all simulated devices of a process.
pub fn device_spool(folder: &Path) -> Result<Spool, Stop> {
    let path = folder.join(".packhorse").join("spool");
    Spool::open(&path).map_err(|error| Stop::usage("PH2004", chain(&error)))
}

/// Makes the model of a stored workflow again; needs a large stack.
pub fn compile(source: &[u8]) -> Result<Workflow, Failure> {
    packhorse_core::workflow::check(source, "the stored workflow")
        .map_err(|problems| Failure::new("PH2001", Class::Permanent, problems.to_string()))
}

pub(super) fn cannot_write(data: &Path, error: &std::io::Error) -> Stop {
    Stop::unavailable("PH1003", format!("cannot write to the data folder {}: {error}", data.display()))
}
