//! `packhorse explain` beside real runs: what waits, what was rejected, what was paused, parked or ended, and what to do.

use packhorse_tests::child::Child;
use packhorse_tests::client::Stranger;
use packhorse_tests::world::{self, id, workflow};
use packhorse_tests::{Service, World};
use rustix::process::Signal;
use serde_json::Value;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const MIB: usize = 1 << 20;

/// One push of 1 MiB in four seconds or more.
const SLOW: &str = "kind: workflow/v1\nname: slow\ninputs:\n  device: { type: string, default: dev-1 }\n  image: { type: file }\n\
    codec: json-base64\nsteps:\n  - id: push\n    uses: transfer.push\n    \
    with: { device: \"${{ inputs.device }}\", file: \"${{ inputs.image }}\", window: 16, rate: 256KiB/s }\n";

struct Scene {
    world: World,
    services: Service,
}

impl Scene {
    fn new() -> Self {
        let world = World::new();
        let services = world.services();
        Self { world, services }
    }

    fn device(&self) -> Child {
        self.world.device(&self.services.mqtt, "json-base64", "dev-1", &[])
    }

    /// A slow push to `dev-1`.
    fn slow(&self) -> Child {
        let (image, _) = self.world.file("fw.bin", MIB, 1);
        let image = format!("image={}", image.display());
        self.world.run(&self.services, &self.world.text("slow.yaml", SLOW), &["-i", &image])
    }

    /// A slow push that has come some way; its id.
    fn under_way(&self) -> (Child, String) {
        let mut run = self.slow();
        let name = self.world.until(&mut run, |run| world::done(run).filter(|done| *done > 100_000).map(|_| id(run)));
        (run, name.expect("a push of four seconds is seen under way"))
    }

    fn run(&self, text: &str) -> Child {
        self.world.run(&self.services, &self.world.text("w.yaml", text), &[])
    }

    fn explain(&self, subject: &str) -> Value {
        let data = self.world.data().display().to_string();
        self.world.json(0, &["explain", subject, "--data", &data])
    }

