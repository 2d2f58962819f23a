//! One broker's place, read from a URL.

use std::fmt;

/// Where a broker listens.
#[derive(Clone, PartialEq, Eq)]
pub struct Server {
    /// Host name or address, IPv6 in brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// `mqtts`.
    pub tls: bool,
    /// User name and password of the URL; they come before those of the settings.
    pub credentials: Option<(String, String)>,
}

impl Server {
    /// Reads `mqtt://[USER[:PASSWORD]@]HOST[:PORT]` or `mqtts://…` (percent-encoding in user and password; ports 1883 and
    /// 8883). The error says what is wrong, without the URL.
    pub fn parse(url: &str) -> Result<Self, &'static str> {
        let (tls, rest) = match url.split_once("://") {
            Some(("mqtt", rest)) => (false, rest),
            Some(("mqtts", rest)) => (true, rest),
            _ => return Err("it must begin with mqtt:// or mqtts://"),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (user, place) = rest.rsplit_once('@').map_or((None, rest), |(user, place)| (Some(user), place));
        if place.contains(['/', '?', '#']) {
            return Err("it must end after the port");
        }
        let (host, port) = split_port(place, if tls { 8883 } else { 1883 })?;
        let credentials = user.map(read_credentials).transpose()?;
        Ok(Self { host: host.to_owned(), port, tls, credentials })
    }

    /// `host:port`, for messages.
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// The host without brackets: as resolvers and certificates name it.
    pub(super) fn bare_host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// Whether another text, as brokers write it in a server reference (`host` or `host:port`), means this one.
    pub(super) fn is_named(&self, reference: &str) -> bool {
        let reference = reference.split_once("://").map_or(reference, |(_, place)| place).trim_end_matches('/');
        reference == self.address() || reference == self.host || reference == self.bare_host()
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.credentials.as_ref().map(|(user, _)| user);
        out.debug_struct("Server")
            .field("address", &self.address())
            .field("tls", &self.tls)
            .field("user", &user)
            .finish()
    }
}

/// A URL, or several, as they may be shown.
pub(super) fn without_passwords(urls: &str) -> String {
    let one = |url: &str| match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, place))) => format!("{scheme}://…@{place}"),
        _ => url.to_owned(),
    };
    urls.split(',').map(one).collect::<Vec<_>>().join(",")
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
    use super::*;

    #[test]
    fn a_server_reference_is_recognised() {
        let server = Server::parse("mqtt://broker:1884").unwrap();
        for (reference, same) in [("broker:1884", true), ("broker", true), ("mqtt://broker:1884/", true), ("b", false)]
        {
            assert_eq!(server.is_named(reference), same, "{reference}");
        }
        assert!(Server::parse("mqtt://[::1]:1").unwrap().is_named("::1"));
    }
}
