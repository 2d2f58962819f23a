//! What loss costs: bytes sent for each byte of the file, beside what any protocol of its kind must send.

use packhorse_tests::world::{number, workflow};
use packhorse_tests::{World, alone, count, files};

const MIB: usize = 1 << 20;
/// What may be sent, times the floor.
const GOAL: f64 = 1.15;

/// Loss down and up.
const WEATHERS: [(f64, f64); 10] = [
    (0.0, 0.0),
    (0.05, 0.0),
    (0.15, 0.0),
    (0.3, 0.0),
    (0.0, 0.05),
    (0.0, 0.15),
    (0.0, 0.3),
    (0.05, 0.05),
    (0.15, 0.15),
    (0.3, 0.3),
];

/// Bytes of file sent for each byte of file.
fn cost(world: &World, services: &packhorse_tests::Service, codec: &str, (down, up): (f64, f64), round: u64) -> f64 {
    let device = format!("dev-{round}");
    let (down, up, seed) = (down.to_string(), up.to_string(), (round + 11).to_string());
    let weather = ["--loss-down", &down, "--loss-up", &up, "--seed", &seed];
    let _device = world.device(&services.mqtt, codec, &device, &weather);
    let size = count(2, 16) * MIB;
    let (image, bytes) = world.file("fw.bin", size, round);
    let (device, image) = (format!("device={device}"), format!("image={}", image.display()));
    let run = world.run(services, &workflow("ota-push"), &["-i", &device, "-i", &image, "--codec", codec]);
    let run = run.end().exits(0).json();
    assert_eq!(run["outputs"]["md5"], files::md5(&bytes).as_str());
    assert!(std::fs::read(world.path("device/fw.bin")).unwrap() == bytes, "the device holds another file");
    std::fs::remove_file(world.path("device/fw.bin")).unwrap();
    assert_eq!(number(&run, "/traffic/payload_bytes"), size as u64);
    (size as u64 + number(&run, "/traffic/retransmitted_bytes")) as f64 / size as f64
}

/// The least that must be sent: each packet until it and its own acknowledgement get through; where one acknowledgement tells of many,
/// each packet until it gets through.
fn floor(codec: &str, (down, up): (f64, f64)) -> f64 {
    if codec == "acme-tlv" { 1.0 / (1.0 - down) } else { 1.0 / ((1.0 - down) * (1.0 - up)) }
}

fn table(codec: &str) {
    let _alone = alone();
    let world = World::new();
    let services = world.services();
    println!("{codec}\n  lost down  lost up     sent    floor    ratio");
    let mut over = Vec::new();
    for (round, weather) in WEATHERS.into_iter().enumerate() {
        let (sent, floor) = (cost(&world, &services, codec, weather, round as u64), floor(codec, weather));
        let ratio = sent / floor;
        println!("  {:>8.0}%  {:>6.0}%  {sent:>7.3}  {floor:>7.3}  {ratio:>7.3}", weather.0 * 100.0, weather.1 * 100.0);
        if weather.0 > 0.0 {
            assert!(sent >= 1.0 + weather.0 / 2.0, "the loss did not strike: {sent}");
        }
        over.extend((ratio > GOAL).then(|| format!("{weather:?}: {ratio:.3}")));
    }
    assert!(over.is_empty(), "{codec} is above {GOAL} times the floor: {over:?}");
}

#[test]
fn loss_costs_json_little_more_than_it_must() {
    table("json-base64");
}

#[test]
fn loss_costs_tlv_little_more_than_it_must() {
    table("acme-tlv");
}
