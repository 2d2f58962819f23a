//! Checks triggers: what each listens to, its expressions over `trigger`, and whether its inputs can start a run.

use super::check::Checker;
use super::codes;
use super::expr::Condition;
use super::names::Place;
use super::node::{Entry, Node};
use super::problem::{Problem, suggest};
use super::raw_trigger::{RawFile, RawHttp, RawMqtt, RawSchedule};
use super::shape::Marks;
use super::source::Span;
use super::{Input, units};
use crate::trigger::{Glob, Kind, MAX_JITTER, MAX_RATE, Schedule, Source, Trigger};
use std::collections::BTreeSet;
use std::time::Duration;

/// Kinds that a file declares, right or wrong, so that its expressions can be judged in any case.
pub(super) fn kinds(node: Option<&Node>) -> Vec<Kind> {
    let items = node.map(Node::items).unwrap_or_default();
    Kind::ALL.into_iter().filter(|kind| items.iter().any(|item| item.get(kind.name()).is_some())).collect()
}

/// Reads and checks `triggers:`; nothing where one is wrong.
pub(super) fn list(checker: &mut Checker<'_>, node: Option<&Node>, inputs: &[Input]) -> Option<Vec<Trigger>> {
    let mut taken = BTreeSet::new();
    let items = node.map(Node::items).unwrap_or_default();
    let all: Vec<Option<Trigger>> =
        items.iter().enumerate().map(|(index, item)| one(checker, item, index, inputs, &mut taken)).collect();
    all.into_iter().collect()
}

fn one(
    checker: &mut Checker<'_>,
    node: &Node,
    index: usize,
    inputs: &[Input],
    taken: &mut BTreeSet<String>,
) -> Option<Trigger> {
    let at = Span::new(node.span.start as usize, node.span.start as usize + 1);
    let (kind, entry) = kind(checker, node, at)?;
    let id = id(checker, node, kind, index, taken);
    let source = source(checker, kind, entry);
    let all = std::mem::replace(&mut checker.names.triggers, vec![kind]);
    let place = Place { roots: &["trigger"], words: "a trigger", own: None };
    let condition = condition(checker, &entry.node, place);
    let dedupe_key = match entry.node.get("dedupe_key") {
        Some(node) => checker.compiler.template(node, &checker.names, place).map(|(template, _)| Some(template)),
        None => Some(None),
    };
    let given = checker.templates(entry.node.get("inputs"), place);
    checker.names.triggers = all;
    fit(checker, entry, inputs);
    let (source, max_rate) = source?;
    Some(Trigger { id, source, condition: condition?, inputs: given?, dedupe_key: dedupe_key?, max_rate })
}

/// The one kind of an item, with its entry.
fn kind<'a>(checker: &mut Checker<'_>, node: &'a Node, at: Span) -> Option<(Kind, &'a Entry)> {
    let schema = checker.shape.definition("Trigger");
    if node.entries().is_empty() {
        let message = format!("a trigger must be a map, and is {}", node.describe());
        checker.report(Problem::new(codes::WRONG_TYPE, node.span, message));
        return None;
    }
    let before = checker.compiler.problems.len();
    checker.shape.keys(schema, node, "the trigger", at, &mut checker.compiler.problems);
    let clean = checker.compiler.problems.len() == before;
    let mut found = node.entries().iter().filter_map(|entry| {
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == entry.key)?;
        Some((kind, entry))
    });
    match (found.next(), found.next()) {
        (Some(one), None) => Some(one),
        (None, _) if !clean => None,
        (None, _) => {
            let problem = Problem::new(codes::TRIGGER_KIND, at, "the trigger listens to nothing");
            checker.report(problem.help("give it one of mqtt, schedule, file, http"));
            None
        }
        (Some(_), Some((_, second))) => {
            let problem = Problem::new(codes::TRIGGER_KIND, second.key_span, "a trigger listens to one thing only");
            checker.report(problem.help("make two triggers of it"));
            None
        }
    }
}

fn id(checker: &mut Checker<'_>, node: &Node, kind: Kind, index: usize, taken: &mut BTreeSet<String>) -> String {
    let made = format!("{}_{}", kind.name(), index + 1);
    let own = node.get("id");
    if let Some(own) = own {
        let schema = &checker.shape.definition("Trigger")["properties"]["id"];
        checker.shape.value(schema, own, "`id`", Marks::Refused, &mut checker.compiler.problems);
    }
    let id = own.and_then(Node::text).map_or(made, str::to_owned);
    if !taken.insert(id.clone()) {
        let span = own.map_or(node.span, |own| own.span);
        let problem = Problem::new(codes::DUPLICATE_TRIGGER, span, format!("the trigger id `{id}` is taken"));
        checker.report(problem.help("ids of triggers are unique in the file"));
    }
    id
}

