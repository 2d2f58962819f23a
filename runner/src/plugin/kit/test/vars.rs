//! Variables for the sessions that the tests open: as given, else as the vectors have them, else invented.

use packhorse_core::transfer::{Pairs, Var};
use regex_syntax::hir::{Class, Hir, HirKind};

use super::super::super::{Plugin, PluginError, vars};
use super::super::vectors::Vectors;
use super::speaker::DEVICE;

/// Repetitions that are written out; a pattern that wants more is not invented for.
const REPETITIONS: u32 = 1024;

/// What the sessions are opened with: everything that was given, and a value for each required variable that was not.
///
/// # Errors
/// [`PluginError::Variable`] for one that is unknown, does not fit, or fits a pattern for which nothing can be invented.
pub(super) fn settle(plugin: &Plugin, vectors: &[Vectors], given: &Pairs) -> Result<Pairs, PluginError> {
    let mut settled = given.clone();
    let required = plugin.description().vars.iter().filter(|var| var.required);
    for var in required.filter(|var| !given.iter().any(|(name, _)| *name == var.name)) {
        let value = written(vectors, &var.name).or_else(|| invented(var));
        settled.extend(value.map(|value| (var.name.clone(), value)));
    }
    plugin.vars(DEVICE, &settled)?;
    Ok(settled)
}

/// The value in the first case that opens well and has one.
fn written(vectors: &[Vectors], name: &str) -> Option<String> {
    let cases = vectors.iter().flat_map(|vectors| &vectors.cases).filter(|case| case.refused.is_none());
    let mut values = cases.flat_map(|case| &case.opening.vars).filter(|(known, _)| known == name);
    values.next().map(|(_, value)| value.clone())
}

/// The default, a common value, or the shortest text that the pattern takes.
fn invented(var: &Var) -> Option<String> {
    let fits = vars::pattern(&var.pattern).ok()?;
    let common = [&*var.default, "test", "1", "01", "0000"];
    let found = common.into_iter().find(|value| !value.is_empty() && (var.pattern.is_empty() || fits.is_match(value)));
    let shortest = || regex_syntax::parse(&var.pattern).ok().and_then(|tree| shortest(&tree));
    found.map(str::to_owned).or_else(shortest).filter(|value| var.pattern.is_empty() || fits.is_match(value))
}

fn shortest(tree: &Hir) -> Option<String> {
    match tree.kind() {
        HirKind::Empty | HirKind::Look(_) => Some(String::new()),
        HirKind::Literal(literal) => String::from_utf8(literal.0.to_vec()).ok(),
        HirKind::Class(class) => letter(class).map(String::from),
        HirKind::Capture(capture) => shortest(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > REPETITIONS => None,
        HirKind::Repetition(repetition) => Some(shortest(&repetition.sub)?.repeat(repetition.min as usize)),
        HirKind::Concat(parts) => parts.iter().map(shortest).collect(),
        HirKind::Alternation(ways) => ways.iter().find_map(shortest),
    }
}

/// A letter or digit where there is one: it is fit for topics too.
fn letter(class: &Class) -> Option<char> {
    let plain = ('a'..='z').chain('0'..='9').chain('A'..='Z').chain(' '..='~');
    match class {
        Class::Unicode(class) => {
            let has = |letter: &char| class.iter().any(|range| (range.start()..=range.end()).contains(letter));
            plain.into_iter().find(has).or_else(|| class.iter().next().map(|range| range.start()))
        }
        Class::Bytes(class) => {
            let has =
                |letter: &char| class.iter().any(|range| (range.start()..=range.end()).contains(&(*letter as u8)));
            plain.into_iter().find(has)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invents(pattern: &str, expected: Option<&str>) {
        let var = Var {
            name: "v".to_owned(),
            required: true,
            default: String::new(),
            pattern: pattern.to_owned(),
            about: String::new(),
        };
        assert_eq!(invented(&var).as_deref(), expected, "{pattern}");
    }

    #[test]
    fn something_is_invented_for_any_pattern() {
        invents("", Some("test"));
        invents("[0-9]{4}", Some("0000"));
        invents("[A-Z]{2}-(x|y)[0-9]{3}", Some("AA-x000"));
        invents("(?i)key:[a-f0-9]{8,}", Some("key:aaaaaaaa"));
        invents("\\d+\\.\\d+", Some("0.0"));
        invents("a{5000}", None);
        invents("x\\b", Some("x"));
    }
}
