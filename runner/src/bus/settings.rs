//! How to reach a broker: parsed and checked once, from a URL and a few settings.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use rand::Rng;

use super::BusError;

/// Where and how to connect. Build it with [`Settings::parse`], then change fields.
#[derive(Clone)]
pub struct Settings {
    /// Host name or address, IPv6 in brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// `mqtts`: TLS with the system's roots or [`Settings::ca_file`]. Needs a host name or an IPv4 address.
    pub tls: bool,
    /// Trust only the certificates of this PEM file.
    pub ca_file: Option<PathBuf>,
    /// User name and password.
    pub credentials: Option<(String, String)>,
    /// Must be unique at the broker; `packhorse-` and twelve random hex digits unless set.
    pub client_id: String,
    /// Whole seconds, at least 5. A broker may impose its own.
    pub keep_alive: Duration,
    /// Limit of one attempt, from the name lookup to the broker's answer. Whole seconds, at least 1.
    pub attempt_timeout: Duration,
    /// Limit of [`connect`](super::RumqttcBus::connect) in all.
    pub connect_timeout: Duration,
    /// First and longest ceiling of the wait between attempts.
    pub backoff: (Duration, Duration),
}

impl Settings {
    /// Reads `mqtt://[USER[:PASSWORD]@]HOST[:PORT]` or `mqtts://…` (percent-encoding in user and password; ports 1883
    /// and 8883). The rest gets its default: keep-alive 30 s, 5 s an attempt, 10 s in all, back-off from 1 to 120 s.
    pub fn parse(url: &str) -> Result<Self, BusError> {
        let fail = |reason: &str| BusError::Settings {
            what: format!("MQTT address {}", without_password(url)),
            reason: reason.to_owned(),
        };
        let (tls, rest) = match url.split_once("://") {
            Some(("mqtt", rest)) => (false, rest),
            Some(("mqtts", rest)) => (true, rest),
            _ => return Err(fail("it must begin with mqtt:// or mqtts://")),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (user, place) = rest.rsplit_once('@').map_or((None, rest), |(user, place)| (Some(user), place));
        if place.contains(['/', '?', '#']) {
            return Err(fail("it must end after the port"));
        }
        let (host, port) = split_port(place, if tls { 8883 } else { 1883 }).map_err(&fail)?;
        let credentials = user.map(read_credentials).transpose().map_err(&fail)?;
        Ok(Self { tls, credentials, ..Self::new(host, port) })
    }

    /// Plain MQTT at an address, with every default.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
            tls: false,
            ca_file: None,
            credentials: None,
            client_id: format!("packhorse-{:012x}", rand::rng().random::<u64>() >> 16),
            keep_alive: Duration::from_secs(30),
            attempt_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(10),
            backoff: (Duration::from_secs(1), Duration::from_secs(120)),
        }
    }

    /// `host:port`, for messages.
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// What rumqttc would panic on, and what a broker would refuse.
    pub(super) fn check(&self) -> Result<(), BusError> {
        let fail = |what: &str, reason: &str| {
            Err(BusError::Settings { what: format!("MQTT {what}"), reason: reason.to_owned() })
        };
        if self.keep_alive.as_secs() < 5 || self.keep_alive.as_secs() > u64::from(u16::MAX) {
            return fail("keep-alive", "it must be from 5 to 65535 seconds");
        }
        if self.tls && self.host.starts_with('[') {
            return fail("address", "TLS to an IPv6 address is not supported: use a host name");
        }
        if self.attempt_timeout.as_secs() == 0 {
            return fail("attempt timeout", "it must be at least a second");
        }
        if self.backoff.0.is_zero() || self.backoff.0 > self.backoff.1 {
            return fail("back-off", "the first wait must be above zero and not above the longest");
        }
        let longest = self.credentials.iter().flat_map(|(user, password)| [user, password]).chain([&self.client_id]);
        if longest.map(String::len).max() > Some(u16::MAX.into()) {
            return fail("credentials", "longer than 65535 bytes");
        }
        Ok(())
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Settings")
            .field("address", &self.address())
            .field("tls", &self.tls)
            .field("ca_file", &self.ca_file)
            .field("user", &self.credentials.as_ref().map(|(user, _)| user))
            .field("client_id", &self.client_id)
            .field("keep_alive", &self.keep_alive)
            .finish_non_exhaustive()
    }
}

