//! A push that its codec wedges is moved to a mended build of it, and goes on at its byte, over a kill.

use crate::client::{get, post};
use crate::daemon::{Daemon, status};
use packhorse_tests::client::Stranger;
use packhorse_tests::{Child, files};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

const SIZE: usize = 60_000;
const PUSH: &str = "kind: workflow/v1\nname: push\ninputs:\n  image: { type: file }\ncodec: liar\ntimeout: 1h\nsteps:\n  - id: go\n    \
     uses: transfer.push\n    with: { device: dev-1, file: \"${{ inputs.image }}\", rate: 20KiB/s }\n";

/// A daemon with a codec that is deaf to what a device says of the second half of a file, a mended build of it, and a device.
struct Scene {
    daemon: Daemon,
    device: Option<Child>,
    broken: String,
    mended: Vec<u8>,
    image: Vec<u8>,
}

impl Scene {
    fn new() -> Self {
        let daemon = Daemon::start();
        let plugins = daemon.world.path("plugins").display().to_string();
        let liar = Path::new(env!("CARGO_MANIFEST_DIR")).join("liar").display().to_string();
        let built = daemon.world.json(0, &["plugin", "build", &liar, "--plugins", &plugins]);
        let broken = built["items"][0]["digest"].as_str().unwrap().to_owned();
        let mended = mended(&std::fs::read(daemon.world.path("plugins/liar.wasm")).unwrap());
        let (_, image) = daemon.world.file("image", SIZE, 4);
        daemon.save("push", PUSH);
        daemon.ask(&["reload"]).expect("both are good");
        Self { daemon, device: None, broken, mended, image }
    }

    /// A push that has come to the half and does not go on.
    fn wedged(&mut self) -> String {
        let plugins = self.daemon.world.path("plugins").display().to_string();
        self.device.get_or_insert_with(|| self.daemon.device("liar", "dev-1", &["--plugins", &plugins]));
        let image = format!("image={}", self.daemon.world.path("image").display());
        let run = self.daemon.run("push", &["-i", &image, "--var", "lie=deaf"]);
        self.daemon.until(&run, |view| at(view, "/transfer/not_mine") > 3 && at(view, "/transfer/done") > 0);
        run
    }

    /// The mended build takes the place of the broken one; its digest.
    fn mend(&self) -> String {
        std::fs::write(self.daemon.world.path("plugins/liar.wasm.tmp"), &self.mended).unwrap();
        std::fs::rename(self.daemon.world.path("plugins/liar.wasm.tmp"), self.daemon.world.path("plugins/liar.wasm"))
            .unwrap();
        self.daemon.ask(&["reload"]).expect("it is good");
        files::sha256(&self.mended)
    }

    fn repin(&self, code: i32, args: &[&str]) -> Value {
        let data = self.daemon.world.data().display().to_string();
        let plugins = self.daemon.world.path("plugins").display().to_string();
        let own = ["plugin", "repin", "--data", &data, "--plugins", &plugins];
        self.daemon.world.json(code, &[&own[..], args].concat())
    }
}

fn at(view: &Value, pointer: &str) -> u64 {
    view.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
}

/// The other build: one byte of a text that it looks at.
fn mended(component: &[u8]) -> Vec<u8> {
    let mark = b"liar's build: 01";
    let places: Vec<usize> =
        component.windows(mark.len()).enumerate().filter(|(_, text)| text == mark).map(|(place, _)| place).collect();
    assert_eq!(places.len(), 1, "the text is in the component, once");
    let mut mended = component.to_vec();
    mended[places[0] + mark.len() - 1] = b'2';
    mended
}

/// Where in its file a message's piece begins, where it has one.
fn offset(message: &[u8]) -> Option<u64> {
    let bytes: [u8; 4] = message.get(13..17)?.try_into().ok()?;
    (message[0] == 1).then(|| u32::from_be_bytes(bytes).into())
}

