//! The vendor's way, with the program alone: a codec begun, tested and timed, in Rust and in C, and what a panic in it says.

use packhorse_tests::world::workflow;
use packhorse_tests::{Child, World};
use serde_json::Value;
use sha2::Digest as _;
use std::path::Path;

/// Begins a codec in a folder where nothing else is, and gives the report of its test.
fn begun(world: &World, name: &str, language: &str) -> Value {
    let plugins = world.path("plugins").display().to_string();
    world.ask(&["plugin", "new", name, "--lang", language, "--plugins", &plugins]).exits(0);
    tested(world, name, 0)
}

fn tested(world: &World, name: &str, exit: i32) -> Value {
    let plugins = world.path("plugins").display().to_string();
    let arguments = ["plugin", "test", name, "--plugins", &plugins, "--json", "--random", "2000"];
    // The log repeats a guest's last words, which are taken for the program's own otherwise.
    let mut command = world.command(&arguments);
    command.env("PACKHORSE_LOG", "off");
    Child::start(command, &arguments.join(" ")).end().exits(exit).json()
}

fn check<'a>(report: &'a Value, name: &str) -> &'a Value {
    let checks = report["items"][0]["checks"].as_array().expect("checks are a list");
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no check {name:?} in {report:#}"))
}

/// Two commands: `plugin new` and `plugin test`.
fn passes_everything(language: &str) {
    let world = World::new();
    let report = begun(&world, "bolt", language);
    assert_eq!(report["passed"], true, "{report:#}");
    for name in [
        "vectors/sessions.yaml",
        "round trip, platform-push",
        "round trip, platform-pull",
        "same twice",
        "random packets, platform",
        "damaged packets, device",
        "push over a lossy link",
        "pull over a lossy link",
    ] {
        assert_eq!(check(&report, name)["status"], "passed", "{name} in {report:#}");
    }
}

#[test]
fn a_new_codec_in_rust_passes_everything() {
    passes_everything("rust");
}

#[test]
fn a_new_codec_in_c_passes_everything() {
    passes_everything("c");
}

#[test]
fn a_c_codec_without_its_device_has_none() {
    let world = World::new();
    begun(&world, "bolt", "c");
    std::fs::remove_file(world.path("plugins/bolt/device.c")).expect("it was there");
    keep_cases_of_the_platform(&world.path("plugins/bolt/vectors/sessions.yaml"));
    // A folder is built anew where a file of it is younger than what was built.
    touch(&world.path("plugins/bolt/codec.c"), "", "");
    let report = tested(&world, "bolt", 0);
    assert_eq!(check(&report, "push over a lossy link")["status"], "skipped", "{report:#}");
    let plugins = world.path("plugins").display().to_string();
    let seen = world.json(0, &["plugin", "inspect", "bolt", "--plugins", &plugins]);
    assert_eq!(seen["world"], "codec");
    assert_eq!(seen["imports"], serde_json::json!(["packhorse:codec/diagnostics@1.0.0"]), "the panic's last words");
}

fn keep_cases_of_the_platform(path: &Path) {
    let text = std::fs::read_to_string(path).expect("it can be read");
    let cut = text.find("  - name: the device takes").expect("the device's cases are the last ones");
    std::fs::write(path, &text[..cut]).expect("it can be written");
}

/// Puts text behind a place of a file, which makes it younger than anything built before.
fn touch(path: &Path, place: &str, text: &str) {
    let source = std::fs::read_to_string(path).expect("it can be read");
    assert!(source.contains(place), "{place:?} is not in {}", path.display());
    std::fs::write(path, source.replacen(place, &format!("{place}{text}"), 1)).expect("it can be written");
    let file = std::fs::File::options().append(true).open(path).expect("it is there");
    file.set_modified(std::time::SystemTime::now() + std::time::Duration::from_secs(2)).expect("it is ours");
}

/// A vendor reads what the panic said and where, in the report of the test.
fn a_panic_is_told(language: &str, file: &str, place: &str, panic: &str, words: &str) {
    let world = World::new();
    begun(&world, "bolt", language);
    let path = world.path("plugins/bolt").join(file);
    touch(&path, place, panic);
    let source = std::fs::read_to_string(&path).expect("it can be read");
    let line = 1 + source.lines().position(|line| line.contains(panic.trim())).expect("it was put in");
    let report = tested(&world, "bolt", 1);
    let detail = check(&report, "vectors/sessions.yaml")["detail"].as_str().expect("words").to_owned();
    for expected in ["bolt 0.1.0", "its last words", words, &format!("{file}:{line}")] {
        assert!(detail.contains(expected), "no {expected:?} in: {detail}");
    }
}

