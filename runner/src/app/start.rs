//! A whole process around one data folder: lock, store, services, bus, engine, control socket.

use super::answers;
use super::services::Services;
use crate::app::exit::Stop;
use crate::blob::{Contents, FastdfsBlobs};
use crate::bus::{RumqttcBus, Settings as BusSettings};
use crate::engine::{EngineHandle, Parts, World};
use crate::failpoint::Point;
use crate::link::{Link, Spool};
use crate::plugin::{Host, HostSettings};
use crate::serve::control::Control;
use crate::settings::{RedisAt, Settings};
use crate::store::{DataFolder, EmbeddedStore, FolderError, Journal, KeyValue, StoreError};
use packhorse_core::failure::{Class, Failure, chain};
use packhorse_core::workflow::Workflow;
use packhorse_fastdfs::{Client, ClientOptions};
use std::path::Path;
use std::sync::Arc;

/// Name of the store's file in the data folder.
pub const STORE: &str = "store.redb";
/// Name under which the embedded store's runs are claimed: the lock on the folder makes it safe.
pub const OWNER: &str = "embedded";

/// A running process.
pub struct App {
    /// Where everything is.
    pub settings: Settings,
    /// Its runs.
    pub engine: EngineHandle,
    /// What effects reach.
    pub world: World,
    /// Its servers.
    pub services: Services,
    control: Option<Control>,
    /// Last: the folder is free only when everything else is gone.
    _folder: DataFolder,
}

impl App {
    /// Locks the data folder and brings everything up. Fails with exit 69 where a service, a port or the folder is not to be had.
    pub async fn start(settings: Settings, host: Host) -> Result<Self, Stop> {
        let folder = lock(&settings.data)?;
        Point::AppLocked.pass();
        let store = Arc::new(open_store(&settings.data)?);
        let spool =
            Spool::open(&settings.data.join("spool")).map_err(|error| Stop::unavailable("PH1003", chain(&error)))?;
        let values: Arc<dyn KeyValue> = match &settings.redis {
            RedisAt::Embedded => store.clone(),
            RedisAt::Server(server) => Arc::new(super::redis::key_value(server).await?),
        };
        let services = Services::start(&settings).await?;
        let bus = Arc::new(connect(&services.mqtt).await?);
        let blobs = Arc::new(FastdfsBlobs::new(Client::new(ClientOptions::new(services.trackers.iter().cloned()))));
        let contents = Arc::new(Contents::new(blobs.clone()));
        let link = Arc::new(Link::new(bus.clone(), contents.clone(), blobs.clone(), spool, settings.data.clone()));
        let journal: Arc<dyn Journal> = store.clone();
        let world = World { bus, blobs, contents, values, index: store, journal: journal.clone(), host, link };
        let engine = EngineHandle::launch(Parts {
            journal,
            performer: Arc::new(world.clone()),
            compile: Arc::new(compile),
            owner: OWNER.to_owned(),
            jobs: tokio::runtime::Handle::current(),
        })
        .map_err(|error| Stop::bug(chain(&error)))?;
        services.write(&settings.data).map_err(|error| cannot_write(&settings.data, &error))?;
        Point::ServicesWritten.pass();
        let control = Control::listen(&settings.data, answers::answerer(engine.clone()))
            .map_err(|error| cannot_write(&settings.data, &error))?;
        Point::ControlListening.pass();
        Ok(Self { settings, engine, world, services, control: Some(control), _folder: folder })
    }

    /// Parks every run, then stops everything in order.
    pub async fn stop(mut self) -> Result<(), Stop> {
        Point::StopBegun.pass();
        if let Some(control) = self.control.take() {
            control.finish().await;
        }
        let parked = self.engine.shutdown().await;
        Point::StopParked.pass();
        self.world.bus.close().await;
        Point::StopParted.pass();
        self.services.stop().await;
        Point::StopServices.pass();
        drop(std::fs::remove_file(self.settings.data.join(super::SERVICES)));
        Point::StopUnwritten.pass();
        parked.map_err(|error| Stop::bug(format!("the engine did not stop well: {}", chain(&error))))
    }
}

fn lock(data: &Path) -> Result<DataFolder, Stop> {
    DataFolder::open(data).map_err(|error| match &error {
        FolderError::InUse { .. } => Stop::unavailable("PH1004", chain(&error))
            .hint("use `packhorse ps`, `show`, `explain` and `cancel` beside it, or choose another folder with --data"),
        FolderError::Io { .. } => Stop::unavailable("PH1003", chain(&error)),
    })
}

/// Opens the embedded store of a folder that the caller has locked.
pub fn open_store(data: &Path) -> Result<EmbeddedStore, Stop> {
    EmbeddedStore::open(&data.join(STORE)).map_err(|error| match &error {
        StoreError::Locked { .. } => Stop::unavailable("PH1004", chain(&error)),
        _ => Stop::unavailable("PH1003", chain(&error))
            .hint("the data folder holds the state of all runs; restore it from a backup"),
    })
}

/// Starts the plugin host off the async threads.
pub async fn host(plugins: &Path) -> Result<Host, Stop> {
    let settings = HostSettings { plugins_dir: Some(plugins.to_owned()), ..HostSettings::default() };
    let host = tokio::task::spawn_blocking(move || Host::new(settings)).await;
    host.map_err(|error| Stop::bug(error.to_string()))?.map_err(|error| Stop::bug(chain(&error)))
}

/// Opens one spool for all simulated devices of a process.
pub fn device_spool(folder: &Path) -> Result<Spool, Stop> {
    let path = folder.join(".packhorse").join("spool");
    Spool::open(&path).map_err(|error| Stop::usage("PH2004", chain(&error)))
}

/// Connects to the broker, or says that it is not to be had.
pub async fn connect(url: &str) -> Result<RumqttcBus, Stop> {
    let settings = BusSettings::parse(url).map_err(|error| Stop::usage("PH1005", chain(&error)))?;
    RumqttcBus::connect(settings).await.map_err(|error| {
        Stop::unavailable("PH1006", chain(&error)).hint("start the broker, or leave --mqtt out to use the embedded one")
    })
}

/// Makes the model of a stored workflow again; needs a large stack.
pub fn compile(source: &[u8]) -> Result<Workflow, Failure> {
    packhorse_core::workflow::check(source, "the stored workflow")
        .map_err(|problems| Failure::new("PH2001", Class::Permanent, problems.to_string()))
}

fn cannot_write(data: &Path, error: &std::io::Error) -> Stop {
    Stop::unavailable("PH1003", format!("cannot write to the data folder {}: {error}", data.display()))
}
