//! Triggers in memory: messages that come twice, too fast, too large or not at all readable; letters; folders.

use super::books::{Books, Name};
use super::folder;
use super::inbox::Inbox;
use super::judge::{Definition, Judge};
use super::letters::{KEPT, Letter, Letters, Reason};
use super::line::Line;
use super::mqtt::{self, Heard};
use super::shared::Shared;
use super::starter::{Asked, Begun, Starter};
use super::told::Told;
use crate::bus::{Bus as _, BusError, MemoryBus, Message};
use crate::store::{BoxFuture, MemoryKeyValue};
use packhorse_core::failure::{Class, Failure};
use packhorse_core::run::{RunId, WallTime};
use packhorse_core::trigger::Glob;
use packhorse_core::workflow::{check, expr::STACK};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

/// Starts runs in memory: one for each key.
#[derive(Default)]
struct Runs {
    keys: Mutex<HashMap<String, RunId>>,
    asked: Mutex<Vec<Asked>>,
    /// So many starts fail first.
    failures: Mutex<u32>,
    /// Starts for the device `bad` fail for now, so often so far; those for `full` for good.
    bad: Mutex<u32>,
    /// Starts wait until this says so.
    gate: Mutex<Option<watch::Receiver<bool>>>,
}

impl Starter for Runs {
    fn start(&self, asked: Asked) -> BoxFuture<'static, Result<Begun, Failure>> {
        let mut failures = self.failures.lock().unwrap();
        if *failures > 0 {
            *failures -= 1;
            return Box::pin(async { Err(Failure::new("PH7002", Class::Transient, "not now")) });
        }
        drop(failures);
        match asked.inputs.get("device").map(String::as_str) {
            Some("bad") => {
                *self.bad.lock().unwrap() += 1;
                return Box::pin(async { Err(Failure::new("PH7002", Class::Transient, "not now")) });
            }
            Some("full") => return Box::pin(async { Err(Failure::new("PH8040", Class::Permanent, "full")) }),
            _ => {}
        }
        let gate = self.gate.lock().unwrap().clone();
        let number = self.asked.lock().unwrap().len();
        let run: RunId = format!("run_{number:026}").parse().unwrap();
        let known = asked.key.as_ref().and_then(|key| {
            let mut keys = self.keys.lock().unwrap();
            let known = keys.get(&key.key).cloned();
            keys.entry(key.key.clone()).or_insert_with(|| run.clone());
            known
        });
        let replayed = known.is_some();
        if !replayed {
            self.asked.lock().unwrap().push(asked);
        }
        Box::pin(async move {
            if let Some(mut gate) = gate {
                drop(gate.wait_for(|open| *open).await);
            }
            Ok(Begun { run: known.unwrap_or(run), replayed })
        })
    }
}

fn definition(trigger: &str) -> Definition {
    let text = format!(
        "kind: workflow/v1\nname: w\ninputs:\n  device: {{ type: string, pattern: '[a-z0-9-]+' }}\ntriggers:\n  - id: t\n    mqtt: {trigger}\nsteps:\n  - uses: log\n    with: {{ message: x }}\n"
    );
    let checked = move || check(text.as_bytes(), "w.yaml").unwrap_or_else(|problems| panic!("{problems}"));
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(checked).unwrap();
    let workflow = Arc::new(thread.join().unwrap());
    let trigger = Arc::new(workflow.triggers[0].clone());
    Definition { workflow, trigger }
}

/// A trigger that listens in memory.
struct Stand {
    bus: MemoryBus,
    runs: Arc<Runs>,
    shared: Arc<Shared>,
    name: Name,
    listening: tokio::task::JoinHandle<()>,
    definition: watch::Sender<Definition>,
}

impl Stand {
    fn new(trigger: &str) -> Self {
        Self::on(trigger, MemoryBus::new(), Arc::new(MemoryKeyValue::default()))
    }

