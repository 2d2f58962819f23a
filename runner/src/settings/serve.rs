//! The HTTP side of the daemon: `serve:` of `packhorse.yaml`.

use super::address::{SettingError, listen};
use super::value::{Lookup, word};
use packhorse_core::hex;
use packhorse_core::run::WallTime;
use serde::Deserialize;
use std::net::SocketAddr;

/// Where the API listens where nothing is said.
pub const LISTEN: &str = "127.0.0.1:8440";

/// Where the API listens, and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServeSettings {
    /// Its address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Without any, only loopback may be listened on.
    pub tokens: Vec<TokenSettings>,
    /// Everything is held before anything is taken up.
    pub paused: bool,
}

/// A token, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSettings {
    /// Who has it.
    pub name: String,
    /// SHA-256 of the token.
    pub sha256: [u8; 32],
    /// What it allows, as written.
    pub scopes: Vec<String>,
    /// When it ends.
    pub expires: Option<WallTime>,
}

/// `serve:` as written.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServeFile {
    listen: Option<String>,
    #[serde(default)]
    tokens: Vec<TokenFile>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenFile {
    name: String,
    sha256: String,
    scopes: Vec<String>,
    expires: Option<String>,
}

/// Joins what was given, the variable and the file.
pub(super) fn serve(given: Option<String>, file: ServeFile, lookup: Lookup<'_>) -> Result<ServeSettings, SettingError> {
    let text = given.or_else(|| word("LISTEN", lookup)).or(file.listen).unwrap_or_else(|| LISTEN.to_owned());
    let tokens = file.tokens.into_iter().map(token).collect::<Result<Vec<_>, _>>()?;
    Ok(ServeSettings { listen: listen(&text)?, tokens, paused: false })
}

fn token(written: TokenFile) -> Result<TokenSettings, SettingError> {
    let TokenFile { name, sha256, scopes, expires } = written;
    let wrong =
        |message: &str| SettingError::Variable { name: format!("serve.tokens, {name}"), message: message.to_owned() };
    let hash = hex::decode(&sha256).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    let sha256 = hash.ok_or_else(|| wrong("sha256 is 64 hex digits: `packhorse token NAME` prints them"))?;
    let expires =
        expires.map(|text| time(&text).ok_or_else(|| wrong("expires is a time such as 2027-01-31T00:00:00Z")));
    Ok(TokenSettings { sha256, scopes, expires: expires.transpose()?, name })
}

fn time(text: &str) -> Option<WallTime> {
    let time = chrono::DateTime::parse_from_rfc3339(text).ok()?;
    u64::try_from(time.timestamp_millis()).ok().map(WallTime)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ServeSettings, SettingError> {
        serve(None, serde_yaml::from_str(text).unwrap(), &|_| None)
    }

    #[test]
    fn a_token_is_kept_as_its_hash() {
        let hash = "ab".repeat(32);
        let text = format!(
            "listen: 0.0.0.0:80\ntokens: [{{ name: ci, sha256: {hash}, scopes: ['runs:read'], expires: 2027-01-31T00:00:00Z }}]"
        );
        let settings = read(&text).unwrap();
        assert_eq!((settings.listen.port(), settings.tokens[0].sha256), (80, [0xab; 32]));
        assert_eq!(settings.tokens[0].expires, Some(WallTime(1_801_353_600_000)));
        assert_eq!(read("{}").unwrap().listen.to_string(), LISTEN);
        let short = read("tokens: [{ name: ci, sha256: ab, scopes: [] }]").unwrap_err().to_string();
        assert!(short.contains("serve.tokens, ci") && short.contains("64 hex digits"), "{short}");
        let late = read(&text.replace("2027-01-31T00:00:00Z", "tomorrow")).unwrap_err().to_string();
        assert!(late.contains("2027-01-31"), "{late}");
    }
}
