//! Sockets and TLS: what went wrong below MQTT, as our errors.

use std::io;
use std::sync::Arc;

use rumqttc::TlsError;
use rustls::{AlertDescription, CertificateError};

use crate::bus::{BusError, TlsFault};

/// An error of a socket, which may hold one of TLS.
pub(super) fn io(address: &str, error: io::Error) -> BusError {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(inner) => tls(address, inner),
        None => BusError::Connection {
            address: address.to_owned(),
            reason: "the connection failed".to_owned(),
            source: Some(Arc::new(error)),
        },
    }
}

/// An error of rumqttc's TLS.
pub(super) fn handshake(address: &str, error: TlsError) -> BusError {
    match error {
        TlsError::Io(error) => io(address, error),
        TlsError::TLS(error) => tls(address, &error),
        other => BusError::Tls { address: address.to_owned(), fault: TlsFault::Other, words: other.to_string().into() },
    }
}

/// What we ourselves found wrong.
pub(in crate::bus) fn broken(address: &str, reason: impl Into<String>) -> BusError {
    BusError::Connection { address: address.to_owned(), reason: reason.into(), source: None }
}

fn tls(address: &str, error: &rustls::Error) -> BusError {
    BusError::Tls { address: address.to_owned(), fault: judge(error), words: error.to_string().into() }
}

fn judge(error: &rustls::Error) -> TlsFault {
    match error {
        rustls::Error::InvalidCertificate(certificate) => match certificate {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => TlsFault::UnknownAuthority,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => TlsFault::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => TlsFault::NotYetValid,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => TlsFault::WrongHost,
            _ => TlsFault::Other,
        },
        rustls::Error::AlertReceived(alert) => match alert {
            AlertDescription::CertificateRequired => TlsFault::ClientCertificateMissing,
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::DecryptError
            | AlertDescription::AccessDenied => TlsFault::ClientCertificateRefused,
            _ => TlsFault::Other,
        },
        rustls::Error::InvalidMessage(_) => TlsFault::NoTls,
        _ => TlsFault::Other,
    }
}
