//! The marked parse: from bytes to a tree with places. Judges what YAML a workflow may use, and nothing of its meaning.

use super::codes;
use super::node::{Entry, Node, Tree, core_schema};
use super::problem::Problem;
use super::source::{Source, Span};
use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::Value;
use std::collections::HashSet;

/// Largest file in bytes.
pub const MAX_BYTES: usize = 256 * 1024;
/// Deepest nesting of maps and lists.
pub const MAX_DEPTH: usize = 64;
/// Most values, keys included.
pub const MAX_NODES: usize = 20_000;

/// Reads bytes as text, or says why they are none. The text is empty then.
pub(crate) fn text(bytes: &[u8], name: &str) -> (Source, Option<Problem>) {
    let refuse = |message: String, help: &str| {
        let problem = Problem::new(codes::NOT_TEXT, Span::new(0, 1), message).help(help);
        (Source::new(name, String::new()), Some(problem))
    };
    if bytes.len() > MAX_BYTES {
        let message = format!("the file is {} bytes long, more than {MAX_BYTES} (256 KiB)", bytes.len());
        let problem = Problem::new(codes::LIMIT, Span::new(0, 1), message).help("split it into several workflows");
        return (Source::new(name, String::new()), Some(problem));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return refuse("the file is UTF-16".to_owned(), "save it as UTF-8");
    }
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return refuse(
            "the file begins with a byte order mark".to_owned(),
            "save it as UTF-8 without a byte order mark",
        );
    }
    match std::str::from_utf8(bytes) {
        Err(error) => {
            let good = String::from_utf8_lossy(&bytes[..error.valid_up_to()]).into_owned();
            let at = good.chars().count();
            let message = format!("byte {} of the file is not UTF-8", error.valid_up_to());
            let problem = Problem::new(codes::NOT_TEXT, Span::new(at, at + 1), message).help("save it as UTF-8");
            (Source::new(name, good), Some(problem))
        }
        Ok(text) if text.trim().is_empty() => {
            refuse("the file is empty".to_owned(), "a workflow begins with `kind: workflow/v1`")
        }
        Ok(text) => (Source::new(name, text.to_owned()), None),
    }
}

/// Parses the one document of a source. A tree comes with problems where the rest can still be judged.
pub(crate) fn tree(source: &Source, problems: &mut Vec<Problem>) -> Option<Node> {
    if tabs(source, problems) {
        return None;
    }
    let mut builder = Builder { problems, stack: Vec::new(), root: None, nodes: 0, documents: 0 };
    for event in Parser::new_from_str(source.text()) {
        match event {
            Ok((event, at)) => {
                let span = Span::new(at.start.index(), at.end.index());
                if !builder.take(&event, span) {
                    return None;
                }
            }
            Err(error) => {
                let at = error.marker().index();
                builder.problems.push(syntax(error.info(), Span::new(at, at + 1)));
                return None;
            }
        }
    }
    builder.root
}

fn syntax(words: &str, span: Span) -> Problem {
    // The parser's own guard for brackets within brackets strikes before ours can count the levels.
    if words.contains("recursion limit") {
        return too_deep(span);
    }
    let help = if words.contains("mapping values are not allowed") || words.contains("did not find expected key") {
        "look for text with `: ` or `#` in it that needs quotes, and for wrong indentation"
    } else if words.contains("quoted scalar") {
        "a quote is opened and never closed"
    } else {
        "look at the indentation, the quotes and the brackets of this line and the one before"
    };
    Problem::new(codes::SYNTAX, span, format!("this is not YAML: {}", words.to_lowercase())).help(help)
}

fn too_deep(span: Span) -> Problem {
    let message = format!("maps and lists nested more than {MAX_DEPTH} deep");
    Problem::new(codes::LIMIT, span, message).help("flatten the value")
}

fn tabs(source: &Source, problems: &mut Vec<Problem>) -> bool {
    let mut start = 0;
    for line in source.text().split('\n') {
        let indent = line.chars().take_while(|letter| matches!(letter, ' ' | '\t'));
        if let Some(column) = indent.clone().position(|letter| letter == '\t')
            && !line.trim().is_empty()
        {
            let span = Span::new(start + column, start + column + 1);
            problems.push(
                Problem::new(codes::TAB, span, "a tab in the indentation").help("indent by two spaces, never by tabs"),
            );
        }
        start += line.chars().count() + 1;
    }
    !problems.is_empty()
}

enum Open {
    List { items: Vec<Node>, span: Span },
    Map { entries: Vec<Entry>, seen: HashSet<String>, key: Option<Pending>, span: Span },
}

/// A key that waits for its value; one that was refused still takes its value away.
struct Pending {
    text: Option<String>,
    span: Span,
}

struct Builder<'a> {
    problems: &'a mut Vec<Problem>,
    stack: Vec<Open>,
    root: Option<Node>,
    nodes: usize,
    documents: usize,
}

