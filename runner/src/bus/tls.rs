//! The transport of a connection: plain TCP, or TLS with the system's roots or a given CA file, and our own certificate.

use std::path::Path;
use std::sync::Arc;

use rumqttc::{TlsConfiguration, Transport};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::{BusError, Server, Settings};

/// The transports of all connections: files that were named are read anew for each, as certificates are renewed.
#[derive(Clone)]
pub(super) struct Transports {
    /// Made at the start; used again where no file was named.
    secure: Option<Arc<ClientConfig>>,
}

impl Transports {
    /// Reads and checks certificates, so that a bad file is told before anything is tried.
    pub(super) fn new(settings: &Settings) -> Result<Self, BusError> {
        let wanted = settings.servers.iter().any(|server| server.tls);
        Ok(Self { secure: wanted.then(|| config(settings)).transpose()? })
    }

    /// For one attempt.
    pub(super) fn to(&self, server: &Server, settings: &Settings) -> Result<Transport, BusError> {
        if !server.tls {
            return Ok(Transport::Tcp);
        }
        let named = settings.ca_file.is_some() || settings.identity.is_some();
        let config = match &self.secure {
            Some(config) if !named => Arc::clone(config),
            _ => config(settings)?,
        };
        Ok(Transport::tls_with_config(TlsConfiguration::Rustls(config)))
    }
}

fn config(settings: &Settings) -> Result<Arc<ClientConfig>, BusError> {
    let fail = |reason: String| BusError::Settings { what: "TLS of the MQTT connection".to_owned(), reason };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = Arc::new(roots(settings).map_err(fail)?);
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| fail(error.to_string()))?;
    let builder = match &settings.tls_server_name {
        None => builder.with_root_certificates(roots),
        Some(name) => {
            let verifier = Named::new(name, roots, provider).map_err(fail)?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        }
    };
    let config = match &settings.identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = certificates(certificate).map_err(fail)?;
            let private = PrivateKeyDer::from_pem_file(key)
                .map_err(|error| fail(format!("cannot read a key from {}: {error}", key.display())))?;
            builder.with_client_auth_cert(chain, private).map_err(|error| {
                fail(format!("{} and {} are no pair: {error}", certificate.display(), key.display()))
            })?
        }
    };
    Ok(Arc::new(config))
}

fn roots(settings: &Settings) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let Some(path) = &settings.ca_file else {
        // Honours SSL_CERT_FILE and SSL_CERT_DIR.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return if roots.is_empty() { Err("this system has no root certificates".to_owned()) } else { Ok(roots) };
    };
    for certificate in certificates(path)? {
        let name = path.display();
        roots.add(certificate).map_err(|error| format!("{name} holds a bad certificate: {error}"))?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let cannot = |error: rustls::pki_types::pem::Error| format!("cannot read {}: {error}", path.display());
    let all: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(cannot)?.collect();
    let all = all.map_err(cannot)?;
    if all.is_empty() { Err(format!("{} holds no certificate", path.display())) } else { Ok(all) }
}

/// The usual checks, under another name than the one that is connected to.
#[derive(Debug)]
struct Named {
    name: ServerName<'static>,
    usual: Arc<WebPkiServerVerifier>,
}

impl Named {
    fn new(
        name: &str,
        roots: Arc<RootCertStore>,
        provider: Arc<rustls::crypto::CryptoProvider>,
    ) -> Result<Self, String> {
        let name = ServerName::try_from(name.to_owned()).map_err(|_| format!("{name:?} is no host name"))?;
        let usual = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
        Ok(Self { name, usual: usual.map_err(|error| error.to_string())? })
    }
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.usual.verify_server_cert(end_entity, intermediates, &self.name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}
