//! A second terminal beside a run, and the signals that park it.

use packhorse_tests::child::Child;
use packhorse_tests::world::{self, id, number};
use packhorse_tests::{Service, World};
use rustix::fs::OFlags;
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};
use serde_json::Value;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;

/// A push that takes far longer than a test unless it is sped up by hand.
const SLOW: &str = "kind: workflow/v1\nname: slow\ninputs:\n  image: { type: file }\n  rate: { type: rate, default: 100KiB/s }\n\
    codec: json-base64\nsteps:\n  - id: push\n    uses: transfer.push\n    \
    with: { device: dev-1, file: \"${{ inputs.image }}\", window: 16, rate: \"${{ inputs.rate }}\" }\n\
    finally:\n  - { id: last, uses: redis.set, with: { key: over, value: \"yes\" } }\n";

/// A slow push under way, with a device that takes it.
struct Scene {
    world: World,
    services: Service,
    bytes: Vec<u8>,
    run: Child,
    name: String,
    _device: Child,
}

impl Scene {
    fn new(size: usize) -> Self {
        let world = World::new();
        let services = world.services();
        let device = world.device(&services.mqtt, "json-base64", "dev-1", &[]);
        let (image, bytes) = world.file("fw.bin", size, 1);
        let slow = world.text("slow.yaml", SLOW);
        let image = format!("image={}", image.display());
        let mut run = world.run(&services, &slow, &["-i", &image]);
        let name = under_way(&world, &mut run);
        Self { world, services, bytes, run, name, _device: device }
    }

    fn ask(&self, args: &[&str]) -> packhorse_tests::Ended {
        self.world.ask(&[args, &["--data", &self.world.data().display().to_string()]].concat())
    }

    fn json(&self, args: &[&str]) -> Value {
        self.ask(&[args, &["-o", "json"]].concat()).exits(0).json()
    }
}

/// The run's id, once some of the file is over.
fn under_way(world: &World, run: &mut Child) -> String {
    let found = world.until(run, |run| world::done(run).filter(|done| *done > 10_000).map(|_| id(run)));
    found.expect("the push is slow enough to be looked at")
}

#[test]
fn a_second_terminal_lists_shows_explains_and_cancels() {
    let scene = Scene::new(8 << 20);
    let listed = scene.json(&["ps"]);
    assert_eq!(listed["items"][0]["run"], scene.name.as_str(), "{listed:#}");
    scene.ask(&["ps"]).exits(0).says(&[&scene.name, "slow", "running", "%"]);

    let shown = scene.json(&["show", &scene.name]);
    assert_eq!(shown["status"], "running");
    assert!(number(&shown, "/progress/done") > 0 && number(&shown, "/progress/total") == scene.bytes.len() as u64);
    scene.ask(&["show", &scene.name]).exits(0).says(&[&scene.name, "push", "transfer.push"]);
    scene.ask(&["show", &scene.name[..20]]).exits(0).says(&[&scene.name]);

    let explained = scene.json(&["explain", &scene.name]);
    assert_eq!(explained["items"][0]["unfinished"]["reason"], "working", "{explained:#}");
    scene.ask(&["explain", &scene.name]).exits(0).says(&["is running", "push (transfer.push)", "dev-1", "so far"]);
    assert_eq!(scene.json(&["explain", "dev-1"])["items"][0]["run"], scene.name.as_str());
    scene.ask(&["explain", "dev-1"]).exits(0).says(&[&scene.name, "push"]);

    scene.ask(&["show", "run_NOSUCH"]).exits(2).says(&["PH8003"]);
    scene.ask(&["explain", "dev-2"]).exits(2).says(&["dev-2"]);
    let cancelled = scene.json(&["cancel", &scene.name, "--reason", "wrong image"]);
    assert_eq!(cancelled["run"], scene.name.as_str());

    let Scene { world, run, name, .. } = scene;
    let ended = run.end().exits(3).json();
    assert_eq!(ended["status"], "cancelled", "{ended:#}");
    let last = ended["steps"].as_array().unwrap().iter().find(|step| step["id"] == "last").unwrap();
    assert_eq!(last["status"], "succeeded", "`finally` runs after a cancel");
    let data = world.data().display().to_string();
    let shown = world.json(0, &["show", &name, "--data", &data]);
    assert_eq!(shown["status"], "cancelled", "it is told without an owner too");
    assert!(world.json(0, &["ps", "--data", &data])["items"].as_array().unwrap().is_empty());
    assert_eq!(world.json(0, &["ps", "-a", "--data", &data])["items"][0]["run"], name.as_str());
}

#[test]
fn a_second_run_on_the_folder_is_refused_and_the_owner_named() {
    let scene = Scene::new(8 << 20);
    let owner = scene.run.pid().to_string();
    let second = scene.world.run(&scene.services, &scene.world.path("slow.yaml"), &["-i", "image=fw.bin"]);
    let refused = second.end().exits(69).says(&["PH1004", &owner]);
    assert_eq!(refused.json()["error"]["code"], "PH1004");
    scene.world.resume(&scene.services, &scene.name).end().exits(69).says(&[&owner]);
    scene.ask(&["show", &scene.name]).exits(0);
    assert!(scene.run.kill(), "the owner is unharmed");
}

