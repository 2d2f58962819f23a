//! Runs played from scripts: events in, facts and orders out, both as text.
//!
//! A line of a script is an event: `begin`, `+5s` (time passes, then a tick), `ok STEP`, `value STEP TEXT`, `fail STEP CLASS [CODE]`, `spent STEP TIME` (its traffic budget
//! is spent for so long), `parked STEP`,
//! `cancelled STEP`, `unreachable STEP`, `reachable STEP`, `back`, `pause`, `resume`, `cancel`, `retry`, `park`, `repin FROM TO`, `crash [BYTES]`
//! (all that is not a fact is lost; then recovered, so many bytes done), `status`. The indented lines below it are what must come of it.

mod admission;
mod blocks;
mod crash;
mod crashes;
mod devices;
mod doubt;
mod ending;
mod expressions;
mod facts;
mod flow;
mod notable;
mod random;
mod render;
mod repin;
mod timing;

use super::*;
use crate::effect::{Effect, LogLevel, Reply, Traffic, TransferRequest, TransferTask};
use crate::failure::{Class, Failure};
use crate::file::FileRef;
use crate::step::{EffectClass, Outputs, Primitive, Start};
use crate::workflow::{Retry, Step, StepKind, Workflow};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(super) const T0: u64 = 1_700_000_000_000;

type Start0 = fn(&Map<String, Value>) -> Result<Start, Failure>;

const fn fake(name: &'static str, start: Start0) -> Primitive {
    Primitive {
        name,
        about: "",
        parameters: schema,
        outputs: &[],
        errors: &[],
        class: EffectClass::AtLeastOnce,
        example: "",
        start,
        finish,
    }
}

fn schema() -> schemars::Schema {
    schemars::Schema::default()
}

fn finish(_with: &Map<String, Value>, reply: Reply) -> Result<Outputs, Failure> {
    match reply {
        Reply::Value { value } => Ok(Map::from_iter([("value".to_owned(), value)])),
        _ => Ok(Map::new()),
    }
}

pub(super) static LOG: Primitive = fake("log", |_| {
    let effect = Effect::Log { level: LogLevel::Info, message: "hello".to_owned(), fields: BTreeMap::new() };
    Ok(Start::Effect(Box::new(effect)))
});

pub(super) static PUSH: Primitive = fake("transfer.push", |_| {
    let file = FileRef {
        uri: "file:/fw.bin".to_owned(),
        name: "fw.bin".to_owned(),
        size: 1,
        md5: String::new(),
        sha256: String::new(),
        meta: BTreeMap::new(),
    };
    let request = TransferRequest {
        task: TransferTask::Push { file },
        device: "dev-1".to_owned(),
        window: None,
        packet_size: None,
        message_limit: None,
        rate: None,
        budget: None,
        meta: BTreeMap::new(),
    };
    Ok(Start::Effect(Box::new(Effect::Transfer(request))))
});

pub(super) static SLEEP: Primitive = fake("sleep", |_| Ok(Start::Sleep(Duration::from_secs(10))));
pub(super) static DONE: Primitive = fake("assert", |_| Ok(Start::Done(Map::new())));
pub(super) static FAIL: Primitive = fake("fail", |_| Err(Failure::new("PH9001", Class::Permanent, "told to fail")));

pub(super) fn step(id: &str, primitive: &'static Primitive) -> Step {
    Step {
        id: id.to_owned(),
        name: None,
        kind: StepKind::Uses { primitive, with: BTreeMap::new() },
        condition: None,
        retry: Retry::default(),
        timeout: None,
        deadline: None,
        on_error: crate::workflow::OnError::Fail,
        outputs: BTreeMap::new(),
        line: 1,
    }
}

pub(super) fn block(id: &str, steps: Vec<Step>) -> Step {
    Step { kind: StepKind::Block(steps), ..step(id, &DONE) }
}

