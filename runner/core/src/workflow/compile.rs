//! From a value of the tree to a template, from bare CEL to a condition: every expression compiled, every name judged.

use super::codes;
use super::expr::budget::Budget;
use super::expr::guard::{self, RefusalKind};
use super::expr::refs::{References, references};
use super::expr::{Condition, Expression, Part, Template, engine};
use super::names::{self, Kind, Names, Place};
use super::node::{Node, Tree};
use super::problem::Problem;
use super::source::{Source, Span};
use serde_json::Value;
use std::sync::Arc;

/// Compiles the expressions of one file.
pub(super) struct Compiler<'a> {
    pub(super) source: &'a Source,
    pub(super) problems: Vec<Problem>,
}

/// A piece of a text: as it is, or an expression with the byte where it begins.
enum Piece<'a> {
    Text(String),
    Expression(&'a str),
}

impl Compiler<'_> {
    /// A value in which expressions may stand. The kind is known where the value is one path.
    pub(super) fn template(&mut self, node: &Node, names: &Names, place: Place<'_>) -> Option<(Template, Kind)> {
        let (part, kind) = self.part(node, names, place)?;
        Some((Template { part }, kind))
    }

    fn part(&mut self, node: &Node, names: &Names, place: Place<'_>) -> Option<(Part, Kind)> {
        match &node.value {
            Tree::Scalar(Value::String(text)) if text.contains("${{") => self.text(text, node.span, names, place),
            Tree::Scalar(value) => Some((Part::Literal(value.clone()), Kind::Any)),
            Tree::List(items) => {
                let parts: Vec<_> = items.iter().map(|item| self.part(item, names, place)).collect();
                let parts: Vec<Part> =
                    parts.into_iter().map(|part| part.map(|(part, _)| part)).collect::<Option<_>>()?;
                let literal = parts.iter().all(|part| matches!(part, Part::Literal(_)));
                Some((if literal { Part::Literal(node.to_json()) } else { Part::List(parts) }, Kind::List))
            }
            Tree::Map(entries) => {
                let parts: Vec<_> =
                    entries.iter().map(|entry| (entry.key.clone(), self.part(&entry.node, names, place))).collect();
                let parts: Vec<(String, Part)> =
                    parts.into_iter().map(|(key, part)| part.map(|(part, _)| (key, part))).collect::<Option<_>>()?;
                let literal = parts.iter().all(|(_, part)| matches!(part, Part::Literal(_)));
                Some((if literal { Part::Literal(node.to_json()) } else { Part::Map(parts) }, Kind::Map))
            }
        }
    }

    fn text(&mut self, text: &str, span: Span, names: &Names, place: Place<'_>) -> Option<(Part, Kind)> {
        let Some(pieces) = pieces(text) else {
            let problem = Problem::new(codes::UNCLOSED, span, "`${{` is not closed by `}}`");
            self.problems.push(problem.help("close it, or write `$${{` where the text itself is meant"));
            return None;
        };
        if let [Piece::Expression(inner)] = pieces[..] {
            let (expression, kind) = self.expression(inner, span, names, place)?;
            return Some((Part::Whole(expression), kind));
        }
        if let [Piece::Text(text)] = &pieces[..] {
            return Some((Part::Literal(Value::String(text.clone())), Kind::Text));
        }
        let mut parts = Vec::new();
        let mut rest = span;
        for piece in pieces {
            match piece {
                Piece::Text(text) => parts.push(Some(Part::Literal(Value::String(text)))),
                Piece::Expression(inner) => {
                    let expression = self.expression(inner, rest, names, place);
                    if let Some(found) = self.source.find(inner.trim(), rest) {
                        rest.start = found.end.min(rest.end - 1);
                    }
                    parts.push(expression.map(|(expression, _)| Part::Whole(expression)));
                }
            }
        }
        Some((Part::Mixed(parts.into_iter().collect::<Option<_>>()?), Kind::Text))
    }

    /// Bare CEL that must be true or false.
    pub(super) fn condition(&mut self, node: &Node, what: &str, names: &Names, place: Place<'_>) -> Option<Condition> {
        let (expression, kind) = self.read_bare(node, what, names, place)?;
        if !matches!(kind, Kind::Boolean | Kind::Any) {
            let message = format!("{what} must be true or false, and `{}` is {}", expression.text, kind.words());
            let problem = Problem::new(codes::EXPRESSION_TYPE, node.span, message);
            self.problems.push(problem.help("compare it with something, as in `x == \"yes\"`"));
            return None;
        }
        Some(Condition { expression })
    }

    /// Bare CEL that gives any value.
    pub(super) fn bare(&mut self, node: &Node, what: &str, names: &Names, place: Place<'_>) -> Option<Expression> {
        self.read_bare(node, what, names, place).map(|(expression, _)| expression)
    }

    fn read_bare(&mut self, node: &Node, what: &str, names: &Names, place: Place<'_>) -> Option<(Expression, Kind)> {
        let text = match &node.value {
            Tree::Scalar(Value::String(text)) => text.clone(),
            Tree::Scalar(Value::Bool(value)) => value.to_string(),
            Tree::Scalar(_) | Tree::List(_) | Tree::Map(_) => return None,
        };
        if text.contains("${{") {
            let inner = text.trim().trim_start_matches("${{").trim_end_matches("}}").trim();
            let problem = Problem::new(
                codes::MARKS_IN_CEL,
                node.span,
                format!("{what} is CEL as it stands and takes no `${{{{ }}}}`"),
            );
            self.problems.push(problem.help(format!("write {}: {inner}", what.trim_matches('`'))));
            return None;
        }
        self.expression(&text, node.span, names, place)
    }

    fn expression(
        &mut self,
        written: &str,
        around: Span,
        names: &Names,
        place: Place<'_>,
    ) -> Option<(Expression, Kind)> {
        let text = written.trim();
        let found = self.source.find(text, around).filter(|_| !text.is_empty());
        let within = |at: usize, length: usize| match found {
            Some(span) => Span::new(span.start as usize + at, span.start as usize + at + length),
            None => around,
        };
        if text.is_empty() {
            self.problems.push(Problem::new(codes::EXPRESSION_SYNTAX, around, "the expression is empty"));
            return None;
        }
        if let Err(refusal) = guard::scan(text) {
            let code = match refusal.kind {
                RefusalKind::Limit => codes::EXPRESSION_TOO_BIG,
                RefusalKind::Syntax => codes::EXPRESSION_SYNTAX,
            };
            self.problems.push(Problem::new(code, within(refusal.at, 1), refusal.message));
            return None;
        }
        let program = match engine::compile(text) {
            Ok(program) => program,
            Err(errors) => {
                for error in errors.iter().take(1) {
                    let problem = Problem::new(
                        codes::EXPRESSION_SYNTAX,
                        within(error.at, 1),
                        format!("this is not CEL: {}", error.message),
                    );
                    self.problems.push(problem.maybe_help(syntax_help(text)));
                }
                return None;
            }
        };
        let references = references(&program, text);
        let kind = self.judge(&references, text, &within, names, place)?;
        let at = self.source.position(within(0, 1).start);
        let place = format!("{}:{}:{}", self.source.name, at.line, at.column);
        let budget = Arc::new(Budget::new(program.expression(), &references, text));
        let expression = Expression { text: text.into(), place: place.into(), program: Arc::new(program), budget };
        Some((expression, kind))
    }

    fn judge(
        &mut self,
        references: &References,
        text: &str,
        within: &dyn Fn(usize, usize) -> Span,
        names: &Names,
        place: Place<'_>,
    ) -> Option<Kind> {
        let before = self.problems.len();
        let mut kinds = Vec::new();
        for path in &references.paths {
            match names.path(path, place) {
                Ok(kind) => kinds.push(kind),
                Err(wrong) => {
                    let (count, mut problem) = *wrong;
                    problem.span = path_span(text, path.at, &path.names[..count.min(path.names.len())], within);
                    self.problems.push(problem);
                }
            }
        }
        for call in &references.calls {
            if let Some(mut problem) = names::call(call) {
                problem.span = call_span(text, call.at, &call.name, within);
                self.problems.push(problem);
            }
        }
        (self.problems.len() == before).then(|| names::kind_of(references, &kinds))
    }
}

