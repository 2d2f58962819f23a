//! Ids and globs: `*` stands for any text, `?` for one character.

use crate::workflow::format::MAX_DEVICE;
use serde::Serialize;

/// A device id, or a glob over device ids.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Pattern(String);

impl Pattern {
    /// Reads one: what can stand in a device id, `*` and `?`.
    ///
    /// # Errors
    ///
    /// What is wrong with it, for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("it is empty".to_owned());
        }
        if text.chars().count() > MAX_DEVICE {
            return Err(format!("it is longer than {MAX_DEVICE} characters"));
        }
        let known = |letter: char| letter.is_ascii_alphanumeric() || "_.:@=-*?".contains(letter);
        if let Some(letter) = text.chars().find(|letter| !known(*letter)) {
            let letter = letter.escape_default();
            return Err(format!(
                "`{letter}` cannot stand in it: only A-Z a-z 0-9 _ . : @ = - and the wildcards * ? can"
            ));
        }
        if text.contains("**") {
            return Err("`**` is no more than `*`".to_owned());
        }
        Ok(Self(text.to_owned()))
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is an id.
    pub fn is_exact(&self) -> bool {
        !self.0.contains(['*', '?'])
    }

    /// Whether it means this id.
    pub fn matches(&self, id: &str) -> bool {
        let (pattern, id) = (self.0.as_bytes(), id.as_bytes());
        let (mut at, mut here) = (0, 0);
        // Where the last star stood, and how much of the id it has taken.
        let mut star: Option<(usize, usize)> = None;
        while here < id.len() {
            match pattern.get(at) {
                Some(b'*') => {
                    star = Some((at, here));
                    at += 1;
                }
                Some(letter) if *letter == b'?' || *letter == id[here] => (at, here) = (at + 1, here + 1),
                _ => {
                    let Some((before, taken)) = star else { return false };
                    star = Some((before, taken + 1));
                    (at, here) = (before + 1, taken + 1);
                }
            }
        }
        pattern[at..].iter().all(|letter| *letter == b'*')
    }

    /// How near it is to the ids that it means: an id is nearer than any glob, and of two globs the one with more characters written out.
    pub fn nearness(&self) -> (bool, usize) {
        let written = self.0.bytes().filter(|byte| !matches!(byte, b'*' | b'?')).count();
        (self.is_exact(), written)
    }

    /// Whether there is an id that both mean.
    pub fn meets(&self, other: &Self) -> bool {
        let (one, two) = (self.0.as_bytes(), other.0.as_bytes());
        if !ends_meet(one.iter(), two.iter()) || !ends_meet(one.iter().rev(), two.iter().rev()) {
            return false;
        }
        // `row[b]`: whether what is left of `one` from `a` on can meet what is left of `two` from `b` on.
        let mut below = vec![false; two.len() + 1];
        for a in (0..=one.len()).rev() {
            let mut row = vec![false; two.len() + 1];
            for b in (0..=two.len()).rev() {
                row[b] = match (one.get(a), two.get(b)) {
                    (None, None) => true,
                    (Some(b'*'), Some(_)) => below[b] || row[b + 1],
                    (Some(_), Some(b'*')) => row[b + 1] || below[b],
                    (Some(b'*'), None) => below[b],
                    (None, Some(b'*')) => row[b + 1],
                    (Some(x), Some(y)) => (x == y || *x == b'?' || *y == b'?') && below[b + 1],
                    (Some(_), None) | (None, Some(_)) => false,
                };
            }
            below = row;
        }
        below[0]
    }
}

/// Whether the characters written out before the first wildcard of either leave room for one id.
fn ends_meet<'a>(one: impl Iterator<Item = &'a u8>, two: impl Iterator<Item = &'a u8>) -> bool {
    let plain = |byte: &u8| !matches!(byte, b'*' | b'?');
    one.zip(two).take_while(|(x, y)| plain(x) && plain(y)).all(|(x, y)| x == y)
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}
