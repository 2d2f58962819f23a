//! Conditions that must all hold, and words for those that do not, with the values that they looked at.

use super::{Condition, Scope};
use crate::failure::Failure;

/// Longest value that is shown, in bytes.
const MAX_SHOWN: usize = 80;

/// Words for each condition that does not hold. An error where one cannot be evaluated.
pub(super) fn unmet(conditions: &[Condition], scope: &Scope) -> Result<Vec<String>, Failure> {
    let mut unmet = Vec::new();
    for condition in conditions {
        if !condition.holds(scope)? {
            unmet.push(words(condition, scope));
        }
    }
    Ok(unmet)
}

fn words(condition: &Condition, scope: &Scope) -> String {
    let values: Vec<String> =
        condition.paths().iter().map(|path| format!("{} is {}", path.join("."), shown(path, scope))).collect();
    let with = if values.is_empty() { String::new() } else { format!(" ({})", values.join(", ")) };
    format!("`{}` does not hold{with}", condition.text())
}

fn shown(path: &[String], scope: &Scope) -> String {
    let Some((root, rest)) = path.split_first() else { return "absent".to_owned() };
    let value = rest.iter().try_fold(scope.get(root), |value, name| Some(value?.get(name)));
    match value.flatten() {
        None => "absent".to_owned(),
        Some(value) => cut(&value.to_string()),
    }
}

fn cut(text: &str) -> String {
    if text.len() <= MAX_SHOWN {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(MAX_SHOWN)])
}