#[test]
fn a_wedged_push_goes_on_at_its_byte_with_the_mended_build_over_a_kill() {
    let mut scene = Scene::new();
    let run = scene.wedged();
    // An acknowledged piece is in a checkpoint within a moment.
    std::thread::sleep(Duration::from_secs(2));
    let wedged = scene.daemon.show(&run);
    let done = at(&wedged, "/transfer/done");
    assert!(done > SIZE as u64 / 3 && done <= SIZE as u64 / 2, "{wedged:#}");
    assert_eq!(wedged["codec"]["digest"], scene.broken.as_str());
    let fixed = scene.mend();
    let listener = Stranger::connect(&scene.daemon.services.broker, &["liar/dev-1/down"]);
    let moved = scene.repin(0, &["--from", &scene.broken[..8], "--to", &fixed, &run]);
    assert_eq!(
        (&moved["items"][0]["outcome"], &moved["items"][0]["codec"]["digest"]),
        (&json!("repinned"), &json!(fixed)),
        "{moved:#}"
    );
    scene.daemon.kill();
    scene.daemon.begin();
    let ended = scene.daemon.until(&run, |view| status(view) == "succeeded" || status(view) == "failed");
    assert_eq!(status(&ended), "succeeded", "{ended:#}");
    assert!(scene.daemon.has("dev-1", &scene.image), "exactly the bytes");
    assert_eq!(
        (&ended["codec"]["digest"], &ended["repinned_from"]["digest"]),
        (&json!(fixed), &json!(scene.broken)),
        "{ended:#}"
    );
    let data = scene.daemon.world.data().display().to_string();
    let (old, new) = (&scene.broken[..12], &fixed[..12]);
    let words = format!("codec: liar 0.1.0 (sha256 {new}…), moved from liar 0.1.0 (sha256 {old}…)");
    scene.daemon.world.ask(&["show", &run, "--data", &data]).exits(0).says(&[&words]);
    let mut offsets = Vec::new();
    while let Some((_, message)) = listener.hear(Duration::from_millis(500)) {
        offsets.extend(offset(&message));
    }
    let first = offsets.iter().min().copied().expect("the rest was sent");
    assert!(first >= done, "byte {first} went out once more, and {done} bytes had been done");
    assert!(at(&ended, "/traffic/resumes") >= 1, "{ended:#}");
    let journal = scene.daemon.journal(&run);
    let repinned: Vec<&Value> = journal.iter().filter(|record| record["fact"] == "repinned").collect();
    assert_eq!(repinned.len(), 1);
    let place = |fact: &str| journal.iter().rposition(|record| record["fact"] == fact);
    assert!(place("recovered") > place("repinned"), "the daemon died before the push had ended");
    assert_eq!((&repinned[0]["v"], &repinned[0]["to"]["digest"]), (&json!(4), &json!(fixed)));
    println!("{done} of {SIZE} bytes before the repin, {} packets after it, from byte {first} on", offsets.len());
    scene.daemon.stop();
}

#[test]
fn what_cannot_be_is_refused_each_run_by_itself() {
    let mut scene = Scene::new();
    let run = scene.wedged();
    let fixed = scene.mend();
    let embedded = |name: &str| {
        let data = scene.daemon.world.json(0, &["plugin", "inspect", name]);
        data["digest"].as_str().expect("it has one").to_owned()
    };
    let other = embedded("json-base64");
    // Another codec, and a run that there is not.
    let moved = scene.repin(1, &["--from", &scene.broken, "--to", &other, &run, "run_01ARZ3NDEKTSV4RRFFQ69G5FAV"]);
    let code = |item: usize| moved["items"][item]["error"]["code"].as_str().unwrap_or_default().to_owned();
    assert_eq!((code(0).as_str(), code(1).as_str()), ("PH6010", "PH8003"), "{moved:#}");
    // Another pin than the run has.
    let moved = scene.repin(1, &["--from", &other, "--to", &fixed, &run]);
    assert_eq!(moved["items"][0]["error"]["code"], "PH6010", "{moved:#}");
    for (from, to) in [("abc", &*fixed), (&scene.broken, "00000000"), (&scene.broken, "plugins/liar.wasm")] {
        let refused = scene.repin(2, &["--from", from, "--to", to, &run]);
        assert!(refused["error"]["code"].is_string(), "{refused:#}");
    }
    let http = scene.daemon.http();
    let ask = |from: &str, to: &str| post(&http, &format!("/v1/runs/{run}/repin"), &json!({ "from": from, "to": to }));
    assert_eq!(ask(&other, &fixed).is(409).json()["code"], "PH6010");
    assert_eq!(ask(&scene.broken, "00000000").is(422).json()["code"], "PH6011");
    assert_eq!(scene.daemon.show(&run)["codec"]["digest"], scene.broken.as_str(), "all that changed nothing");
    // Over HTTP, by name, and once more: nothing happens and nothing is wrong.
    assert_eq!(ask(&scene.broken, "liar@0.1.0").is(202).json()["codec"]["digest"], fixed.as_str());
    ask(&scene.broken, &fixed).is(202);
    let again = scene.repin(0, &["--from", &scene.broken, "--to", &fixed, &run]);
    assert_eq!(again["items"][0]["outcome"], "unchanged", "{again:#}");
    scene.daemon.until(&run, |view| status(view) == "succeeded");
    assert!(scene.daemon.has("dev-1", &scene.image));
    let late = scene.repin(1, &["--from", &fixed, "--to", &embedded("json-base64"), &run]);
    assert_eq!(late["items"][0]["error"]["code"], "PH8004", "it has ended: {late:#}");
    scene.daemon.stop();
}

