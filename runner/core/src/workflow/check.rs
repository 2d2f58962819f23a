//! From a file's bytes to a checked workflow, or to everything that is wrong with it.

use super::codes;
use super::compile::Compiler;
use super::expr::Template;
use super::names::{Names, Place, Section};
use super::node::{Entry, Node, Tree};
use super::problem::{Problem, Problems};
use super::raw::{RawDefaults, RawWorkflow};
use super::shape::{GRAMMAR, Marks, Shape};
use super::source::Span;
use super::{Workflow, inputs, outline, parse, schema, steps, triggers, units};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::time::Duration;

/// Bound of a run whose workflow gives none: 7 days.
const TIMEOUT: Duration = Duration::from_secs(7 * 86_400);

/// What is known before a run exists.
const EARLY: &[&str] = &["inputs", "device"];

/// Checks a workflow file and reads it. `file_name` stands in messages. Must run on a thread with
/// [`super::expr::STACK`] bytes of stack.
///
/// # Errors
///
/// Everything that is wrong with the file, found in one pass.
pub fn check(source: &[u8], file_name: &str) -> Result<Workflow, Problems> {
    let (text, refused) = parse::text(source, file_name);
    if let Some(problem) = refused {
        return Err(Problems::new(text, vec![problem]));
    }
    let mut problems = Vec::new();
    let Some(tree) = parse::tree(&text, &mut problems) else {
        if problems.is_empty() {
            problems.push(Problem::new(codes::NOT_TEXT, Span::new(0, 1), "the file holds nothing but comments"));
        }
        return Err(Problems::new(text, problems));
    };
    let mut checker = Checker {
        compiler: Compiler { source: &text, problems },
        shape: Shape::new(schema::grammar(), GRAMMAR),
        names: Names::default(),
        defaults: RawDefaults::default(),
    };
    let workflow = checker.workflow(&tree, crate::hex::encode(&Sha256::digest(source)));
    let problems = checker.compiler.problems;
    match workflow {
        Some(workflow) if problems.is_empty() => Ok(workflow),
        _ => Err(Problems::new(text, problems)),
    }
}

/// What checking one file knows.
pub(super) struct Checker<'a> {
    pub(super) compiler: Compiler<'a>,
    pub(super) shape: Shape<'static>,
    pub(super) names: Names,
    pub(super) defaults: RawDefaults,
}

