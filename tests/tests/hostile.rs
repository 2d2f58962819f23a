//! Devices and clients that are silent, lie or shout, files that change, and codecs that trap: every run ends with a reason, and
//! a push that can be completed is.

#[path = "../../runner/tests/plugin/guest.rs"]
#[expect(dead_code, reason = "what else a guest can do is tested where the plugin host is")]
mod guest;

use guest::Guest;
use packhorse_tests::client::Stranger;
use packhorse_tests::world::{self, id, number, workflow};
use packhorse_tests::{Child, World, files};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

const PULL: &str = "kind: workflow/v1\nname: pull\ncodec: json-base64\ntimeout: 60s\nsteps:\n  - id: pull\n    uses: transfer.pull\n    \
    with: { device: dev-1, file_type: syslog }\n    retry: { max_attempts: 1 }\n";
const PUSH: &str = "kind: workflow/v1\nname: push\ninputs:\n  image: { type: file }\n  rate: { type: rate, default: 1MiB/s }\ncodec: json-base64\nsteps:\n  \
    - id: push\n    uses: transfer.push\n    with: { device: dev-1, file: \"${{ inputs.image }}\", window: 16, rate: \"${{ inputs.rate }}\" }\n";

#[test]
fn a_device_that_never_answers_is_waited_for_then_given_up_with_a_reason() {
    let world = World::new();
    let services = world.services();
    let (image, _) = world.file("fw.bin", 5_000, 1);
    // Offline after 30 s of silence: from then on the clock of `timeout` stands still, that of `deadline` goes on.
    let text =
        PUSH.replace("    uses: transfer.push\n", "    uses: transfer.push\n    timeout: 33s\n    deadline: 36s\n");
    let silent = world.text("silent.yaml", &text);
    let mut run = world.run(&services, &silent, &["-i", &format!("image={}", image.display())]);
    let reason = "/unfinished/reason";
    let waiting = world.until(&mut run, |run| (run.pointer(reason)? == "device_offline").then(|| id(run)));
    let name = waiting.expect("the run waits for the device");
    let data = world.data().display().to_string();
    world.ask(&["explain", &name, "--data", &data]).exits(0).says(&["device offline", "dev-1", "never heard so far"]);
    world.ask(&["explain", "dev-1", "--data", &data]).exits(0).says(&[&name]);
    let ended = run.end();
    assert!(matches!(ended.code, Some(1 | 5)), "{:?}\n{}\n{}", ended.code, ended.out, ended.err);
    let run = ended.json();
    assert!(matches!(run["status"].as_str(), Some("failed" | "timed_out")), "{run:#}");
    let words = run["error"]["message"].as_str().unwrap();
    assert!(words.contains("push") || words.contains("dev-1"), "{run:#}");
    assert_eq!(run["steps"][0]["attempts"], 1, "a device that is offline burns no attempt: {run:#}");
    assert_eq!(run["error"]["code"], "PH4003", "the deadline ended it, not the timeout: {run:#}");
}

#[test]
fn an_image_that_changes_while_the_run_is_parked_fails_it_for_good() {
    let world = World::new();
    let services = world.services();
    let _device = world.device(&services.mqtt, "json-base64", "dev-1", &[]);
    let (image, _) = world.file("fw.bin", 400_000, 1);
    let push = world.text("push.yaml", PUSH);
    let mut run = world.run(&services, &push, &["-i", &format!("image={}", image.display()), "-i", "rate=100KiB/s"]);
    let name = world.until(&mut run, |run| world::done(run).filter(|done| *done > 20_000).map(|_| id(run))).unwrap();
    run.signal(Signal::INT);
    run.end().exits(130);
    world.file("fw.bin", 400_000, 2);
    let run = world.resume(&services, &name).end().exits(1).json();
    assert_eq!((&run["error"]["code"], &run["error"]["class"]), (&json!("PH4107"), &json!("permanent")), "{run:#}");
    assert!(run["error"]["message"].as_str().unwrap().contains("another file"), "{run:#}");
    assert!(
        number(&run, "/traffic/payload_bytes") > 20_000,
        "what was sent before the change is not forgotten: {run:#}"
    );
    assert!(!world.path("device/fw.bin").exists(), "a mixture of two files must never be stored");
}