fn without_password(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, place))) => format!("{scheme}://…@{place}"),
        _ => url.to_owned(),
    }
}

fn split_port(place: &str, default: u16) -> Result<(&str, u16), &'static str> {
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().map_err(|_| "the port is no number")?),
        _ => (place, default),
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match bare {
        Some(address) if address.parse::<std::net::Ipv6Addr>().is_err() => Err("the address in brackets is not IPv6"),
        None if host.is_empty() => Err("it names no host"),
        None if host.contains(['[', ']', ':', ' ']) => Err("the host is malformed (an IPv6 address needs brackets)"),
        _ => Ok((host, port)),
    }
}

fn read_credentials(user: &str) -> Result<(String, String), &'static str> {
    let (user, password) = user.split_once(':').unwrap_or((user, ""));
    Ok((percent_decode(user)?, percent_decode(password)?))
}

fn percent_decode(text: &str) -> Result<String, &'static str> {
    const BAD: &str = "a % in user or password must be followed by two hex digits and give UTF-8";
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok()).ok_or(BAD)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(BAD);
        }
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| BAD)?);
        rest = &tail[2..];
    }
    String::from_utf8(bytes).map_err(|_| BAD)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Parts<'a> = (&'a str, u16, bool, Option<(&'a str, &'a str)>);

    fn check(url: &str, expected: Result<Parts<'_>, &str>) {
        match (Settings::parse(url), expected) {
            (Ok(settings), Ok((host, port, tls, credentials))) => {
                assert_eq!((settings.host.as_str(), settings.port, settings.tls), (host, port, tls), "{url}");
                let given = settings.credentials.as_ref().map(|(user, password)| (user.as_str(), password.as_str()));
                assert_eq!(given, credentials, "{url}");
            }
            (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{url}: {error}"),
            (result, _) => panic!("{url}: {result:?}"),
        }
    }

    #[test]
    fn urls_are_read() {
        check("mqtt://broker", Ok(("broker", 1883, false, None)));
        check("mqtts://broker/", Ok(("broker", 8883, true, None)));
        check("mqtt://127.0.0.1:2883", Ok(("127.0.0.1", 2883, false, None)));
        check("mqtt://[::1]:99", Ok(("[::1]", 99, false, None)));
        check("mqtt://[::1]", Ok(("[::1]", 1883, false, None)));
        check("mqtt://me:p%40ss:w@h:1", Ok(("h", 1, false, Some(("me", "p@ss:w")))));
        check("mqtt://me@h", Ok(("h", 1883, false, Some(("me", "")))));
        check("http://h", Err("mqtt://"));
        check("broker:1883", Err("mqtt://"));
        check("mqtt://", Err("no host"));
        check("mqtt://h:port", Err("no number"));
        check("mqtt://h:70000", Err("no number"));
        check("mqtt://h/path", Err("end after the port"));
        check("mqtt://::1", Err("malformed"));
        check("mqtt://[nonsense]", Err("not IPv6"));
        check("mqtt://a%4@h", Err("hex digits"));
    }

    #[test]
    fn passwords_are_never_shown() {
        let settings = Settings::parse("mqtt://me:hunter2@h").unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"));
        let error = Settings::parse("mqtt://me:hunter2@h:x").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }

    proptest! {
        #[test]
        fn no_text_panics(url in "(mqtts?://)?.{0,40}") {
            let _ = Settings::parse(&url);
        }
    }
}
