//! How to reach a broker: parsed and checked once, from URLs and a few settings.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use rand::Rng;

use super::server::without_passwords;
use super::{BusError, Server, secret};

/// Most brokers that one bus may be given.
const SERVERS: usize = 16;

/// Where and how to connect. Build it with [`Settings::parse`], then change fields.
#[derive(Clone)]
pub struct Settings {
    /// The brokers, at least one; each attempt goes to the next one in turn.
    pub servers: Vec<Server>,
    /// Trust only the certificates of this PEM file; else the system's roots (or those of `SSL_CERT_FILE`).
    pub ca_file: Option<PathBuf>,
    /// Our certificate and its key, both PEM, for brokers that want one.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The name that the broker's certificate must be for, where it is not the host's.
    pub tls_server_name: Option<String>,
    /// User name, where the URL holds none.
    pub user: Option<String>,
    /// Password of [`Settings::user`].
    pub password: Password,
    /// Must be unique at the broker; `packhorse-` and twelve random hex digits unless set.
    pub client_id: String,
    /// The version of MQTT to speak.
    pub version: Version,
    /// What the broker keeps for us while we are away.
    pub session: Session,
    /// When a message of QoS 1 is acknowledged to the broker.
    pub receipts: Acknowledge,
    /// Whole seconds, at least 5. A broker of MQTT 5 may impose its own.
    pub keep_alive: Duration,
    /// Limit of one attempt, from the name lookup to the broker's answer. Whole seconds, at least 1.
    pub attempt_timeout: Duration,
    /// Limit of [`connect`](super::RumqttcBus::connect) in all.
    pub connect_timeout: Duration,
    /// First and longest ceiling of the wait between rounds of attempts.
    pub backoff: (Duration, Duration),
}

/// Where the password is.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Password {
    /// There is none.
    #[default]
    None,
    /// Here.
    Text(String),
    /// In a file, read anew at each attempt, a trailing newline left out.
    File(PathBuf),
}

/// The version of MQTT to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Version {
    /// 5, and where the broker refuses it, 3.1.1.
    #[default]
    Auto,
    /// 5.
    Five,
    /// 3.1.1.
    Three,
}

/// What the broker keeps for us while we are away. Transfers need nothing of it: what was not acknowledged by the device
/// itself is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Session {
    /// Nothing: every connection begins anew.
    #[default]
    Clean,
    /// Subscriptions and messages of QoS 1 for a day, under a client id that must be set.
    Keep,
}

/// When a message of QoS 1 is acknowledged to the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Acknowledge {
    /// As soon as it was read off the wire. Transfers need no more.
    #[default]
    AtOnce,
    /// When its reader has dropped its [`Receipt`](super::Receipt). With [`Session::Keep`] the broker then has whatever was not
    /// dealt with when a process died. Messages that come before anybody subscribed to them are kept for some seconds.
    WhenDropped,
}

impl Settings {
    /// Reads a URL, or several with commas between them, as [`Server::parse`]. The rest gets its default: keep-alive 30 s,
    /// 5 s an attempt, 10 s in all, back-off from 1 to 30 s.
    pub fn parse(urls: &str) -> Result<Self, BusError> {
        let fail = |reason: &str| BusError::Settings {
            what: format!("MQTT address {}", without_passwords(urls)),
            reason: reason.to_owned(),
        };
        let servers: Result<Vec<_>, _> = urls.split(',').map(|url| Server::parse(url.trim())).collect();
        Ok(Self { servers: servers.map_err(fail)?, ..Self::new("", 0) })
    }

