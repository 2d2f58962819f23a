//! Who may do what: bearer tokens with scopes and an end, hashed at rest. Without tokens everything is allowed, to this machine alone.

use super::problem::Problem;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use packhorse_core::run::WallTime;
use sha2::{Digest as _, Sha256};
use std::fmt;
use subtle::ConstantTimeEq as _;

/// What a route may need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the words say it")]
pub enum Scope {
    RunsRead,
    RunsStart,
    RunsControl,
    DefinitionsRead,
    DefinitionsReload,
    MetricsRead,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::RunsRead,
        Self::RunsStart,
        Self::RunsControl,
        Self::DefinitionsRead,
        Self::DefinitionsReload,
        Self::MetricsRead,
    ];

    /// As settings write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RunsRead => "runs:read",
            Self::RunsStart => "runs:start",
            Self::RunsControl => "runs:control",
            Self::DefinitionsRead => "definitions:read",
            Self::DefinitionsReload => "definitions:reload",
            Self::MetricsRead => "metrics:read",
        }
    }
}

impl std::str::FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|scope| scope.name() == text)
            .ok_or_else(|| format!("`{text}` is no scope: {}", known()))
    }
}

/// One token.
#[derive(Clone, PartialEq, Eq)]
pub struct Grant {
    /// Who has it, for logs.
    pub name: String,
    /// Its SHA-256.
    pub sha256: [u8; 32],
    /// What it allows.
    pub scopes: Vec<Scope>,
    /// When it ends; never where absent.
    pub expires: Option<WallTime>,
}

impl fmt::Debug for Grant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Grant").field("name", &self.name).field("scopes", &self.scopes).finish_non_exhaustive()
    }
}

/// SHA-256 of a token: what is kept of it. Tokens are random, so that nothing slower is needed.
pub fn hashed(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// All tokens.
#[derive(Debug, Clone)]
pub struct Access {
    /// Without any, only this machine is served, and may do everything.
    pub grants: Vec<Grant>,
    /// Tells the time.
    pub clock: fn() -> WallTime,
}

impl Access {
    /// Whether a request may do what needs this scope; who asks.
    ///
    /// # Errors
    ///
    /// 401 without a good token, 403 with one that does not allow it.
    pub(super) fn check(&self, headers: &HeaderMap, scope: Scope) -> Result<(), Problem> {
        if self.grants.is_empty() {
            return local(headers);
        }
        let grant = self.grant(headers)?;
        if grant.scopes.contains(&scope) {
            return Ok(());
        }
        let words = format!("the token of {} does not allow {}", grant.name, scope.name());
        Err(Problem::new(StatusCode::FORBIDDEN, "PH8405", words))
    }

    /// Whether somebody may ask anything at all.
    ///
    /// # Errors
    ///
    /// 401 without a good token, 403 where a page of another origin asks a daemon without tokens.
    pub(super) fn admit(&self, headers: &HeaderMap) -> Result<(), Problem> {
        if self.grants.is_empty() { local(headers) } else { self.grant(headers).map(drop) }
    }

    /// SHA-256 of the token that a request bears, where it is good.
    pub(super) fn known(&self, headers: &HeaderMap) -> Option<[u8; 32]> {
        self.grant(headers).ok().map(|grant| grant.sha256)
    }

    /// Who asks, for the log: the token's name, or this machine.
    pub(super) fn who(&self, headers: &HeaderMap) -> String {
        self.grant(headers).map_or_else(|_| "http:local".to_owned(), |grant| format!("http:{}", grant.name))
    }

    fn grant(&self, headers: &HeaderMap) -> Result<&Grant, Problem> {
        let refused = |words: &str| Problem::new(StatusCode::UNAUTHORIZED, "PH8404", words);
        let value = headers.get(header::AUTHORIZATION).ok_or_else(|| refused("a bearer token is needed"))?;
        let token = value.to_str().ok().and_then(bearer);
        let hash = hashed(token.ok_or_else(|| refused("the header Authorization is no bearer token"))?);
        // Every one is compared, and each in the same time.
        let mut found = None;
        for grant in &self.grants {
            if bool::from(grant.sha256.ct_eq(&hash)) {
                found = Some(grant);
            }
        }
        let grant = found.ok_or_else(|| refused("the token is not known"))?;
        match grant.expires {
            Some(end) if end <= (self.clock)() => Err(refused("the token has expired")),
            _ => Ok(grant),
        }
    }
}

/// The token of `Bearer TOKEN`; the scheme in any case (RFC 9110, 11.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then(|| token.trim())
}

