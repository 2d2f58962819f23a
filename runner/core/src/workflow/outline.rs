//! The first look at the steps of a file: their ids, their number and depth, so that names can be judged afterwards.

use super::check::Checker;
use super::codes;
use super::names::{Known, Section};
use super::node::Node;
use super::problem::Problem;
use super::source::Span;
use crate::step;

/// Most steps of a file, blocks and what is in them included.
pub const MAX_STEPS: usize = 500;
/// Deepest nesting of blocks.
pub const MAX_NESTING: usize = 8;

/// Words that CEL or YAML readers take for something else.
static RESERVED: &[&str] = &[
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "namespace",
    "null",
    "package",
    "return",
    "true",
    "var",
    "void",
    "while",
    "on",
    "off",
    "yes",
    "no",
];

/// The three lists of a workflow, with the prefix of made ids.
pub(super) static SECTIONS: &[(&str, Section, &str)] = &[
    ("steps", Section::Steps, "_"),
    ("on_failure", Section::OnFailure, "_on_failure_"),
    ("finally", Section::Finally, "_finally_"),
];

/// The id of a step that gives none: made from its place.
pub(super) fn made_id(prefix: &str, index: usize) -> String {
    format!("{prefix}{}", index + 1)
}

/// The id of a step: its own, else a made one.
pub(super) fn id_of(node: &Node, prefix: &str, index: usize) -> String {
    node.get("id").and_then(Node::text).map_or_else(|| made_id(prefix, index), str::to_owned)
}

/// The prefix of made ids in a block.
pub(super) fn inner_prefix(prefix: &str, index: usize) -> String {
    format!("{prefix}{}_", index + 1)
}

/// Whether a word cannot be an id or the name of an input.
pub(super) fn reserved(word: &str) -> bool {
    RESERVED.contains(&word)
}

/// Registers every step under its id.
pub(super) fn outline(checker: &mut Checker<'_>, root: &Node) {
    let mut count = 0;
    for (key, section, prefix) in SECTIONS {
        if let Some(list) = root.get(key) {
            walk(checker, list, *section, prefix, 1, &mut count);
        }
    }
}

fn walk(checker: &mut Checker<'_>, list: &Node, section: Section, prefix: &str, depth: usize, count: &mut usize) {
    for (index, node) in list.items().iter().enumerate() {
        *count += 1;
        if *count == MAX_STEPS + 1 {
            checker.report(Problem::new(codes::LIMIT, node.span, format!("more than {MAX_STEPS} steps in one file")));
        }
        register(checker, node, section, prefix, index);
        let Some(inner) = node.get("steps") else { continue };
        if depth == MAX_NESTING {
            let message = format!("blocks nested more than {MAX_NESTING} deep");
            checker.report(Problem::new(codes::LIMIT, inner.span, message));
        } else {
            walk(checker, inner, section, &inner_prefix(prefix, index), depth + 1, count);
        }
    }
}

fn register(checker: &mut Checker<'_>, node: &Node, section: Section, prefix: &str, index: usize) {
    let id = id_of(node, prefix, index);
    let uses = node.get("uses").and_then(Node::text);
    let primitive = uses.and_then(step::primitive);
    let known = Known {
        section,
        primitive,
        open: node.get("uses").is_some() && primitive.is_none(),
        extra: node
            .get("outputs")
            .map(|map| map.entries().iter().map(|entry| entry.key.clone()).collect())
            .unwrap_or_default(),
        line: checker.compiler.source.position(node.span.start).line,
    };
    if let Some(id_node) = node.get("id").filter(|id| id.text().is_some()) {
        if let Some(first) = checker.names.steps.get(&id) {
            let message = format!("the step id `{id}` is taken");
            let label = format!("also the id of the step in line {}", first.line);
            let problem = Problem::new(codes::DUPLICATE_ID, id_node.span, message).label(label);
            checker.report(problem.help("ids are unique in the whole file"));
            return;
        }
        if reserved(&id) {
            let message = format!("`{id}` is a reserved word and cannot be the id of a step");
            checker.report(
                Problem::new(codes::RESERVED, id_node.span, message)
                    .help(format!("use `{id}_step` or a word that says more")),
            );
        }
    }
    checker.names.steps.insert(id, known);
}

/// The first step that speaks to a device.
pub(super) fn first_transfer(root: &Node) -> Option<(&str, Span)> {
    fn find(list: &Node, depth: usize) -> Option<(&str, Span)> {
        list.items().iter().find_map(|node| {
            let uses = node.get("uses").and_then(|uses| uses.text().map(|text| (text, uses.span)));
            let transfer = uses.filter(|(name, _)| name.starts_with("transfer.") && step::primitive(name).is_some());
            transfer
                .or_else(|| node.get("steps").filter(|_| depth < MAX_NESTING).and_then(|inner| find(inner, depth + 1)))
        })
    }
    SECTIONS.iter().filter_map(|(key, ..)| root.get(key)).find_map(|list| find(list, 1))
}
