//! The transport of a connection: plain TCP, or TLS with the system's roots or a given CA file.

use std::sync::Arc;

use rumqttc::{TlsConfiguration, Transport};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::{BusError, Settings};

/// Reads and checks certificates once; reconnects use the result again.
pub(super) fn transport(settings: &Settings) -> Result<Transport, BusError> {
    if !settings.tls {
        return Ok(Transport::Tcp);
    }
    let fail = |reason: String| BusError::Settings { what: "TLS of the MQTT connection".to_owned(), reason };
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| fail(error.to_string()))?
        .with_root_certificates(roots(settings).map_err(&fail)?)
        .with_no_client_auth();
    Ok(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::new(config))))
}

fn roots(settings: &Settings) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let Some(path) = &settings.ca_file else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return if roots.is_empty() { Err("this system has no root certificates".to_owned()) } else { Ok(roots) };
    };
    let name = path.display();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| format!("cannot read {name}: {error}"))? {
        let certificate = certificate.map_err(|error| format!("cannot read {name}: {error}"))?;
        roots.add(certificate).map_err(|error| format!("{name} holds a bad certificate: {error}"))?;
    }
    if roots.is_empty() { Err(format!("{name} holds no certificate")) } else { Ok(roots) }
}
