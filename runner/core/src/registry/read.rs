//! From a file's bytes to entries, or to everything that is wrong with them.

use super::{Devices, Entry, Pattern, find};
use crate::presence::{self, Rule, Topic};
use crate::step::kinds::{Rate, TrafficBudget};
use crate::workflow::node::Node;
use crate::workflow::shape::{GRAMMAR, Marks, Shape};
use crate::workflow::source::{Source, Span};
use crate::workflow::{self, Problem, Problems, codes, parse};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

/// What `kind` must be.
const KIND: &str = "devices/v1";
/// Most globs in a file: each is compared with the others.
const MAX_GLOBS: usize = 256;
/// Longest entry in bytes, as JSON: every run of a device keeps a copy.
const MAX_ENTRY: usize = 16 * 1024;

/// A file of the devices folder.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "Devices")]
#[expect(dead_code, reason = "the schema is made of it; what it holds is read from the tree, with its places")]
struct RawDevices {
    /// Always `devices/v1`, in the first line.
    kind: String,
    /// What they are, for people.
    description: Option<String>,
    /// Which devices there are; each has the one entry whose `match` is nearest.
    #[schemars(length(min = 1))]
    devices: Vec<RawEntry>,
}

/// What goes with the devices that one pattern means.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "DeviceEntry")]
struct RawEntry {
    /// A device id, or a glob: `gw-*`, `sensor-0?`. An id is nearer than a glob, a glob with more characters written out nearer than another.
    #[schemars(extend("format" = "match"))]
    r#match: String,
    /// The plugin that speaks to the device: NAME or NAME@VERSION. It goes before the workflow's.
    #[schemars(extend("format" = "plugin"))]
    codec: Option<String>,
    /// Variables for the codec. They go before the workflow's.
    vars: Option<BTreeMap<String, String>>,
    /// What the device is.
    #[schemars(length(min = 1, max = 128))]
    model: Option<String>,
    /// Which hardware it is.
    #[schemars(length(min = 1, max = 128))]
    hw: Option<String>,
    /// Wire bytes a second, for transfers that name no `rate`.
    rate: Option<Rate>,
    /// Wire bytes in a run, a day or a month, for transfers that name no `budget`: `{ bytes: 10MiB, per: day }`.
    budget: Option<TrafficBudget>,
    /// IANA name of its time zone: Europe/Berlin.
    #[schemars(extend("format" = "timezone"))]
    timezone: Option<String>,
    /// For searching and expressions.
    labels: Option<BTreeMap<String, String>>,
    /// Where the device, or its will, tells whether it is there: `{ topic: "status/{device}", online: "payload == 'online'" }`.
    presence: Option<RawPresence>,
}

/// Where a device, or its will, tells whether it is there.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "DevicePresence")]
#[expect(dead_code, reason = "the schema is made of it; what it holds is read from the tree, with its places")]
struct RawPresence {
    /// A topic without wildcards, with `{device}` as one whole level; for one id, `{device}` may be left out.
    #[schemars(extend("format" = "presence"))]
    topic: String,
    /// Bare CEL over `topic`, `payload` (text) and `json` (the payload read as JSON, or null): true, false, or null for a message that
    /// says nothing of it.
    #[schemars(extend("format" = "cel"))]
    online: String,
}

static SCHEMA: LazyLock<Value> = LazyLock::new(|| schemars::schema_for!(RawDevices).to_value());

/// Reads a file of the devices folder. `file_name` stands in messages. Must run on a thread with
/// [`crate::workflow::expr::STACK`] bytes of stack.
///
/// # Errors
///
/// Everything that is wrong with the file, found in one pass.
pub fn read(source: &[u8], file_name: &str) -> Result<Devices, Problems> {
    let (text, refused) = parse::text(source, file_name);
    if let Some(problem) = refused {
        return Err(Problems::new(text, vec![reworded(problem)]));
    }
    let mut problems = Vec::new();
    let devices = parse::tree(&text, &mut problems).and_then(|tree| devices(&text, &tree, &mut problems));
    match devices {
        Some(devices) if problems.is_empty() => Ok(devices),
        _ if problems.is_empty() => {
            let problem = Problem::new(codes::NOT_TEXT, Span::new(0, 1), "the file holds nothing but comments");
            Err(Problems::new(text, vec![problem]))
        }
        _ => Err(Problems::new(text, problems)),
    }
}

/// Whether a file says that it is one of devices.
pub fn is_devices(source: &[u8]) -> bool {
    let text = std::str::from_utf8(source).unwrap_or_default();
    let kind = text.lines().find_map(|line| line.strip_prefix("kind:"));
    kind.is_some_and(|kind| kind.split('#').next().unwrap_or_default().trim().trim_matches(['"', '\'']) == KIND)
}

/// The parser speaks of workflows.
fn reworded(problem: Problem) -> Problem {
    match problem.code {
        codes::LIMIT => problem.help("split it into several files"),
        codes::NOT_TEXT if problem.message.contains("empty") => {
            problem.help(format!("a file of devices begins with `kind: {KIND}`"))
        }
        _ => problem,
    }
}

