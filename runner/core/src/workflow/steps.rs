//! Checks steps, in their order: what each names must have run before it.

use super::check::Checker;
use super::codes;
use super::expr::{Condition, Part, Template};
use super::names::{Kind, Names, Place, Section};
use super::node::{Node, Tree};
use super::outline::{self, MAX_NESTING, SECTIONS};
use super::problem::{Problem, suggest};
use super::raw::{RawRetry, RawStep};
use super::shape::{Marks, PARAMETERS, Shape, types};
use super::source::Span;
use super::{OnError, Retry, Step, StepKind, schema, units};
use crate::step::{self, Primitive};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::Duration;

/// Checks one of the three lists; nothing where a step is wrong.
pub(super) fn list(
    checker: &mut Checker<'_>,
    node: Option<&Node>,
    section: Section,
    roots: &[&str],
) -> Option<Vec<Step>> {
    let prefix = SECTIONS.iter().find(|(_, of, _)| *of == section).map_or("_", |(.., prefix)| prefix);
    let Some(node) = node else { return Some(Vec::new()) };
    items(checker, node, &Inside { prefix, roots, depth: 1 })
}

/// Where a list of steps stands.
struct Inside<'a> {
    prefix: &'a str,
    roots: &'a [&'a str],
    depth: usize,
}

fn items(checker: &mut Checker<'_>, list: &Node, inside: &Inside<'_>) -> Option<Vec<Step>> {
    let steps: Vec<Option<Step>> =
        list.items().iter().enumerate().map(|(index, node)| one(checker, node, index, inside)).collect();
    steps.into_iter().collect()
}

fn one(checker: &mut Checker<'_>, node: &Node, index: usize, inside: &Inside<'_>) -> Option<Step> {
    let id = outline::id_of(node, inside.prefix, index);
    let schema = checker.shape.definition("Step");
    let at = Span::new(node.span.start as usize, node.span.start as usize + 1);
    let raw: RawStep = checker.read(schema, node, "the step", at, &["steps", "with"]);
    checker.names.around.push(id.clone());
    let place = Place { roots: inside.roots, words: "a step", own: None };
    let condition = condition(checker, node, place);
    let kind = kind(checker, node, index, inside, place);
    let outputs = outputs(checker, node, &id, place);
    checker.names.around.pop();
    checker.names.done.push(id.clone());
    let is_block = matches!(kind, Some(StepKind::Block(_)));
    let timeout = raw.timeout.or_else(|| checker.defaults.timeout.clone().filter(|_| !is_block));
    let base = checker.defaults.retry.clone().filter(|_| !is_block).unwrap_or_default();
    Some(Step {
        id,
        name: raw.name,
        kind: kind?,
        condition: condition?,
        retry: retry(&raw.retry.unwrap_or_default(), &base),
        timeout: timeout.as_deref().and_then(duration),
        deadline: raw.deadline.as_deref().and_then(duration),
        on_error: raw.on_error.unwrap_or(OnError::Fail),
        outputs: outputs?,
        line: checker.compiler.source.position(node.span.start).line,
    })
}

fn duration(text: &str) -> Option<Duration> {
    units::duration(text).ok()
}

/// The outer option is empty where it is wrong, the inner where there is none.
#[expect(clippy::option_option, reason = "wrong and absent are two things here")]
fn condition(checker: &mut Checker<'_>, node: &Node, place: Place<'_>) -> Option<Option<Condition>> {
    let Some(node) = node.get("if") else { return Some(None) };
    let place = Place { words: "`if`", ..place };
    checker.compiler.condition(node, "`if`", &checker.names, place).map(Some)
}

fn outputs(checker: &mut Checker<'_>, node: &Node, id: &str, place: Place<'_>) -> Option<BTreeMap<String, Template>> {
    let own = checker.names.steps.get(id).cloned();
    let own = own.map(|known| super::names::Known { extra: Vec::new(), ..known });
    let roots: Vec<&str> = place.roots.iter().copied().chain(["outputs"]).collect();
    let place = Place { roots: &roots, words: "`outputs` of a step", own: own.as_ref() };
    checker.templates(node.get("outputs"), place)
}