pub(super) fn tries(max_attempts: u32) -> Retry {
    Retry { max_attempts, initial: Duration::from_secs(2), ..Retry::default() }
}

pub(super) fn workflow(steps: Vec<Step>) -> Workflow {
    Workflow {
        name: "sample".to_owned(),
        description: String::new(),
        labels: BTreeMap::new(),
        inputs: Vec::new(),
        codec: None,
        vars: BTreeMap::new(),
        triggers: Vec::new(),
        timeout: Duration::from_secs(7 * 86_400),
        steps,
        on_failure: Vec::new(),
        finally: Vec::new(),
        outputs: BTreeMap::new(),
        concurrency: None,
        priority: None,
        slot: None,
        digest: "00".to_owned(),
    }
}

pub(crate) fn created() -> Created {
    Created {
        run: "run_01J9ZK3M5N7P9Q1R3S5T7V9W1X".parse().expect("an id"),
        workflow: "sample".to_owned(),
        digest: "00".to_owned(),
        engine: "0.1.0".to_owned(),
        inputs: Map::new(),
        device: Value::Null,
        trigger: Value::Null,
        message: None,
        vars: BTreeMap::new(),
        codec: None,
        plugins: BTreeMap::new(),
        terms: crate::admission::Terms::default(),
    }
}

/// A build of one codec.
pub(super) fn pin(digest: &str) -> CodecPin {
    CodecPin { name: "acme".to_owned(), version: "0.1.0".to_owned(), digest: digest.to_owned() }
}

/// A run with its journal and its clock.
pub(super) struct Player {
    pub(super) run: Run,
    pub(super) journal: Vec<Record>,
    pub(super) now: WallTime,
    /// The effect under way, as a process would know it.
    pub(super) under_way: Option<EffectId>,
    pub(super) random: u64,
}

impl Player {
    pub(super) fn new(workflow: Workflow) -> Self {
        Self::of(workflow, created())
    }

    /// The same, pinned to a codec whose digest is `old`.
    pub(super) fn pinned(workflow: Workflow) -> Self {
        Self::of(workflow, Created { codec: Some(pin("old")), ..created() })
    }

    fn of(workflow: Workflow, created: Created) -> Self {
        let now = WallTime(T0);
        let (run, first) = Run::create(Arc::new(workflow), created, now);
        Self { run, journal: vec![first], now, under_way: None, random: u64::MAX }
    }

    pub(super) fn decide(&mut self, event: RunEvent) -> Result<Decision, Refused> {
        let ended = matches!(&event, RunEvent::EffectEnded { id, .. } if Some(id) == self.under_way.as_ref());
        let decision = self.run.decide(event, Moment { now: self.now, random: self.random })?;
        if ended {
            self.under_way = None;
        }
        for order in &decision.effects {
            assert_eq!(self.under_way, None, "two effects at once");
            self.under_way = Some(order.id.clone());
        }
        self.journal.extend(decision.facts.iter().cloned());
        let folded = RunState::fold(&self.journal).expect("facts that were decided are legal");
        assert_eq!(&folded, self.run.state(), "the fold of the journal is the state");
        Ok(decision)
    }

    /// All but the facts is lost; another process takes over, and finds nothing done.
    pub(super) fn crash(&mut self) -> Decision {
        self.crash_at(0)
    }

    /// The same where the checkpoint tells of so many bytes.
    pub(super) fn crash_at(&mut self, done: u64) -> Decision {
        self.run = Run::recover(self.run.workflow().clone(), &self.journal).expect("the journal is whole");
        self.under_way = None;
        self.decide(RunEvent::Recovered { done, wanted: false }).expect("recovering is never refused")
    }

    pub(super) fn ended(&self, step: &str, end: EffectEnd) -> RunEvent {
        let id = self.under_way.clone().filter(|id| id.step == step);
        let id = id.unwrap_or_else(|| panic!("no effect of {step} is under way"));
        let traffic = Traffic { wire_bytes: 10, packets: 1, ..Traffic::default() };
        RunEvent::EffectEnded { id, end, traffic, carried: false }
    }

