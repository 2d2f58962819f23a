//! Where things are: flags over `PACKHORSE_*` variables over `packhorse.yaml` over defaults, each value parsed once.

mod address;
mod mqtt;
mod plugins;
mod redis;
mod serve;
mod server;
mod store;
mod value;

pub use address::{FastdfsAt, MqttAt, STORAGE_PORT, SettingError, TRACKER_PORT, listen, without_password};
pub use mqtt::{KeepAlive, MqttAccess, MqttSession, MqttVersion};

pub use redis::{RedisAt, RedisServer};
pub use serve::{LISTEN, ServeSettings, TokenSettings};
pub use server::{LOCAL, ServerSettings};
pub use store::{StoreKind, StoreSettings};

use packhorse_core::grant::Grants;
use packhorse_core::profile::Profiles;
use packhorse_core::run::Retention;
use redis::RedisFile;
use serde::Deserialize;
use server::ServerFile;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use store::{RetentionFile, StoreFile};
use value::Lookup;

/// Default of `--data`.
pub const DATA: &str = ".packhorse";
/// Name of the settings file, looked for in the working folder and upward.
pub const FILE: &str = "packhorse.yaml";

/// What was given by flags or variables (the command line merges these two).
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// `--mqtt`.
    pub mqtt: Option<String>,
    /// `PACKHORSE_MQTT__…`.
    pub mqtt_access: MqttAccess,
    /// `--fastdfs`.
    pub fastdfs: Option<String>,
    /// `--redis`.
    pub redis: Option<String>,
    /// `--store`.
    pub store: Option<String>,
    /// `--data`.
    pub data: Option<PathBuf>,
    /// `--plugins`.
    pub plugins: Option<PathBuf>,
    /// `--workflows`.
    pub workflows: Option<PathBuf>,
    /// `--devices`.
    pub devices: Option<PathBuf>,
    /// `serve --listen`.
    pub listen: Option<String>,
    /// `--server`.
    pub server: Option<String>,
    /// `--token-file`.
    pub token_file: Option<PathBuf>,
}

/// Settings as meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The broker.
    pub mqtt: MqttAt,
    /// How to reach it.
    pub mqtt_access: MqttAccess,
    /// The file store.
    pub fastdfs: FastdfsAt,
    /// The keys of workflows.
    pub redis: RedisAt,
    /// The journal.
    pub store: StoreSettings,
    /// How long runs are kept.
    pub retention: Retention,
    /// Runs, spool, embedded files.
    pub data: PathBuf,
    /// Where plugins lie.
    pub plugins: PathBuf,
    /// What each step plugin was granted, by name.
    pub grants: BTreeMap<String, Grants>,
    /// How much each plugin may use.
    pub profiles: Profiles,
    /// Public keys of minisign: with any, a plugin's file counts only where one of them has signed it.
    pub plugin_keys: Vec<String>,
    /// Plugins of which a file may take the place of a newer version, in a running daemon.
    pub downgrades: BTreeSet<String>,
    /// Workflows by name.
    pub workflows: PathBuf,
    /// Entries of devices.
    pub devices: PathBuf,
    /// The HTTP side of the daemon.
    pub serve: ServeSettings,
    /// A daemon that is asked instead of the data folder.
    pub server: Option<ServerSettings>,
}

/// `packhorse.yaml` as written.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    mqtt: Option<mqtt::Written>,
    fastdfs: Option<String>,
    redis: Option<serde_yaml::Value>,
    store: Option<serde_yaml::Value>,
    retention: Option<RetentionFile>,
    data: Option<PathBuf>,
    plugins: Option<serde_yaml::Value>,
    plugins_dir: Option<PathBuf>,
    #[serde(default)]
    plugin_keys: Vec<String>,
    workflows: Option<PathBuf>,
    devices: Option<PathBuf>,
    serve: Option<serve::ServeFile>,
    server: Option<serde_yaml::Value>,
}

impl Settings {
    /// Merges what was given with the settings file of `folder` or the nearest folder above it.
    pub fn load(given: Given, folder: &Path) -> Result<Self, SettingError> {
        Self::merge(given, folder, &|name| std::env::var(name).ok())
    }

    fn merge(given: Given, folder: &Path, lookup: Lookup<'_>) -> Result<Self, SettingError> {
        let (file, base) = find(folder)?;
        let shape = |message| SettingError::File { path: base.join(FILE), message };
        let path = |given: Option<PathBuf>, file: Option<PathBuf>, default: &str| {
            given.or_else(|| file.map(|path| base.join(path))).unwrap_or_else(|| PathBuf::from(default))
        };
        let redis_file = RedisFile::read(file.redis).map_err(shape)?;
        let redis = redis::redis(given.redis, redis_file, &base, lookup)?;
        let store = store::store(given.store, StoreFile::read(file.store).map_err(shape)?, lookup)?;
        if store.kind == StoreKind::Redis && redis == RedisAt::Embedded {
            return Err(SettingError::NoRedis);
        }
        let plugins = plugins::PluginsFile::read(file.plugins, file.plugins_dir).map_err(shape)?;
        let server = ServerFile::read(file.server).map_err(shape)?;
        let written = file.mqtt.unwrap_or_default();
        if written.holds_password() {
            warn_if_open(&base.join(FILE));
        }
        let written = written.based(&base);
        let mqtt_access = given.mqtt_access.over(written.access);
        mqtt_access.check()?;
        Ok(Self {
            mqtt: MqttAt::parse(given.mqtt.or(written.urls).as_deref().unwrap_or("embedded"))?,
            mqtt_access,
            fastdfs: FastdfsAt::parse(given.fastdfs.or(file.fastdfs).as_deref().unwrap_or("embedded"))?,
            redis,
            store,
            retention: store::retention(file.retention.unwrap_or_default(), lookup)?,
            data: path(given.data, file.data, DATA),
            plugins: path(given.plugins, plugins.folder, "plugins"),
            grants: plugins.grants,
            profiles: plugins.profiles,
            plugin_keys: file.plugin_keys,
            downgrades: plugins.downgrades,
            workflows: path(given.workflows, file.workflows, "workflows"),
            devices: path(given.devices, file.devices, "devices"),
            serve: serve::serve(given.listen, file.serve.unwrap_or_default(), lookup)?,
            server: server::server((given.server, given.token_file), server, &base, lookup),
        })
    }
}

