//! How to reach a broker beside its URL: `mqtt:` in packhorse.yaml, and the variables `PACKHORSE_MQTT__NAME`.

use super::SettingError;
use packhorse_core::workflow::units;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a variable begins with.
const PREFIX: &str = "PACKHORSE_MQTT__";
/// The rest of it, as keys of packhorse.yaml are called.
const NAMES: [&str; 11] = [
    "user",
    "password",
    "password_file",
    "ca_file",
    "cert_file",
    "key_file",
    "tls_server_name",
    "client_id",
    "version",
    "session",
    "keep_alive",
];

/// Everything but the URLs; what is absent has its default.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MqttAccess {
    /// User name, where the URL holds none.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<String>,
    /// A file that holds it instead.
    pub password_file: Option<PathBuf>,
    /// Trust only these certificates.
    pub ca_file: Option<PathBuf>,
    /// Our certificate.
    pub cert_file: Option<PathBuf>,
    /// Its key.
    pub key_file: Option<PathBuf>,
    /// The name in the broker's certificate, where it is not the host's.
    pub tls_server_name: Option<String>,
    /// Random where it is absent.
    pub client_id: Option<String>,
    /// Of MQTT.
    pub version: Option<MqttVersion>,
    /// What the broker keeps while we are away.
    pub session: Option<MqttSession>,
    /// From 5 s to 18 h.
    pub keep_alive: Option<KeepAlive>,
}

/// `version`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MqttVersion {
    /// 5, and 3.1.1 where 5 is refused.
    Auto,
    /// 5.
    Five,
    /// 3.1.1.
    Three,
}

/// `session`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MqttSession {
    /// Nothing.
    Clean,
    /// Subscriptions and messages.
    Keep,
}

/// `keep_alive`: `30s`, or seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepAlive(pub Duration);

/// `mqtt:` as written: an address, a list of them, or a map.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Written {
    /// With commas between them.
    pub(super) urls: Option<String>,
    pub(super) access: MqttAccess,
}

impl MqttAccess {
    /// Reads the variables of our prefix. A name that nobody knows is an error: it was meant to say something.
    pub fn from_variables(all: impl IntoIterator<Item = (String, String)>) -> Result<Self, SettingError> {
        let ours = all.into_iter().filter_map(|(name, value)| Some((name.strip_prefix(PREFIX)?.to_lowercase(), value)));
        let mut map = serde_json::Map::new();
        for (name, value) in ours.filter(|(_, value)| !value.is_empty()) {
            if !NAMES.contains(&name.as_str()) {
                let known = NAMES.map(str::to_uppercase).join(", ");
                let message = format!("there is no such setting; there are {PREFIX}…: {known}");
                return Err(SettingError::Variable { name: format!("{PREFIX}{}", name.to_uppercase()), message });
            }
            map.insert(name, value.into());
        }
        // The error may not show the value: it could be a password.
        let wrong = |error: serde_json::Error| SettingError::Variable {
            name: format!("{PREFIX}…"),
            message: error.to_string(),
        };
        serde_json::from_value(map.into()).map_err(wrong)
    }

    /// Ours where it is set, else the other's; a password here hides a password file there, and the other way round.
    pub(super) fn over(self, other: Self) -> Self {
        let secret = self.password.is_some() || self.password_file.is_some();
        Self {
            user: self.user.or(other.user),
            password: if secret { self.password } else { other.password },
            password_file: if secret { self.password_file } else { other.password_file },
            ca_file: self.ca_file.or(other.ca_file),
            cert_file: self.cert_file.or(other.cert_file),
            key_file: self.key_file.or(other.key_file),
            tls_server_name: self.tls_server_name.or(other.tls_server_name),
            client_id: self.client_id.or(other.client_id),
            version: self.version.or(other.version),
            session: self.session.or(other.session),
            keep_alive: self.keep_alive.or(other.keep_alive),
        }
    }

    /// Paths of a settings file count from its folder.
    fn based(mut self, base: &Path) -> Self {
        for path in [&mut self.password_file, &mut self.ca_file, &mut self.cert_file, &mut self.key_file] {
            *path = path.take().map(|path| base.join(path));
        }
        self
    }

    /// What does not fit together.
    pub(super) fn check(&self) -> Result<(), SettingError> {
        let fail = |message: &str| Err(SettingError::Mqtt(message.to_owned()));
        if self.password.is_some() && self.password_file.is_some() {
            return fail("password and password_file are both set: one is enough");
        }
        if self.cert_file.is_some() != self.key_file.is_some() {
            return fail("cert_file and key_file belong together: set both or none");
        }
        if self.session == Some(MqttSession::Keep) && self.client_id.is_none() {
            return fail("session: keep needs a client_id: a session is kept under its name");
        }
        Ok(())
    }
}

impl Written {
    /// With its paths counted from the folder of the settings file.
    pub(super) fn based(self, base: &Path) -> Self {
        Self { access: self.access.based(base), ..self }
    }

    /// Whether a password stands in it.
    pub(super) fn holds_password(&self) -> bool {
        let in_url = |urls: &String| {
            urls.split(',').any(|url| url.rsplit_once('@').is_some_and(|(user, _)| user.matches(':').count() > 1))
        };
        self.access.password.is_some() || self.urls.as_ref().is_some_and(in_url)
    }
}

impl fmt::Debug for MqttAccess {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("MqttAccess")
            .field("user", &self.user)
            .field("password_file", &self.password_file)
            .field("ca_file", &self.ca_file)
            .field("cert_file", &self.cert_file)
            .field("client_id", &self.client_id)
            .field("version", &self.version)
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Written {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Written").field("access", &self.access).finish_non_exhaustive()
    }
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Shapes)
    }
}

