//! QoS 1 request and acknowledgement through the bus, beside a bare rumqttc loop: same embedded broker, same device,
//! same packets (1 KiB down, 4 bytes up), in one run. The ratio is what counts; absolute figures are the machine's.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, Throughput};
use packhorse::bus::{
    Broker, BrokerHandle, Bus, Delivery, EmbeddedBroker, Message, Qos, RumqttcBus, Settings, Subscription,
};
use rumqttc::NetworkOptions;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use tokio::runtime::{Builder, Runtime};

const WINDOWS: [u64; 2] = [1, 32];
const ROUNDS: usize = 9;
const MESSAGES: [u64; 2] = [4_000, 20_000];

fn main() {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let mut world = runtime.block_on(World::new());
    compare(&runtime, &mut world);
    if std::env::args().any(|argument| argument == "--ratio") {
        return;
    }
    let mut criterion = Criterion::default().configure_from_args();
    measure(&mut criterion, &runtime, &mut world);
    criterion.final_summary();
}

#[expect(clippy::print_stdout, reason = "the table is what this program is for")]
fn compare(runtime: &Runtime, world: &mut World) {
    for (window, messages) in WINDOWS.into_iter().zip(MESSAGES) {
        let mut ratios = Vec::new();
        let mut rates = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            // Alternating, so that whatever else the machine does strikes both.
            let bare = world.bare.run(runtime, messages, window);
            let bus = world.through.run(runtime, messages, window);
            ratios.push(bare.as_secs_f64() / bus.as_secs_f64());
            rates[0].push(messages as f64 / bare.as_secs_f64());
            rates[1].push(messages as f64 / bus.as_secs_f64());
        }
        let (ratio, [bare, bus]) = (median(ratios), rates.map(median));
        println!("window {window:2}: bare {bare:6.0}/s  bus {bus:6.0}/s  bus/bare {ratio:.2} (median of {ROUNDS})");
    }
}

fn measure(criterion: &mut Criterion, runtime: &Runtime, world: &mut World) {
    for window in WINDOWS {
        let mut group = criterion.benchmark_group(format!("qos1-window-{window}"));
        group.sample_size(10).measurement_time(Duration::from_secs(3)).throughput(Throughput::Elements(1));
        group.bench_function("bare", |bencher| {
            bencher.iter_custom(|messages| world.bare.run(runtime, messages, window));
        });
        group.bench_function("bus", |bencher| {
            bencher.iter_custom(|messages| world.through.run(runtime, messages, window));
        });
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

struct World {
    _broker: BrokerHandle,
    bare: Sender<Bare>,
    through: Sender<Through>,
}

/// Runs a sender as a task of the runtime, where programs have theirs: a future given to `block_on` would be woken
/// across threads every time.
struct Sender<T>(Option<T>);

trait Push: Send + 'static {
    fn push(&mut self, messages: u64, window: u64) -> impl Future<Output = ()> + Send;
}

impl<T: Push> Sender<T> {
    fn run(&mut self, runtime: &Runtime, messages: u64, window: u64) -> Duration {
        let mut sender = self.0.take().expect("it came back from the last run");
        let task = runtime.spawn(async move {
            let begun = Instant::now();
            sender.push(messages, window).await;
            (sender, begun.elapsed())
        });
        let (sender, time) = runtime.block_on(task).expect("no panic");
        self.0 = Some(sender);
        time
    }
}

impl World {
    async fn new() -> Self {
        let broker = EmbeddedBroker.start(([127, 0, 0, 1], 0).into()).await.expect("a broker");
        let bare = Bare::new(broker.addr, "bare").await;
        let through = Through::new(broker.addr, "bus").await;
        Self { _broker: broker, bare: Sender(Some(bare)), through: Sender(Some(through)) }
    }
}

/// What a program without any engine does: publishes from the loop that polls.
struct Bare {
    client: AsyncClient,
    events: EventLoop,
    piece: Bytes,
    down: String,
}

impl Bare {
    async fn new(broker: SocketAddr, name: &str) -> Self {
        device(broker, name).await;
        let (client, events) = subscribed(broker, &format!("{name}-sender"), &format!("{name}/up")).await;
        Self { client, events, piece: piece(), down: format!("{name}/down") }
    }
}

impl Push for Bare {
    async fn push(&mut self, messages: u64, window: u64) {
        let (mut sent, mut acknowledged) = (0, 0);
        while acknowledged < messages {
            while sent < messages && sent < acknowledged + window {
                let payload = self.piece.clone();
                self.client.try_publish(&self.down, QoS::AtLeastOnce, false, payload).expect("room for a window");
                sent += 1;
            }
            if let Event::Incoming(Packet::Publish(_)) = self.events.poll().await.expect("a connection") {
                acknowledged += 1;
            }
        }
    }
}

/// The same through the bus, as a transfer does it: acknowledgements in batches, then the window filled again.
struct Through {
    bus: RumqttcBus,
    up: Subscription,
    batch: Vec<Delivery>,
    piece: Bytes,
    down: std::sync::Arc<str>,
}

impl Through {
    async fn new(broker: SocketAddr, name: &str) -> Self {
        device(broker, name).await;
        let settings = Settings::new(broker.ip().to_string(), broker.port());
        let bus = RumqttcBus::connect(settings).await.expect("a connection");
        let up = bus.subscribe(&format!("{name}/up"), Qos::AtLeastOnce).await.expect("a subscription");
        Self { bus, up, batch: Vec::new(), piece: piece(), down: format!("{name}/down").into() }
    }
}

impl Push for Through {
    async fn push(&mut self, messages: u64, window: u64) {
        let (mut sent, mut acknowledged) = (0, 0);
        while acknowledged < messages {
            while sent < messages && sent < acknowledged + window {
                let message = Message::new(self.down.clone(), self.piece.clone());
                self.bus.publish(message).expect("room for a window");
                sent += 1;
            }
            acknowledged += self.up.recv_many(&mut self.batch, 64).await as u64;
            self.batch.clear();
        }
    }
}

fn piece() -> Bytes {
    vec![7; 1024].into()
}

/// A bare device of its own for each sender: answers every message with its first four bytes.
async fn device(broker: SocketAddr, name: &str) {
    let up = format!("{name}/up");
    let (client, mut events) = subscribed(broker, &format!("{name}-device"), &format!("{name}/down")).await;
    tokio::spawn(async move {
        while let Ok(event) = events.poll().await {
            if let Event::Incoming(Packet::Publish(publish)) = event {
                client.try_publish(&up, QoS::AtLeastOnce, false, publish.payload.slice(..4)).expect("room");
            }
        }
    });
}

async fn subscribed(broker: SocketAddr, id: &str, filter: &str) -> (AsyncClient, EventLoop) {
    let mut options = MqttOptions::new(id, broker.ip().to_string(), broker.port());
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    options.set_network_options(network).set_max_packet_size(Some(1 << 20)).set_outgoing_inflight_upper_limit(1024);
    // A bare loop does not ping between its turns.
    options.set_keep_alive(Duration::from_secs(3600));
    let (client, mut events) = AsyncClient::new(options, 1024);
    client.subscribe(filter, QoS::AtLeastOnce).await.expect("room");
    while !matches!(events.poll().await.expect("a connection"), Event::Incoming(Packet::SubAck(_))) {}
    (client, events)
}
