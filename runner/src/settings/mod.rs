//! Where things are: flags over `PACKHORSE_*` variables over `packhorse.yaml` over defaults, each value parsed once.

mod address;

pub use address::{FastdfsAt, MqttAt, STORAGE_PORT, SettingError, TRACKER_PORT, listen, without_password};

use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Default of `--data`.
pub const DATA: &str = ".packhorse";
/// Name of the settings file, looked for in the working folder and upward.
pub const FILE: &str = "packhorse.yaml";

/// What was given by flags or variables (the command line merges these two).
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// `--mqtt`.
    pub mqtt: Option<String>,
    /// `--fastdfs`.
    pub fastdfs: Option<String>,
    /// `--redis`.
    pub redis: Option<String>,
    /// `--data`.
    pub data: Option<PathBuf>,
    /// `--plugins`.
    pub plugins: Option<PathBuf>,
    /// `--workflows`.
    pub workflows: Option<PathBuf>,
}

/// Settings as meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The broker.
    pub mqtt: MqttAt,
    /// The file store.
    pub fastdfs: FastdfsAt,
    /// Runs, spool, embedded files.
    pub data: PathBuf,
    /// Codecs.
    pub plugins: PathBuf,
    /// Workflows by name.
    pub workflows: PathBuf,
}

/// `packhorse.yaml` as written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    mqtt: Option<String>,
    fastdfs: Option<String>,
    redis: Option<String>,
    data: Option<PathBuf>,
    plugins: Option<PathBuf>,
    workflows: Option<PathBuf>,
}

impl Settings {
    /// Merges what was given with the settings file of `folder` or the nearest folder above it.
    pub fn load(given: Given, folder: &Path) -> Result<Self, SettingError> {
        let (file, base) = find(folder)?;
        let path = |given: Option<PathBuf>, file: Option<PathBuf>, default: &str| {
            given.or_else(|| file.map(|path| base.join(path))).unwrap_or_else(|| PathBuf::from(default))
        };
        match given.redis.or(file.redis).as_deref() {
            None | Some("embedded") => {}
            Some(url) => return Err(SettingError::RedisUrl(without_password(url))),
        }
        Ok(Self {
            mqtt: MqttAt::parse(given.mqtt.or(file.mqtt).as_deref().unwrap_or("embedded"))?,
            fastdfs: FastdfsAt::parse(given.fastdfs.or(file.fastdfs).as_deref().unwrap_or("embedded"))?,
            data: path(given.data, file.data, DATA),
            plugins: path(given.plugins, file.plugins, "plugins"),
            workflows: path(given.workflows, file.workflows, "workflows"),
        })
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
    }

    #[test]
    fn an_unknown_key_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), "mqqt: x\n").unwrap();
        let error = Settings::load(Given::default(), folder.path()).unwrap_err().to_string();
        assert!(error.contains("mqqt") && error.contains(FILE), "{error}");
    }

    #[test]
    fn a_redis_server_is_refused_by_name_and_without_its_password() {
        let given = Given { redis: Some("redis://u:secret@h:6379".into()), ..Given::default() };
        let error = Settings::load(given, Path::new("/nonexistent")).unwrap_err().to_string();
        assert!(error.contains("redis://") && !error.contains("secret"), "{error}");
    }
}
