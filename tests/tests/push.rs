//! Pushes to a simulated device, all in processes of their own: every size, bad weather, what it costs, and no stalls.

use packhorse_tests::child::Child;
use packhorse_tests::client::Stranger;
use packhorse_tests::world::{self, number, workflow};
use packhorse_tests::{Service, World, alone, control, count, files};
use std::path::Path;
use std::time::{Duration, Instant};

const WEATHER: [&str; 10] =
    ["--loss", "0.2", "--duplicate", "0.05", "--reorder", "0.1", "--corrupt", "0.02", "--seed", "11"];
const MIB: usize = 1 << 20;

fn push(world: &World, services: &Service, codec: &str, image: &Path) -> Child {
    let image = format!("image={}", image.display());
    world.run(services, &workflow("ota-push"), &["-i", "device=dev-1", "-i", &image, "--codec", codec])
}

/// Ends the device and gives how often each fault struck, as `N lost, N doubled, …` of both directions.
fn struck(device: Child) -> [u64; 5] {
    device.signal(rustix::process::Signal::TERM);
    let told = device.end().exits(0).err;
    let lines: Vec<&str> = told.lines().filter(|line| line.starts_with("down:") || line.starts_with("up:")).collect();
    let numbers = lines
        .iter()
        .map(|line| line.split(|letter: char| !letter.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect());
    let numbers: Vec<Vec<u64>> = numbers.collect();
    std::array::from_fn(|index| numbers.iter().map(|numbers| numbers[index]).sum())
}

/// Bytes of file in a packet of a push whose packet size is `auto`, read off the wire.
fn piece(world: &World, services: &Service, codec: &str) -> usize {
    let topic = if codec == "acme-tlv" { "acme/dev-1/rx" } else { "packhorse/dev-1/down" };
    let stranger = Stranger::connect(&services.broker, &[topic]);
    let (image, _) = world.file("probe.bin", 10_000, 1);
    push(world, services, codec, &image).end().exits(0);
    while let Some((_, payload)) = stranger.hear(Duration::from_secs(5)) {
        if codec == "acme-tlv" && payload[0] == 0x02 {
            return payload.len() - 22;
        }
        if let Some(size) =
            serde_json::from_slice(&payload).ok().and_then(|value: serde_json::Value| value.get("packSize")?.as_u64())
        {
            return usize::try_from(size).unwrap();
        }
    }
    panic!("no data packet was seen on {topic}");
}

fn every_size_arrives(codec: &str) {
    let world = World::new();
    let services = world.services();
    let device = world.device(&services.mqtt, codec, "dev-1", &[]);
    let piece = piece(&world, &services, codec);
    assert!((500..=1024).contains(&piece), "{piece}");
    assert!(device.kill());
    let device = world.device(&services.mqtt, codec, "dev-1", &WEATHER);
    for (index, size) in [0, 1, piece * 100, 64 * MIB].into_iter().enumerate() {
        let name = format!("fw-{index}.bin");
        let (image, bytes) = world.file(&name, size, index as u64 + 2);
        let run = push(&world, &services, codec, &image).end().exits(0).json();
        assert_eq!(run["status"], "succeeded", "{run:#}");
        assert_eq!(number(&run, "/traffic/payload_bytes"), size as u64, "{run:#}");
        assert_eq!(run["outputs"]["md5"], files::md5(&bytes).as_str());
        assert!(
            std::fs::read(world.path("device").join(&name)).unwrap() == bytes,
            "{name} is another file on the device"
        );
        let line = format!("{{\"md5\":\"{}\"", files::md5(&bytes));
        assert!(
            device.out().contains(&name) && device.out().contains(&files::md5(&bytes)),
            "{line} is not in {}",
            device.out()
        );
    }
    let struck = struck(device);
    println!(
        "{codec}: of {} messages {} lost, {} doubled, {} overtaken, {} damaged",
        struck[0], struck[1], struck[2], struck[3], struck[4]
    );
    assert!(struck.iter().all(|count| *count > 0), "each fault has to strike: {struck:?}");
}

#[test]
fn every_size_arrives_in_bad_weather_in_json() {
    every_size_arrives("json-base64");
}

#[test]
fn every_size_arrives_in_bad_weather_in_tlv() {
    every_size_arrives("acme-tlv");
}

/// Bytes of file sent for each byte of file, with `loss` each way.
fn cost(codec: &str, loss: f64) -> f64 {
    let world = World::new();
    let services = world.services();
    let _device = world.device(&services.mqtt, codec, "dev-1", &["--loss", &loss.to_string(), "--seed", "3"]);
    let size = count(3, 32) * MIB;
    let (image, _) = world.file("fw.bin", size, 9);
    let run = push(&world, &services, codec, &image).end().exits(0).json();
    assert_eq!(number(&run, "/traffic/payload_bytes"), size as u64);
    (size as u64 + number(&run, "/traffic/retransmitted_bytes")) as f64 / size as f64
}

#[test]
fn loss_costs_little_more_than_it_must() {
    let _alone = alone();
    for loss in [0.05, 0.3] {
        // JSON acknowledges each packet for itself; one bitmap of TLV makes up for lost ones before it.
        let floors = [("json-base64", 1.0 / ((1.0 - loss) * (1.0 - loss))), ("acme-tlv", 1.0 / (1.0 - loss))];
        for (codec, floor) in floors {
            let cost = cost(codec, loss);
            println!(
                "{codec}: {loss} lost each way, sent {cost:.3} x the file, floor {floor:.3}, ratio {:.3}",
                cost / floor
            );
            assert!(cost >= 1.0 + loss / 2.0, "the loss did not strike: {cost}");
            assert!(cost <= floor * 1.2, "{codec} at {loss}: {cost:.3} is above 1.2 x {floor:.3}");
        }
    }
}

/// A push of 64 MiB with a fifth lost each way: the longest time in which it did not get on.
fn longest_stall(codec: &str, seed: usize) -> Duration {
    let world = World::new();
    let services = world.services();
    let _device = world.device(&services.mqtt, codec, "dev-1", &["--loss", "0.2", "--seed", &seed.to_string()]);
    let size = 64 * MIB;
    let (image, bytes) = world.file("fw.bin", size, 6);
    let mut run = push(&world, &services, codec, &image);
    let (mut most, mut grew, mut longest, mut samples) = (0, None, Duration::ZERO, 0);
    // Of a machine that stands still as a whole, the samples are missing too.
    let mut idle = 0;
    while run.runs() {
        if let Some((done, _)) = control::progress(&world.data()).filter(|(done, _)| *done > 0) {
            samples += 1;
            let now = Instant::now();
            let since = *grew.get_or_insert(now);
            idle += 1;
            if done > most {
                (most, grew, idle) = (done, Some(now), 0);
            }
            // What comes after the last byte is the other side's checking of the whole file.
            if done < size as u64 && idle >= 5 {
                longest = longest.max(now - since);
            }
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    run.end().exits(0);
    println!("{codec}: {samples} samples, longest time without progress (of half a second or more) {longest:?}");
    assert!(samples >= 5, "too fast to be looked at: {samples} samples");
    assert!(std::fs::read(world.path("device/fw.bin")).unwrap() == bytes);
    longest
}

/// Each stall is loss upon loss, or a machine that had no time for us. The first would come again with every seed; of the second
/// nothing is known here, so that there are three tries, each of them printed, and an ordinary run may pause for five times as long.
fn never_stalls(codec: &str) {
    let _alone = alone();
    let (tries, bound) = (3, Duration::from_secs(count(5, 1) as u64));
    let flows = (0..tries).any(|at| longest_stall(codec, 5 + at) < bound);
    assert!(flows, "stalled for {bound:?} or more, {tries} times of {tries}");
}

#[test]
fn a_fifth_lost_each_way_never_stalls_a_push_in_json() {
    never_stalls("json-base64");
}

#[test]
fn a_fifth_lost_each_way_never_stalls_a_push_in_tlv() {
    never_stalls("acme-tlv");
}

#[test]
fn everything_embedded_in_the_run_and_a_device_that_finds_the_port_in_services_json() {
    let world = World::new();
    let (image, bytes) = world.file("fw.bin", 300_000, 4);
    let image = format!("image={}", image.display());
    let mut run = world.embedded(&workflow("ota-push"), &["-i", "device=dev-1", "-i", &image]);
    let broker = world.embedded_broker(&mut run);
    let _device = world.device(&broker, "json-base64", "dev-1", &["--loss", "0.1"]);
    let run = run.end().exits(0).json();
    assert_eq!(run["status"], "succeeded");
    assert!(!world::id(&run).is_empty());
    assert!(std::fs::read(world.path("device/fw.bin")).unwrap() == bytes);
}
