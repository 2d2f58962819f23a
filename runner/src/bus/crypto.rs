//! The one TLS provider of the process.

/// Makes ring the provider of rustls for the whole process. Call it first in `main`: rumqttc and the broker switch on
/// different providers, and rustls panics when it has to choose between two. Later calls do nothing.
pub fn install_crypto() {
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::debug!("a TLS provider was installed before");
    }
}
