//! Everything that can go wrong on the bus, by what a caller may do about it.

use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use packhorse_core::failure::{Class, Failure, chain};

use super::Reason;

/// An error of a bus. Cheap to clone, so that one lost connection can be told to many waiters.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum BusError {
    /// The publish queue is full: wait for `ready()` and publish again.
    #[error("the publish queue is full")]
    Busy,
    /// The bus was closed by ourselves.
    #[error("the bus is closed")]
    Closed,
    /// A topic to publish to is empty, too long, or holds `+`, `#` or NUL.
    #[error("{topic:?} is no topic name: {reason}")]
    InvalidTopic {
        /// As given.
        topic: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A filter to subscribe to is malformed, or a shared one.
    #[error("{filter:?} is no topic filter: {reason}")]
    InvalidFilter {
        /// As given.
        filter: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The message, with its headers, exceeds what the broker takes.
    #[error("a message of {size} bytes to {topic} exceeds the broker's limit of {limit} bytes")]
    TooLarge {
        /// Where it should have gone.
        topic: Arc<str>,
        /// Size of the MQTT packet in bytes.
        size: usize,
        /// Largest packet allowed.
        limit: usize,
    },
    /// The broker refused a subscription.
    #[error("the broker refuses the subscription to {filter}: {reason}")]
    SubscriptionRefused {
        /// The filter in question.
        filter: Arc<str>,
        /// Why.
        reason: Reason,
    },
    /// The broker refuses publishes to a topic.
    #[error("the broker refuses publishes to {topic}: {reason}")]
    PublishRefused {
        /// The topic in question.
        topic: Arc<str>,
        /// Why.
        reason: Reason,
    },
    /// The broker answered the connection attempt with a refusal.
    #[error("the MQTT broker at {address} refuses the connection: {reason}")]
    Refused {
        /// `host:port`.
        address: String,
        /// Why.
        reason: Reason,
    },
    /// The broker ended the connection with a reason (DISCONNECT of MQTT 5).
    #[error("the MQTT broker at {address} ended the connection: {reason}{}", told(.words.as_deref(), .reference.as_deref()))]
    Ended {
        /// `host:port`.
        address: String,
        /// Why.
        reason: Reason,
        /// The broker's own words.
        words: Option<String>,
        /// The server that it names instead of itself.
        reference: Option<String>,
    },
    /// Another client connected with our client id (reason code 0x8e): the id is used twice.
    #[error(
        "another client took over our session at {address}: the client id {client_id:?} is used twice (taken over {times} times)"
    )]
    TakenOver {
        /// `host:port`.
        address: String,
        /// The id that is used twice.
        client_id: String,
        /// How often in a short time.
        times: u32,
    },
    /// The broker sent a reason code where the standard allows none such.
    #[error("the MQTT broker at {address} breaks the protocol: {} has no place in this packet", misplaced(*.code))]
    Misplaced {
        /// `host:port`.
        address: String,
        /// As sent.
        code: u8,
    },
    /// TLS: a certificate, on one side or the other.
    #[error("no TLS connection to the MQTT broker at {address}: {fault} ({words})")]
    Tls {
        /// `host:port`.
        address: String,
        /// What is wrong.
        fault: TlsFault,
        /// As the TLS library says it.
        words: Arc<str>,
    },
    /// No connection, or it broke.
    #[error("cannot speak to the MQTT broker at {address}: {reason}")]
    Connection {
        /// `host:port`.
        address: String,
        /// What failed, in words.
        reason: String,
        /// The operating system's error, where there was one.
        source: Option<Arc<io::Error>>,
    },
    /// `connect` gave up.
    #[error("no MQTT broker at {address} after {attempts} attempts in {waited:.1?}")]
    Unreachable {
        /// `host:port`.
        address: String,
        /// How many attempts were made.
        attempts: u32,
        /// How long in all.
        waited: Duration,
        /// The last attempt's error.
        source: Option<Arc<Self>>,
    },
    /// The settings cannot be used: a URL, a CA file, a client id.
    #[error("{what}: {reason}")]
    Settings {
        /// The setting, such as the URL without its password.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// What was wrong with a TLS handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsFault {
    /// No authority that we trust signed the broker's certificate.
    UnknownAuthority,
    /// The broker's certificate has expired.
    Expired,
    /// The broker's certificate is not valid yet.
    NotYetValid,
    /// The broker's certificate is for other names.
    WrongHost,
    /// The broker wants a certificate from us.
    ClientCertificateMissing,
    /// The broker does not accept our certificate.
    ClientCertificateRefused,
    /// No TLS is spoken there.
    NoTls,
    /// Anything else; the words say it.
    Other,
}