/// Interrupts a run and goes on with the command that it printed.
fn parks_and_goes_on(signal: Signal, code: i32) {
    let scene = Scene::new(300_000);
    scene.run.signal(signal);
    let Scene { world, services, bytes, run, name, _device } = scene;
    let ended = run.end().exits(code);
    let command = ended
        .err
        .lines()
        .find_map(|line| line.trim().strip_prefix("packhorse "))
        .expect("the command that goes on")
        .to_owned();
    assert!(command.starts_with(&format!("resume {name}")), "{command}");
    let data = world.data().display().to_string();
    let parked = world.json(0, &["show", &name, "--data", &data]);
    assert_eq!(parked["unfinished"]["reason"], "parked", "{parked:#}");
    world.ask(&["explain", &name, "--data", &data]).exits(0).says(&["parked", "packhorse resume"]);
    assert_eq!(world.json(0, &["ps", "--data", &data])["items"][0]["run"], name.as_str());

    let mut args: Vec<&str> = command.split(' ').collect();
    args.extend(["-o", "json", "--mqtt", &services.mqtt, "--fastdfs", &services.tracker]);
    let run = world.ask(&args).exits(0).json();
    assert_eq!((run["run"].as_str(), run["status"].as_str()), (Some(name.as_str()), Some("succeeded")));
    assert!(number(&run, "/traffic/resumes") >= 1, "{run:#}");
    assert!(std::fs::read(world.path("device/fw.bin")).unwrap() == bytes);
    let again = world.resume(&services, &name).end().exits(0).json();
    assert_eq!(again["status"], "succeeded", "a finished run is told, not run again");
}

#[test]
fn ctrl_c_parks_a_run_that_goes_on_where_it_stopped() {
    parks_and_goes_on(Signal::INT, 130);
}

#[test]
fn termination_parks_a_run_that_goes_on_where_it_stopped() {
    parks_and_goes_on(Signal::TERM, 143);
}

#[test]
fn a_paused_run_waits_for_its_resume() {
    let scene = Scene::new(300_000);
    assert_eq!(scene.json(&["pause", &scene.name])["run"], scene.name.as_str());
    let Scene { world, services, bytes, run, name, _device } = scene;
    let ended = run.end().exits(6).json();
    assert_eq!(ended["status"], "paused", "{ended:#}");
    let data = world.data().display().to_string();
    world.ask(&["explain", &name, "--data", &data]).exits(0).says(&["pause", "packhorse resume"]);
    let run = world.resume(&services, &name).end().exits(0).json();
    assert_eq!(run["status"], "succeeded");
    assert!(std::fs::read(world.path("device/fw.bin")).unwrap() == bytes);
}

#[test]
fn a_parked_run_can_be_cancelled_without_an_owner_and_whoever_takes_it_up_cleans_up() {
    let scene = Scene::new(8 << 20);
    scene.run.signal(Signal::INT);
    let Scene { world, services, run, name, .. } = scene;
    run.end().exits(130);
    let data = world.data().display().to_string();
    world.ask(&["cancel", &name, "--data", &data]).exits(0).says(&[&name]);
    // Once more, now that it is cleaning up.
    world.ask(&["cancel", &name, "--data", &data]).exits(0);
    let run = world.resume(&services, &name).end().exits(3).json();
    let last = run["steps"].as_array().unwrap().iter().find(|step| step["id"] == "last").expect("it has that step");
    assert_eq!((&run["status"], &last["status"]), (&Value::from("cancelled"), &Value::from("succeeded")), "{run:#}");
}

/// A terminal of our own: the end that a person sits at, and the one that a program has.
fn terminal() -> (File, File) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap();
    let theirs =
        File::options().read(true).write(true).custom_flags(OFlags::NOCTTY.bits() as i32).open(name.to_str().unwrap());
    (File::from(ours), theirs.unwrap())
}

/// Whether keys come line by line, and are shown.
fn by_lines(terminal: &File) -> bool {
    tcgetattr(terminal).unwrap().local_modes.contains(LocalModes::ICANON | LocalModes::ECHO)
}

#[test]
fn top_draws_what_goes_on_and_q_ends_it_and_leaves_the_terminal_as_it_was() {
    let scene = Scene::new(8 << 20);
    let (mut ours, theirs) = terminal();
    assert!(by_lines(&theirs));
    let mut command = scene.world.command(&["top", "--data", &scene.world.data().display().to_string()]);
    command.stdin(theirs.try_clone().unwrap()).stdout(theirs.try_clone().unwrap());
    let mut top = command.spawn().unwrap();
    let mut seen = String::new();
    while !(seen.contains(&scene.name) && seen.contains("q ends")) {
        let mut more = [0; 4096];
        let count = ours.read(&mut more).unwrap();
        seen.push_str(&String::from_utf8_lossy(&more[..count]));
    }
    assert!(!by_lines(&theirs));
    ours.write_all(b"xq").unwrap();
    assert!(top.wait().unwrap().success());
    assert!(by_lines(&theirs));
}

#[test]
fn resume_without_a_name_takes_the_only_unfinished_run() {
    let scene = Scene::new(200_000);
    assert!(scene.run.pid() > 0);
    let Scene { world, services, bytes, run, name, _device } = scene;
    assert!(run.kill());
    let data = world.data().display().to_string();
    let at = ["resume", "-o", "json", "--data", &data, "--mqtt", &services.mqtt, "--fastdfs", &services.tracker];
    let run = world.ask(&at).exits(0).json();
    assert_eq!(run["run"], name.as_str());
    assert!(std::fs::read(world.path("device/fw.bin")).unwrap() == bytes);
    world.ask(&at).exits(2).says(&["there is no unfinished run"]);
    world.ask(&["resume", "--data", &world.path("empty").display().to_string(), "--mqtt", &services.mqtt]).exits(2);
}