fn kind(
    checker: &mut Checker<'_>,
    node: &Node,
    index: usize,
    inside: &Inside<'_>,
    place: Place<'_>,
) -> Option<StepKind> {
    let entry = |key: &str| node.entries().iter().find(|entry| entry.key == key);
    match (entry("uses"), entry("steps")) {
        (Some(uses), None) => uses_primitive(checker, node, &uses.node, place),
        (None, Some(steps)) => {
            if let Some(with) = entry("with") {
                let problem = Problem::new(codes::STEP_KIND, with.key_span, "a block takes no `with`");
                checker.report(problem.help("parameters belong to the steps in the block"));
            }
            if inside.depth == MAX_NESTING {
                return None;
            }
            let prefix = outline::inner_prefix(inside.prefix, index);
            let inner = Inside { prefix: &prefix, roots: inside.roots, depth: inside.depth + 1 };
            items(checker, &steps.node, &inner).map(StepKind::Block)
        }
        (Some(_), Some(steps)) => {
            let problem =
                Problem::new(codes::STEP_KIND, steps.key_span, "a step has either `uses` or `steps`, not both");
            checker.report(problem.help("make two steps of it"));
            None
        }
        (None, None) => {
            neither(checker, node);
            None
        }
    }
}

fn neither(checker: &mut Checker<'_>, node: &Node) {
    let Tree::Map(entries) = &node.value else { return };
    let schema = checker.shape.definition("Step");
    let later = |key: &str| schema["x-later"].as_array().is_some_and(|later| later.iter().any(|name| name == key));
    if entries.iter().any(|entry| later(&entry.key)) {
        return;
    }
    let span = entries.first().map_or(node.span, |entry| entry.key_span);
    let problem = Problem::new(codes::STEP_KIND, span, "the step says neither `uses` nor `steps`");
    checker.report(problem.help("name a primitive: `uses: transfer.push`"));
}

fn uses_primitive(checker: &mut Checker<'_>, node: &Node, uses: &Node, place: Place<'_>) -> Option<StepKind> {
    let name = uses.text().filter(|name| !name.contains("${{"))?;
    let Some(primitive) = step::primitive(name) else {
        let message = format!("there is no primitive `{name}`");
        let names: Vec<&str> = step::PRIMITIVES.iter().map(|primitive| primitive.name).collect();
        let problem = Problem::new(codes::UNKNOWN_PRIMITIVE, uses.span, message);
        checker.report(problem.maybe_help(suggest("primitives", name, names)));
        return None;
    };
    let empty = Node { value: Tree::Map(Vec::new()), span: uses.span };
    let with = node.get("with").unwrap_or(&empty);
    if !matches!(&with.value, Tree::Map(_)) {
        return None;
    }
    let with = parameters(checker, primitive, with, place)?;
    Some(StepKind::Uses { primitive, with })
}

fn parameters(
    checker: &mut Checker<'_>,
    primitive: &'static Primitive,
    node: &Node,
    place: Place<'_>,
) -> Option<BTreeMap<String, Template>> {
    let before = checker.compiler.problems.len();
    let shape = Shape::new(schema::parameters(primitive), PARAMETERS);
    let what = format!("`{}`", primitive.name);
    shape.value(shape.root(), node, &what, Marks::Allowed, &mut checker.compiler.problems);
    let place = Place { words: "`with`", ..place };
    let mut with = BTreeMap::new();
    for entry in node.entries().iter().filter(|entry| !entry.key.starts_with("x-")) {
        let of = shape.root()["properties"].get(&entry.key).map(|of| shape.follow(of));
        if let Some(template) = parameter(checker, &shape, of, &entry.key, &entry.node, place) {
            with.insert(entry.key.clone(), template);
        }
    }
    if checker.compiler.problems.len() == before {
        literals(checker, primitive, &with, node);
    }
    (checker.compiler.problems.len() == before).then_some(with)
}

