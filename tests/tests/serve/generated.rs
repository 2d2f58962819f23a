//! Files that a generator makes up: whatever comes, the last good content of each name counts, and what is bad is told with its reason.
//! And changes of which the system told nothing.

use crate::client::{ended, get, send, started};
use crate::daemon::{Daemon, resident, status};
use packhorse_core::workflow::{self, expr};
use packhorse_tests::child::PATIENCE;
use packhorse_tests::count;
use packhorse_tests::files::sha256;
use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{Rng as _, SeedableRng as _};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Files that change between two looks.
const FILES: usize = 200;
/// A workflow that nobody touches.
const STEADY: &str =
    "kind: workflow/v1\nname: steady\nsteps:\n  - uses: sleep\n    with: { duration: 1ms }\noutputs: { it: works }\n";

/// Lines that stand at the top of a workflow, or may.
const TOPS: [&str; 9] = [
    "description: made up",
    "labels: { team: platform }",
    "codec: json-base64",
    "codec: acme-tlv",
    "inputs: { device: { type: string }, image: { type: file, optional: true }, n: { type: integer, default: 3 } }",
    "timeout: 3d",
    "defaults: { timeout: 1h, retry: { max_attempts: 2 } }",
    "priority: low",
    "x-note: mine",
];
/// Steps; those that name an input or another step are good beside it alone.
const STEPS: [&str; 9] = [
    "  - uses: log\n    with: { message: \"${{ 1 + 2 }} of ${{ run.id }}\" }",
    "  - id: nap\n    uses: sleep\n    with: { duration: 10ms }",
    "  - id: read\n    uses: redis.get\n    with: { key: k }",
    "  - uses: assert\n    with: { that: \"1 < 2\", message: no }",
    "  - if: inputs.n > 2\n    uses: log\n    with: { message: \"n is ${{ inputs.n }}\", level: warn }",
    "  - uses: log\n    with: { message: \"${{ steps.nap.status }}\" }",
    "  - id: push\n    uses: transfer.push\n    with: { device: \"${{ inputs.device }}\", file: \"${{ inputs.image }}\" }",
    "  - id: block\n    steps:\n      - uses: sleep\n        with: { duration: 1ms }\n    outputs: { value: 1 }",
    "  - uses: fail\n    with: { message: \"${{ coalesce(steps.read.outputs.value, 'none') }}\" }",
];
/// What damage puts in.
const BITS: [&str; 24] = [
    ": ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    "\"",
    "'",
    "${{ ",
    " }}",
    "|\n",
    "&a ",
    "*a",
    "<<: ",
    "!!str ",
    "---\n",
    "\t",
    "\r\n",
    "\0",
    "\u{feff}",
    "\u{1f4be}",
    "uses: log\n",
    "steps:\n",
    "1e999",
];

/// A workflow of this name that may be good: every so often something in it names what is not there.
fn made_up(random: &mut SmallRng, name: &str) -> String {
    let often = |line: &str| if line.starts_with("inputs") || line.starts_with("codec") { (2, 3) } else { (1, 3) };
    let mut tops: Vec<&str> = TOPS
        .into_iter()
        .filter(|line| {
            let (of, in_all) = often(line);
            random.random_ratio(of, in_all)
        })
        .collect();
    // One codec is enough.
    tops.dedup_by_key(|line| line.split(':').next());
    let many = random.random_range(1..4);
    let mut steps: Vec<usize> = (0..STEPS.len()).collect::<Vec<_>>().choose_multiple(random, many).copied().collect();
    // In the order in which they name each other, most of the time.
    if random.random_ratio(3, 4) {
        steps.sort_unstable();
    }
    let steps = steps.into_iter().map(|step| STEPS[step]);
    let head = ["kind: workflow/v1", &format!("name: {name}")].map(str::to_owned);
    let edition = format!("outputs: {{ edition: {} }}", random.random::<u32>());
    let middle = tops.into_iter().chain(["steps:"]).chain(steps).map(str::to_owned);
    head.into_iter().chain(middle).chain([edition]).map(|line| line + "\n").collect()
}

/// Damage of one kind.
fn damage(random: &mut SmallRng, bytes: &mut Vec<u8>) {
    let at = random.random_range(0..=bytes.len());
    match random.random_range(0..7) {
        0 if at < bytes.len() => bytes[at] = random.random(),
        1 => bytes.truncate(at),
        2 => drop(bytes.splice(at..at, BITS.choose(random).unwrap().bytes())),
        3 if at < bytes.len() => drop(bytes.remove(at)),
        4 => {
            let text = String::from_utf8_lossy(bytes).into_owned();
            let mut lines: Vec<&str> = text.lines().collect();
            let long = lines.len().max(1);
            let (one, other) = (random.random_range(0..long), random.random_range(0..long));
            match random.random_range(0..4) {
                0 if !lines.is_empty() => lines.swap(one, other),
                1 if !lines.is_empty() => drop(lines.remove(one)),
                2 if !lines.is_empty() => lines.insert(other, lines[one]),
                _ => lines.shuffle(random),
            }
            *bytes = lines.join("\n").into_bytes();
        }
        5 => bytes.extend(bytes.clone()),
        _ => drop(bytes.splice(at..at, (0..random.random_range(1..40)).map(|_| b' '))),
    }
}

fn content(random: &mut SmallRng, name: &str) -> Vec<u8> {
    let mut bytes = made_up(random, name).into_bytes();
    if random.random_ratio(1, 2) {
        (0..random.random_range(1..4)).for_each(|_| damage(random, &mut bytes));
    }
    bytes
}