#[test]
fn a_panic_in_rust_reaches_the_vendor_with_its_line() {
    let place = "fn decode(&mut self, message: Incoming, out: &mut DecodeOut<Event>) -> Result<(), Fault> {\n";
    let panic = "        assert!(message.payload.is_empty(), \"boom at {}\", 6 * 7);\n";
    a_panic_is_told("rust", "src/platform.rs", place, panic, "boom at 42");
}

#[test]
fn a_panic_in_c_reaches_the_vendor_with_its_line() {
    let place = "ph_result platform_decode(const ph_incoming_t *message, ph_out *out) {\n";
    a_panic_is_told("c", "codec.c", place, "  if (message->payload.len) ph_panic(\"boom in C\");\n", "boom in C");
}

#[test]
fn what_a_compiler_says_reaches_the_vendor() {
    let world = World::new();
    begun(&world, "bolt", "c");
    touch(&world.path("plugins/bolt/codec.c"), "#include \"frame.h\"\n", "int broken(\n");
    let plugins = world.path("plugins").display().to_string();
    world
        .ask(&["plugin", "build", &format!("{plugins}/bolt"), "--plugins", &plugins])
        .exits(1)
        .says(&["codec.c:", "error:"]);
}

#[test]
fn a_codec_is_timed_beside_the_same_code_natively() {
    let world = World::new();
    begun(&world, "bolt", "rust");
    let plugins = world.path("plugins").display().to_string();
    let report = world.json(0, &["plugin", "bench", "bolt", "--plugins", &plugins]);
    assert_eq!(report["no_native"], Value::Null, "{report:#}");
    let rows = report["rows"].as_array().expect("rows are a list");
    assert_eq!(rows.len(), 4, "{report:#}");
    for row in rows {
        for figure in [&row["component"]["single_ns"], &row["native"]["batch_ns"]] {
            assert!(figure.as_f64().is_some_and(|ns| ns > 0.0), "{row:#}");
        }
    }
}

#[test]
fn a_name_that_is_taken_or_bad_is_refused_and_nothing_is_written() {
    let world = World::new();
    let plugins = world.path("plugins").display().to_string();
    let new = |name: &str| world.ask(&["plugin", "new", name, "--lang", "c", "--plugins", &plugins]);
    new("bolt").exits(0);
    new("bolt").exits(2).says(&["plugins/bolt", "it is there already"]);
    new("Bolt").exits(2).says(&["1 to 64 of a-z"]);
    assert_eq!(std::fs::read_dir(world.path("plugins")).expect("it is there").count(), 1);
}

/// A codec of this repository, built and tested as a vendor's would be.
fn of_the_repository(name: &str, more: &[&str]) -> Value {
    let world = World::new();
    let plugins = world.path("plugins").display().to_string();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins").join(name);
    world.ask(&["plugin", "build", &source.display().to_string(), "--plugins", &plugins]).exits(0);
    let vectors = source.join("vectors").display().to_string();
    let arguments = ["plugin", "test", name, "--plugins", &plugins, "--vectors", &vectors, "--random", "2000"];
    world.json(0, &[&arguments[..], more].concat())
}

#[test]
fn a_required_variable_is_taken_from_the_vectors() {
    let report = of_the_repository("aliyun-mqtt-file", &[]);
    assert_eq!(report["items"][0]["vars"][0][0], "product_key", "{report:#}");
    // The device tells a CRC-64, and the host computes one of what arrived.
    let pull = check(&report, "pull over a lossy link");
    assert!(pull["detail"].as_str().expect("words").ends_with("device_digest"), "{pull:#}");
    let given = of_the_repository("aliyun-mqtt-file", &["--var", "product_key=k1"]);
    assert_eq!(given["items"][0]["vars"], serde_json::json!([["product_key", "k1"]]));
}

#[test]
fn digests_of_every_kind_reach_devices() {
    for checksum in ["CRC32", "MURMUR3_32", "MURMUR3_128", "SHA512"] {
        let report = of_the_repository("thingsboard", &["--var", &format!("checksum={checksum}")]);
        assert_eq!(check(&report, "push over a lossy link")["status"], "passed", "{checksum} in {report:#}");
    }
}

