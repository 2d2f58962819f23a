//! The room as a whole, on real sockets: one contract for every bus, broken connections, the embedded broker.

mod broken;
mod brokers;
mod codes;
mod contract;
mod embedded;
mod fake;
mod reconnect;
mod secure;
mod traffic;

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use super::{Broker, BrokerHandle, Bus, BusStatus, Delivery, EmbeddedBroker, RumqttcBus, Settings, Subscription};

/// Longer than anything here takes on a busy machine; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

fn loopback() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

async fn broker() -> BrokerHandle {
    EmbeddedBroker.start(loopback()).await.unwrap()
}

fn settings(addr: SocketAddr) -> Settings {
    Settings {
        backoff: (Duration::from_millis(50), Duration::from_millis(200)),
        connect_timeout: PATIENCE,
        ..Settings::new(addr.ip().to_string(), addr.port())
    }
}

async fn connect(addr: SocketAddr) -> RumqttcBus {
    RumqttcBus::connect(settings(addr)).await.unwrap()
}

async fn next(subscription: &mut Subscription) -> Delivery {
    timeout(PATIENCE, subscription.recv()).await.expect("a message in time").expect("the subscription lives")
}

async fn payload(subscription: &mut Subscription) -> String {
    String::from_utf8(next(subscription).await.message.payload.to_vec()).unwrap()
}

async fn status(receiver: &mut watch::Receiver<BusStatus>, wanted: impl FnMut(&BusStatus) -> bool) -> BusStatus {
    timeout(PATIENCE, receiver.wait_for(wanted)).await.expect("the status in time").expect("a bus").clone()
}

async fn connected(bus: &impl Bus, generation: u64) -> BusStatus {
    status(
        &mut bus.status(),
        |status| matches!(status, BusStatus::Connected { generation: now, .. } if *now >= generation),
    )
    .await
}
