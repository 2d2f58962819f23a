//! The HTTP side of the daemon: `serve:` of `packhorse.yaml`.

use super::address::{SettingError, listen};
use super::value::{Lookup, word};
use packhorse_core::hex;
use packhorse_core::rate::Pace;
use packhorse_core::run::WallTime;
use serde::Deserialize;
use std::net::SocketAddr;

/// Where the API listens where nothing is said.
pub const LISTEN: &str = "127.0.0.1:8440";
/// Requests a second where nothing is said.
const PER_SECOND: u32 = 100;
/// Most that can be said.
const MOST_REQUESTS: u32 = 1_000_000;
const RATE_LIMIT: &str =
    "expected `off`, requests a second such as 100, or { per_second: 100, burst: 1000 }, each from 1 to 1000000";

/// Where the API listens, and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServeSettings {
    /// Its address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Without any, only loopback may be listened on.
    pub tokens: Vec<TokenSettings>,
    /// Requests of each token, or of each address where there are no tokens; without it, as many as come.
    pub rate_limit: Option<Pace>,
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
    rate_limit: Option<serde_yaml::Value>,
}

/// `rate_limit:` as a map.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RateFile {
    per_second: u32,
    burst: Option<u32>,
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
    let rate = word("SERVE__RATE_LIMIT", lookup).map(serde_yaml::Value::String).or(file.rate_limit);
    let rate_limit = rate.map_or_else(|| Ok(Some(pace(PER_SECOND, None))), rate_limit)?;
    Ok(ServeSettings { listen: listen(&text)?, tokens, rate_limit, paused: false })
}

/// `off`, requests a second, or those with a burst.
fn rate_limit(written: serde_yaml::Value) -> Result<Option<Pace>, SettingError> {
    let wrong = || SettingError::Variable { name: "serve.rate_limit".to_owned(), message: RATE_LIMIT.to_owned() };
    let rate = match written {
        serde_yaml::Value::Bool(false) => return Ok(None),
        serde_yaml::Value::String(text) if text == "off" => return Ok(None),
        serde_yaml::Value::String(text) => RateFile { per_second: text.parse().map_err(|_| wrong())?, burst: None },
        serde_yaml::Value::Number(number) => {
            let per_second = number.as_u64().and_then(|number| u32::try_from(number).ok());
            RateFile { per_second: per_second.ok_or_else(wrong)?, burst: None }
        }
        map => serde_yaml::from_value(map).map_err(|_| wrong())?,
    };
    let good = 1..=MOST_REQUESTS;
    if good.contains(&rate.per_second) && rate.burst.is_none_or(|burst| good.contains(&burst)) {
        Ok(Some(pace(rate.per_second, rate.burst)))
    } else {
        Err(wrong())
    }
}

/// Where no burst is said, ten seconds' worth.
fn pace(per_second: u32, burst: Option<u32>) -> Pace {
    Pace { a_minute: per_second * 60, burst: burst.unwrap_or(per_second * 10) }
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
    fn a_token_is_kept_as_its_hash_and_a_rate_is_said_in_three_ways() {
        let hash = "ab".repeat(32);
        let text = format!(
            "listen: 0.0.0.0:80\ntokens: [{{ name: ci, sha256: {hash}, scopes: ['runs:read'], expires: 2027-01-31T00:00:00Z }}]"
        );
        let settings = read(&text).unwrap();
        assert_eq!((settings.listen.port(), settings.tokens[0].sha256), (80, [0xab; 32]));
        assert_eq!(settings.tokens[0].expires, Some(WallTime(1_801_353_600_000)));
        assert_eq!(read("{}").unwrap().listen.to_string(), LISTEN);
        let rate = |text: &str| read(&format!("rate_limit: {text}")).map(|settings| settings.rate_limit);
        assert_eq!(read("{}").unwrap().rate_limit, Some(Pace { a_minute: 6_000, burst: 1_000 }));
        assert_eq!((rate("off").unwrap(), rate("5").unwrap()), (None, Some(Pace { a_minute: 300, burst: 50 })));
        assert_eq!(rate("{ per_second: 1, burst: 2 }").unwrap(), Some(Pace { a_minute: 60, burst: 2 }));
        for bad in ["on", "0", "-1", "1.5", "{ per_second: 1, burst: 0 }", "{ burst: 2 }", "1000001", "[]"] {
            let error = rate(bad).unwrap_err().to_string();
            assert!(error.contains("serve.rate_limit") && error.contains("off"), "{bad}: {error}");
        }
        let off = |name: &str| (name == "PACKHORSE_SERVE__RATE_LIMIT").then(|| "off".to_owned());
        assert_eq!(serve(None, ServeFile::default(), &off).unwrap().rate_limit, None);
        let short = read("tokens: [{ name: ci, sha256: ab, scopes: [] }]").unwrap_err().to_string();
        assert!(short.contains("serve.tokens, ci") && short.contains("64 hex digits"), "{short}");
        let late = read(&text.replace("2027-01-31T00:00:00Z", "tomorrow")).unwrap_err().to_string();
        assert!(late.contains("2027-01-31"), "{late}");
    }
}
