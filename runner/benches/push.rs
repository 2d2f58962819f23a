//! A whole push (engine, journal, codec, machine, bus) beside a bare rumqttc loop that sends the same packets: same embedded
//! broker, same device, window 32, in one run. The ratio is what counts; absolute figures are the machine's.
//!
//! The device is a bare loop as well: it reads offset and size out of each packet and acknowledges it, and stores nothing.

use base64::Engine as _;
use packhorse::app::{self, App, Launch, Library};
use packhorse::settings::{Given, Settings};
use rumqttc::NetworkOptions;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

const SIZE: usize = 8 << 20;
const PIECE: usize = 640;
const WINDOW: usize = 32;
const ROUNDS: usize = 7;
/// Both senders speak to the same device, each on topics of its own, so that neither hears the other's answers.
const ALL_DOWN: &str = "packhorse/+/down";
const DOWN: &str = "packhorse/bench-2/down";
const UP: &str = "packhorse/bench-2/up";

const WORKFLOW: &str = r#"kind: workflow/v1
name: bench-push
description: One push.
inputs:
  image: { type: file }
codec: json-base64
steps:
  - id: push
    uses: transfer.push
    with: { device: bench-1, file: "${{ inputs.image }}", window: 32, packet_size: 640 }
"#;

fn main() {
    packhorse::bus::install_crypto();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::spawn(compare()).await.expect("the bench does not panic") });
}

#[expect(clippy::print_stdout, reason = "the table is what this program is for")]
async fn compare() {
    let folder = tempfile::tempdir().expect("a folder");
    let image = folder.path().join("image.bin");
    std::fs::write(&image, (0..SIZE).map(|at| (at * 31 % 251) as u8).collect::<Vec<_>>()).expect("an image");
    std::fs::write(folder.path().join("bench-push.yaml"), WORKFLOW).expect("a workflow");
    let app = start(folder.path()).await;
    let port: u16 = app.services.mqtt.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    tokio::spawn(device(port));
    let mut bare = Bare::new(port, &std::fs::read(&image).expect("the image")).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let packets = SIZE.div_ceil(PIECE) as f64;
    let (mut ratios, mut rates) = (Vec::new(), [Vec::new(), Vec::new()]);
    for _ in 0..ROUNDS {
        let loops = bare.run().await.as_secs_f64();
        let whole = push(&app, &image).await.as_secs_f64();
        ratios.push(loops / whole);
        rates[0].push(packets / loops);
        rates[1].push(packets / whole);
    }
    let (ratio, [bare, whole]) = (median(ratios), rates.map(median));
    println!("push of {SIZE} bytes, {PIECE} a packet, window {WINDOW}, QoS 1, medians of {ROUNDS}:");
    println!("  bare loop {bare:6.0} packets/s, packhorse {whole:6.0} packets/s, packhorse/bare {ratio:.2}");
    app.stop().await.expect("a good end");
}

async fn start(folder: &Path) -> App {
    let given = Given {
        mqtt: Some("embedded://127.0.0.1:0".to_owned()),
        fastdfs: Some("embedded://127.0.0.1:0".to_owned()),
        data: Some(folder.join("data")),
        workflows: Some(folder.to_owned()),
        ..Given::default()
    };
    let settings = Settings::load(given, folder).expect("settings");
    let host = app::host(&settings).await.expect("a plugin host");
    App::start(settings, host).await.expect("an app")
}

