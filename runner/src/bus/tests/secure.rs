//! `mqtts`: against the same broker with TLS on, and a certificate authority made for these tests.

use std::path::PathBuf;

use mqtt5::broker::config::TlsConfig;
use mqtt5::broker::{BrokerConfig, MqttBroker, StorageBackendType, StorageConfig};

use super::super::{Bus, BusError, Message, Qos, RumqttcBus, Settings, TlsFault, install_crypto};
use super::{loopback, next, settings};

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/bus/tests/tls").join(name)
}

fn over_tls(mut settings: Settings) -> Settings {
    settings.servers[0].tls = true;
    settings
}

/// Settings for a broker that speaks TLS only; it lives as long as the test's runtime.
async fn secure(ca: &str) -> Settings {
    install_crypto();
    let tls = TlsConfig::new(file("server.pem"), file("server.key")).with_bind_address(loopback());
    let mut config = BrokerConfig::new().with_tls(tls).with_max_packet_size(1 << 20).with_sys_topics_enabled(false);
    config.bind_addresses.clear();
    config.storage_config = StorageConfig::new().with_backend(StorageBackendType::Memory);
    let mut broker = MqttBroker::with_config(config).await.unwrap();
    let addr = broker.tls_local_addr().unwrap();
    let mut ready = broker.ready_receiver();
    tokio::spawn(async move { broker.run().await });
    ready.wait_for(|ready| *ready).await.unwrap();
    over_tls(Settings { ca_file: Some(file(ca)), ..settings(addr) })
}

#[tokio::test]
async fn a_given_authority_is_trusted() {
    let settings = secure("ca.pem").await;
    for host in ["127.0.0.1", "localhost"] {
        let mut settings = settings.clone();
        settings.servers[0].host = host.to_owned();
        let bus = RumqttcBus::connect(settings).await.unwrap();
        let mut here = bus.subscribe("secret", Qos::AtLeastOnce).await.unwrap();
        bus.publish(Message::new("secret", vec![1; 100_000])).unwrap();
        assert_eq!(next(&mut here).await.message.payload.len(), 100_000);
        bus.close().await;
    }
}

#[tokio::test]
async fn another_authority_is_not() {
    let settings = Settings { connect_timeout: std::time::Duration::from_secs(1), ..secure("other-ca.pem").await };
    let error = RumqttcBus::connect(settings).await.unwrap_err();
    assert!(matches!(error, BusError::Tls { fault: TlsFault::UnknownAuthority, .. }), "{error}");
}

#[tokio::test]
async fn files_that_hold_no_certificate_are_told_before_connecting() {
    for (name, words) in [("missing.pem", "cannot read"), ("server.key", "holds no certificate")] {
        let settings = over_tls(Settings { ca_file: Some(file(name)), ..settings(loopback()) });
        let error = RumqttcBus::connect(settings).await.unwrap_err();
        assert!(matches!(error, BusError::Settings { .. }), "{error}");
        assert!(error.to_string().contains(words) && error.to_string().contains(name), "{error}");
    }
}