    /// Plain MQTT at an address, with every default.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            servers: vec![Server { host: host.into(), port, tls: false, credentials: None }],
            ca_file: None,
            identity: None,
            tls_server_name: None,
            user: None,
            password: Password::None,
            client_id: format!("packhorse-{:012x}", rand::rng().random::<u64>() >> 16),
            version: Version::Auto,
            session: Session::Clean,
            receipts: Acknowledge::AtOnce,
            keep_alive: Duration::from_secs(30),
            attempt_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(10),
            // So long after a broker is back, everybody is; with the pauses of a transfer, which are at most half as long then, it goes
            // on within two keep-alives.
            backoff: (Duration::from_secs(1), Duration::from_secs(30)),
        }
    }

    /// Every `host:port`, for messages.
    pub fn addresses(&self) -> String {
        self.servers.iter().map(Server::address).collect::<Vec<_>>().join(", ")
    }

    /// User and password for a broker: the URL's own, or else the settings', the file read now.
    pub(super) fn credentials(&self, server: &Server) -> Result<Option<(String, String)>, BusError> {
        if server.credentials.is_some() {
            return Ok(server.credentials.clone());
        }
        let Some(user) = &self.user else { return Ok(None) };
        let password = match &self.password {
            Password::None => String::new(),
            Password::Text(text) => text.clone(),
            Password::File(path) => secret::read(path).map_err(|reason| BusError::Settings {
                what: format!("the MQTT password file {}", path.display()),
                reason,
            })?,
        };
        Ok(Some((user.clone(), password)))
    }

    /// What rumqttc would panic on, and what a broker would refuse.
    pub(super) fn check(&self) -> Result<(), BusError> {
        let fail = |what: &str, reason: &str| {
            Err(BusError::Settings { what: format!("MQTT {what}"), reason: reason.to_owned() })
        };
        if self.servers.is_empty() || self.servers.len() > SERVERS {
            return fail("addresses", "from 1 to 16 brokers may be given");
        }
        if self.keep_alive.as_secs() < 5 || self.keep_alive.as_secs() > u64::from(u16::MAX) {
            return fail("keep-alive", "it must be from 5 to 65535 seconds");
        }
        if self.attempt_timeout.as_secs() == 0 {
            return fail("attempt timeout", "it must be at least a second");
        }
        if self.backoff.0.is_zero() || self.backoff.0 > self.backoff.1 {
            return fail("back-off", "the first wait must be above zero and not above the longest");
        }
        if self.client_id.is_empty() {
            return fail("client id", "it is empty");
        }
        if self.user.is_none() && self.password != Password::None {
            return fail("password", "it is given without a user");
        }
        let given = self.servers.iter().filter_map(|server| server.credentials.as_ref());
        let longest = given.flat_map(|(user, password)| [user, password]).chain(&self.user).chain([&self.client_id]);
        if longest.map(String::len).max() > Some(u16::MAX.into()) {
            return fail("credentials", "longer than 65535 bytes");
        }
        Ok(())
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Settings")
            .field("servers", &self.servers)
            .field("ca_file", &self.ca_file)
            .field("identity", &self.identity)
            .field("user", &self.user)
            .field("client_id", &self.client_id)
            .field("version", &self.version)
            .field("session", &self.session)
            .field("receipts", &self.receipts)
            .field("keep_alive", &self.keep_alive)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => out.write_str("None"),
            Self::Text(_) => out.write_str("Text(…)"),
            Self::File(path) => write!(out, "File({})", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Parts<'a> = (&'a str, u16, bool, Option<(&'a str, &'a str)>);

    fn check(url: &str, expected: Result<Parts<'_>, &str>) {
        match (Settings::parse(url), expected) {
            (Ok(settings), Ok((host, port, tls, credentials))) => {
                let [server] = &settings.servers[..] else { panic!("{settings:?}") };
                assert_eq!((server.host.as_str(), server.port, server.tls), (host, port, tls), "{url}");
                let given = server.credentials.as_ref().map(|(user, password)| (user.as_str(), password.as_str()));
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
    fn several_brokers_are_read_and_those_of_the_url_have_its_own_password() {
        let mut settings = Settings::parse("mqtt://me:mine@a,mqtts://b:99").unwrap();
        assert_eq!(settings.addresses(), "a:1883, b:99");
        (settings.user, settings.password) = (Some("you".to_owned()), Password::Text("yours".to_owned()));
        let given: Vec<_> =
            settings.servers.iter().map(|server| settings.credentials(server).unwrap().unwrap()).collect();
        let pair = |user: &str, password: &str| (user.to_owned(), password.to_owned());
        assert_eq!(given, [pair("me", "mine"), pair("you", "yours")]);
        assert!(!format!("{settings:?}").contains("yours"));
        for bad in ["mqtt://a,", "mqtt://a,b", "mqtt://a,http://b"] {
            assert!(Settings::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_password_file_is_read_anew_and_its_newline_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        let mut settings = Settings::parse("mqtt://h").unwrap();
        (settings.user, settings.password) = (Some("me".to_owned()), Password::File(path.clone()));
        let error = settings.credentials(&settings.servers[0]).unwrap_err();
        assert!(error.to_string().contains("password"), "{error}");
        for (text, expected) in [("one\n", "one"), ("two\r\n", "two"), (" three ", " three ")] {
            std::fs::write(&path, text).unwrap();
            let (_, password) = settings.credentials(&settings.servers[0]).unwrap().unwrap();
            assert_eq!(password, expected);
        }
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