/// Whether runs of it can be started, as somebody without a daemon would find out.
fn is_good(name: &str, bytes: &[u8]) -> bool {
    let Ok(workflow) = workflow::check(bytes, name) else { return false };
    let codec = workflow.codec.as_ref().and_then(|codec| codec.as_literal()).and_then(Value::as_str);
    let known = codec.is_none_or(|codec| ["json-base64", "acme-tlv"].contains(&codec));
    workflow.name == name && known && workflow.step_plugins().is_empty()
}

/// What must be shown of a name: the digests of what counts and of what does not.
#[derive(Debug, Default, Clone, PartialEq)]
struct Expected {
    live: Option<String>,
    refused: Option<String>,
}

#[derive(Debug, Default)]
struct Told {
    good: usize,
    bad: BTreeMap<String, usize>,
    gone: usize,
    slowest: Duration,
}

/// Writes or removes each file once, has them looked at, and compares.
fn round(daemon: &Daemon, at: &str, random: &mut SmallRng, model: &mut BTreeMap<String, Expected>, told: &mut Told) {
    for index in 0..FILES {
        let name = format!("g{index}");
        if random.random_ratio(1, 40) {
            drop(std::fs::remove_file(daemon.world.path(&format!("workflows/{name}.yaml"))));
            told.gone += usize::from(model.remove(&name).is_some());
            continue;
        }
        let bytes = content(random, &name);
        std::fs::write(daemon.world.path(&format!("workflows/{name}.yaml")), &bytes).unwrap();
        let (digest, expected) = (sha256(&bytes), model.entry(name.clone()).or_default());
        if is_good(&name, &bytes) {
            told.good += 1;
            *expected = Expected { live: Some(digest), refused: None };
        } else {
            expected.refused = Some(digest);
        }
    }
    let begun = Instant::now();
    send(at, "POST", "/v1/reload", &[], b"").is(200);
    told.slowest = told.slowest.max(begun.elapsed());
    let mut shown = get(at, "/v1/workflows").is(200).json();
    let mut seen = BTreeMap::new();
    for view in shown["items"].as_array_mut().expect("a list").drain(..) {
        let name = view["name"].as_str().expect("a name").to_owned();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let error = &view["load_error"];
        if let Some(code) = error["code"].as_str() {
            *told.bad.entry(code.to_owned()).or_default() += 1;
            let message = error["message"].as_str().expect("words");
            assert!(message.contains(&name) && message.len() < 64 * 1024, "{name}: {code} {message}");
        }
        assert_eq!(view["stale"], json!(error["code"].is_string() && view["digest"].is_string()), "{view:#}");
        seen.insert(name, Expected { live: text(&view["digest"]), refused: text(&error["digest"]) });
    }
    assert_eq!(seen.remove("steady").and_then(|steady| steady.live), Some(sha256(STEADY.as_bytes())));
    for (name, expected) in model.iter() {
        let file = || {
            String::from_utf8_lossy(
                &std::fs::read(daemon.world.path(&format!("workflows/{name}.yaml"))).unwrap_or_default(),
            )
            .into_owned()
        };
        assert_eq!(seen.remove(name).as_ref(), Some(expected), "{name}:\n{}", file());
    }
    assert!(seen.is_empty(), "nobody wrote these: {seen:?}");
}

/// All of it, on a thread with the stack that checking wants.
fn play(rounds: usize) {
    let mut daemon = Daemon::start();
    daemon.save("steady", STEADY);
    let (at, pid) = (daemon.http(), daemon.process().pid());
    let (mut random, mut model, mut told) = (SmallRng::seed_from_u64(81), BTreeMap::new(), Told::default());
    let mut sizes = Vec::new();
    for number in 0..rounds {
        round(&daemon, &at, &mut random, &mut model, &mut told);
        if number % (rounds / 5) == 0 {
            let run = started(&at, "steady", &json!({}));
            assert_eq!(status(&ended(&at, &run)), "succeeded");
            sizes.push(resident(pid));
        }
    }
    let bad: usize = told.bad.values().sum();
    println!(
        "{} generated files: {} good, {bad} bad {:?}, {} removed; the slowest of {rounds} looks took {:.1?}; memory in each fifth, KiB: {sizes:?}",
        told.good + bad,
        told.good,
        told.bad,
        told.gone,
        told.slowest
    );
    assert!(told.good > rounds * FILES / 10 && bad > rounds * FILES / 10 && told.gone > 0, "{told:?}");
    daemon.stop();
}

#[test]
fn generated_files_never_take_the_place_of_the_last_good_ones() {
    let thread = std::thread::Builder::new().stack_size(expr::STACK).spawn(|| play(count(5, 500)));
    thread.unwrap().join().unwrap();
}

#[test]
fn changes_whose_events_the_system_dropped_are_found() {
    let most = std::fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").expect("the kernel tells it");
    let most: usize = most.trim().parse().expect("a number");
    let mut daemon = Daemon::start();
    let at = daemon.http();
    daemon.save("steady", STEADY);
    daemon.ask(&["reload"]).expect("it is good");
    // It reads no events for a while, until the system has no room for more.
    daemon.process().signal(Signal::STOP);
    let passing = daemon.world.path("workflows/passing");
    for _ in 0..most / 3 + 1 {
        std::fs::write(&passing, "").unwrap();
        std::fs::remove_file(&passing).unwrap();
    }
    let changed = format!("{STEADY}# changed\n");
    daemon.save("steady", &changed);
    daemon.process().signal(Signal::CONT);
    daemon.says("the system dropped hints of changes");
    let begun = Instant::now();
    while get(&at, "/v1/workflows/steady").is(200).json()["digest"] != sha256(changed.as_bytes()) {
        assert!(begun.elapsed() < PATIENCE, "it was never found");
        std::thread::sleep(Duration::from_millis(5));
    }
    daemon.stop();
}
