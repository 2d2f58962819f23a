//! SIGKILL to the runner or the device, at random moments of pushes and pulls: the file is always whole afterwards, and little
//! is sent twice, as somebody who only listens on the wire counts it.

use packhorse_tests::child::Child;
use packhorse_tests::wire::{Way, Wire};
use packhorse_tests::world::{self, id};
use packhorse_tests::{Service, World, count, files};
use rand::{Rng as _, SeedableRng as _};
use std::path::PathBuf;
use std::time::Duration;

const SIZE: usize = 768 * 1024;
/// Packets in flight, as the workflows say.
const WINDOW: u64 = 16;
/// Packets after which progress is written down at the latest.
const BATCH: u64 = 256;

#[derive(Debug, Clone, Copy)]
enum Victim {
    Runner,
    Device,
}

/// One kill after another, each in a transfer of its own.
struct Kills {
    world: World,
    services: Service,
    codec: &'static str,
    way: Way,
    wire: Wire,
    device: Child,
    random: rand::rngs::SmallRng,
    struck: usize,
    most: u64,
}

impl Kills {
    fn new(codec: &'static str, way: Way, seed: u64) -> Self {
        let world = World::new();
        let services = world.services();
        let wire = Wire::listen(&services.broker, codec, "dev-1", way);
        std::fs::create_dir_all(world.path("device")).unwrap();
        let device = world.device(&services.mqtt, codec, "dev-1", &[]);
        let random = rand::rngs::SmallRng::seed_from_u64(seed);
        Self { world, services, codec, way, wire, device, random, struck: 0, most: 0 }
    }

    fn all(&mut self, victim: Victim, count: usize) {
        for round in 0..count {
            self.round(victim, round);
        }
        println!(
            "{} {:?} {victim:?}: {} of {count} kills struck in the middle, at most {} bytes sent again",
            self.codec, self.way, self.struck, self.most
        );
        assert!(self.struck * 2 >= count, "too few kills struck in the middle: {} of {count}", self.struck);
    }

    fn round(&mut self, victim: Victim, round: usize) {
        let bytes = files::bytes(SIZE, round as u64 + 40);
        let mut run = self.start(round, &bytes);
        let at = (SIZE as f64 * self.random.random_range(0.3..0.9)) as u64;
        let reached = self.world.until(&mut run, |run| world::done(run).filter(|done| *done >= at).map(|_| id(run)));
        // Between two checkpoints too.
        std::thread::sleep(Duration::from_millis(self.random.random_range(0..120)));
        let ended = match (victim, reached) {
            (_, None) => run.end(),
            (Victim::Runner, Some(name)) => {
                self.struck += usize::from(run.kill());
                self.world.resume(&self.services, &name).end()
            }
            (Victim::Device, Some(_)) => {
                self.struck += usize::from(run.runs());
                let reborn = self.world.device(&self.services.mqtt, self.codec, "dev-1", &[]);
                assert!(std::mem::replace(&mut self.device, reborn).kill(), "the device was running");
                run.end()
            }
        };
        let run = ended.exits(0).json();
        assert_eq!(run["status"], "succeeded", "{run:#}");
        self.arrived(&run, round, &bytes);
        let heard = self.wire.heard();
        let again = heard.bytes.checked_sub(SIZE as u64).expect("every byte went over the wire");
        let bound = (WINDOW + BATCH) * heard.piece;
        assert!(again <= bound, "{again} bytes were sent again after one kill at {at}, above {bound}");
        self.most = self.most.max(again);
    }

    fn start(&self, round: usize, bytes: &[u8]) -> Child {
        match self.way {
            Way::Push => {
                let path = self.world.path(&format!("fw-{round}.bin"));
                std::fs::write(&path, bytes).unwrap();
                let image = format!("image={}", path.display());
                self.world.run(&self.services, &self.workflow(), &["-i", &image, "--codec", self.codec])
            }
            Way::Pull => {
                std::fs::write(self.world.path(&format!("device/log-{round}")), bytes).unwrap();
                let log = format!("log=log-{round}");
                self.world.run(&self.services, &self.workflow(), &["-i", &log, "--codec", self.codec])
            }
        }
    }

    /// A little more than a second a transfer.
    fn workflow(&self) -> PathBuf {
        let text = match self.way {
            Way::Push => {
                "kind: workflow/v1\nname: slow-push\ninputs:\n  image: { type: file }\ncodec: json-base64\nsteps:\n  - id: push\n    uses: transfer.push\n    \
                 with: { device: dev-1, file: \"${{ inputs.image }}\", window: 16, rate: 1MiB/s }\n"
            }
            Way::Pull => {
                "kind: workflow/v1\nname: slow-pull\ninputs:\n  log: { type: string }\ncodec: json-base64\nsteps:\n  - id: pull\n    uses: transfer.pull\n    \
                 with: { device: dev-1, file_type: \"${{ inputs.log }}\", window: 16, rate: 1MiB/s }\n  - uses: fastdfs.download\n    \
                 with: { file: \"${{ steps.pull.outputs.file }}\", to: \"pulled-${{ inputs.log }}\" }\noutputs:\n  sha256: \"${{ steps.pull.outputs.sha256 }}\"\n"
            }
        };
        self.world.text("slow.yaml", text)
    }

    fn arrived(&self, run: &serde_json::Value, round: usize, bytes: &[u8]) {
        let path = match self.way {
            Way::Push => self.world.path(&format!("device/fw-{round}.bin")),
            Way::Pull => {
                assert_eq!(run["outputs"]["sha256"], files::sha256(bytes).as_str());
                self.world.path(&format!("pulled-log-{round}"))
            }
        };
        assert!(std::fs::read(&path).unwrap() == bytes, "{} differs", path.display());
    }
}

fn kills(way: Way, victim: Victim, seed: u64) {
    let all = count(4, 30);
    for (codec, share) in [("json-base64", all - all / 2), ("acme-tlv", all / 2)] {
        Kills::new(codec, way, seed).all(victim, share);
    }
}

#[test]
fn a_killed_runner_goes_on_with_its_push() {
    kills(Way::Push, Victim::Runner, 1);
}

#[test]
fn a_killed_device_goes_on_with_its_push() {
    kills(Way::Push, Victim::Device, 2);
}

#[test]
fn a_killed_runner_goes_on_with_its_pull() {
    kills(Way::Pull, Victim::Runner, 3);
}

#[test]
fn a_killed_device_goes_on_with_its_pull() {
    kills(Way::Pull, Victim::Device, 4);
}

#[test]
fn kills_while_the_runner_starts_leave_a_folder_that_opens() {
    let world = World::new();
    let services = world.services();
    let hello = world
        .text("hello.yaml", "kind: workflow/v1\nname: hello\nsteps:\n  - uses: log\n    with: { message: hello }\n");
    let mut random = rand::rngs::SmallRng::seed_from_u64(5);
    let mut struck = 0;
    for round in 0..count(20, 300) {
        if round % 2 == 0 {
            drop(std::fs::remove_dir_all(world.data()));
        }
        let run = world.run(&services, &hello, &[]);
        std::thread::sleep(Duration::from_micros(random.random_range(0..150_000)));
        struck += usize::from(run.kill());
        if round % 2 == 1 {
            world.run(&services, &hello, &[]).end().exits(0);
        }
    }
    println!("{struck} kills struck while it ran");
    assert!(struck > 0);
}
