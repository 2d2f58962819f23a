//! Plugins that fail with one device after another are quarantined; those that would keep a compiler busy are not taken.

#[path = "../../runner/tests/plugin/guest.rs"]
#[expect(dead_code, reason = "what else a guest can do is tested where the plugin host is")]
mod guest;

use guest::Guest;
use packhorse_tests::{Ended, Service, World, world};
use serde_json::{Value, json};
use std::fmt::Write as _;

struct Bench {
    world: World,
    services: Service,
    image: String,
}

impl Bench {
    fn new() -> Self {
        let world = World::new();
        let services = world.services();
        let (image, _) = world.file("fw.bin", 5_000, 1);
        std::fs::create_dir_all(world.path("plugins")).unwrap();
        Self { image: format!("image={}", image.display()), world, services }
    }

    fn put(&self, guest: Guest) {
        let name = guest.name.clone();
        let component = packhorse::plugin::kit::encode(&name, &guest.module()).unwrap();
        std::fs::write(self.world.path("plugins").join(format!("{name}.wasm")), component).unwrap();
    }

    fn push(&self, codec: &str, device: &str) -> Ended {
        let body = "kind: workflow/v1\nname: push\ninputs:\n  device: { type: string }\n  image: { type: file }\ntimeout: 30s\nsteps:\n  - id: push\n    uses: transfer.push\n    with: { device: \"${{ inputs.device }}\", file: \"${{ inputs.image }}\" }\n";
        let push = self.world.text("push.yaml", &format!("codec: {codec}\n{body}"));
        let inputs = ["-i", &format!("device={device}"), "-i", &self.image];
        self.world.run(&self.services, &push, &inputs).end()
    }
}

fn code(run: &Value) -> &str {
    run["error"]["code"].as_str().unwrap_or_default()
}

#[test]
fn traps_with_three_devices_quarantine_a_codec_until_it_is_released_or_another() {
    let bench = Bench::new();
    let traps = || Guest { encode: "(unreachable)".to_owned(), ..Guest::named("brittle") };
    bench.put(traps());
    for device in ["dev-1", "dev-2", "dev-1", "dev-3"] {
        let run = bench.push("brittle", device).exits(1).json();
        assert_eq!(code(&run), "PH6001", "{device}: {run:#}");
    }
    let paused = bench.push("brittle", "dev-4").exits(6).json();
    assert_eq!((code(&paused), &paused["error"]["class"]), ("PH6007", &json!("operator")), "{paused:#}");
    let words = paused["error"]["message"].as_str().unwrap();
    assert!(["brittle 0.1.0", "dev-1", "dev-2", "dev-3"].iter().all(|word| words.contains(word)), "{words}");
    let (id, data) = (world::id(&paused), bench.world.data().display().to_string());
    bench.world.ask(&["explain", &id, "--data", &data]).exits(0).says(&["PH6007", "quarantined", "plugin release"]);
    bench.world.ask(&["explain", "PH6007"]).exits(0).says(&["quarantined"]);

    // Other bytes under the same name are another plugin; what they do here is their own.
    bench.put(Guest { version: "0.2.0".to_owned(), ..traps() });
    assert_eq!(code(&bench.push("brittle", "dev-5").exits(1).json()), "PH6001");

    // The run that is paused is pinned to the bytes of before.
    let digest = paused["error"]["hint"].as_str().unwrap().split('`').nth(1).unwrap().to_owned();
    let digest = digest.strip_prefix("packhorse plugin release ").unwrap();
    let resume = || bench.world.resume(&bench.services, &id).end();
    assert_eq!(code(&resume().exits(6).json()), "PH6007");
    bench.world.ask(&["plugin", "release", "brittle", "--data", &data]).exits(0).says(&["was not in quarantine"]);
    bench.world.ask(&["plugin", "release", digest, "--data", &data]).exits(0).says(&["brittle 0.1.0 is free again"]);
    assert_eq!(code(&resume().exits(1).json()), "PH6001", "it is tried again");
}

/// A function in whose loop a thousand values live through a hundred thousand branches.
fn tangle(locals: usize, branches: usize) -> String {
    let mut text = format!("(func $tangle (param i64) (result i64) (local{})", " i64".repeat(locals));
    text.push_str(" (loop");
    for branch in 0..branches {
        let (a, b, c) = (branch % locals + 1, branch * 7 % locals + 1, branch * 13 % locals + 1);
        let sum = format_args!("(i64.add (local.get {c}) (local.get {a}))");
        write!(text, "(if (i64.eqz (local.get {a})) (then (local.set {b} {sum})))").unwrap();
    }
    text.push_str(" (br_if 0 (i64.eqz (local.get 1)))) (local.get 2))");
    text
}

#[test]
fn what_keeps_the_compiler_busy_is_not_taken_and_nothing_else_is_disturbed() {
    let bench = Bench::new();
    bench.put(Guest { fields: tangle(1000, 90_000), ..Guest::named("tangled") });
    let (cache, plugins) = (bench.world.path("cache"), bench.world.path("plugins").display().to_string());
    let inspect = |name: &str| {
        let mut command = bench.world.command(&["plugin", "inspect", name, "--plugins", &plugins]);
        command.env("XDG_CACHE_HOME", &cache);
        packhorse_tests::Child::start(command, "packhorse plugin inspect").end()
    };
    inspect("tangled").exits(2).says(&["plugin tangled is not taken", "compiling it takes more than"]);
    bench.put(Guest::named("honest"));
    inspect("honest").exits(0).says(&["name: honest"]);
    let kept = || std::fs::read_dir(cache.join("packhorse")).unwrap().count();
    assert_eq!(kept(), 2, "the key, and the code of the one that was taken");
}