impl Checker<'_> {
    pub(super) fn report(&mut self, problem: Problem) {
        self.compiler.problems.push(problem);
    }

    /// Reads one map of the file: judges its keys and its values by the schema of `T`, leaves out what is wrong.
    /// Keys in `later` are judged by their own rules and given only as JSON.
    pub(super) fn read<T: DeserializeOwned + Default>(
        &mut self,
        schema: &'static Value,
        node: &Node,
        what: &str,
        at: Span,
        later: &[&str],
    ) -> T {
        let mut fields = Map::new();
        if !matches!(&node.value, Tree::Map(_)) {
            let problem =
                Problem::new(codes::WRONG_TYPE, node.span, format!("{what} must be a map, and is {}", node.describe()));
            self.report(problem);
            return T::default();
        }
        self.shape.keys(schema, node, what, at, &mut self.compiler.problems);
        let schema = self.shape.follow(schema);
        for entry in node.entries() {
            let Some(of) = schema["properties"].get(&entry.key) else { continue };
            let mut own = Vec::new();
            if later.contains(&entry.key.as_str()) {
                self.container(of, entry, &mut own);
            } else {
                self.shape.value(of, &entry.node, &format!("`{}`", entry.key), Marks::Refused, &mut own);
            }
            if own.is_empty() {
                fields.insert(entry.key.clone(), entry.node.to_json());
            }
            self.compiler.problems.extend(own);
        }
        serde_json::from_value(Value::Object(fields)).unwrap_or_default()
    }

    /// Judges only that a list is a list with items, or a map a map.
    fn container(&self, schema: &'static Value, entry: &Entry, problems: &mut Vec<Problem>) {
        let empty = match &entry.node.value {
            Tree::List(_) => Node { value: Tree::List(Vec::new()), span: entry.node.span },
            Tree::Map(_) => Node { value: Tree::Map(Vec::new()), span: entry.node.span },
            Tree::Scalar(_) => entry.node.clone(),
        };
        let what = format!("`{}`", entry.key);
        let mut own = Vec::new();
        self.shape.value(schema, &empty, &what, Marks::Refused, &mut own);
        if !entry.node.items().is_empty() {
            own.retain(|problem| problem.code != codes::BAD_VALUE);
        }
        problems.extend(own);
    }

    fn workflow(&mut self, root: &Node, digest: String) -> Option<Workflow> {
        if !self.kind(root) {
            return None;
        }
        let lists = ["inputs", "triggers", "steps", "on_failure", "finally"];
        let at = Span::new(root.span.start as usize, root.span.start as usize + 1);
        let raw: RawWorkflow = self.read(self.shape.root(), root, "the workflow", at, &lists);
        self.defaults = raw.defaults.clone().unwrap_or_default();
        let inputs = inputs::declared(self, root.get("inputs"));
        self.names.inputs = inputs::names(root.get("inputs"));
        self.names.vars = root
            .get("vars")
            .map(|vars| vars.entries().iter().map(|entry| entry.key.clone()).collect())
            .unwrap_or_default();
        outline::outline(self, root);
        let (codec, vars) = self.codec(root);
        let concurrency = self.concurrency(root, raw.concurrency.as_ref());
        let priority = self.early(root.get("priority"), "`priority`");
        let slot = self.early(root.get("slot"), "`slot`");
        self.names.triggers = triggers::kinds(root.get("triggers"));
        let triggers = triggers::list(self, root.get("triggers"), &inputs);
        let all = &["inputs", "steps", "run", "trigger", "device", "vars"][..];
        let failed = &["inputs", "steps", "run", "trigger", "device", "vars", "error"][..];
        let main = steps::list(self, root.get("steps"), Section::Steps, all);
        let outputs = {
            let place = Place { roots: all, words: "`outputs` of the workflow", own: None };
            self.templates(root.get("outputs"), place)
        };
        let on_failure = steps::list(self, root.get("on_failure"), Section::OnFailure, failed);
        let finally = steps::list(self, root.get("finally"), Section::Finally, failed);
        self.needs_codec(root, codec.is_some());
        Some(Workflow {
            name: raw.name?,
            description: raw.description.unwrap_or_default(),
            labels: raw.labels.unwrap_or_default(),
            inputs,
            codec,
            vars: vars?,
            triggers: triggers?,
            concurrency,
            priority,
            slot,
            timeout: raw.timeout.and_then(|text| units::duration(&text).ok()).unwrap_or(TIMEOUT),
            steps: main?,
            on_failure: on_failure?,
            finally: finally?,
            outputs: outputs?,
            digest,
        })
    }

    /// Judges `kind` first: a file of another kind is judged by another grammar.
    fn kind(&mut self, root: &Node) -> bool {
        let Some(node) = root.get("kind") else { return true };
        let problem = match node.text() {
            Some("workflow/v1") => return true,
            Some(kind @ ("rollout/v1" | "test/v1")) => {
                let message = format!("`kind: {kind}` is part of the grammar but not available yet");
                Problem::new(codes::LATER, node.span, message)
            }
            _ => Problem::new(codes::BAD_KIND, node.span, "`kind` must be `workflow/v1`"),
        };
        self.report(problem.help("the first line of a workflow is `kind: workflow/v1`"));
        false
    }

    fn codec(&mut self, root: &Node) -> (Option<Template>, Option<BTreeMap<String, Template>>) {
        let codec = self.early(root.get("codec"), "`codec`");
        (codec, self.templates(root.get("vars"), Place { roots: EARLY, words: "`vars`", own: None }))
    }

    /// A value that is resolved before a run exists.
    pub(super) fn early(&mut self, node: Option<&Node>, words: &str) -> Option<Template> {
        let place = Place { roots: EARLY, words, own: None };
        node.and_then(|node| self.compiler.template(node, &self.names, place)).map(|(template, _)| template)
    }

    /// A map of names and templates; nothing where one is wrong.
    pub(super) fn templates(&mut self, node: Option<&Node>, place: Place<'_>) -> Option<BTreeMap<String, Template>> {
        let entries = node.map(Node::entries).unwrap_or_default();
        let mut all = Some(BTreeMap::new());
        for entry in entries {
            match (self.compiler.template(&entry.node, &self.names, place), &mut all) {
                (Some((template, _)), Some(all)) => drop(all.insert(entry.key.clone(), template)),
                (Some(_), None) => {}
                (None, _) => all = None,
            }
        }
        all
    }

    fn needs_codec(&mut self, root: &Node, has_codec: bool) {
        // The device's entry in the registry may name one, which is known only when a run is started.
        let registered = self.names.inputs.contains_key("device");
        if has_codec || registered || root.get("codec").is_some() {
            return;
        }
        if let Some((primitive, span)) = outline::first_transfer(root) {
            let message = format!("`{primitive}` speaks to a device, and the workflow names no codec");
            let problem = Problem::new(codes::NO_CODEC, span, message).label("needs a codec");
            self.report(problem.help("add `codec: json-base64`, or the name of your vendor's plugin, above `steps`; or an input `device`, whose entry in the registry of devices names one"));
        }
    }
}
