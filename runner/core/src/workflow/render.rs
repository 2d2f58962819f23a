//! The text rendering of one problem: the line, a caret below it, help.

use super::problem::{Colour, Problem};
use super::source::Source;
use std::fmt::Write as _;

/// Columns of a line that are shown; longer lines are cut around the caret.
const WIDTH: usize = 160;

struct Paint {
    red: &'static str,
    blue: &'static str,
    bold: &'static str,
    off: &'static str,
}

const PLAIN: Paint = Paint { red: "", blue: "", bold: "", off: "" };
const ANSI: Paint = Paint { red: "\u{1b}[31;1m", blue: "\u{1b}[34m", bold: "\u{1b}[1m", off: "\u{1b}[0m" };

/// Appends the rendering of one problem.
pub(super) fn problem(text: &mut String, source: &Source, problem: &Problem, colour: Colour) {
    let Paint { red, blue, bold, off } = match colour {
        Colour::Never => PLAIN,
        Colour::Always => ANSI,
    };
    let at = source.position(problem.span.start);
    let gutter = at.line.to_string().len();
    let pad = " ".repeat(gutter);
    let _ = writeln!(text, "{red}error[{}]{off}{bold}: {}{off}", problem.code, clean(&problem.message));
    let _ = writeln!(text, "{pad} {blue}╭─[{}:{}:{}]{off}", clean(&source.name), at.line, at.column);
    let shown = Excerpt::new(source, problem);
    if at.line > 1 {
        let _ = writeln!(text, "{blue}{:>gutter$} │{off} {}", at.line - 1, shown.before);
    }
    let _ = writeln!(text, "{blue}{:>gutter$} │{off} {}", at.line, shown.line);
    let (before, marks) = (" ".repeat(shown.indent), carets(shown.length));
    let _ = writeln!(text, "{pad} {blue}·{off} {before}{red}{marks}{off}");
    if !problem.label.is_empty() {
        let stem = " ".repeat(shown.indent + (shown.length - 1) / 2);
        let _ = writeln!(text, "{pad} {blue}·{off} {stem}{red}╰── {}{off}", clean(&problem.label));
    }
    let _ = writeln!(text, "{pad} {blue}╰────{off}");
    if let Some(help) = &problem.help {
        let _ = writeln!(text, "{pad} {bold}help:{off} {}", clean(help));
    }
    let _ = writeln!(text, "{pad} {bold}docs:{off} packhorse explain {}", problem.code);
}

struct Excerpt {
    before: String,
    line: String,
    indent: usize,
    length: usize,
}

impl Excerpt {
    fn new(source: &Source, problem: &Problem) -> Self {
        let at = source.position(problem.span.start);
        let line = source.line(at.line);
        let whole = line.chars().count();
        let offset = at.column - 1;
        let length = (problem.span.end - problem.span.start) as usize;
        let length = length.min(whole.saturating_sub(offset)).max(1);
        let from = if offset > WIDTH - 40 { offset - 60 } else { 0 };
        let cut = |line: &str| clean(&line.chars().skip(from).take(WIDTH).collect::<String>());
        Self {
            before: cut(source.line(at.line - 1)),
            line: cut(line),
            indent: offset - from,
            length: length.min(WIDTH.saturating_sub(offset - from).max(1)),
        }
    }
}

fn carets(length: usize) -> String {
    if length < 2 {
        return "┬".to_owned();
    }
    let left = (length - 1) / 2;
    format!("{}┬{}", "─".repeat(left), "─".repeat(length - 1 - left))
}

/// A hostile file must not write to the terminal: each control character becomes one visible one.
fn clean(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_control() { if letter == '\t' { ' ' } else { '\u{fffd}' } } else { letter })
        .collect()
}
