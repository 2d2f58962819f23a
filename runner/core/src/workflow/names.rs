//! What an expression may name at its place: roots, inputs, steps that are done, and what fields these have.

use super::InputKind;
use super::codes;
use super::expr::refs::{Call, Gives, Path, References};
use super::expr::{LATER_ROOTS, ROOTS, engine};
use super::problem::{Problem, suggest};
use super::source::Span;
use crate::step::{ANY_OUTPUT, Primitive};
use crate::trigger;
use std::collections::BTreeMap;

/// Type of what a path names, as far as it is known before a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Integer,
    Number,
    Boolean,
    File,
    List,
    Map,
    Any,
}

impl Kind {
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Integer => "an integer",
            Self::Number => "a number",
            Self::Boolean => "true or false",
            Self::File => "a file",
            Self::List => "a list",
            Self::Map => "a map",
            Self::Any => "any value",
        }
    }

    fn of_output(kind: &str) -> Self {
        match kind.trim_end_matches('?') {
            "string" => Self::Text,
            "integer" => Self::Integer,
            "number" => Self::Number,
            "boolean" => Self::Boolean,
            "file" => Self::File,
            "list" => Self::List,
            "map" => Self::Map,
            _ => Self::Any,
        }
    }

    fn of_input(kind: InputKind) -> Self {
        match kind {
            InputKind::String | InputKind::Duration => Self::Text,
            InputKind::Integer | InputKind::Size | InputKind::Rate => Self::Integer,
            InputKind::Number => Self::Number,
            InputKind::Boolean => Self::Boolean,
            InputKind::File => Self::File,
            InputKind::List => Self::List,
            InputKind::Map => Self::Map,
        }
    }
}

/// The list that a step stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Section {
    Steps,
    OnFailure,
    Finally,
}

/// What is known of a step before it is checked.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) section: Section,
    /// Absent for blocks and where `uses` is wrong.
    pub(super) primitive: Option<&'static Primitive>,
    /// Whether `uses` is there and wrong: then nothing is known of the outputs.
    pub(super) open: bool,
    /// Names under `outputs:`.
    pub(super) extra: Vec<String>,
    pub(super) line: usize,
}

/// Everything that can be named in one file, and what of it has happened at the place that is being checked.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) inputs: BTreeMap<String, Option<InputKind>>,
    pub(super) vars: Vec<String>,
    /// Kinds of triggers whose fields are known at the place.
    pub(super) triggers: Vec<trigger::Kind>,
    pub(super) steps: BTreeMap<String, Known>,
    /// Ids of the steps that have run, in their order.
    pub(super) done: Vec<String>,
    /// Ids of the blocks around the place, and of the step itself.
    pub(super) around: Vec<String>,
}

/// Which roots a place knows, and the words for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) roots: &'a [&'a str],
    /// As in "is not known in …".
    pub(super) words: &'a str,
    /// Outputs of the step whose `outputs:` are checked.
    pub(super) own: Option<&'a Known>,
}

pub(super) const RUN_FIELDS: &[&str] = &["id", "workflow", "digest", "status", "started_at", "traffic"];
const TRAFFIC_FIELDS: &[&str] = &["payload_bytes", "wire_bytes", "retransmitted_bytes", "packets", "resumes"];
const FILE_FIELDS: &[&str] = &["uri", "name", "size", "md5", "sha256", "meta"];
const STEP_FIELDS: &[&str] = &["status", "outputs", "attempts", "error"];
const ERROR_FIELDS: &[&str] = &["code", "class", "message", "hint"];
const RUN_ERROR_FIELDS: &[&str] = &["code", "class", "message", "hint", "step"];
const DEVICE_FIELDS: &[&str] = &["id", "codec", "model", "hw", "rate", "budget", "timezone", "labels", "vars", "hello"];

/// A problem and the names of the path that it is about, for the caret.
type Verdict = Result<Kind, Box<(usize, Problem)>>;

fn wrong(names: usize, code: &'static str, message: String, help: Option<String>, label: &str) -> Verdict {
    let problem = Problem::new(code, Span::default(), message).maybe_help(help).label(label);
    Err(Box::new((names, problem)))
}