/// Bare CEL of a file that is no workflow: it may name these roots and gives true, false or null. `words` tell where it stands.
pub(crate) fn bare(
    source: &Source,
    node: &Node,
    what: &str,
    (roots, words): (&[&str], &str),
) -> Result<Template, Vec<Problem>> {
    let mut compiler = Compiler { source, problems: Vec::new() };
    let read = compiler.read_bare(node, what, &Names::default(), Place { roots, words, own: None });
    match read {
        Some((expression, Kind::Boolean | Kind::Any)) => Ok(Template { part: Part::Whole(expression) }),
        Some((expression, kind)) => {
            let message = format!("{what} must be true, false or null, and `{}` is {}", expression.text, kind.words());
            let problem = Problem::new(codes::EXPRESSION_TYPE, node.span, message);
            Err(vec![problem.help("compare it with something, as in `payload == \"online\"`")])
        }
        None => Err(compiler.problems),
    }
}

fn syntax_help(text: &str) -> Option<String> {
    let help = if text.contains(" and ") || text.contains(" or ") || text.contains("not ") {
        "CEL writes `&&`, `||` and `!`"
    } else if text.contains('=')
        && !text.contains("==")
        && !text.contains("!=")
        && !text.contains("<=")
        && !text.contains(">=")
    {
        "CEL compares with `==`"
    } else {
        return None;
    };
    Some(help.to_owned())
}