/// Without tokens a page in a browser on this machine must not get in: it would come with a foreign host or origin.
fn local(headers: &HeaderMap) -> Result<(), Problem> {
    let named = |name: header::HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let host = named(header::HOST).is_none_or(|host| host.parse().is_ok_and(|host| ours(&host)));
    let origin = named(header::ORIGIN).is_none_or(|origin| {
        origin.parse::<Uri>().is_ok_and(|origin| origin.scheme().is_some() && origin.authority().is_some_and(ours))
    });
    if host && origin {
        return Ok(());
    }
    let words = "without tokens only requests to this machine by its own name are answered";
    Err(Problem::new(StatusCode::FORBIDDEN, "PH8405", words).hint("make a token: `packhorse token NAME`"))
}

/// Whether a host, with or without a port, is one of this machine's own names.
fn ours(host: &Authority) -> bool {
    let (whole, name) = (host.as_str(), host.host());
    (whole == name || host.port_u16().is_some_and(|port| whole == format!("{name}:{port}")))
        && ["127.0.0.1", "localhost", "[::1]"].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    fn access(expires: Option<WallTime>) -> Access {
        let grant = Grant { name: "ci".into(), sha256: hashed("secret"), scopes: vec![Scope::RunsRead], expires };
        Access { grants: vec![grant], clock: || WallTime(1_000) }
    }

    #[test]
    fn a_token_allows_its_scopes_until_it_ends() {
        let status = |access: &Access, text: Option<&str>, scope| {
            let headers = text.map(|text| headers(&[(header::AUTHORIZATION, text)])).unwrap_or_default();
            access.check(&headers, scope).err().map(|problem| problem.status)
        };
        let lasting = access(None);
        assert_eq!(status(&lasting, Some("Bearer secret"), Scope::RunsRead), None);
        assert_eq!(status(&lasting, Some("Bearer secret"), Scope::RunsStart), Some(403));
        assert_eq!(status(&lasting, Some("bearer secret"), Scope::RunsRead), None);
        for bad in
            [None, Some("secret"), Some("Basic secret"), Some("Bearer "), Some("Bearer secre"), Some("Bearersecret")]
        {
            assert_eq!(status(&lasting, bad, Scope::RunsRead), Some(401), "{bad:?}");
        }
        assert_eq!(status(&access(Some(WallTime(1_000))), Some("Bearer secret"), Scope::RunsRead), Some(401));
        assert_eq!(status(&access(Some(WallTime(1_001))), Some("Bearer secret"), Scope::RunsRead), None);
    }

    #[test]
    fn without_tokens_a_foreign_page_gets_nothing() {
        let open = Access { grants: Vec::new(), clock: || WallTime(0) };
        let may = |pairs: &[(header::HeaderName, &str)]| open.check(&headers(pairs), Scope::RunsStart).is_ok();
        assert!(may(&[]) && may(&[(header::HOST, "127.0.0.1:8440")]) && may(&[(header::HOST, "localhost")]));
        assert!(may(&[(header::HOST, "[::1]:8440"), (header::ORIGIN, "http://localhost:3000")]));
        for host in [
            "evil.example",
            "localhost.evil.example:8440",
            "evil@localhost",
            "[",
            "",
            "[::1].evil.example",
            "127.0.0.1:x",
        ] {
            assert!(!may(&[(header::HOST, host)]), "{host}");
        }
        for origin in ["localhost", "http://localhost.evil.example", "http://localhost@evil.example", "http://"] {
            assert!(!may(&[(header::ORIGIN, origin)]), "{origin}");
        }
        assert!(!may(&[(header::HOST, "127.0.0.1:8440"), (header::ORIGIN, "https://evil.example")]));
        assert!(!may(&[(header::HOST, "127.0.0.1:8440"), (header::ORIGIN, "null")]));
    }

    #[test]
    fn scopes_have_one_spelling() {
        for scope in Scope::ALL {
            assert_eq!(scope.name().parse(), Ok(scope));
        }
        assert!("runs".parse::<Scope>().unwrap_err().contains("runs:read"));
    }
}