impl Names {
    /// Judges one path. An error tells how many names of the path the caret covers.
    pub(super) fn path(&self, path: &Path, place: Place<'_>) -> Verdict {
        let names: Vec<&str> = path.names.iter().map(String::as_str).collect();
        let (root, rest) = names.split_first().expect("a path begins with its root");
        if !place.roots.contains(root) {
            return self.unknown_root(root, place);
        }
        match *root {
            "inputs" => self.input(rest),
            "steps" => self.step(rest),
            "vars" => match rest.first() {
                Some(name) => field(
                    &self.vars.iter().map(String::as_str).collect::<Vec<_>>(),
                    name,
                    "the workflow has no var",
                    2,
                    Kind::Text,
                ),
                None => Ok(Kind::Map),
            },
            "run" => fields(RUN_FIELDS, rest, "`run`", 1, |name| match name {
                "traffic" => Kind::Map,
                _ => Kind::Text,
            })
            .and_then(|kind| match rest {
                ["traffic", below, ..] => field(TRAFFIC_FIELDS, below, "`run.traffic` has no field", 3, Kind::Integer),
                _ => Ok(kind),
            }),
            "error" => fields(RUN_ERROR_FIELDS, rest, "`error`", 1, |_| Kind::Text),
            "device" if !self.inputs.contains_key("device") => {
                let help = "declare an input `device`".to_owned();
                wrong(1, codes::UNKNOWN_NAME, "this workflow has no device".to_owned(), Some(help), "")
            }
            "device" => fields(DEVICE_FIELDS, rest, "`device`", 1, |name| match name {
                "rate" => Kind::Integer,
                "budget" | "labels" | "vars" | "hello" => Kind::Map,
                _ => Kind::Text,
            })
            .and_then(|kind| {
                below_kind(kind, rest.get(1..).unwrap_or_default(), &format!("device.{}", rest.join(".")), 2)
            }),
            "file" => below_kind(Kind::File, rest, "file", 1),
            // Of a status message; no expression of a workflow knows them.
            "topic" | "payload" => below_kind(Kind::Text, rest, root, 1),
            "trigger" => self.trigger(rest),
            "outputs" => match place.own {
                Some(known) => outputs(known, rest, "this step", 1),
                None => Ok(Kind::Any),
            },
            _ => Ok(Kind::Any),
        }
    }

    fn trigger(&self, rest: &[&str]) -> Verdict {
        if self.triggers.is_empty() {
            let help = "declare `triggers:`".to_owned();
            return wrong(1, codes::UNKNOWN_NAME, "this workflow has no triggers".to_owned(), Some(help), "");
        }
        let Some((name, below)) = rest.split_first() else { return Ok(Kind::Map) };
        let fields = || self.triggers.iter().flat_map(|kind| trigger::fields(*kind));
        if let Some((_, kind)) = fields().find(|(field, _)| field == name) {
            return below_kind(Kind::of_output(kind), below, &format!("trigger.{name}"), 2);
        }
        let kinds: Vec<&str> = self.triggers.iter().map(|kind| kind.name()).collect();
        let message = format!("a trigger of kind {} has no field `{name}`", kinds.join(" or "));
        let mut known: Vec<&str> = Vec::new();
        fields().for_each(|(field, _)| {
            if !known.contains(field) {
                known.push(field)
            }
        });
        wrong(2, codes::UNKNOWN_OUTPUT, message, suggest("fields", name, known), "")
    }

    fn unknown_root(&self, root: &str, place: Place<'_>) -> Verdict {
        if LATER_ROOTS.contains(&root) {
            let message = format!("`{root}` is part of the grammar but not available yet");
            return wrong(1, codes::LATER, message, Some(format!("names known here: {}", place.roots.join(", "))), "");
        }
        if ROOTS.contains(&root) {
            let message = format!("`{root}` is not known in {}", place.words);
            let help = format!("names known here: {}", place.roots.join(", "));
            return wrong(1, codes::UNKNOWN_NAME, message, Some(help), "");
        }
        let message = format!("unknown name `{root}` in expression");
        let meant = if self.inputs.contains_key(root) {
            Some(format!("did you mean `inputs.{root}`?"))
        } else if self.steps.contains_key(root) {
            Some(format!("did you mean `steps.{root}`?"))
        } else {
            suggest("names known here", root, place.roots.iter().copied())
        };
        wrong(1, codes::UNKNOWN_NAME, message, meant, "")
    }