/// Time of the push step, as the run tells it.
async fn push(app: &App, image: &Path) -> Duration {
    let inputs = BTreeMap::from([("image".to_owned(), image.display().to_string())]);
    let asked = Launch { workflow: "bench-push".to_owned(), inputs, ..Launch::default() };
    let prepared =
        app::prepare(asked, &app.settings, &Library::Folders(&app.world.host)).await.expect("a good workflow");
    let run = app::launch(app, prepared).await.expect("a run");
    let view = app.engine.wait(&run).await.expect("an end");
    let step = view.view.steps.first().expect("a step");
    assert!(step.error.is_none(), "{:?}", step.error);
    Duration::from_millis(step.duration_ms)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

async fn client(id: &str, port: u16, topic: &str) -> (AsyncClient, EventLoop) {
    let mut options = MqttOptions::new(id, "127.0.0.1", port);
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    options.set_network_options(network);
    options.set_max_packet_size(Some(1 << 20));
    options.set_outgoing_inflight_upper_limit(1024);
    let (client, eventloop) = AsyncClient::new(options, 1024);
    client.subscribe(topic, QoS::AtLeastOnce).await.expect("a subscription");
    (client, eventloop)
}

/// Acknowledges every packet.
async fn device(port: u16) {
    let (client, mut eventloop) = client("bench-device", port, ALL_DOWN).await;
    while let Ok(event) = eventloop.poll().await {
        if let Event::Incoming(rumqttc::v5::Incoming::Publish(publish)) = event {
            let text = std::str::from_utf8(&publish.payload).expect("JSON");
            let (md5, size, offset) = (text_of(text, "fileMd5"), number(text, "packSize"), number(text, "packOffset"));
            let answer = format!("{{\"fileMd5\":\"{md5}\",\"packSize\":{size},\"packOffset\":{offset}}}");
            let topic = std::str::from_utf8(&publish.topic).expect("a topic").replace("/down", "/up");
            client.try_publish(topic, QoS::AtLeastOnce, false, answer).expect("room");
        }
    }
}

fn after<'a>(text: &'a str, key: &str) -> &'a str {
    let at = text.find(&format!("\"{key}\":")).expect("the key is there");
    &text[at + key.len() + 3..]
}

fn number(text: &str, key: &str) -> usize {
    let digits = after(text, key);
    let end = digits.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().expect("a number")
}

fn text_of<'a>(text: &'a str, key: &str) -> &'a str {
    after(text, key).trim_start_matches('"').split('"').next().unwrap_or_default()
}

/// The same packets without an engine: encode, publish, count acknowledgements.
struct Bare {
    client: AsyncClient,
    eventloop: EventLoop,
    bytes: Vec<u8>,
}

impl Bare {
    async fn new(port: u16, bytes: &[u8]) -> Self {
        let (client, mut eventloop) = client("bench-bare", port, UP).await;
        while !matches!(eventloop.poll().await, Ok(Event::Incoming(Packet::SubAck(_)))) {}
        Self { client, eventloop, bytes: bytes.to_vec() }
    }

    async fn run(&mut self) -> Duration {
        let started = Instant::now();
        let total = SIZE.div_ceil(PIECE);
        let (mut sent, mut answered) = (0, 0);
        while answered < total {
            while sent < total && sent - answered < WINDOW {
                let packet = self.packet(sent * PIECE);
                self.client.try_publish(DOWN, QoS::AtLeastOnce, false, packet).expect("room");
                sent += 1;
            }
            if let Event::Incoming(Packet::Publish(publish)) = self.eventloop.poll().await.expect("a connection") {
                let text = std::str::from_utf8(&publish.payload).expect("JSON");
                answered += usize::from(number(text, "packSize") > 0);
            }
        }
        started.elapsed()
    }

    fn packet(&self, offset: usize) -> String {
        let piece = &self.bytes[offset..(offset + PIECE).min(self.bytes.len())];
        let data = base64::engine::general_purpose::STANDARD.encode(piece);
        let (size, md5) = (piece.len(), "0123456789abcdef0123456789abcdef");
        let body = format!(
            "{{\"fileMd5\":\"{md5}\",\"fileName\":\"image.bin\",\"fileSize\":{SIZE},\"packSize\":{size},\"packOffset\":{offset},\"packData\":\"{data}\""
        );
        let sum = crc32fast::hash(body.as_bytes());
        format!("{body},\"packCrc\":\"{sum:08x}\"}}")
    }
}