/// Says so, when a settings file with a password can be read by others.
fn warn_if_open(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    if std::fs::metadata(path).is_ok_and(|about| about.permissions().mode() & 0o004 != 0) {
        tracing::warn!(path = %path.display(), "a password stands in a settings file that every user of this machine can read: chmod o-r it, or use password_file");
    }
}

fn find(folder: &Path) -> Result<(File, PathBuf), SettingError> {
    for base in folder.ancestors() {
        let path = base.join(FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => return parse(&text, &path).map(|file| (file, base.to_owned())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(SettingError::Unreadable { path, source }),
        }
    }
    Ok((File::default(), folder.to_owned()))
}

fn parse(text: &str, path: &Path) -> Result<File, SettingError> {
    if text.trim().is_empty() {
        return Ok(File::default());
    }
    serde_yaml::from_str(text).map_err(|error| SettingError::File { path: path.to_owned(), message: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_come_before_the_file_and_the_file_before_defaults() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), "mqtt: mqtt://broker:1884\ndata: state\n").unwrap();
        let below = folder.path().join("a/b");
        std::fs::create_dir_all(&below).unwrap();
        let settings = Settings::load(Given { data: Some("mine".into()), ..Given::default() }, &below).unwrap();
        assert_eq!(settings.mqtt, MqttAt::Url("mqtt://broker:1884".into()));
        assert_eq!(settings.data, PathBuf::from("mine"));
        let settings = Settings::load(Given::default(), &below).unwrap();
        assert_eq!(settings.data, folder.path().join("state"));
        assert_eq!(settings.workflows, PathBuf::from("workflows"));
        assert_eq!(settings.devices, PathBuf::from("devices"));
        std::fs::write(folder.path().join(FILE), "devices: fleet\n").unwrap();
        let settings = Settings::load(Given::default(), &below).unwrap();
        assert_eq!(settings.devices, folder.path().join("fleet"));
    }

    #[test]
    fn an_unknown_key_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), "mqqt: x\n").unwrap();
        let error = Settings::load(Given::default(), folder.path()).unwrap_err().to_string();
        assert!(error.contains("mqqt") && error.contains(FILE), "{error}");
    }

    #[test]
    fn a_redis_server_is_named_by_a_url_and_its_password_by_a_file() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("secret"), "canary\n").unwrap();
        let text = "redis: { url: 'rediss://h:6380/2', password_file: secret, ca: ca.pem, timeout: 3s }\nretention: { succeeded: 1d }\n";
        std::fs::write(folder.path().join(FILE), text).unwrap();
        let settings = Settings::merge(Given::default(), folder.path(), &|_| None).unwrap();
        let RedisAt::Server(server) = &settings.redis else { panic!("a server") };
        assert_eq!(server.password.as_deref(), Some("canary"));
        assert_eq!(server.ca, Some(folder.path().join("ca.pem")));
        assert_eq!((server.timeout.as_secs(), server.connect_timeout.as_secs()), (3, 5));
        assert_eq!(settings.retention.succeeded.as_secs(), 86_400);
        assert_eq!(settings.retention.failed.as_secs(), 90 * 86_400);
        assert!(!format!("{settings:?}").contains("canary"));
        let variable = |name: &str| (name == "PACKHORSE_REDIS__PASSWORD").then(|| "other".to_owned());
        let given = Given { redis: Some("redis://h".into()), ..Given::default() };
        let settings = Settings::merge(given, folder.path(), &variable).unwrap();
        let RedisAt::Server(server) = settings.redis else { panic!("a server") };
        assert_eq!((server.url.as_str(), server.password.as_deref()), ("redis://h", Some("other")));
    }

    #[test]
    fn a_journal_on_redis_needs_a_redis_server() {
        let given = Given { store: Some("redis".into()), ..Given::default() };
        let error = Settings::merge(given, Path::new("/nonexistent"), &|_| None).unwrap_err().to_string();
        assert!(error.contains("--redis"), "{error}");
        let given = Given { store: Some("redis".into()), redis: Some("redis://h".into()), ..Given::default() };
        let settings = Settings::merge(given, Path::new("/nonexistent"), &|_| None).unwrap();
        assert_eq!(settings.store.kind, StoreKind::Redis);
        let given = Given { redis: Some("http://u:secret@h".into()), ..Given::default() };
        let error = Settings::merge(given, Path::new("/nonexistent"), &|_| None).unwrap_err().to_string();
        assert!(error.contains("http://") && !error.contains("secret"), "{error}");
    }
}