    fn input(&self, rest: &[&str]) -> Verdict {
        let Some((name, below)) = rest.split_first() else { return Ok(Kind::Map) };
        let Some(kind) = self.inputs.get(*name) else {
            let message = format!("unknown input `{name}` in expression");
            let help = suggest("inputs", name, self.inputs.keys().map(String::as_str));
            let help = help.or_else(|| Some("this workflow declares no inputs".to_owned()));
            return wrong(2, codes::UNKNOWN_INPUT, message, help, "not declared under `inputs:`");
        };
        let kind = kind.map_or(Kind::Any, Kind::of_input);
        below_kind(kind, below, &format!("inputs.{name}"), 2)
    }

    fn step(&self, rest: &[&str]) -> Verdict {
        let Some((id, below)) = rest.split_first() else { return Ok(Kind::Map) };
        if !self.done.iter().any(|done| done == id) {
            return self.not_done(id);
        }
        let Some(known) = self.steps.get(*id) else { return Ok(Kind::Any) };
        let Some((part, below)) = below.split_first() else { return Ok(Kind::Map) };
        match *part {
            "outputs" => outputs(known, below, &format!("step `{id}`"), 3),
            "status" => below_kind(Kind::Text, below, &format!("steps.{id}.status"), 3),
            "attempts" => below_kind(Kind::Integer, below, &format!("steps.{id}.attempts"), 3),
            "error" => fields(ERROR_FIELDS, below, &format!("`steps.{id}.error`"), 3, |_| Kind::Text),
            other => {
                let message = format!("a step has no field `{other}`");
                let direct = known
                    .primitive
                    .is_some_and(|primitive| primitive.outputs.iter().any(|output| output.name == other));
                let help = if direct || known.extra.iter().any(|name| name == other) {
                    Some(format!("did you mean `steps.{id}.outputs.{other}`?"))
                } else {
                    suggest("fields of a step", other, STEP_FIELDS.iter().copied())
                };
                wrong(3, codes::UNKNOWN_OUTPUT, message, help, "")
            }
        }
    }

    fn not_done(&self, id: &str) -> Verdict {
        let in_scope =
            || suggest("steps in scope", id, self.done.iter().map(String::as_str).filter(|id| !id.starts_with('_')));
        let nothing = "no step runs before this place";
        if self.around.iter().any(|around| around == id) {
            let itself = self.around.last().is_some_and(|last| last == id);
            let label =
                if itself { "this is the step itself" } else { "this is the block around it, which is not done yet" };
            let message = format!("step `{id}` cannot be named here: it is not done yet");
            let help = "an expression can only name steps that ran before; references can never be cyclic".to_owned();
            return wrong(2, codes::STEP_LATER, message, Some(help), label);
        }
        let Some(known) = self.steps.get(id) else {
            let message = format!("unknown step `{id}` in expression");
            let help = in_scope().or_else(|| Some(nothing.to_owned()));
            return wrong(2, codes::UNKNOWN_STEP, message, help, "no step with this id runs before this place");
        };
        if known.section != Section::Steps && self.around.is_empty() {
            let message = format!("step `{id}` cannot be seen from here");
            let help = "only steps of `steps` can be named here, not those of `on_failure` and `finally`".to_owned();
            return wrong(2, codes::STEP_ELSEWHERE, message, Some(help), "");
        }
        let message = format!("step `{id}` runs later, in line {}", known.line);
        let help = "steps run in the order of the file, so references can never be cyclic: move one of the two steps"
            .to_owned();
        wrong(2, codes::STEP_LATER, message, Some(help), "not done when this is evaluated")
    }
}