/// What a hostile client says at the topics of a device, from plain noise to nearly right.
fn garbage(round: usize, md5: &str, size: u64) -> Vec<u8> {
    let data = |offset: u64, length: u64, more: Value| {
        let mut value = json!({ "fileMd5": md5, "fileName": "fw.bin", "fileSize": size, "packOffset": offset, "packSize": length, "packData": "AAAA" });
        value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        value.to_string().into_bytes()
    };
    let other = "00000000000000000000000000000000";
    match round % 10 {
        0 => files::bytes(1 + round * 7 % 900, round as u64),
        1 => Vec::new(),
        2 => json!({ "fileMd5": other, "packSize": 100, "packOffset": 0 }).to_string().into_bytes(),
        3 => json!({ "fileMd5": md5, "packSize": 640, "packOffset": u64::MAX - 5 }).to_string().into_bytes(),
        4 => json!({ "fileMd5": md5, "packSize": 640, "packOffset": size }).to_string().into_bytes(),
        5 => format!("{{\"fileMd5\":\"{md5}\",\"packOffset\":-1,\"packSize\":1e99").into_bytes(),
        6 => data(size + 1_000_000, 3, json!({})),
        7 => data(3, 3, json!({ "packMd5": other })),
        8 => data(0, 900, json!({})),
        _ => "[".repeat(900).into_bytes(),
    }
}

#[test]
fn garbage_at_a_devices_topics_is_counted_and_the_push_completes() {
    let world = World::new();
    let services = world.services();
    let device = world.device(&services.mqtt, "json-base64", "dev-1", &[]);
    let (image, bytes) = world.file("fw.bin", 600_000, 1);
    let push = world.text("push.yaml", PUSH);
    let mut run = world.run(&services, &push, &["-i", &format!("image={}", image.display()), "-i", "rate=600KiB/s"]);
    let stranger = Stranger::connect(&services.broker, &[]);
    world.until(&mut run, |run| world::done(run).filter(|done| *done > 0)).expect("the push is slow enough");
    let md5 = files::md5(&bytes);
    let mut counted = None;
    for round in 0..400 {
        let topic = if round % 3 == 0 { "packhorse/dev-1/down" } else { "packhorse/dev-1/up" };
        stranger.say(topic, garbage(round, &md5, bytes.len() as u64));
        if round % 20 == 19 && run.runs() {
            let rejected =
                |run: &Value| run.pointer("/transfer/unreadable").and_then(Value::as_u64).filter(|count| *count > 0);
            counted = packhorse_tests::control::newest(&world.data()).as_ref().and_then(rejected).or(counted);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    let run = run.end().exits(0).json();
    assert_eq!(run["status"], "succeeded", "{run:#}");
    assert!(std::fs::read(world.path("device/fw.bin")).unwrap() == bytes);
    assert_eq!(number(&run, "/traffic/payload_bytes"), bytes.len() as u64);
    println!("{counted:?} messages could not be read");
    assert!(counted.is_some(), "what was rejected is told while the push runs");
    drop(device);
}

#[test]
fn garbage_at_a_binary_devices_topics_changes_nothing() {
    let world = World::new();
    let services = world.services();
    let _device = world.device(&services.mqtt, "acme-tlv", "dev-1", &[]);
    let (image, bytes) = world.file("fw.bin", 600_000, 1);
    let push = world.text("push.yaml", PUSH);
    let input = format!("image={}", image.display());
    let mut run = world.run(&services, &push, &["-i", &input, "-i", "rate=600KiB/s", "--codec", "acme-tlv"]);
    let stranger = Stranger::connect(&services.broker, &["acme/dev-1/+"]);
    world.until(&mut run, |run| world::done(run).filter(|done| *done > 0)).expect("the push is slow enough");
    for round in 0..400_usize {
        // Real frames with a byte changed, cut short or drawn out, and noise.
        let (topic, mut frame) =
            stranger.hear(Duration::from_secs(1)).unwrap_or(("acme/dev-1/tx".to_owned(), vec![0x83; 40]));
        match round % 4 {
            0 => frame = files::bytes(round * 3 % 1024, round as u64),
            1 => frame.truncate(round % frame.len().max(1)),
            2 => frame.extend([0; 9]),
            _ => {
                let at = round % frame.len().max(1);
                frame.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 0x10);
            }
        }
        stranger.say(&topic, frame);
    }
    let run = run.end().exits(0).json();
    assert_eq!(run["status"], "succeeded", "{run:#}");
    assert!(std::fs::read(world.path("device/fw.bin")).unwrap() == bytes);
}

/// A device that answers pull requests for `truth`, and changes each answer as `lie` likes.
fn lying(world: &World, lie: impl Fn(&mut Value) + Send + 'static) -> (Child, impl FnOnce()) {
    let pull = world.text("pull.yaml", PULL);
    let mut run = world.embedded(&pull, &[]);
    let broker = world.embedded_broker(&mut run);
    let device = Stranger::connect(&broker, &["packhorse/dev-1/down"]);
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let truth = files::bytes(20_000, 8);
    let thread = std::thread::spawn(move || {
        while stopped.try_recv().is_err() {
            let Some((_, asked)) = device.hear(Duration::from_millis(50)) else { continue };
            let Ok(asked) = serde_json::from_slice::<Value>(&asked) else { continue };
            let (Some(offset), Some(size)) = (asked["packOffset"].as_u64(), asked["packSize"].as_u64()) else {
                continue;
            };
            let piece: Vec<u8> = truth.iter().skip(offset as usize).take(size as usize).copied().collect();
            let mut answer = json!({
                "fileMd5": files::md5(&truth), "fileName": "syslog", "fileType": "syslog", "fileSize": truth.len(),
                "packOffset": offset, "packSize": piece.len(), "packData": base64(&piece),
            });
            lie(&mut answer);
            device.say("packhorse/dev-1/up", answer.to_string());
        }
    });
    (run, move || {
        stop.send(()).ok();
        drop(thread.join());
    })
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let word = three.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let letter = LETTERS[(word >> (18 - 6 * place) & 63) as usize] as char;
            text.push(if place <= three.len() { letter } else { '=' });
        }
    }
    text
}

