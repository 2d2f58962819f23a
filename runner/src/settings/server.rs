//! A daemon on another machine: `server:` of `packhorse.yaml`.

use super::address::SettingError;
use super::value::{Lookup, secret, word};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// In place of a URL: the data folder of this machine.
pub const LOCAL: &str = "local";

/// Whom commands ask instead of a data folder. Read when it is asked: what has no use for it is not ended by a mistake in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSettings {
    /// Its URL as written.
    pub url: String,
    /// `--token-file`.
    given: Option<PathBuf>,
    /// `token_file` of the settings file.
    named: Option<PathBuf>,
}

/// `server:` of `packhorse.yaml`, where it is a map.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServerFile {
    url: Option<String>,
    token_file: Option<PathBuf>,
}

impl ServerFile {
    /// A URL alone, or a map.
    pub(super) fn read(value: Option<serde_yaml::Value>) -> Result<Self, String> {
        match value {
            None | Some(serde_yaml::Value::Null) => Ok(Self::default()),
            Some(serde_yaml::Value::String(url)) => Ok(Self { url: Some(url), ..Self::default() }),
            Some(map) => serde_yaml::from_value(map).map_err(|error| format!("server: {error}")),
        }
    }
}

impl ServerSettings {
    /// The token, where there is one: a file that was given, variables, the file that the settings file names.
    pub fn token(&self) -> Result<Option<String>, SettingError> {
        self.token_by(&|name| std::env::var(name).ok())
    }

    fn token_by(&self, lookup: Lookup<'_>) -> Result<Option<String>, SettingError> {
        let base = Path::new("");
        match &self.given {
            Some(path) => secret("TOKEN", None, Some(path.clone()), base, &|_| None),
            None => secret("TOKEN", None, self.named.clone(), base, lookup),
        }
    }
}

/// Joins what was given, the variable and the file.
pub(super) fn server(
    (url, token_file): (Option<String>, Option<PathBuf>),
    file: ServerFile,
    base: &Path,
    lookup: Lookup<'_>,
) -> Option<ServerSettings> {
    let url = url.or_else(|| word("SERVER", lookup)).or(file.url).filter(|url| url != LOCAL)?;
    Some(ServerSettings { url, given: token_file, named: file.token_file.map(|path| base.join(path)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_given_over_the_variable_over_the_file_and_local_is_none() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["given", "variable", "named"] {
            std::fs::write(folder.path().join(name), format!("{name}\n")).unwrap();
        }
        let path = |name: &str| folder.path().join(name);
        let read = |text: &str| ServerFile::read(serde_yaml::from_str(text).unwrap()).unwrap();
        let file = || read("{ url: 'https://file', token_file: named }");
        let variables = |name: &str| match name {
            "PACKHORSE_SERVER" => Some("https://variable".to_owned()),
            "PACKHORSE_TOKEN_FILE" => Some(path("variable").display().to_string()),
            _ => None,
        };
        let given = (Some("https://given".to_owned()), Some(path("given")));
        let all = server(given, file(), folder.path(), &variables).unwrap();
        assert_eq!((all.url.as_str(), all.token_by(&variables).unwrap().as_deref()), ("https://given", Some("given")));
        let two = server((None, None), file(), folder.path(), &variables).unwrap();
        assert_eq!(
            (two.url.as_str(), two.token_by(&variables).unwrap().as_deref()),
            ("https://variable", Some("variable"))
        );
        let one = server((None, None), file(), folder.path(), &|_| None).unwrap();
        assert_eq!((one.url.as_str(), one.token_by(&|_| None).unwrap().as_deref()), ("https://file", Some("named")));
        assert_eq!(server((Some(LOCAL.to_owned()), None), file(), folder.path(), &variables), None);
        assert_eq!(server((None, None), read("null"), folder.path(), &|_| None), None);
        assert_eq!(read("https://x").url.as_deref(), Some("https://x"));
        assert!(ServerFile::read(serde_yaml::from_str("{ token: x }").unwrap()).is_err(), "no token stands in it");
        let missing = server((Some("x".to_owned()), Some(path("nothing"))), file(), folder.path(), &variables).unwrap();
        assert!(missing.token_by(&variables).is_err());
    }
}