/// What it listens to, and how many starts it may make; nothing where that is wrong.
fn source(checker: &mut Checker<'_>, kind: Kind, entry: &Entry) -> Option<(Source, u32)> {
    let what = format!("`{}`", kind.name());
    let (node, at) = (&entry.node, entry.key_span);
    match kind {
        Kind::Mqtt => {
            let raw: RawMqtt = checker.read(checker.shape.definition("MqttTrigger"), node, &what, at, &[]);
            Some((Source::Mqtt { topic: raw.topic? }, raw.max_rate.unwrap_or(MAX_RATE)))
        }
        Kind::Schedule => {
            let raw: RawSchedule = checker.read(checker.shape.definition("ScheduleTrigger"), node, &what, at, &[]);
            schedule(checker, node, raw).map(|schedule| (Source::Schedule(Box::new(schedule)), MAX_RATE))
        }
        Kind::File => {
            let raw: RawFile = checker.read(checker.shape.definition("FileTrigger"), node, &what, at, &[]);
            let glob = Glob::new(raw.glob.as_deref().unwrap_or("*")).ok()?;
            Some((Source::File { folder: raw.folder?, glob }, raw.max_rate.unwrap_or(MAX_RATE)))
        }
        Kind::Http => {
            let raw: RawHttp = checker.read(checker.shape.definition("HttpTrigger"), node, &what, at, &[]);
            Some((Source::Http, raw.max_rate.unwrap_or(MAX_RATE)))
        }
    }
}

fn schedule(checker: &mut Checker<'_>, node: &Node, raw: RawSchedule) -> Option<Schedule> {
    let jitter = raw.jitter.as_deref().and_then(|text| units::duration(text).ok()).unwrap_or(Duration::ZERO);
    if jitter > MAX_JITTER {
        let span = node.get("jitter").map_or(node.span, |node| node.span);
        checker.report(Problem::new(codes::BAD_VALUE, span, "`jitter` is at most 1d"));
    }
    let zone = raw.timezone.as_deref().unwrap_or("UTC");
    Schedule::new(&raw.cron?, zone, jitter, raw.if_missed.unwrap_or_default()).ok()
}

/// The outer option is empty where it is wrong, the inner where there is none.
#[expect(clippy::option_option, reason = "wrong and absent are two things here")]
fn condition(checker: &mut Checker<'_>, node: &Node, place: Place<'_>) -> Option<Option<Condition>> {
    let Some(node) = node.get("if") else { return Some(None) };
    let place = Place { words: "`if` of a trigger", ..place };
    checker.compiler.condition(node, "`if`", &checker.names, place).map(Some)
}

/// Whether the inputs that it gives are declared and plausible, and those that are required are given.
fn fit(checker: &mut Checker<'_>, entry: &Entry, inputs: &[Input]) {
    let given = entry.node.get("inputs").map(Node::entries).unwrap_or_default();
    for entry in given.iter().filter(|entry| !entry.key.starts_with("x-")) {
        if !checker.names.inputs.contains_key(&entry.key) {
            let message = format!("the workflow has no input `{}`", entry.key);
            let help = suggest("inputs", &entry.key, checker.names.inputs.keys().map(String::as_str));
            let help = help.or_else(|| Some("this workflow declares no inputs".to_owned()));
            checker.report(Problem::new(codes::TRIGGER_INPUT, entry.key_span, message).maybe_help(help));
        } else if let Some(input) = inputs.iter().find(|input| input.name == entry.key)
            && let Some(why) = literal(&entry.node).and_then(|text| input.refuses(&text))
        {
            checker.report(Problem::new(codes::TRIGGER_INPUT, entry.node.span, why));
        }
    }
    let lacks = |input: &&Input| {
        input.default.is_none() && !input.optional && !given.iter().any(|entry| entry.key == input.name)
    };
    for input in inputs.iter().filter(lacks) {
        let message = format!("the trigger never gives the input `{}`, which is required", input.name);
        let problem = Problem::new(codes::TRIGGER_LACKS, entry.key_span, message);
        checker.report(problem.help(format!("add it to `inputs` of the trigger, or give `{}` a default", input.name)));
    }
}

/// The text of a value in which no expression stands.
fn literal(node: &Node) -> Option<String> {
    let value = node.to_json();
    crate::trigger::given(&value).filter(|text| !text.contains("${{"))
}