impl Builder<'_> {
    /// Takes one event; false where parsing should stop.
    fn take(&mut self, event: &Event<'_>, span: Span) -> bool {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => true,
            Event::DocumentStart(_) => self.document(span),
            Event::Alias(_) => {
                self.anchor("an alias", span);
                self.place(Node { value: Tree::Scalar(Value::Null), span })
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.dressing(*anchor, tag.is_some(), span);
                let plain = *style == ScalarStyle::Plain;
                if plain && text == "<<" && self.expects_key() {
                    self.anchor("a merge key", span);
                }
                let value = if plain { core_schema(text) } else { Value::String(text.to_string()) };
                self.place(Node { value: Tree::Scalar(value), span })
            }
            Event::SequenceStart(anchor, tag) => {
                self.dressing(*anchor, tag.is_some(), span);
                self.open(Open::List { items: Vec::new(), span }, span)
            }
            Event::MappingStart(anchor, tag) => {
                self.dressing(*anchor, tag.is_some(), span);
                self.open(Open::Map { entries: Vec::new(), seen: HashSet::new(), key: None, span }, span)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
        }
    }

    fn document(&mut self, span: Span) -> bool {
        self.documents += 1;
        if self.documents == 2 {
            let problem = Problem::new(codes::DOCUMENTS, span, "a second document begins here");
            self.problems.push(problem.help("one file holds one workflow: remove `---` or make two files"));
        }
        self.documents == 1
    }

    fn anchor(&mut self, what: &str, span: Span) {
        let problem = Problem::new(codes::ANCHOR, span, format!("{what} is not allowed"));
        self.problems.push(problem.help("write the value out where it is needed, or use `vars` and `defaults`"));
    }

    fn dressing(&mut self, anchor: usize, tag: bool, span: Span) {
        if anchor > 0 {
            self.anchor("an anchor", span);
        }
        if tag {
            let problem = Problem::new(codes::TAG, span, "a YAML tag (`!…`) is not allowed");
            self.problems.push(problem.help("remove it; quote the value where it should be text"));
        }
    }

    fn expects_key(&self) -> bool {
        matches!(self.stack.last(), Some(Open::Map { key: None, .. }))
    }

    fn count(&mut self, span: Span) -> bool {
        self.nodes += 1;
        if self.nodes == MAX_NODES + 1 {
            self.problems.push(Problem::new(codes::LIMIT, span, format!("more than {MAX_NODES} values in one file")));
        }
        self.nodes <= MAX_NODES
    }

    fn open(&mut self, open: Open, span: Span) -> bool {
        if self.stack.len() >= MAX_DEPTH {
            self.problems.push(too_deep(span));
            return false;
        }
        self.stack.push(open);
        self.count(span)
    }

    fn close(&mut self) -> bool {
        let node = match self.stack.pop() {
            Some(Open::List { items, span }) => {
                let end = items.last().map_or(span.end, |item| item.span.end);
                Node { value: Tree::List(items), span: Span { end: end.max(span.end), ..span } }
            }
            Some(Open::Map { entries, span, .. }) => {
                let start = entries.first().map_or(span.start, |entry| entry.key_span.start);
                let end = entries.last().map_or(span.end, |entry| entry.node.span.end);
                Node { value: Tree::Map(entries), span: Span { start: start.min(span.start), end: end.max(span.end) } }
            }
            None => return true,
        };
        self.attach(node);
        true
    }

    fn place(&mut self, node: Node) -> bool {
        let span = node.span;
        self.attach(node);
        self.count(span)
    }

    fn attach(&mut self, node: Node) {
        match self.stack.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { key: key @ None, .. }) => *key = Some(key_of(&node, self.problems)),
            Some(Open::Map { entries, seen, key, .. }) => {
                let Some(Pending { text, span }) = key.take() else { return };
                let Some(text) = text else { return };
                if !seen.insert(text.clone()) {
                    let problem = Problem::new(codes::DUPLICATE_KEY, span, format!("the key `{text}` stands twice"));
                    self.problems.push(problem.label("this one repeats it").help("remove one of the two"));
                    return;
                }
                entries.push(Entry { key: text, key_span: span, node });
            }
        }
    }
}

fn key_of(node: &Node, problems: &mut Vec<Problem>) -> Pending {
    let text = node.text().map(str::to_owned);
    if text.is_none() {
        let message = format!("a key must be text, and this is {}", node.describe());
        problems.push(Problem::new(codes::KEY_NOT_TEXT, node.span, message).help("put it in quotes"));
    }
    Pending { text, span: node.span }
}

#[cfg(test)]
mod tests {
    use super::{text, tree};

    fn check(yaml: &str, expected: serde_json::Value) {
        let (source, none) = text(yaml.as_bytes(), "t.yaml");
        assert!(none.is_none());
        let mut problems = Vec::new();
        let node = tree(&source, &mut problems).expect("parses");
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(node.to_json(), expected);
    }

    #[test]
    fn trees_hold_what_the_file_says() {
        check("a: 1\nb: [x, {c: \"2\"}]\n", serde_json::json!({"a": 1, "b": ["x", {"c": "2"}]}));
        check("a: |\n  x\n  y\n", serde_json::json!({"a": "x\ny\n"}));
    }

    #[test]
    fn places_are_those_of_the_file() {
        let (source, _) = text("ä: 1\nsteps:\n  - id: püsh\n    if: x\n".as_bytes(), "t.yaml");
        let node = tree(&source, &mut Vec::new()).expect("parses");
        let step = &node.get("steps").expect("steps").items()[0];
        assert_eq!(source.slice(step.get("id").expect("id").span), "püsh");
        assert_eq!(source.slice(step.entries()[1].key_span), "if");
        assert_eq!(source.position(step.entries()[1].key_span.start).line, 4);
    }
}