    fn on(trigger: &str, bus: MemoryBus, index: Arc<MemoryKeyValue>) -> Self {
        let runs = Arc::new(Runs::default());
        let shared = Arc::new(Shared {
            line: Line::over(Arc::new(bus.clone())),
            index: index.clone(),
            starter: runs.clone(),
            judge: Judge::start("triggers").unwrap(),
            letters: Letters::new(index),
            books: Books::default(),
            told: Mutex::new(Told::default()),
            stopping: watch::Sender::new(false),
            left: Mutex::default(),
            parting: Mutex::default(),
        });
        let name = Name { workflow: "w".to_owned(), id: "t".to_owned() };
        let (sender, definition) = watch::channel(definition(trigger));
        let at = ("t/+".to_owned(), None);
        let listening = tokio::spawn(mqtt::listen(Arc::clone(&shared), name.clone(), definition, at));
        Self { bus, runs, shared, name, listening, definition: sender }
    }

    /// Stops in order; gives how many runs there are.
    async fn stop(self) -> usize {
        self.shared.stopping.send_replace(true);
        self.listening.await.unwrap();
        self.runs.asked.lock().unwrap().len()
    }

    async fn until(&self, what: &str, wanted: impl Fn(&Self) -> bool) {
        let begun = tokio::time::Instant::now();
        while !wanted(self) {
            let page = self.shared.books.page(&self.name);
            assert!(begun.elapsed() < Duration::from_secs(30), "{what}: {page:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn listens(&self) {
        self.until("listens", |stand| stand.shared.books.page(&stand.name).listens).await;
    }

    fn say(&self, topic: &str, payload: &[u8]) {
        self.bus.publish(Message::new(topic, payload.to_vec())).unwrap();
    }

    fn started(&self) -> usize {
        self.runs.asked.lock().unwrap().len()
    }
}

const PLAIN: &str =
    "{ topic: 't/+', inputs: { device: '${{ trigger.topic_levels[1] }}' }, dedupe_key: '${{ trigger.payload.id }}' }";

#[tokio::test(flavor = "multi_thread")]
async fn the_same_message_is_one_run_and_a_bad_one_a_letter() {
    let stand = Stand::new(PLAIN);
    stand.listens().await;
    *stand.runs.failures.lock().unwrap() = 1;
    for payload in [&br#"{"id":1}"#[..], br#"{"id":1}"#, b"no JSON", br#"{"id":2}"#] {
        stand.say("t/gw-1", payload);
    }
    stand.until("two runs", |stand| stand.started() == 2).await;
    stand.until("counted", |stand| stand.shared.books.page(&stand.name).counts.replayed == 1).await;
    let asked = stand.runs.asked.lock().unwrap().clone();
    assert_eq!((asked[0].inputs["device"].as_str(), asked[0].context["topic"].as_str()), ("gw-1", Some("t/gw-1")));
    assert!(asked[0].folder.is_none(), "a message names no file of this machine");
    let letters = stand.shared.letters.list().await.unwrap();
    assert_eq!((letters.len(), letters[0].reason.code.as_str()), (1, "PH0301"));
    let whole = stand.shared.letters.show(letters[0].id).await.unwrap();
    assert_eq!(whole.whole().as_deref(), Some(&b"no JSON"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retained_message_is_not_taken_again_by_the_next_process() {
    let (bus, index) = (MemoryBus::new(), Arc::new(MemoryKeyValue::default()));
    let plain = "{ topic: 't/+', inputs: { device: '${{ trigger.topic_levels[1] }}' } }";
    bus.publish(Message::new("t/gw-1", b"please".to_vec()).retained()).unwrap();
    let first = Stand::on(plain, bus.clone(), Arc::clone(&index));
    first.until("one run", |stand| stand.shared.books.page(&stand.name).counts.started == 1).await;
    // The mark is written after the run has started, and the key of the run belongs to the starter.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let second = Stand::on(plain, bus.clone(), index);
    second.until("known", |stand| stand.shared.books.page(&stand.name).counts.replayed == 1).await;
    assert_eq!(second.started(), 0);
    first.say("t/gw-1", b"please");
    first.until("a live one counts", |stand| stand.started() == 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_kept_as_far_as_it_goes() {
    let stand = Stand::new(PLAIN);
    stand.listens().await;
    stand.say("t/gw-1", &vec![b'x'; 70_000]);
    stand.until("a letter", |stand| stand.shared.books.page(&stand.name).counts.failed == 1).await;
    let mut letters = Vec::new();
    while letters.is_empty() {
        letters = stand.shared.letters.list().await.unwrap();
    }
    assert_eq!((letters[0].reason.code.as_str(), letters[0].size), ("PH8501", 70_000));
    assert!(letters[0].payload.is_none(), "lists are short");
    assert!(stand.shared.letters.show(letters[0].id).await.unwrap().whole().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_waits_for_its_turn() {
    let stand = Stand::new("{ topic: 't/+', max_rate: 5, inputs: { device: '${{ trigger.topic_levels[1] }}' } }");
    stand.listens().await;
    for _ in 0..50 {
        stand.say("t/gw-1", b"x");
    }
    stand.until("the burst", |stand| stand.started() == 10).await;
    stand.until("the rest waits", |stand| stand.shared.books.page(&stand.name).waiting == 40).await;
    assert!(stand.started() <= 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_fails_lets_the_others_pass_and_edits_do_not_hurry_it() {
    let plain = "{ topic: 't/+', max_rate: 6000, inputs: { device: '${{ trigger.topic_levels[1] }}' } }";
    let stand = Stand::new(plain);
    stand.listens().await;
    stand.say("t/bad", b"x");
    stand.say("t/full", b"x");
    stand.until("the first try", |stand| *stand.runs.bad.lock().unwrap() == 1).await;
    for number in 1..=20 {
        stand.say(&format!("t/gw-{number}"), b"x");
        stand.until("the others", |stand| stand.started() == number).await;
        stand.definition.send_replace(definition(plain));
    }
    let letters = stand.shared.letters.list().await.unwrap();
    assert_eq!(letters.iter().map(|letter| letter.reason.code.as_str()).collect::<Vec<_>>(), ["PH8040"]);
    let waiting = stand.shared.books.page(&stand.name).waiting;
    assert_eq!(waiting, 1, "it is tried again at its own time");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_behind_a_start_when_the_trigger_is_let_go_is_found_by_the_next() {
    let (bus, index) = (MemoryBus::new(), Arc::new(MemoryKeyValue::default()));
    let plain = "{ topic: 't/+', max_rate: 6000, inputs: { device: '${{ trigger.topic_levels[1] }}' } }";
    let first = Stand::on(plain, bus.clone(), Arc::clone(&index));
    let (open, gate) = watch::channel(false);
    *first.runs.gate.lock().unwrap() = Some(gate);
    first.listens().await;
    for number in 0..10 {
        first.say(&format!("t/gw-{number}"), b"x");
    }
    first.until("all are taken", |stand| stand.shared.books.page(&stand.name).counts.received == 10).await;
    first.until("one is being started", |stand| stand.started() == 1).await;
    drop(first.definition);
    open.send_replace(true);
    first.listening.await.unwrap();
    let begun = first.runs.asked.lock().unwrap().len();
    let second = Stand::on(plain, bus, index);
    second.until("all the others", |stand| stand.started() == 10 - begun).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_the_answer_to_one_question_alone() {
    let judge = Judge::start("triggers").unwrap();
    let panicked: Result<(), Failure> = judge.ask(|| panic!("on purpose")).await;
    assert_eq!(panicked.unwrap_err().code, "PH9001");
    assert_eq!(judge.ask(|| 7).await.unwrap(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_found_by_the_next_process_and_what_was_begun_is_not() {
    let (bus, index) = (MemoryBus::new(), Arc::new(MemoryKeyValue::default()));
    let trigger = |rate| {
        format!("{{ topic: 't/+', max_rate: {rate}, inputs: {{ device: '${{{{ trigger.topic_levels[1] }}}}' }} }}")
    };
    let first = Stand::on(&trigger(1), bus.clone(), Arc::clone(&index));
    first.listens().await;
    for number in 0..150 {
        first.say(&format!("t/gw-{number}"), format!("{number}").as_bytes());
    }
    first.until("the rest waits", |stand| stand.shared.books.page(&stand.name).waiting == 148).await;
    let begun = first.stop().await;
    let second = Stand::on(&trigger(6_000), bus.clone(), Arc::clone(&index));
    second.until("all the others", |stand| stand.started() == 150 - begun).await;
    let devices: Vec<_> =
        second.runs.asked.lock().unwrap().iter().map(|asked| asked.inputs["device"].clone()).collect();
    let expected: Vec<_> = (begun..150).map(|number| format!("gw-{number}")).collect();
    assert_eq!(devices, expected, "in the order in which they came");
    assert!(second.runs.asked.lock().unwrap().iter().all(|asked| !asked.live && asked.key.is_some()));
    second.until("nothing waits", |stand| stand.shared.books.page(&stand.name).waiting == 0).await;
    assert_eq!(second.stop().await, 150 - begun);
    let third = Stand::on(&trigger(6_000), bus, index);
    third.listens().await;
    third.say("t/gw-new", b"x");
    third.until("the new one", |stand| stand.started() >= 1).await;
    assert_eq!(third.stop().await, 1);
}

#[tokio::test]
async fn what_keeping_it_again_keeps_twice_is_one_run() {
    let stand = Stand::new(PLAIN);
    let inbox = || Inbox::new(Arc::clone(&stand.shared), &stand.name);
    let heard =
        Heard { topic: "t/gw-1".to_owned(), payload: "x".into(), retain: false, at: WallTime(1), receipt: None };
    let mut came = heard.came();
    let mut first = inbox();
    for _ in 0..2 {
        first.keep(&mut [&mut came]).await.unwrap();
    }
    let found = inbox().load().await.unwrap();
    let keys: Vec<_> = found.iter().map(|(number, came)| (*number, came.own_key.clone())).collect();
    assert_eq!(keys, [(1, came.own_key.clone()), (2, came.own_key.clone())]);
    assert!(came.own_key.is_some());
}

#[tokio::test]
async fn what_another_process_has_in_the_inbox_is_not_passed_over() {
    let stand = Stand::new(PLAIN);
    let inbox = || Inbox::new(Arc::clone(&stand.shared), &stand.name);
    let came = |topic: &str| {
        Heard { topic: topic.to_owned(), payload: "x".into(), retain: false, at: WallTime(1), receipt: None }.came()
    };
    let (mut ours, mut theirs) = (inbox(), inbox());
    theirs.keep(&mut [&mut came("t/theirs")]).await.unwrap();
    // Farther than is looked back.
    for _ in 0..1_200 {
        let number = ours.keep(&mut [&mut came("t/ours")]).await.unwrap()[0];
        ours.drop(number).await;
    }
    let topics = |found: Vec<(u64, super::shared::Came)>| -> Vec<String> {
        found.into_iter().map(|(_, came)| came.source).collect()
    };
    assert_eq!(topics(inbox().load().await.unwrap()), ["t/theirs"]);
    theirs.drop(1).await;
    let number = ours.keep(&mut [&mut came("t/ours")]).await.unwrap()[0];
    for _ in 0..20 {
        ours.drop(number).await;
    }
    let first = stand.shared.read(&inbox().key("first")).await.unwrap();
    assert_eq!(first.as_deref(), Some(&*(number + 1).to_string()), "all that is gone is passed over in the end");
}

#[test]
fn a_session_is_found_again_and_one_that_cannot_be_read_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("session.json");
    let open = || Line::open(&path, Box::new(|_| Box::pin(std::future::ready(Err(BusError::Closed)))));
    let read = || std::fs::read_to_string(&path).unwrap();
    open().unwrap().wants(["a/+".to_owned()].into());
    let first = read();
    assert!(first.contains("packhorseT") && first.contains("a/+"), "{first}");
    open().unwrap();
    assert_eq!(read(), first);
    std::fs::write(&path, &first[..first.len() / 2]).unwrap();
    open().unwrap();
    assert!(read().contains("packhorseT") && read() != first);
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(open().is_err(), "what is there and cannot be read is not written over");
}

fn letter(number: u64) -> Letter {
    Letter {
        id: 0,
        at: "2026-01-01T00:00:00.000Z".to_owned(),
        workflow: "w".to_owned(),
        trigger: "t".to_owned(),
        kind: "mqtt".to_owned(),
        source: format!("t/{number}"),
        reason: Reason { code: "PH0301".to_owned(), message: "no".to_owned() },
        size: 0,
        payload: None,
        context: None,
        key: None,
    }
}

#[tokio::test]
async fn the_newest_letters_are_kept() {
    let letters = Letters::new(Arc::new(MemoryKeyValue::default()));
    for number in 0..KEPT + 5 {
        letters.keep(letter(number)).await.unwrap();
    }
    let kept = letters.list().await.unwrap();
    assert_eq!(kept.len() as u64, KEPT);
    assert_eq!(kept[0].source, format!("t/{}", KEPT + 4));
    assert_eq!(letters.show(3).await.unwrap_err().code, "PH8505", "another one took its place");
    let id = kept[7].id;
    letters.drop(id).await.unwrap();
    assert_eq!(letters.drop(id).await.unwrap_err().code, "PH8505");
    assert_eq!(letters.list().await.unwrap().len() as u64, KEPT - 1);
}

#[test]
fn the_log_tells_of_the_same_thing_once_a_minute() {
    let mut told = Told::default();
    let begin = WallTime(1_700_000_000_000);
    assert_eq!(told.tell("w", "PH0301", begin), Some(0));
    assert_eq!(told.tell("w", "PH0301", begin.after(Duration::from_secs(1))), None);
    assert_eq!(told.tell("w", "PH8501", begin), Some(0));
    assert_eq!(told.tell("w", "PH0301", begin.after(Duration::from_secs(61))), Some(1));
    assert_eq!(told.tell("w", "PH0301", WallTime(5)), Some(0), "a clock that went back silences nothing");
}

#[test]
fn a_look_stays_in_its_folder() {
    let home = tempfile::tempdir().unwrap();
    let inside = home.path().join("in");
    std::fs::create_dir(&inside).unwrap();
    std::fs::create_dir(inside.join("deeper.bin")).unwrap();
    std::fs::write(home.path().join("out.bin"), "secret").unwrap();
    std::fs::write(inside.join("a.bin"), "abc").unwrap();
    std::fs::write(inside.join("a.txt"), "abc").unwrap();
    std::os::unix::fs::symlink(home.path().join("out.bin"), inside.join("link.bin")).unwrap();
    std::os::unix::fs::symlink(inside.join("a.bin"), inside.join("same.bin")).unwrap();
    std::os::unix::fs::symlink(inside.join("gone"), inside.join("broken.bin")).unwrap();
    let (files, crowded) = folder::look(&inside, &Glob::new("*.bin").unwrap()).unwrap();
    let names: Vec<_> = files.keys().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!((names, crowded), (vec!["a.bin", "same.bin"], false));
    assert!(files.values().all(|seen| seen.size == 3));
    assert!(folder::look(&home.path().join("nowhere"), &Glob::new("*").unwrap()).is_err());
}