struct Shapes;

impl<'de> Visitor<'de> for Shapes {
    type Value = Written;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an address, a list of addresses, or a map with `urls`")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Written, E> {
        Ok(Written { urls: Some(text.to_owned()), access: MqttAccess::default() })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Written, A::Error> {
        let mut urls = Vec::new();
        while let Some(url) = list.next_element::<String>()? {
            urls.push(url);
        }
        self.visit_str(&urls.join(","))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Written, A::Error> {
        // `urls` apart, the map is an MqttAccess, whose own unknown keys are errors.
        let mut all = serde_json::Map::deserialize(MapAccessDeserializer::new(map))?;
        let urls = match all.remove("urls") {
            None => None,
            Some(serde_json::Value::String(url)) => Some(url),
            Some(list) => Some(Vec::<String>::deserialize(list).map_err(A::Error::custom)?.join(",")),
        };
        let access = MqttAccess::deserialize(serde_json::Value::Object(all)).map_err(A::Error::custom)?;
        Ok(Written { urls, access })
    }
}

impl<'de> Deserialize<'de> for MqttVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match scalar(deserializer)?.as_str() {
            "auto" => Ok(Self::Auto),
            "5" | "5.0" => Ok(Self::Five),
            "3.1.1" => Ok(Self::Three),
            other => Err(D::Error::custom(format!("version `{other}` is none of auto, 5, 3.1.1"))),
        }
    }
}

impl<'de> Deserialize<'de> for KeepAlive {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = scalar(deserializer)?;
        let time = match text.parse::<u64>() {
            Ok(seconds) => Duration::from_secs(seconds),
            Err(_) => units::duration(&text).map_err(D::Error::custom)?,
        };
        if !(5..=65_535).contains(&time.as_secs()) {
            return Err(D::Error::custom(format!("keep_alive `{text}` is not within 5s and 65535s")));
        }
        Ok(Self(Duration::from_secs(time.as_secs())))
    }
}

/// Text, or a number as text.
fn scalar<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::String(text) => Ok(text),
        serde_json::Value::Number(number) => Ok(number.to_string()),
        _ => Err(D::Error::custom("it is neither text nor a number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> Result<Written, String> {
        serde_yaml::from_str(yaml).map_err(|error| error.to_string())
    }

    #[test]
    fn an_address_a_list_and_a_map_are_read() {
        assert_eq!(read("mqtt://a").unwrap().urls.as_deref(), Some("mqtt://a"));
        assert_eq!(read("[mqtt://a, 'mqtts://b:1']").unwrap().urls.as_deref(), Some("mqtt://a,mqtts://b:1"));
        let map =
            "urls: [mqtts://a]\nuser: me\npassword_file: p\nca_file: c\nversion: 5\nkeep_alive: 30s\nsession: keep";
        let written = read(map).unwrap().based(Path::new("/base"));
        assert_eq!(written.access.password_file, Some(PathBuf::from("/base/p")));
        assert_eq!(written.access.version, Some(MqttVersion::Five));
        assert_eq!(written.access.keep_alive, Some(KeepAlive(Duration::from_secs(30))));
        assert_eq!(read("version: 3.1.1").unwrap().access.version, Some(MqttVersion::Three));
        for (bad, words) in [
            ("urls: mqtt://a\npasswrod: x", "passwrod"),
            ("version: 4", "auto, 5, 3.1.1"),
            ("keep_alive: 1s", "5s"),
            ("7", "an address"),
        ] {
            let error = read(bad).unwrap_err();
            assert!(error.contains(words), "{bad}: {error}");
        }
    }

    #[test]
    fn variables_are_read_and_unknown_ones_named() {
        let given = |name: &str, value: &str| MqttAccess::from_variables([(name.to_owned(), value.to_owned())]);
        assert_eq!(given("PACKHORSE_MQTT__USER", "me").unwrap().user.as_deref(), Some("me"));
        assert_eq!(given("PACKHORSE_MQTT__PASSWORD", "5").unwrap().password.as_deref(), Some("5"));
        assert_eq!(given("PACKHORSE_MQTT__VERSION", "3.1.1").unwrap().version, Some(MqttVersion::Three));
        assert_eq!(given("PACKHORSE_MQTT", "mqtt://a").unwrap(), MqttAccess::default());
        let error = given("PACKHORSE_MQTT__PASSWROD", "hunter2").unwrap_err().to_string();
        assert!(error.contains("PASSWROD") && error.contains("PASSWORD_FILE") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn what_does_not_fit_together_is_told_and_passwords_are_not() {
        let access = MqttAccess { password: Some("hunter2".to_owned()), ..MqttAccess::default() };
        assert!(!format!("{access:?}").contains("hunter2"));
        let file = MqttAccess { password_file: Some("f".into()), ..MqttAccess::default() };
        assert_eq!(access.clone().over(file.clone()), access, "one password hides the other");
        let both = MqttAccess { password_file: Some("f".into()), ..access };
        let lone = MqttAccess { cert_file: Some("c".into()), ..MqttAccess::default() };
        let nameless = MqttAccess { session: Some(MqttSession::Keep), ..MqttAccess::default() };
        for (bad, words) in [(both, "one is enough"), (lone, "key_file"), (nameless, "client_id")] {
            assert!(bad.check().unwrap_err().to_string().contains(words), "{words}");
        }
        assert!(read("mqtt://me:pw@h").unwrap().holds_password() && !read("mqtt://me@h").unwrap().holds_password());
    }
}