fn parameter(
    checker: &mut Checker<'_>,
    shape: &Shape<'static>,
    of: Option<&'static Value>,
    key: &str,
    node: &Node,
    place: Place<'_>,
) -> Option<Template> {
    let names: &Names = &checker.names;
    if of.is_some_and(|of| of["format"] == "cel") {
        let expression = checker.compiler.bare(node, &format!("`{key}`"), names, place)?;
        return Some(Template { part: Part::Whole(expression) });
    }
    if of.is_some_and(|of| of["format"] == "conditions") {
        return conditions(checker, key, node, place);
    }
    let (template, kind) = checker.compiler.template(node, names, place)?;
    if let Some(of) = of.filter(|_| template.as_literal().is_none()) {
        if !accepts(of, kind) {
            let message = format!("`{key}` must be {}, and the expression gives {}", shape.wanted(of), kind.words());
            checker.report(Problem::new(codes::EXPRESSION_TYPE, node.span, message));
        }
    } else if let Some(of) = of.filter(|of| of["format"] == "file") {
        let message = format!("`{key}` must be {}, and is {}", shape.wanted(of), node.describe());
        let problem = Problem::new(codes::BAD_PARAMETER, node.span, message);
        checker.report(problem.help("declare an input of `type: file` (its `default` may be a path), so that the file is pinned when the run is created"));
    }
    Some(template)
}

/// Bare conditions over everything that the step sees, and `file`; nothing where one is wrong.
fn conditions(checker: &mut Checker<'_>, key: &str, node: &Node, place: Place<'_>) -> Option<Template> {
    let what = format!("`{key}`");
    let roots: Vec<&str> = place.roots.iter().copied().chain(["file"]).collect();
    let place = Place { roots: &roots, words: &what, ..place };
    let all = if matches!(&node.value, Tree::List(_)) { node.items() } else { std::slice::from_ref(node) };
    let all: Vec<Option<Condition>> =
        all.iter().map(|node| checker.compiler.condition(node, &what, &checker.names, place)).collect();
    let conditions = all.into_iter().collect::<Option<_>>()?;
    Some(Template { part: Part::Require(conditions) })
}

fn accepts(schema: &Value, kind: Kind) -> bool {
    let is_file = schema["format"] == "file";
    let types = types(schema);
    if kind == Kind::Any || types.is_empty() && !is_file {
        return true;
    }
    match kind {
        Kind::Any => true,
        Kind::File => is_file || types.contains(&"object") && schema["format"].is_null(),
        _ if is_file => false,
        Kind::Text => types.contains(&"string"),
        Kind::Integer => types.contains(&"integer") || types.contains(&"number"),
        Kind::Number => types.contains(&"number") || types.contains(&"integer"),
        Kind::Boolean => types.contains(&"boolean"),
        Kind::List => types.contains(&"array"),
        Kind::Map => types.contains(&"object"),
    }
}

/// Where everything is known already, the primitive itself judges it.
fn literals(checker: &mut Checker<'_>, primitive: &Primitive, with: &BTreeMap<String, Template>, node: &Node) {
    let values: Option<Map<String, Value>> =
        with.iter().map(|(name, template)| Some((name.clone(), template.as_literal()?.clone()))).collect();
    if let Some(values) = values
        && let Err(failure) = (primitive.start)(&values)
        && !matches!(primitive.name, "fail" | "assert")
    {
        let problem = Problem::new(codes::BAD_PARAMETER, node.span, failure.message);
        checker.report(problem.maybe_help(failure.hint));
    }
}

fn retry(own: &RawRetry, base: &RawRetry) -> Retry {
    let standard = Retry::default();
    let (own_backoff, base_backoff) =
        (own.backoff.clone().unwrap_or_default(), base.backoff.clone().unwrap_or_default());
    let time = |own: &Option<String>, base: &Option<String>| own.as_deref().or(base.as_deref()).and_then(duration);
    let errors = own.errors.as_ref().or(base.errors.as_ref());
    Retry {
        max_attempts: own.max_attempts.or(base.max_attempts).unwrap_or(standard.max_attempts),
        max_elapsed: time(&own.max_elapsed, &base.max_elapsed),
        initial: time(&own_backoff.initial, &base_backoff.initial).unwrap_or(standard.initial),
        factor: own_backoff.factor.or(base_backoff.factor).unwrap_or(standard.factor),
        max: time(&own_backoff.max, &base_backoff.max).unwrap_or(standard.max),
        errors: errors.map(|errors| errors.iter().map(|name| name.0.clone()).collect()).unwrap_or_default(),
        on_exhausted: own.on_exhausted.or(base.on_exhausted).unwrap_or_default(),
    }
}
