//! What a daemon's URL may be.

use super::UNUSABLE;
use axum::http::Uri;
use packhorse_core::failure::{Class, Failure};
use std::net::IpAddr;

/// A daemon's URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Url {
    /// Without a slash at its end: paths of the API follow.
    pub(super) base: String,
    /// Whether TLS is spoken.
    pub(super) secure: bool,
    /// Whether it is this machine.
    pub(super) loopback: bool,
}

impl Url {
    /// Reads `http://HOST[:PORT]` or `https://…`; a path is that of a proxy before the daemon.
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        let wrong = |why: &str| {
            let shown = crate::settings::without_password(text);
            Failure::new(UNUSABLE, Class::Permanent, format!("`{shown}` is no URL of a daemon: {why}"))
                .hint("it is `https://HOST[:PORT]`, or `http://HOST:8440`; `packhorse serve` prints it")
        };
        let uri: Uri = text.parse().map_err(|_| wrong("it cannot be read"))?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong("it begins with neither http:// nor https://")),
        };
        let authority = uri.authority().filter(|authority| !authority.host().is_empty());
        let authority = authority.ok_or_else(|| wrong("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("a user has no place in it; a token is given by --token-file"));
        }
        if uri.query().is_some() {
            return Err(wrong("a query has no place in it"));
        }
        let scheme = if secure { "https" } else { "http" };
        let base = format!("{scheme}://{authority}{}", uri.path().trim_end_matches('/'));
        Ok(Self { base, secure, loopback: is_loopback(authority.host()) })
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// A part of a path: what is no plain letter in it is written in hex.
pub(super) fn segment(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let one = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_read_as_documented() {
        let base = |text: &str| Url::parse(text).map(|url| (url.base, url.secure, url.loopback));
        assert_eq!(base("http://127.0.0.1:8440/"), Ok(("http://127.0.0.1:8440".to_owned(), false, true)));
        assert_eq!(base("HTTPS://Site.example/pack/"), Ok(("https://Site.example/pack".to_owned(), true, false)));
        assert!(base("http://[::1]:8440").is_ok_and(|(_, _, loopback)| loopback));
        assert!(base("http://localhost.example").is_ok_and(|(_, _, loopback)| !loopback));
        for bad in ["", "host:8440", "127.0.0.1", "ftp://h", "http://", "http://h/?a=b", "mqtts://h", "http://a b"] {
            assert_eq!(base(bad).map_err(|failure| failure.code), Err(UNUSABLE.to_owned()), "{bad}");
        }
        let failure = base("http://u:secret@h").unwrap_err();
        assert!(!failure.message.contains("secret") && failure.message.contains("--token-file"), "{failure}");
    }

    #[test]
    fn a_segment_stays_one() {
        assert_eq!(segment("gw-1_.~"), "gw-1_.~");
        assert_eq!(segment("a/b?c=%é"), "a%2Fb%3Fc%3D%25%C3%A9");
    }
}