/// Tap, capture and replay of one real push.
#[test]
fn a_conversation_is_heard_kept_and_understood_again() {
    let world = World::new();
    let services = world.services();
    let capture = world.path("talk.jsonl").display().to_string();
    let listen = ["--codec", "json-base64", "--mqtt", &services.mqtt];
    let mut keeping = world.start(&[&["plugin", "capture", "dev-1", "--to", &capture][..], &listen].concat());
    let mut tapping = world.start(&[&["plugin", "tap", "dev-1", "-o", "json"][..], &listen].concat());
    for listening in [&mut keeping, &mut tapping] {
        await_listening(listening);
    }
    let _device = world.device(&services.mqtt, "json-base64", "dev-1", &["--loss", "0.1"]);
    let (image, _) = world.file("image.bin", 20_000, 3);
    let image = format!("image={}", image.display());
    let more = ["--codec", "json-base64", "-i", "device=dev-1", "-i", &image];
    world.run(&services, &workflow("ota-push"), &more).end().exits(0);
    let pieces = |text: &str| {
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines
            .flat_map(|line| line["words"].as_array().cloned().unwrap_or_default())
            .filter(|word| !word["chunk"].is_null())
            .count()
    };
    keeping.signal(rustix::process::Signal::INT);
    keeping.end().exits(0).says(&["messages"]);
    tapping.signal(rustix::process::Signal::INT);
    assert!(pieces(&tapping.end().out) >= 20, "every piece was heard");
    let kept = std::fs::read_to_string(&capture).expect("it was written");
    assert!(pieces(&kept) >= 20 && kept.contains("\"ack"), "both ends were understood:\n{kept}");
    let vectors = world.path("heard.yaml").display().to_string();
    let replayed = world.json(0, &["plugin", "replay", &capture, "--as-vectors", &vectors]);
    assert_eq!(replayed["differences"], serde_json::json!([]));
    assert!(replayed["messages"].as_u64().is_some_and(|count| count >= 40), "{replayed:#}");
    // What was heard is a file of vectors that the codec meets.
    let folder = world.text("vectors/heard.yaml", &std::fs::read_to_string(&vectors).expect("it was written"));
    let folder = folder.parent().expect("it has a folder").display().to_string();
    world.ask(&["plugin", "test", "json-base64", "--vectors", &folder, "--random", "500"]).exits(0);
    // Another codec understands nothing of it.
    let other = world.json(1, &["plugin", "replay", &capture, "--codec", "acme-tlv"]);
    assert!(other["differences"].as_array().is_some_and(|all| !all.is_empty()), "{other:#}");
}

fn await_listening(child: &mut Child) {
    let begun = std::time::Instant::now();
    while !child.err().contains("listening to dev-1") {
        assert!(child.runs() && begun.elapsed() < packhorse_tests::child::PATIENCE, "{}", child.err());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn what_is_no_capture_is_refused_with_its_line() {
    let world = World::new();
    let head = r#"{"capture":1,"codec":"acme-tlv","version":"1.0.0","digest":"","device":"d","vars":[]}"#;
    for (text, words) in [
        (String::new(), "it is empty"),
        ("hello\n".to_owned(), "it is no capture"),
        (head.replace(":1,", ":2,") + "\n", "version 2; this program reads version 1"),
        (format!("{head}\n{{\"ms\":1}}\n"), "line 2: missing field"),
        (
            format!("{head}\n{{\"ms\":1,\"flow\":\"to_device\",\"message\":{{\"route\":0}}}}\n"),
            "message 1: a message has either text or hex",
        ),
    ] {
        let path = world.text("bad.jsonl", &text).display().to_string();
        world.ask(&["plugin", "replay", &path]).exits(2).says(&["bad.jsonl", words]);
    }
}

/// The contract's words, without comments, indentation and empty lines: those may become better.
fn words(wit: &str) -> String {
    let lines = wit.lines().map(|line| line.split("//").next().unwrap_or_default().trim());
    lines.filter(|line| !line.is_empty()).map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_released_contract_stays_as_it_is() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk/wit");
    let read =
        |path: &Path| std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let wit = read(&folder.join("codec.wit"));
    let version = wit.lines().find_map(|line| line.strip_prefix("package packhorse:codec@")?.strip_suffix(';'));
    let version = version.expect("the contract has a version");
    assert_eq!(version, packhorse::plugin::CONTRACT_VERSION, "the host reads the version that is written");
    let kept = read(&folder.join(format!("released/{version}.wit")));
    assert_eq!(words(&wit), words(&kept), "the adapter is made of the released words, the SDKs of codec.wit");
    let files = std::fs::read_dir(folder.join("released")).expect("the folder is there");
    let files = files.map(|file| file.expect("it can be listed").path());
    for path in files.filter(|path| path.extension().is_some_and(|extension| extension == "wit")) {
        let found = packhorse_core::hex::encode(&sha2::Sha256::digest(words(&read(&path))));
        let digest = read(&path.with_extension("sha256"));
        let why = "plugins speak it already: an addition is a new version, with an adapter of its own in the host";
        assert_eq!(found, digest.trim(), "{}: {why}", path.display());
    }
}
