//! A Rust file as far as the rules need it: without comments and strings, and the paths that it names.

/// The text with every comment, string and character blanked out; line breaks stay.
pub(crate) fn code(text: &str) -> String {
    let bytes: Vec<char> = text.chars().collect();
    let (mut out, mut at) = (String::with_capacity(text.len()), 0);
    while at < bytes.len() {
        let end = skip(&bytes, at);
        if end == at {
            out.push(bytes[at]);
            at += 1;
        } else {
            out.extend(bytes[at..end].iter().map(|&letter| if letter == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// Where the comment, string or character that begins at `at` ends; `at` itself when none begins there.
fn skip(text: &[char], at: usize) -> usize {
    let next = |step: usize| text.get(at + step).copied().unwrap_or('\0');
    let word_before = at > 0 && (text[at - 1].is_alphanumeric() || text[at - 1] == '_');
    match text[at] {
        '/' if next(1) == '/' => find(text, at, |rest| rest[0] == '\n'),
        '/' if next(1) == '*' => block(text, at),
        '"' => string(text, at),
        'r' if !word_before && (next(1) == '"' || next(1) == '#') => raw(text, at, at + 1),
        'b' if !word_before && next(1) == 'r' && (next(2) == '"' || next(2) == '#') => raw(text, at, at + 2),
        // A character, not a lifetime: `'x'` or `'\n'`.
        '\'' if next(1) == '\\' => find(text, at + 3, |rest| rest[0] == '\'') + 1,
        '\'' if next(2) == '\'' => at + 3,
        _ => at,
    }
    .min(text.len())
}

fn find(text: &[char], from: usize, wanted: impl Fn(&[char]) -> bool) -> usize {
    (from..text.len()).find(|&at| wanted(&text[at..])).unwrap_or(text.len())
}

fn block(text: &[char], at: usize) -> usize {
    let (mut depth, mut here) = (0_usize, at);
    while here < text.len() {
        match (text[here], text.get(here + 1)) {
            ('/', Some('*')) => (depth, here) = (depth + 1, here + 2),
            ('*', Some('/')) => (depth, here) = (depth - 1, here + 2),
            _ => here += 1,
        }
        if depth == 0 {
            break;
        }
    }
    here
}

fn string(text: &[char], at: usize) -> usize {
    let mut here = at + 1;
    while here < text.len() && text[here] != '"' {
        here += if text[here] == '\\' { 2 } else { 1 };
    }
    here + 1
}

fn raw(text: &[char], start: usize, at: usize) -> usize {
    let marks = text[at..].iter().take_while(|&&letter| letter == '#').count();
    if text.get(at + marks) != Some(&'"') {
        return start; // `r#type`, a name
    }
    let close =
        |rest: &[char]| rest[0] == '"' && rest[1..].iter().take(marks).filter(|&&mark| mark == '#').count() == marks;
    find(text, at + marks + 1, close) + 1 + marks
}

/// A token: a word, `::`, or one other sign.
fn tokens(code: &str) -> Vec<&str> {
    let (mut tokens, mut rest) = (Vec::new(), code.trim_start());
    while let Some(first) = rest.chars().next() {
        let length = match first {
            _ if first.is_alphanumeric() || first == '_' => {
                rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(rest.len())
            }
            ':' if rest.starts_with("::") => 2,
            _ => first.len_utf8(),
        };
        tokens.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    tokens
}

/// Every path of two or more parts that the file names, groups spread out, `self`, `super` and `crate` resolved:
/// `["crate", "bus", "Bus"]`, `["std", "fs", "read"]`. `module` is the file's own place in its crate.
pub(crate) fn paths(text: &str, module: &[&str]) -> Vec<Vec<String>> {
    let code = code(text);
    let tokens = tokens(&code);
    let mut inner = Inner::default();
    let (mut found, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        inner.step(&tokens, at);
        let begins = is_word(tokens[at]) && (at == 0 || tokens[at - 1] != "::");
        if begins && tokens.get(at + 1) == Some(&"::") {
            let mut here: Vec<String> = module.iter().map(|part| (*part).to_owned()).collect();
            here.extend(inner.names.iter().map(|(name, _)| name.clone()));
            at = tree(&tokens, at, &here, &[], &mut found);
        } else {
            at += 1;
        }
    }
    found
}

/// The `mod name { … }` blocks around a place.
#[derive(Default)]
struct Inner {
    depth: usize,
    names: Vec<(String, usize)>,
}

impl Inner {
    fn step(&mut self, tokens: &[&str], at: usize) {
        match tokens[at] {
            "{" => {
                self.depth += 1;
                if at >= 2 && tokens[at - 2] == "mod" {
                    self.names.push((tokens[at - 1].to_owned(), self.depth));
                }
            }
            "}" => {
                self.names.retain(|(_, depth)| *depth != self.depth);
                self.depth = self.depth.saturating_sub(1);
            }
            _ => {}
        }
    }
}

/// Reads a path, or a group of them, from `at` on; returns where it ends.
fn tree(tokens: &[&str], mut at: usize, module: &[String], before: &[String], found: &mut Vec<Vec<String>>) -> usize {
    let mut path = before.to_vec();
    loop {
        match tokens.get(at) {
            Some(&"{") if at > 0 && tokens[at - 1] == "::" => {
                at += 1;
                while at < tokens.len() && tokens[at] != "}" {
                    let from = at;
                    at = tree(tokens, at, module, &path, found);
                    while at < tokens.len() && !matches!(tokens[at], "," | "}") {
                        at += 1; // `as name`
                    }
                    at += usize::from(tokens.get(at) == Some(&","));
                    debug_assert!(at > from || tokens[at] == "}", "a group always goes on");
                }
                return at + 1;
            }
            Some(word) if is_word(word) || *word == "*" => path.push((*word).to_owned()),
            _ => break,
        }
        at += 1;
        if tokens.get(at) != Some(&"::") {
            break;
        }
        at += 1;
    }
    let path = resolved(path, module);
    if path.len() > 1 {
        found.push(path);
    }
    at
}

fn is_word(token: &str) -> bool {
    token.starts_with(|letter: char| letter.is_alphabetic() || letter == '_')
}

/// `self::x` and `super::x` as `crate::…::x`.
fn resolved(path: Vec<String>, module: &[String]) -> Vec<String> {
    let ups = path.iter().take_while(|part| *part == "super" || *part == "self").count();
    if ups == 0 {
        return path;
    }
    let supers = path[..ups].iter().filter(|part| *part == "super").count();
    let kept = module.len().saturating_sub(supers);
    let home = std::iter::once("crate".to_owned()).chain(module[..kept].iter().cloned());
    home.chain(path[ups..].iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str, module: &[&str]) -> Vec<String> {
        paths(text, module).iter().map(|path| path.join("::")).collect()
    }

    #[test]
    fn comments_and_strings_are_not_code() {
        let text = "a // crate::x\n/* b /* c */ */ d \"crate::y \\\" e\" f r#\"crate::\"z\"# g 'h' '\\'' i<'j> r#type";
        let words: Vec<String> = code(text).split_whitespace().map(ToOwned::to_owned).collect();
        assert_eq!(words, ["a", "d", "f", "g", "i<'j>", "r#type"]);
    }

    #[test]
    fn groups_are_spread_out() {
        let found = named("use crate::{bus::{Bus, Message as M}, link::*};\nuse std::fs;", &["engine"]);
        assert_eq!(found, ["crate::bus::Bus", "crate::bus::Message", "crate::link::*", "std::fs"]);
    }

    #[test]
    fn paths_in_the_middle_of_code_are_found() {
        assert_eq!(
            named("fn f() -> crate::bus::Bus { let x = packhorse_core::hex::encode(b); }", &["link"]),
            ["crate::bus::Bus", "packhorse_core::hex::encode"]
        );
    }

    #[test]
    fn super_is_followed_home_through_inner_modules() {
        assert_eq!(named("use super::super::bus::Bus;", &["link", "spool"]), ["crate::bus::Bus"]);
        assert_eq!(named("use super::Error;", &["link", "spool"]), ["crate::link::Error"]);
        assert_eq!(
            named("mod tests { use super::super::Error; } use super::x;", &["link", "spool"]),
            ["crate::link::Error", "crate::link::x"]
        );
        assert_eq!(named("use self::store::Journal;", &[]), ["crate::store::Journal"]);
    }
}
