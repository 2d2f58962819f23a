//! Runs of every kind: how they are begun, where each stands while nobody lets it go on, and what must be true of it at the end.

use crate::client::{active, ended, get, journal, post, show, started};
use crate::daemon::{Daemon, status};
use packhorse_tests::child::PATIENCE;
use packhorse_tests::{Child, count, files};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Counts, sleeps, counts again.
const COUNTER: &str = "kind: workflow/v1
name: NAME
inputs: { key: { type: string }, time: { type: duration } }
steps:
  - { id: before, uses: redis.incr, with: { key: \"${{ inputs.key }}:before\" } }
  - { id: rest, uses: sleep, with: { duration: \"${{ inputs.time }}\" } }
  - { id: after, uses: redis.incr, with: { key: \"${{ inputs.key }}:after\" } }
outputs:
  before: \"${{ steps.before.outputs.value }}\"
  after: \"${{ steps.after.outputs.value }}\"
";

/// One at a time; each tells its place.
const LINE: &str = "kind: workflow/v1
name: line
inputs: { time: { type: duration } }
concurrency: { group: line, limit: 1 }
steps:
  - { id: place, uses: redis.incr, with: { key: place } }
  - { id: rest, uses: sleep, with: { duration: \"${{ inputs.time }}\" } }
outputs: { place: \"${{ steps.place.outputs.value }}\" }
";

/// Pushes at a rate, so that many kills find it in the middle.
const PUSH: &str = "kind: workflow/v1
name: NAME
inputs: { device: { type: string }, image: { type: file } }
codec: json-base64
steps:
  - id: push
    uses: transfer.push
    with: { device: \"${{ inputs.device }}\", file: \"${{ inputs.image }}\", window: 8, rate: RATE }
";

/// More than a push does in the time before a kill.
const FURTHER: u64 = 32 << 10;

/// What a run stands at: status and reason.
type Stand = (&'static str, &'static str);
/// A silent device counts as offline after half a minute, and after a death as long as it says nothing.
const AWAY: Stand = ("waiting", "device_offline");
const PUSHING: Stand = ("running", "working");
const SLEEPING: Stand = ("waiting", "sleeping");
const PAUSED: Stand = ("paused", "pause_asked");
const HELD: Stand = ("queued", "held");
const QUEUED: Stand = ("queued", "concurrency_limit");

/// Runs of six kinds, as many of each.
pub(crate) struct Kinds {
    /// Of each kind.
    pub(crate) each: usize,
    bytes: Vec<u8>,
    hold: String,
    /// To devices that are not there.
    away: Vec<String>,
    /// In one line behind the first one, which sleeps.
    line: Vec<String>,
    held: Vec<String>,
    paused: Vec<String>,
    sleeping: Vec<String>,
    /// To devices that are there, over a lossy link.
    pushing: Vec<String>,
    /// Bytes that each of those had done when it was last looked at.
    moved: Mutex<Vec<u64>>,
    _here: Child,
}

/// How many runs were under way when the daemon was killed.
pub(crate) struct UnderWay {
    pub(crate) pushing: usize,
    pub(crate) sleeping: usize,
}

impl Kinds {
    /// Begins all of them, the quickest last.
    pub(crate) fn begin(daemon: &Daemon) -> Self {
        let each = count(6, 40);
        for name in ["sleeping", "paused", "held"] {
            daemon.save(name, &COUNTER.replace("NAME", name));
        }
        daemon.save("line", LINE);
        daemon.save("pushing", &PUSH.replace("NAME", "pushing").replace("RATE", "12KiB/s"));
        daemon.save("away", &PUSH.replace("NAME", "away").replace("RATE", "1MiB/s"));
        daemon.ask(&["reload"]).expect("all are good");
        let bytes = files::bytes(count(192, 384) * 1024, 9);
        let image = daemon.upload("image", &bytes);
        let here = daemon.devices("json-base64", "dev", each, &["--loss", "0.2", "--seed", "3"]);
        let at = daemon.http();
        let hold = post(&at, "/v1/holds", &json!({ "selector": "workflow == 'held'" })).is(201).json();
        let counter = |kind: &str, index: usize, time: &str| {
            started(&at, kind, &json!({ "key": format!("{kind}{index}"), "time": time }))
        };
        let push = |kind: &str, device: &str| started(&at, kind, &json!({ "device": device, "image": image }));
        let away: Vec<String> = (1..=each).map(|index| push("away", &format!("away-{index}"))).collect();
        let line =
            (0..each).map(|index| started(&at, "line", &json!({ "time": if index == 0 { "1h" } else { "5ms" } })));
        let line = line.collect();
        let held = (0..each).map(|index| counter("held", index, "5ms")).collect();
        let paused: Vec<String> = (0..each).map(|index| counter("paused", index, "1h")).collect();
        wait(|| of(&at, "paused", SLEEPING) == each, || metrics(&at));
        paused.iter().for_each(|run| drop(post(&at, &format!("/v1/runs/{run}/pause"), &json!({})).is(202)));
        wait(|| of(&at, "away", AWAY) == each, || metrics(&at));
        let pushing: Vec<String> = (1..=each).map(|index| push("pushing", &format!("dev-{index}"))).collect();
        let moves = |run: &String| show(&at, run)["progress"]["done"].as_u64() > Some(0);
        wait(|| pushing.iter().all(moves), || metrics(&at));
        // Some end while the daemon is dead.
        let time = |index: usize| format!("{}ms", 20_000 + index * count(500, 300));
        let sleeping = (0..each).map(|index| counter("sleeping", index, &time(index))).collect();
        let hold = hold["id"].as_str().expect("an id").to_owned();
        let moved = Mutex::new(vec![0; each]);
        Self { each, bytes, hold, away, line, held, paused, sleeping, pushing, moved, _here: here }
    }

    /// Waits until every run that waits for somebody stands where it stood before, and each that pushes has got further, so that no three
    /// deaths find it where it was; how many of the others are under way.
    pub(crate) fn settled(&self, at: &str) -> UnderWay {
        let waiting = |page: &str| {
            let line = active(page, "line", QUEUED) + 1;
            [active(page, "away", AWAY), line, active(page, "held", HELD), active(page, "paused", PAUSED)]
        };
        wait(|| waiting(&metrics(at)) == [self.each; 4], || metrics(at));
        self.pushing
            .iter()
            .zip(self.moved.lock().unwrap().iter_mut())
            .for_each(|(run, moved)| *moved = further(at, run, *moved));
        let page = metrics(at);
        assert_eq!(active(&page, "line", SLEEPING), 1, "one of the line is at work:\n{page}");
        UnderWay { pushing: active(&page, "pushing", PUSHING), sleeping: active(&page, "sleeping", SLEEPING) }
    }

    /// Lets every run go on to its end, and looks at what each has done.
    pub(crate) fn end(&self, daemon: &Daemon) {
        let at = daemon.http();
        let back = daemon.devices("json-base64", "away", self.each, &[]);
        self.pushes(daemon, &at, "dev", &self.pushing);
        self.pushes(daemon, &at, "away", &self.away);
        drop(back);
        self.sleeping.iter().for_each(|run| counted(&at, run));
        self.in_line(&at);
        for run in &self.held {
            assert_eq!(status(&show(&at, run)), "queued", "a held run stays held");
        }
        let path = format!("/v1/holds/{}", self.hold);
        crate::client::send(&at, "DELETE", &path, &[], b"").is(204);
        self.held.iter().for_each(|run| counted(&at, run));
        for run in &self.paused {
            assert_eq!(status(&show(&at, run)), "paused", "a paused run stays paused");
            post(&at, &format!("/v1/runs/{run}/resume"), &json!({})).is(202);
            post(&at, &format!("/v1/runs/{run}/cancel"), &json!({})).is(202);
            assert_eq!(status(&ended(&at, run)), "cancelled");
            assert_eq!(once(&journal(&at, run)), ["before", "rest"]);
        }
    }

    fn pushes(&self, daemon: &Daemon, at: &str, id: &str, runs: &[String]) {
        let mut resumes = 0;
        for (index, run) in runs.iter().enumerate() {
            let view = ended(at, run);
            assert_eq!(status(&view), "succeeded", "{view:#}");
            let device = format!("{id}-{}", index + 1);
            assert!(daemon.has(&device, &self.bytes), "{device} has the image");
            assert_eq!(once(&journal(at, run)), ["push"], "a death burns no attempt");
            resumes += view["traffic"]["resumes"].as_u64().expect("a figure");
        }
        println!("{} pushes to {id}-N arrived, and went on {resumes} times where they had been cut", runs.len());
    }

    /// The first one is let go, and the others come one after the other as they were asked for.
    fn in_line(&self, at: &str) {
        let (first, rest) = self.line.split_first().expect("there are some");
        for run in rest {
            assert_eq!(status(&show(at, run)), "queued", "the first one is at work");
        }
        post(at, &format!("/v1/runs/{first}/cancel"), &json!({})).is(202);
        let mut free = moment(&finished(at, first), "finished");
        for (place, run) in (2..).zip(rest) {
            let view = ended(at, run);
            assert_eq!((status(&view), &view["outputs"]["place"]), ("succeeded", &Value::from(place)), "{view:#}");
            let journal = finished(at, run);
            assert_eq!(once(&journal), ["place", "rest"]);
            let begun = moment(&journal, "attempt_started");
            assert!(begun >= free, "{run} began at {begun}, and the one before it was over at {free}");
            free = moment(&journal, "finished");
        }
    }
}

/// Waits until a push has done so much more, or is over; what it has done then.
fn further(at: &str, run: &str, than: u64) -> u64 {
    let begun = Instant::now();
    loop {
        let view = show(at, run);
        let done = view["progress"]["done"].as_u64().unwrap_or(0);
        if done >= than + FURTHER || status(&view) == "succeeded" {
            return done;
        }
        assert!(begun.elapsed() < PATIENCE, "{run} got no further than {than}: {view:#}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The journal of a run that is over.
fn finished(at: &str, run: &str) -> Vec<Value> {
    ended(at, run);
    journal(at, run)
}

/// When the first such fact was decided.
fn moment(journal: &[Value], fact: &str) -> u64 {
    let found = journal.iter().find(|record| record["fact"] == fact);
    found.and_then(|record| record["at"].as_u64()).unwrap_or_else(|| panic!("no {fact}: {journal:?}"))
}

/// Steps of which an attempt began, in their order; each must have begun once.
fn once(journal: &[Value]) -> Vec<String> {
    let begun: Vec<String> = facts(journal, "attempt_started").map(|record| word(record, "step")).collect();
    let different: HashSet<&String> = begun.iter().collect();
    assert_eq!(different.len(), begun.len(), "nothing began twice: {journal:?}");
    begun
}

/// A counter is done again only where its outcome was not recorded: the journal tells where that may have been.
fn counted(at: &str, run: &str) {
    let view = ended(at, run);
    assert_eq!(status(&view), "succeeded", "{view:#}");
    let journal = journal(at, run);
    assert_eq!(once(&journal), ["before", "rest", "after"]);
    for step in ["before", "after"] {
        let lost = facts(&journal, "attempt_resumed").filter(|record| record["step"] == step).count() as u64;
        let value = view["outputs"][step].as_u64().expect("a counter");
        assert!(
            (1..=1 + lost).contains(&value),
            "{step} came to {value}, {lost} times without an outcome: {journal:?}"
        );
    }
}

fn facts<'a>(journal: &'a [Value], fact: &'a str) -> impl Iterator<Item = &'a Value> {
    journal.iter().filter(move |record| record["fact"] == fact)
}

fn word(record: &Value, key: &str) -> String {
    record[key].as_str().unwrap_or_default().to_owned()
}

fn metrics(at: &str) -> String {
    get(at, "/metrics").is(200).body
}

fn of(at: &str, kind: &str, stand: Stand) -> usize {
    active(&metrics(at), kind, stand)
}

fn wait(until: impl Fn() -> bool, what: impl Fn() -> String) {
    let begun = Instant::now();
    while !until() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain:\n{}", what());
        std::thread::sleep(Duration::from_millis(50));
    }
}
