//! What is wrong with a workflow file: data with a stable code and a place, and its two renderings.

use super::codes;
use super::source::{Source, Span};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Stable code, `PH02` and two digits; [`super::codes`] lists them.
    pub code: &'static str,
    /// What is wrong; lower case, no full stop.
    pub message: String,
    /// Where.
    pub span: Span,
    /// Words at the caret.
    pub label: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Problem {
    /// A problem without words at the caret and without help.
    pub fn new(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), span, label: String::new(), help: None }
    }

    /// The same with words at the caret.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// The same with words on what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same with help where there is some.
    #[must_use]
    pub fn maybe_help(mut self, help: Option<String>) -> Self {
        if help.is_some() {
            self.help = help;
        }
        self
    }
}

/// Codes of YAML that is refused: its value is not judged beside.
const YAML: [&str; 3] = [codes::ANCHOR, codes::TAG, codes::KEY_NOT_TEXT];

/// All problems of one file, in the order of the file. `Display` is the plain text rendering.
#[derive(Debug, Clone)]
pub struct Problems {
    source: Box<Source>,
    list: Vec<Problem>,
}

/// Whether the text rendering has terminal colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// Plain text.
    Never,
    /// ANSI escapes.
    Always,
}

impl Problems {
    /// Sorts by place and drops repetitions, and what only follows from YAML that is refused.
    pub(crate) fn new(source: Source, mut list: Vec<Problem>) -> Self {
        let refused: Vec<Span> =
            list.iter().filter(|problem| YAML.contains(&problem.code)).map(|problem| problem.span).collect();
        list.retain(|problem| YAML.contains(&problem.code) || !refused.contains(&problem.span));
        list.sort_by(|a, b| (a.span, a.code, &a.message).cmp(&(b.span, b.code, &b.message)));
        list.dedup();
        Self { source: Box::new(source), list }
    }

    /// In the order of the file; at least one.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// The file's name as it was given.
    pub fn file(&self) -> &str {
        &self.source.name
    }

    /// Text for people: each problem with its line and a caret.
    pub fn render(&self, colour: Colour) -> String {
        let mut text = String::new();
        for (index, problem) in self.list.iter().enumerate() {
            if index > 0 {
                text.push('\n');
            }
            super::render::problem(&mut text, &self.source, problem, colour);
        }
        text
    }

    /// For machines: `{file, diagnostics: [{range, severity, code, source, message, help?}]}` with ranges as in the
    /// Language Server Protocol: lines and characters from 0, characters in UTF-16 units.
    pub fn to_json(&self) -> Value {
        let diagnostics: Vec<Value> = self.list.iter().map(|problem| self.diagnostic(problem)).collect();
        json!({ "file": self.source.name, "diagnostics": diagnostics })
    }

    fn diagnostic(&self, problem: &Problem) -> Value {
        let start = self.source.position(problem.span.start);
        let mut value = json!({
            "range": { "start": self.utf16(problem.span.start), "end": self.utf16(problem.span.end) },
            "severity": 1,
            "code": problem.code,
            "source": "packhorse",
            "message": problem.message,
            "line": start.line,
            "column": start.column,
        });
        if !problem.label.is_empty() {
            value["label"] = json!(problem.label);
        }
        if let Some(help) = &problem.help {
            value["help"] = json!(help);
        }
        value
    }

    fn utf16(&self, index: u32) -> Value {
        let at = self.source.position(index);
        let line = self.source.line(at.line);
        let character: usize = line.chars().take(at.column - 1).map(char::len_utf16).sum();
        json!({ "line": at.line - 1, "character": character })
    }
}

impl std::fmt::Display for Problems {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.render(Colour::Never))
    }
}

impl std::error::Error for Problems {}

/// `did you mean` for a name among those that would be right.
pub fn did_you_mean<'a>(wrong: &str, right: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = wrong.to_lowercase();
    right
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&lower, &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= (wrong.chars().count().max(name.chars().count()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Help for an unknown name: the nearest right one, and all of them where they are few.
pub(crate) fn suggest<'a>(what: &str, wrong: &str, right: impl IntoIterator<Item = &'a str> + Clone) -> Option<String> {
    let mut help = String::new();
    if let Some(name) = did_you_mean(wrong, right.clone()) {
        let _ = write!(help, "did you mean `{name}`?");
    }
    let names: Vec<&str> = right.into_iter().collect();
    if !names.is_empty() && names.len() <= 24 {
        let space = if help.is_empty() { "" } else { " " };
        let _ = write!(help, "{space}{what}: {}", names.join(", "));
    }
    (!help.is_empty()).then_some(help)
}