    /// Explains the newest run again and again until `wanted` is said of it.
    #[track_caller]
    fn until(&self, run: &mut Child, wanted: &str) -> (String, Value) {
        let started = Instant::now();
        let name = self.world.until(run, |run| Some(id(run))).expect("the run goes on");
        loop {
            let explained = self.explain(&name);
            let words = words(&explained);
            if words.contains(wanted) {
                return (words, explained);
            }
            assert!(run.runs(), "it ended before `{wanted}` was said: {words}\n{}\n{}", run.out(), run.err());
            assert!(started.elapsed() < Duration::from_secs(90), "`{wanted}` is never said:\n{words}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Everything that is said of the first run.
fn words(explained: &Value) -> String {
    let item = &explained["items"][0];
    let lines = item["explained"].as_array().expect("a run is explained").iter();
    let text = lines.map(|line| format!("{}: {}\n", line["about"].as_str().unwrap(), line["text"].as_str().unwrap()));
    format!("{}\n{}", item["status"].as_str().unwrap(), text.collect::<String>())
}

#[track_caller]
fn says(words: &str, wanted: &[&str]) {
    for word in wanted {
        assert!(words.contains(word), "`{word}` is not said:\n{words}");
    }
}

#[test]
fn a_device_that_is_not_there() {
    let scene = Scene::new();
    let mut run = scene.slow();
    let (said, data) = scene.until(&mut run, "because: device offline");
    says(
        &said,
        &["waiting\n", "silent since byte 0 of our push", "never heard so far", "so far: 0 of 1 048 576 bytes, 0%"],
    );
    says(&said, &["step: push (transfer.push), attempt 1", "device: dev-1", "what to do: look at the power"]);
    let item = &data["items"][0];
    assert_eq!(item["transfer"]["waits"]["reason"], "device_offline");
    assert_eq!((&item["live"], &item["transfer"]["live"]), (&Value::Bool(true), &Value::Bool(true)));
    let device = scene.explain("dev-1");
    assert_eq!((&device["device"], &device["last_heard"]), (&Value::from("dev-1"), &Value::Null));
    says(&words(&device), &["because: device offline"]);
}

#[test]
fn a_device_that_falls_silent_in_the_middle() {
    let scene = Scene::new();
    let device = scene.device();
    let (mut run, _) = scene.under_way();
    assert!(device.kill());
    let (said, data) = scene.until(&mut run, "because: device offline");
    says(&said, &["silent since byte ", " of our push, since ", "last heard ", " ago", "of 1 048 576 bytes"]);
    let transfer = &data["items"][0]["transfer"];
    assert!(transfer["done"].as_u64().unwrap() > 100_000 && transfer["last_heard"].as_str().is_some(), "{transfer:#}");
    let text = scene.world.ask(&["explain", "dev-1", "--data", &scene.world.data().display().to_string()]).exits(0).out;
    says(&text, &["device dev-1", "last heard", "1 wait for it or work with it, 0 ended lately", "is waiting"]);
}

#[test]
fn packets_that_the_codec_rejects() {
    let scene = Scene::new();
    let liar = Stranger::connect(&scene.services.broker, &["packhorse/dev-1/down"]);
    let mut run = scene.slow();
    liar.hear(Duration::from_secs(30)).expect("the push begins");
    for number in 0..100_u8 {
        liar.say("packhorse/dev-1/up", vec![0x02, number, 0xFE, 0xED]);
    }
    let (said, data) = scene.until(&mut run, "the codec rejected 100 of 100 packets");
    says(
        &said,
        &["talks, but the codec rejected 100 of 100", "4 bytes, \"", "02 63 fe ed", "packhorse plugin inspect"],
    );
    assert_eq!(said.matches("packet: ").count(), 5, "{said}");
    let last = data["items"][0]["transfer"]["last_rejected"].as_array().unwrap();
    let hex: Vec<&str> = last.iter().map(|packet| packet["hex"].as_str().unwrap()).collect();
    assert_eq!(hex, ["025ffeed", "0260feed", "0261feed", "0262feed", "0263feed"]);
    assert!(last.iter().all(|packet| !packet["words"].as_str().unwrap().is_empty()), "{last:?}");
}

#[test]
fn a_device_that_speaks_frames_where_json_is_expected() {
    let scene = Scene::new();
    // It sends frames of acme-tlv where JSON is expected.
    let stranger = Stranger::connect(&scene.services.broker, &["packhorse/dev-1/down"]);
    let mut run = scene.slow();
    stranger.hear(Duration::from_secs(30)).expect("the push begins");
    let frame = [0x81, 0x01, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0xAB, 0xCD];
    stranger.say("packhorse/dev-1/up", [&frame[..], &[0x55; 200]].concat());
    let (said, _) = scene.until(&mut run, "the codec rejected 1 of 1 packets");
    says(&said, &["213 bytes", "81 01 00 00 00 01", "55 …"]);
}

#[test]
fn an_attempt_that_failed_and_comes_again() {
    let scene = Scene::new();
    let mut run = scene.run(
        "kind: workflow/v1\nname: w\nsteps:\n  - id: ask\n    uses: mqtt.request\n    \
         with: { topic: nobody/ask, reply_topic: nobody/reply, payload: hello, wait: 200ms }\n    \
         retry: { max_attempts: 3, backoff: { initial: 60m, max: 60m } }\n",
    );
    let (said, data) = scene.until(&mut run, "because: backoff");
    says(&said, &["in any case: the next attempt begins at ", "step: ask (mqtt.request), attempt 1", "[PH5301]"]);
    assert!(data["items"][0]["unfinished"]["next_action_at"].as_str().is_some_and(|time| time.ends_with('Z')));
    run.signal(Signal::INT);
    run.end().exits(130);
    let name = id(&data["items"][0]);
    says(
        &words(&scene.explain(&name)),
        &["because: backoff", "process: none works on it now", "packhorse resume run_"],
    );
}

#[test]
fn a_run_that_waits_for_a_person() {
    let scene = Scene::new();
    let paused = "kind: workflow/v1\nname: w\nsteps:\n  - id: stop\n    uses: fail\n    \
        with: { message: the valve is open, code: VALVE }\n    on_error: pause\n";
    let run = scene.run(paused).end().exits(6).json();
    let said = words(&scene.explain(&id(&run)));
    says(&said, &["paused\n", "because: step failed", "error: [VALVE] in step stop the valve is open"]);
    says(&said, &["what to do: mend the cause, then `packhorse resume run_", "packhorse cancel run_"]);
}

#[test]
fn a_run_that_somebody_paused_then_cancelled() {
    let scene = Scene::new();
    let _device = scene.device();
    let (run, name) = scene.under_way();
    let data = scene.world.data().display().to_string();
    scene.world.ask(&["pause", &name, "--data", &data]).exits(0);
    run.end().exits(6);
    let said = words(&scene.explain(&name));
    says(&said, &["paused\n", "because: pause asked", "not under way; last heard ", "of 1 048 576 bytes"]);
    says(&said, &["what to do: `packhorse resume run_"]);
    let mut resumed = scene.world.resume(&scene.services, &name);
    scene.world.until(&mut resumed, |run| world::done(run).filter(|done| *done > 200_000));
    scene.world.ask(&["cancel", &name, "--reason", "wrong image", "--data", &data]).exits(0);
    resumed.end().exits(3);
    let said = words(&scene.explain(&name));
    says(&said, &["cancelled\n", "ended: because it was cancelled at ", "wrong image", "not under way; last heard "]);
    let text = scene.world.ask(&["explain", "dev-1", "--data", &data]).exits(0).out;
    says(&text, &["0 wait for it or work with it, 1 ended lately", "cancelled"]);
}

#[test]
fn a_run_that_was_interrupted() {
    let scene = Scene::new();
    let _device = scene.device();
    let (run, name) = scene.under_way();
    run.signal(Signal::INT);
    run.end().exits(130);
    let explained = scene.explain(&name);
    let said = words(&explained);
    says(&said, &["waiting\n", "because: parked", "process: none works on it now", "not under way; last heard "]);
    says(&said, &["what to do: `packhorse resume run_", "goes on where it stopped"]);
    let done = explained["items"][0]["transfer"]["done"].as_u64().unwrap();
    assert!(done > 100_000, "the checkpoint tells how far it was: {done}");
}

#[test]
fn a_run_that_failed_and_one_that_succeeded() {
    let scene = Scene::new();
    let failed = "kind: workflow/v1\nname: w\nsteps:\n  - id: copy\n    uses: fastdfs.info\n    \
        with: { uri: \"fastdfs:group1/M00/00/00/nothing\" }\n";
    let run = scene.run(failed).end().exits(1).json();
    let said = words(&scene.explain(&id(&run)));
    says(&said, &["failed\n", "ended: with a failure at ", "error: [PH4", "in general: ", "what to do: "]);
    let _device = scene.device();
    let (image, _) = scene.world.file("small.bin", 20_000, 3);
    let image = format!("image={}", image.display());
    let run = scene.world.run(&scene.services, &workflow("ota-push"), &["-i", "device=dev-1", "-i", &image]);
    let run = run.end().exits(0).json();
    let explained = scene.explain(&id(&run));
    says(&words(&explained), &["succeeded\n", "ended: well at ", "how sure: push: ", "20 000 bytes of file"]);
    let device = scene.explain("dev-1");
    assert_eq!(device["items"].as_array().unwrap().len(), 1);
    assert!(device["last_heard"].as_str().is_some_and(|time| time.ends_with('Z')), "{device:#}");
}

#[test]
fn a_transfer_that_waits_for_its_turn() {
    let scene = Scene::new();
    let _device = scene.device();
    let list = scene.world.text("devices.txt", "dev-1\ndev-1\n").display().to_string();
    let (image, _) = scene.world.file("fw.bin", MIB, 1);
    let image = format!("image={}", image.display());
    let slow: PathBuf = scene.world.text("slow.yaml", SLOW);
    let mut run = scene.world.run(&scene.services, &slow, &["-i", &image, "--each", &list]);
    let busy = |run: &Value| (run["transfer"]["waits"]["reason"] == "device_busy").then(|| id(run));
    let waiting = scene.world.until(&mut run, busy).expect("the second waits for the first");
    let data = scene.explain(&waiting);
    let said = words(&data);
    says(&said, &["another transfer with dev-1 is under way"]);
    says(&said, &["running\n", "what to do: nothing: transfers with a device take turns"]);
    assert_eq!(data["items"][0]["transfer"]["waits"]["reason"], "device_busy");
    let device = scene.explain("dev-1");
    assert_eq!(device["items"].as_array().unwrap().len(), 2, "{device:#}");
    let ended = run.end().exits(0).json();
    assert_eq!((ended["succeeded"].as_u64(), ended["items"].as_array().unwrap().len()), (Some(2), 2), "{ended:#}");
}