impl TlsFault {
    /// What to do.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::UnknownAuthority => "name the authority that signed it in mqtt.ca_file",
            Self::Expired | Self::NotYetValid => "renew the broker's certificate, or set this machine's clock right",
            Self::WrongHost => "use a host name that stands in the certificate, or name one in mqtt.tls_server_name",
            Self::ClientCertificateMissing => "set mqtt.cert_file and mqtt.key_file",
            Self::ClientCertificateRefused => {
                "use a client certificate that the broker's authority signed and that has not expired"
            }
            Self::NoTls => "use mqtt:// there, or the port on which the broker speaks TLS (8883 as a rule)",
            Self::Other => "check the TLS settings on both sides",
        }
    }
}

impl fmt::Display for TlsFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::UnknownAuthority => "no trusted authority signed its certificate",
            Self::Expired => "its certificate has expired",
            Self::NotYetValid => "its certificate is not valid yet",
            Self::WrongHost => "its certificate is for another host",
            Self::ClientCertificateMissing => "it wants a client certificate",
            Self::ClientCertificateRefused => "it does not accept our client certificate",
            Self::NoTls => "it does not speak TLS there",
            Self::Other => "the handshake failed",
        })
    }
}

impl BusError {
    /// Whether waiting helps, a person must act, or nothing helps.
    pub fn class(&self) -> Class {
        match self {
            Self::Busy | Self::Closed | Self::Connection { .. } | Self::Misplaced { .. } => Class::Transient,
            Self::InvalidTopic { .. } | Self::InvalidFilter { .. } | Self::TooLarge { .. } => Class::Permanent,
            Self::SubscriptionRefused { reason, .. }
            | Self::PublishRefused { reason, .. }
            | Self::Refused { reason, .. }
            | Self::Ended { reason, .. } => reason.class(),
            Self::TakenOver { .. } | Self::Tls { .. } | Self::Settings { .. } => Class::Operator,
            Self::Unreachable { source, .. } => source.as_ref().map_or(Class::Transient, |source| source.class()),
        }
    }

    /// Stable code of the failure that this is outside of a transfer; `packhorse explain CODE` tells more.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Settings { .. } => "PH1005",
            Self::Refused { .. } | Self::Ended { .. } => "PH1030",
            Self::Tls { .. } => "PH1031",
            Self::TakenOver { .. } => "PH1032",
            Self::PublishRefused { .. } | Self::SubscriptionRefused { .. } => "PH5110",
            Self::Unreachable { source: Some(source), .. } => match source.code() {
                "PH5302" => "PH1006",
                code => code,
            },
            Self::Unreachable { source: None, .. } => "PH1006",
            Self::Busy
            | Self::Closed
            | Self::InvalidTopic { .. }
            | Self::InvalidFilter { .. }
            | Self::TooLarge { .. }
            | Self::Connection { .. }
            | Self::Misplaced { .. } => "PH5302",
        }
    }

    /// What to do, as far as known.
    pub fn advice(&self) -> Option<&'static str> {
        let advice = match self {
            Self::SubscriptionRefused { reason, .. }
            | Self::PublishRefused { reason, .. }
            | Self::Refused { reason, .. }
            | Self::Ended { reason, .. } => reason.advice(),
            Self::TakenOver { .. } => "give each client its own mqtt.client_id, or leave it out: then it is random",
            Self::Tls { fault, .. } => fault.advice(),
            Self::TooLarge { .. } => "send less, or raise the broker's maximum packet size",
            Self::Unreachable { source: Some(source), .. } => return source.advice(),
            _ => "",
        };
        (!advice.is_empty()).then_some(advice)
    }

    /// As a failure of a step.
    pub fn failure(&self) -> Failure {
        let failure = Failure::new(self.code(), self.class(), chain(self));
        match self.advice() {
            Some(advice) => failure.hint(advice),
            None => failure,
        }
    }
}

fn told(words: Option<&str>, reference: Option<&str>) -> String {
    let words = words.map(|words| format!(" ({words:?})")).unwrap_or_default();
    let reference = reference.map(|server| format!("; it names {server:?} instead")).unwrap_or_default();
    words + &reference
}

fn misplaced(code: u8) -> String {
    Reason::from_code(code).map_or_else(|| format!("reason code 0x{code:02x}"), |reason| reason.to_string())
}
