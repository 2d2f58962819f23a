//! What loss costs: bytes sent for each byte of the file, beside what any protocol of its kind must send.

use packhorse_tests::wire::{Way, Wire};
use packhorse_tests::world::{number, workflow};
use packhorse_tests::{World, alone, count, files};
use rustix::process::Signal;

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

/// Bytes of file sent for each byte of file, as a listener at the broker counts them.
fn cost(
    world: &World,
    services: &packhorse_tests::Service,
    codec: &'static str,
    (down, up): (f64, f64),
    round: u64,
) -> f64 {
    let device = format!("dev-{round}");
    let (loss_down, loss_up, seed) = (down.to_string(), up.to_string(), (round + 11).to_string());
    let weather = ["--loss-down", &loss_down, "--loss-up", &loss_up, "--seed", &seed];
    let wire = Wire::listen(&services.broker, codec, &device, Way::Push);
    let simulated = world.device(&services.mqtt, codec, &device, &weather);
    let size = count(2, 16) * MIB;
    let (image, bytes) = world.file("fw.bin", size, round);
    let (device, image) = (format!("device={device}"), format!("image={}", image.display()));
    let run = world.run(services, &workflow("ota-push"), &["-i", &device, "-i", &image, "--codec", codec]);
    let run = run.end().exits(0).json();
    assert_eq!(run["outputs"]["md5"], files::md5(&bytes).as_str());
    assert!(std::fs::read(world.path("device/fw.bin")).unwrap() == bytes, "the device holds another file");
    std::fs::remove_file(world.path("device/fw.bin")).unwrap();
    assert_eq!(number(&run, "/traffic/payload_bytes"), size as u64);
    let heard = wire.heard().bytes;
    assert_eq!(heard, size as u64 + number(&run, "/traffic/retransmitted_bytes"), "the run counts as the wire does");
    simulated.signal(Signal::TERM);
    let told = simulated.end().exits(0).err;
    strikes(&told, "down", down);
    strikes(&told, "up", up);
    heard as f64 / size as f64
}

/// The device says how many messages of a direction came by and how many it lost: about this share.
#[track_caller]
fn strikes(told: &str, way: &str, share: f64) {
    let numbers = told.lines().rev().find_map(|line| {
        let (_, rest) = line.split_once(&format!("{way}: "))?;
        let mut numbers = rest.split(", ").filter_map(|part| part.trim().split(' ').next()?.parse::<f64>().ok());
        Some((numbers.next()?, numbers.next()?))
    });
    let (messages, lost) = numbers.unwrap_or_else(|| panic!("the device does not say what was lost {way}:\n{told}"));
    // Six deviations of a coin of this share: never by chance.
    let slack = 6.0 * (messages * share * (1.0 - share)).sqrt();
    let right = (lost - messages * share).abs() <= slack && (lost > 0.0) == (share > 0.0);
    assert!(right, "{lost} of {messages} messages were lost {way}, where {share} should be:\n{told}");
}

/// The least that must be sent: each packet until it and its own acknowledgement get through; where one acknowledgement tells of many,
/// each packet until it gets through.
fn floor(codec: &str, (down, up): (f64, f64)) -> f64 {
    if codec == "acme-tlv" { 1.0 / (1.0 - down) } else { 1.0 / ((1.0 - down) * (1.0 - up)) }
}

fn table(codec: &'static str) {
    let _alone = alone();
    let world = World::new();
    let services = world.services();
    println!("{codec}\n  lost down  lost up     sent    floor    ratio");
    let mut over = Vec::new();
    for (round, weather) in WEATHERS.into_iter().enumerate() {
        let (sent, floor) = (cost(&world, &services, codec, weather, round as u64), floor(codec, weather));
        let ratio = sent / floor;
        println!("  {:>8.0}%  {:>6.0}%  {sent:>7.3}  {floor:>7.3}  {ratio:>7.3}", weather.0 * 100.0, weather.1 * 100.0);
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
