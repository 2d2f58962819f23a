//! A codec's variables: what a workflow gave, completed and checked against what the codec declared.

use std::sync::OnceLock;

use packhorse_core::transfer::{Pairs, Var};
use regex::Regex;

/// A pattern that compiles to more is refused.
const MAX_PATTERN_BYTES: usize = 64 << 10;

/// The compiled patterns of a codec's variables: made at first use, for a load does not need them.
#[derive(Debug, Default)]
pub(crate) struct Patterns(OnceLock<Vec<Option<Regex>>>);

impl Patterns {
    /// Whether `value` is what the variable at this place may be.
    fn fit(&self, declared: &[Var], at: usize, value: &str) -> bool {
        let compiled = self.0.get_or_init(|| declared.iter().map(|var| pattern(&var.pattern).ok()).collect());
        // A pattern that does not compile was refused when the plugin was loaded.
        compiled.get(at).and_then(Option::as_ref).is_none_or(|pattern| pattern.is_match(value))
    }
}

/// The values of all declared variables, in declared order, `{device}` expanded; or the variable and what is wrong with it.
pub(crate) fn complete(
    declared: &[Var],
    patterns: &Patterns,
    device: &str,
    given: &Pairs,
) -> Result<Pairs, (String, String)> {
    for (at, (name, _)) in given.iter().enumerate() {
        if !declared.iter().any(|var| var.name == *name) {
            let known = declared.iter().map(|var| var.name.as_str()).collect::<Vec<_>>().join(", ");
            let known = if known.is_empty() { "it takes none".to_owned() } else { format!("it takes {known}") };
            return Err((name.clone(), format!("is not one of this codec's: {known}")));
        }
        if given[..at].iter().any(|(before, _)| before == name) {
            return Err((name.clone(), "is given twice".to_owned()));
        }
    }
    let values = declared.iter().enumerate();
    values.map(|(at, var)| value(var, device, given, |value| patterns.fit(declared, at, value))).collect()
}

fn value(
    var: &Var,
    device: &str,
    given: &Pairs,
    fits: impl Fn(&str) -> bool,
) -> Result<(String, String), (String, String)> {
    let wrong = |problem: String| (var.name.clone(), problem);
    let given = given.iter().find(|(name, _)| *name == var.name).map(|(_, value)| value);
    if var.required && given.is_none() {
        return Err(wrong(format!("must be given{}", about(var))));
    }
    let value = given.unwrap_or(&var.default).replace("{device}", device);
    if !var.pattern.is_empty() && !fits(&value) {
        return Err(wrong(format!("is {value:?}, which does not match {}{}", var.pattern, about(var))));
    }
    Ok((var.name.clone(), value))
}

fn about(var: &Var) -> String {
    if var.about.is_empty() { String::new() } else { format!(" ({})", var.about.escape_debug()) }
}

/// A pattern, which must match the whole value.
pub(crate) fn pattern(source: &str) -> Result<Regex, String> {
    regex::RegexBuilder::new(&format!("^(?:{source})$"))
        .size_limit(MAX_PATTERN_BYTES)
        .build()
        .map_err(|_| format!("has the pattern {source:?}, which is no regular expression or too large a one"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn var(name: &str, required: bool, default: &str, pattern: &str) -> Var {
        let [name, default, pattern] = [name, default, pattern].map(str::to_owned);
        Var { name, required, default, pattern, about: String::new() }
    }

    fn check(given: &[(&str, &str)], expected: Result<&[(&str, &str)], &str>) {
        let declared = [var("prefix", false, "packhorse/{device}", ""), var("id", true, "", "[0-9]+")];
        let owned = |pairs: &[(&str, &str)]| -> Pairs {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let completed = complete(&declared, &Patterns::default(), "dev-1", &owned(given));
        match expected {
            Ok(pairs) => assert_eq!(completed, Ok(owned(pairs))),
            Err(words) => {
                let (name, problem) = completed.unwrap_err();
                assert!(format!("{name} {problem}").contains(words), "{name} {problem}");
            }
        }
    }

    #[test]
    fn defaults_are_filled_in_and_the_device_expanded() {
        check(&[("id", "7")], Ok(&[("prefix", "packhorse/dev-1"), ("id", "7")]));
        check(&[("id", "7"), ("prefix", "x")], Ok(&[("prefix", "x"), ("id", "7")]));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        check(&[], Err("id must be given"));
        check(&[("id", "7x")], Err("id is \"7x\", which does not match [0-9]+"));
        check(&[("id", "7"), ("other", "")], Err("other is not one of this codec's: it takes prefix, id"));
        check(&[("id", "7"), ("id", "8")], Err("id is given twice"));
    }

    #[test]
    fn a_pattern_that_explodes_is_refused() {
        assert!(pattern("(").is_err());
        assert!(pattern("((a{100}){100}){100}").is_err());
        assert!(pattern("[a-z]{1,16}").is_ok());
    }
}