#[test]
fn runs_that_nobody_works_on_and_those_that_failed_are_moved_too() {
    let mut scene = Scene::new();
    let run = scene.wedged();
    scene.daemon.stop();
    // In the folder, by this terminal: the file lies there, and no daemon has looked at it.
    std::fs::write(scene.daemon.world.path("plugins/liar.wasm"), &scene.mended).unwrap();
    let fixed = files::sha256(&scene.mended);
    let none = scene.repin(0, &["--all", "--from", &fixed, "--to", &fixed]);
    assert_eq!(none["items"], json!([]));
    let moved = scene.repin(0, &["--all", "--from", &scene.broken[..10], "--to", &fixed[..10]]);
    assert_eq!(
        (&moved["items"][0]["run"], &moved["items"][0]["outcome"]),
        (&json!(run), &json!("repinned")),
        "{moved:#}"
    );
    assert_eq!(moved["items"].as_array().map(Vec::len), Some(1));
    scene.daemon.begin();
    scene.daemon.until(&run, |view| status(view) == "succeeded");
    assert!(scene.daemon.has("dev-1", &scene.image));
    scene.daemon.stop();
}

#[test]
fn runs_that_are_paused_or_were_cancelled_are_moved_and_wait_for_a_person() {
    let mut scene = Scene::new();
    let run = scene.wedged();
    // Both builds lie there, so that a run can be moved back.
    std::fs::copy(scene.daemon.world.path("plugins/liar.wasm"), scene.daemon.world.path("plugins/liar@0.1.0.wasm"))
        .unwrap();
    let fixed = scene.mend();
    scene.daemon.ask(&["pause", &run]).expect("it can be paused");
    scene.daemon.until(&run, |view| status(view) == "paused");
    let move_it = |from: &str, to: &str, wish: &str| {
        let moved = scene.repin(0, &["--from", from, "--to", to, &run]);
        let item = &moved["items"][0];
        let next = item["next"].as_str().unwrap_or_default();
        assert!(item["outcome"] == "repinned", "{moved:#}");
        assert!(next.contains(&format!("`packhorse {wish} {run}` goes on")), "{moved:#}");
    };
    move_it(&scene.broken, &fixed, "resume");
    assert_eq!(status(&scene.daemon.show(&run)), "paused");
    move_it(&fixed, "liar@0.1.0", "resume");
    scene.daemon.ask(&["cancel", &run]).expect("it can be cancelled");
    scene.daemon.until(&run, |view| status(view) == "cancelled");
    // Of a run that has ended the end is told once, whatever is done with it afterwards.
    let counted = "packhorse_runs_finished_total{workflow=\"push\",status=\"cancelled\",trigger=\"manual\"} 1";
    let metrics = || get(&scene.daemon.http(), "/metrics").is(200).body;
    let begun = Instant::now();
    while !metrics().contains(counted) {
        assert!(begun.elapsed() < Duration::from_secs(60), "{}", metrics());
        std::thread::sleep(Duration::from_millis(50));
    }
    move_it(&scene.broken, &fixed, "retry");
    scene.daemon.ask(&["retry", &run]).expect("it can be retried");
    scene.daemon.until(&run, |view| status(view) == "succeeded");
    assert!(scene.daemon.has("dev-1", &scene.image) && metrics().contains(counted), "{}", metrics());
    scene.daemon.stop();
}