    fn line(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        let event = match words.as_slice() {
            ["status"] => return render::status(&self.run.view(self.now)),
            ["crash"] => return render::decision(&self.crash(), self.now),
            ["crash", done] => {
                let done = done.parse().expect("a number of bytes");
                return render::decision(&self.crash_at(done), self.now);
            }
            ["begin"] => RunEvent::Begin,
            ["back"] => RunEvent::DeviceBack,
            ["pause"] => RunEvent::Pause,
            ["resume"] => RunEvent::Resume,
            ["cancel"] => RunEvent::Cancel { reason: None },
            ["retry"] => RunEvent::Retry,
            ["park"] => RunEvent::Park,
            ["repin", from, to] => RunEvent::Repin { from: (*from).to_owned(), to: pin(to) },
            ["ok", step] => self.ended(step, EffectEnd::Outcome(Ok(Reply::Done))),
            ["value", step, text] => {
                self.ended(step, EffectEnd::Outcome(Ok(Reply::Value { value: Value::String((*text).to_owned()) })))
            }
            ["fail", step, class] => self.ended(step, EffectEnd::Outcome(Err(failure(class, "PH5001")))),
            ["fail", step, class, code] => self.ended(step, EffectEnd::Outcome(Err(failure(class, code)))),
            ["spent", step, wait] => {
                let spent = failure("transient", "PH5040").not_before(self.now.after(seconds(wait)).0);
                self.ended(step, EffectEnd::Outcome(Err(spent)))
            }
            ["parked", step] => self.ended(step, EffectEnd::Parked),
            ["cancelled", step] => self.ended(step, EffectEnd::Cancelled),
            ["reachable", _] => {
                RunEvent::DeviceReachable { id: self.under_way.clone().expect("an effect"), reachable: true }
            }
            ["unreachable", _] => {
                RunEvent::DeviceReachable { id: self.under_way.clone().expect("an effect"), reachable: false }
            }
            [wait] => {
                self.now = self.now.after(seconds(wait));
                RunEvent::Tick
            }
            _ => panic!("unknown line: {line}"),
        };
        match self.decide(event) {
            Ok(decision) => render::decision(&decision, self.now),
            Err(refused) => format!("  refused: {refused}\n"),
        }
    }
}

fn seconds(text: &str) -> Duration {
    let number = text.trim_start_matches('+').trim_end_matches('s');
    Duration::from_secs(number.parse().unwrap_or_else(|_| panic!("unknown line: {text}")))
}

pub(super) fn failure(class: &str, code: &str) -> Failure {
    let class = serde_json::from_value(Value::String(class.to_owned())).expect("a class");
    Failure::new(code, class, "it broke")
}

/// Plays a script and compares what came of it.
pub(super) fn check(workflow: Workflow, script: &str) -> Player {
    play(Player::new(workflow), script)
}

/// The same with a codec.
pub(super) fn check_pinned(workflow: Workflow, script: &str) -> Player {
    play(Player::pinned(workflow), script)
}

fn play(mut player: Player, script: &str) -> Player {
    let mut transcript = String::new();
    let lines: Vec<String> =
        script.lines().map(|line| line.trim_end().to_owned()).filter(|line| !line.is_empty()).collect();
    let margin = lines.first().map_or(0, |line| line.len() - line.trim_start().len());
    let lines: Vec<&str> = lines.iter().map(|line| &line[margin.min(line.len())..]).collect();
    for line in lines.iter().filter(|line| !line.starts_with(' ')) {
        transcript.push_str(line);
        transcript.push('\n');
        let came = player.line(line);
        transcript.push_str(&came);
    }
    let expected = lines.join("\n") + "\n";
    assert!(transcript == expected, "came:\n{transcript}\nexpected:\n{expected}");
    player
}