fn devices(text: &Source, tree: &Node, problems: &mut Vec<Problem>) -> Option<Devices> {
    if let Some(kind) = tree.get("kind").filter(|kind| kind.text() != Some(KIND)) {
        let problem = Problem::new(codes::BAD_KIND, kind.span, format!("`kind` must be `{KIND}`"));
        problems.push(problem.help(format!("the first line of a file of devices is `kind: {KIND}`")));
        return None;
    }
    let shape = Shape::new(&SCHEMA, GRAMMAR);
    shape.value(shape.root(), tree, "the file", Marks::Refused, problems);
    let items = tree.get("devices").map(Node::items).unwrap_or_default();
    let rules: Vec<Option<Arc<Rule>>> = items.iter().map(|node| rule(text, node, problems).map(Arc::new)).collect();
    if !problems.is_empty() {
        return None;
    }
    let items_and_rules = items.iter().zip(rules);
    let entries = items_and_rules.filter_map(|(node, rule)| entry(text, node, rule, problems).map(Arc::new)).collect();
    let description = tree.get("description").and_then(Node::text).unwrap_or_default().to_owned();
    let devices = Devices { description, entries };
    if problems.is_empty() {
        together(&devices, items, problems);
    }
    Some(devices)
}

/// How the devices of an entry tell whether they are there. What is wrong with its shape was told before.
fn rule(text: &Source, node: &Node, problems: &mut Vec<Problem>) -> Option<Rule> {
    let node_of = |key: &str| node.get("presence")?.get(key);
    let topic = node_of("topic").and_then(|topic| Some((Topic::parse(topic.text()?).ok()?, topic.span)));
    let of_many = node.get("match").and_then(Node::text).is_some_and(|pattern| pattern.contains(['*', '?']));
    if let Some((topic, span)) = topic.as_ref().filter(|(topic, _)| of_many && !topic.names_device()) {
        let message = format!("`{}` does not say which device it is of", topic.as_str());
        let help = "put `{device}` in the place of one level: an entry for many devices needs it";
        problems.push(Problem::new(codes::BAD_VALUE, *span, message).help(help));
    }
    let online = node_of("online").filter(|online| online.text().is_some())?;
    let template = workflow::bare(text, online, "`online`", (presence::ROOTS, presence::WORDS));
    match (template, topic) {
        (Ok(template), Some((topic, _))) => Some(Rule::new(topic, online.text()?.to_owned(), template)),
        (Ok(_), None) => None,
        (Err(wrong), _) => {
            problems.extend(wrong);
            None
        }
    }
}

fn entry(text: &Source, node: &Node, rule: Option<Arc<Rule>>, problems: &mut Vec<Problem>) -> Option<Entry> {
    let json = known(node);
    let length = json.to_string().len();
    if length > MAX_ENTRY {
        let message = format!("the entry is {length} bytes long, more than {MAX_ENTRY}");
        problems
            .push(Problem::new(codes::LIMIT, node.span, message).help("every run of the device keeps a copy of it"));
        return None;
    }
    let read = serde_json::from_value::<RawEntry>(json).map_err(|error| error.to_string());
    let read = read.and_then(|raw| Ok((Pattern::parse(&raw.r#match)?, raw)));
    let (pattern, raw) = match read {
        Ok(read) => read,
        Err(why) => {
            problems.push(Problem::new(codes::BAD_VALUE, node.span, format!("the entry cannot be read: {why}")));
            return None;
        }
    };
    Some(Entry {
        pattern,
        codec: raw.codec,
        vars: raw.vars.unwrap_or_default(),
        model: raw.model,
        hw: raw.hw,
        rate: raw.rate.map(|rate| rate.0),
        budget: raw.budget.map(Into::into),
        timezone: raw.timezone,
        labels: raw.labels.unwrap_or_default(),
        presence: raw.presence.and(rule),
        line: text.position(node.span.start).line,
    })
}

/// An entry as JSON without the keys that are for a person's own notes.
fn known(node: &Node) -> Value {
    let fields = node.entries().iter().filter(|field| !field.key.starts_with("x-"));
    let value = |key: &str, node: &Node| match key {
        "budget" | "presence" => known(node),
        _ => node.to_json(),
    };
    Value::Object(fields.map(|field| (field.key.clone(), value(&field.key, &field.node))).collect::<Map<_, _>>())
}

/// Judges entries beside each other: the same device must not have two that are equally near.
fn together(devices: &Devices, items: &[Node], problems: &mut Vec<Problem>) {
    let globs = devices.entries.iter().filter(|entry| !entry.pattern.is_exact()).count();
    if globs > MAX_GLOBS {
        let message = format!("{globs} globs in one file, more than {MAX_GLOBS}");
        problems.push(
            Problem::new(codes::LIMIT, Span::new(0, 1), message).help("list ids, or split it into several files"),
        );
        return;
    }
    let mut ids: BTreeMap<&str, &Arc<Entry>> = BTreeMap::new();
    for (at, entry) in devices.entries.iter().enumerate() {
        let before = if entry.pattern.is_exact() {
            ids.insert(entry.pattern.as_str(), entry)
        } else {
            let globs = devices.entries[..at].iter().filter(|other| !other.pattern.is_exact());
            globs.into_iter().find(|other| find::tied(other, entry))
        };
        if let Some(before) = before {
            let span = items[at].get("match").map_or(items[at].span, |node| node.span);
            problems.push(tie(entry, before, span));
        }
    }
}

fn tie(entry: &Entry, before: &Entry, span: Span) -> Problem {
    let (own, other, line) = (&entry.pattern, &before.pattern, before.line);
    let message = if own == other {
        format!("`{own}` stands twice, also in line {line}")
    } else {
        format!("`{own}` and `{other}` in line {line} can mean the same device, and neither is nearer")
    };
    Problem::new(codes::TIED, span, message)
        .label("neither this one nor the other wins")
        .help("write more characters out in one of the two, or name the devices that both mean by their ids")
}