fn path_span(text: &str, at: usize, names: &[String], within: &dyn Fn(usize, usize) -> Span) -> Span {
    let written = names.join(".");
    let rest: String = text.chars().skip(at).collect();
    if rest.starts_with(&written) {
        let last = names.last().map_or(0, |name| name.chars().count());
        let before = written.chars().count() - last;
        return within(at + before, last);
    }
    within(at, names.first().map_or(1, |name| name.chars().count()))
}

fn call_span(text: &str, at: usize, name: &str, within: &dyn Fn(usize, usize) -> Span) -> Span {
    let before: usize = text.char_indices().nth(at).map_or(0, |(byte, _)| byte);
    let exact = text[before..].starts_with(name).then_some(before);
    match exact.or_else(|| text[..before].rfind(name)).or_else(|| text.find(name)) {
        Some(byte) => within(text[..byte].chars().count(), name.chars().count()),
        None => within(at, 1),
    }
}

/// Splits at `${{ … }}`; `$${{` is the text `${{`. Nothing where one is not closed.
fn pieces(text: &str) -> Option<Vec<Piece<'_>>> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("${{") {
        if rest[..start].ends_with('$') {
            plain.push_str(&rest[..start - 1]);
            plain.push_str("${{");
            rest = &rest[start + 3..];
            continue;
        }
        plain.push_str(&rest[..start]);
        if !plain.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut plain)));
        }
        let inner = &rest[start + 3..];
        let end = closing(inner)?;
        pieces.push(Piece::Expression(&inner[..end]));
        rest = &inner[end + 2..];
    }
    plain.push_str(rest);
    if !plain.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    Some(pieces)
}

/// Where `}}` closes an expression: outside of strings and of maps within it.
fn closing(text: &str) -> Option<usize> {
    let mut quote: Option<u8> = None;
    let mut depth = 0usize;
    let mut letters = text.bytes().enumerate();
    while let Some((at, byte)) = letters.next() {
        match (quote, byte) {
            (Some(_), b'\\') => drop(letters.next()),
            (Some(open), _) if byte == open => quote = None,
            (Some(_), _) => {}
            (None, b'\'' | b'"') => quote = Some(byte),
            (None, b'{') => depth += 1,
            (None, b'}') if depth > 0 => depth -= 1,
            (None, b'}') if text.as_bytes().get(at + 1) == Some(&b'}') => return Some(at),
            (None, _) => {}
        }
    }
    None
}