fn outputs(known: &Known, rest: &[&str], whose: &str, depth: usize) -> Verdict {
    let Some((name, below)) = rest.split_first() else { return Ok(Kind::Map) };
    if known.open || known.extra.iter().any(|extra| extra == name) {
        return Ok(Kind::Any);
    }
    let fields = known.primitive.map_or(&[][..], |primitive| primitive.outputs);
    if let Some(field) = fields.iter().find(|field| field.name == *name) {
        return below_kind(Kind::of_output(field.kind), below, name, depth + 1);
    }
    if fields.iter().any(|field| field.name == ANY_OUTPUT) {
        return Ok(Kind::Any);
    }
    let message = format!("{whose} has no output `{name}`");
    let all: Vec<&str> = fields.iter().map(|field| field.name).chain(known.extra.iter().map(String::as_str)).collect();
    let none = || match known.primitive {
        Some(primitive) => format!("`{}` has no outputs", primitive.name),
        None => "a block has the outputs that its own `outputs:` names".to_owned(),
    };
    let help = suggest("outputs", name, all).or_else(|| Some(none()));
    wrong(depth + 1, codes::UNKNOWN_OUTPUT, message, help, "")
}

fn below_kind(kind: Kind, below: &[&str], what: &str, depth: usize) -> Verdict {
    let Some(name) = below.first() else { return Ok(kind) };
    match kind {
        Kind::Any | Kind::Map | Kind::List => Ok(Kind::Any),
        Kind::File => match below {
            ["meta", ..] => Ok(if below.len() > 1 { Kind::Text } else { Kind::Map }),
            ["size"] => Ok(Kind::Integer),
            _ => field(FILE_FIELDS, name, "a file has no field", depth + 1, Kind::Text),
        },
        Kind::Text | Kind::Integer | Kind::Number | Kind::Boolean => {
            let message = format!("`{what}` is {} and has no field `{name}`", kind.words());
            wrong(depth + 1, codes::UNKNOWN_OUTPUT, message, None, "")
        }
    }
}

fn fields(known: &[&str], rest: &[&str], whose: &str, depth: usize, kind: impl Fn(&str) -> Kind) -> Verdict {
    match rest.first() {
        None => Ok(Kind::Map),
        Some(name) => field(known, name, &format!("{whose} has no field"), depth + 1, kind(name)),
    }
}

fn field(known: &[&str], name: &str, no: &str, depth: usize, kind: Kind) -> Verdict {
    if known.contains(&name) {
        return Ok(kind);
    }
    wrong(depth, codes::UNKNOWN_OUTPUT, format!("{no} `{name}`"), suggest("fields", name, known.iter().copied()), "")
}

/// Judges one call.
pub(super) fn call(call: &Call) -> Option<Problem> {
    let known = if call.method { engine::METHODS } else { engine::FUNCTIONS };
    let internal = call.name.starts_with("packhorse_");
    if internal || known.contains(&call.name.as_str()) {
        return None;
    }
    let other = if call.method { engine::FUNCTIONS } else { engine::METHODS };
    let help = if other.contains(&call.name.as_str()) {
        let form = if call.method { format!("{}(value)", call.name) } else { format!("value.{}(…)", call.name) };
        Some(format!("write `{form}`"))
    } else {
        suggest("functions", &call.name, known.iter().copied())
    };
    let message = format!("there is no function `{}`", call.name);
    Some(Problem::new(codes::UNKNOWN_FUNCTION, Span::default(), message).maybe_help(help))
}

/// The kind of the whole expression where that is known: of one path, or of what its operators and literals tell.
pub(super) fn kind_of(references: &References, paths: &[Kind]) -> Kind {
    match (paths, references.gives) {
        ([kind], _) if references.is_path => *kind,
        (_, Some(Gives::Boolean)) => Kind::Boolean,
        (_, Some(Gives::Integer)) => Kind::Integer,
        (_, Some(Gives::Number)) => Kind::Number,
        (_, Some(Gives::Text)) => Kind::Text,
        (_, Some(Gives::List)) => Kind::List,
        (_, Some(Gives::Map)) => Kind::Map,
        _ => Kind::Any,
    }
}