/// Files of a folder and all below it.
fn all_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).map(|entries| entries.flatten().map(|entry| entry.path()).collect());
    let entries: Vec<PathBuf> = entries.unwrap_or_default();
    entries.into_iter().flat_map(|path| if path.is_dir() { all_files(&path) } else { vec![path] }).collect()
}

/// Whether the file store of the run holds anything of the size of the pulled file.
fn published(world: &World) -> bool {
    all_files(&world.data().join("fastdfs")).iter().any(|path| path.metadata().is_ok_and(|about| about.len() >= 15_000))
}

#[test]
fn an_honest_stranger_is_pulled_from() {
    let world = World::new();
    let (run, stop) = lying(&world, |_| {});
    let run = run.end().exits(0).json();
    stop();
    assert_eq!(run["steps"][0]["outputs"]["md5"], files::md5(&files::bytes(20_000, 8)).as_str());
    assert!(published(&world), "the test can see what was published");
}

#[test]
fn a_pulled_file_with_another_digest_is_quarantined_and_not_published() {
    let world = World::new();
    let (run, stop) = lying(&world, |answer| answer["fileMd5"] = json!("0123456789abcdef0123456789abcdef"));
    let run = run.end().exits(1).json();
    stop();
    assert_eq!(run["error"]["code"], "PH5009", "{run:#}");
    let kept = all_files(&world.data().join("quarantine"));
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert!(std::fs::read(&kept[0]).unwrap() == files::bytes(20_000, 8), "for a person to look at");
    assert!(run["error"]["message"].as_str().unwrap().contains("quarantine"), "{run:#}");
    assert!(!published(&world), "nothing bad is ever published");
}

/// A pull from a liar ends with a typed failure and publishes nothing.
fn fails(lie: impl Fn(&mut Value) + Send + 'static, codes: &[&str]) {
    let world = World::new();
    let (run, stop) = lying(&world, lie);
    let ended = run.end();
    stop();
    assert!(matches!(ended.code, Some(1 | 5)), "{:?}\n{}\n{}", ended.code, ended.out, ended.err);
    let run = ended.json();
    println!("{}", run["error"]);
    let code = run["error"]["code"].as_str().unwrap();
    assert!(codes.contains(&code), "{run:#}");
    assert!(!published(&world), "nothing bad is ever published");
}

#[test]
fn a_size_that_changes_in_the_middle_is_a_typed_failure() {
    let flip = std::sync::atomic::AtomicU64::new(20_000);
    fails(
        move |answer| answer["fileSize"] = json!(flip.fetch_add(1, std::sync::atomic::Ordering::Relaxed)),
        &["PH5006", "PH5012", "PH5013"],
    );
}

#[test]
fn a_size_beyond_all_measure_is_a_typed_failure() {
    fails(|answer| answer["fileSize"] = json!(u64::MAX - 1), &["PH5006", "PH5008"]);
}

#[test]
fn bytes_beyond_the_end_are_a_typed_failure() {
    fails(|answer| answer["fileSize"] = json!(100), &["PH5006", "PH5013"]);
}

#[test]
fn pieces_that_are_not_as_long_as_they_say_never_become_a_file() {
    fails(
        |answer| answer["packSize"] = json!(answer["packSize"].as_u64().unwrap() + 7),
        &["PH5006", "PH5013", "PH5009"],
    );
}

/// A codec that says its last words and traps.
fn trapping(world: &World, name: &str, encode: bool) {
    const WORDS: &[u8] = b"the vendor's table is empty";
    let body = format!("(call $panicked (i32.const 4096) (i32.const {})) (unreachable)", WORDS.len());
    let mut guest = Guest::named(name).lay(4096, WORDS);
    if encode {
        guest.encode = body
    } else {
        guest.decode = body
    }
    let component = packhorse::plugin::kit::encode(name, &guest.module()).unwrap();
    std::fs::create_dir_all(world.path("plugins")).unwrap();
    std::fs::write(world.path("plugins").join(format!("{name}.wasm")), component).unwrap();
}

fn trap_fails(name: &str, encode: bool) {
    let world = World::new();
    trapping(&world, name, encode);
    let (image, _) = world.file("fw.bin", 5_000, 1);
    let text = PUSH.replace(" window: 16,", "");
    let push = world.text("push.yaml", &format!("{text}    retry: {{ max_attempts: 1 }}\ntimeout: 30s\n"));
    let mut run = world.embedded(&push, &["-i", &format!("image={}", image.display()), "--codec", name]);
    if !encode {
        let broker = world.embedded_broker(&mut run);
        let stranger = Stranger::connect(&broker, &[]);
        while run.runs() {
            stranger.say("h/dev-1/up", "hello");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    let ended = run.end().exits(1).says(&[name, "the vendor's table is empty"]);
    let run = ended.json();
    assert_eq!(run["error"]["code"], "PH6001", "{run:#}");
    let words = run["error"]["message"].as_str().unwrap();
    assert!(words.contains(name) && words.contains("the vendor's table is empty"), "{run:#}");
    let data = world.data().display().to_string();
    assert_eq!(world.json(0, &["show", &id(&run), "--data", &data])["status"], "failed", "the store is well");
}

#[test]
fn a_codec_that_traps_on_messages_fails_the_run_by_name_and_with_its_words() {
    trap_fails("trap-decode", false);
}

#[test]
fn a_codec_that_traps_on_commands_fails_the_run_by_name_and_with_its_words() {
    trap_fails("trap-encode", true);
}

#[test]
fn two_hostile_neighbours_do_not_touch_a_push_to_another_device() {
    let world = World::new();
    let services = world.services();
    let _device = world.device(&services.mqtt, "json-base64", "dev-2", &[]);
    let (image, bytes) = world.file("fw.bin", 200_000, 1);
    let stranger = Stranger::connect(&services.broker, &[]);
    let input = format!("image={}", image.display());
    let run = world.run(&services, &workflow("ota-push"), &["-i", "device=dev-2", "-i", &input]);
    for round in 0..300 {
        stranger.say("packhorse/dev-1/up", garbage(round, &files::md5(&bytes), bytes.len() as u64));
    }
    run.end().exits(0);
    assert!(std::fs::read(world.path("device/fw.bin")).unwrap() == bytes);
}
