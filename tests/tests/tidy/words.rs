//! How files begin, how long they are, what must not stand in them, and the page of dependencies.

use crate::source;
use crate::tree::File;

/// Longest file in lines.
const LONGEST: usize = 500;

/// Files that are longer, each with its reason.
const LONGER: [(&str, &str); 0] = [];

/// The first line is a `//!` sentence, or takes a whole page in its place.
pub(crate) fn opening(file: &File) -> Vec<String> {
    let first = file.text.lines().next().unwrap_or_default();
    let sentence = first.strip_prefix("//! ").is_some_and(|sentence| sentence.trim().len() > 10);
    let good = sentence || first.starts_with("#![doc = include_str!(");
    if good { Vec::new() } else { vec![format!("does not open with a `//!` sentence but with {first:?}")] }
}

/// No file is longer than what a person reads in one go.
pub(crate) fn length(file: &File) -> Vec<String> {
    let lines = file.text.lines().count();
    let allowed = LONGER.iter().any(|(path, _)| *path == file.path);
    if lines <= LONGEST || allowed {
        Vec::new()
    } else {
        vec![format!("{lines} lines, more than {LONGEST}: split it by idea")]
    }
}

/// Tests that do not run and code that is not there.
pub(crate) fn unfinished(file: &File) -> Vec<String> {
    let code: String = source::code(&file.text).split_whitespace().collect();
    let marks = ["#[ignore", "todo!(", "todo!{", "unimplemented!(", "unimplemented!{"];
    marks.iter().filter(|mark| code.contains(**mark)).map(|mark| format!("has {mark}")).collect()
}

/// Paths of somebody's machine and hosts of registries. They are put together here so that this file does not name them.
pub(crate) fn machines(file: &File) -> Vec<String> {
    let names = [
        ["/ro", "ot/"].concat(),
        ["/wo", "rk/"].concat(),
        ["index.", "crates.io"].concat(),
        ["static.", "crates.io"].concat(),
    ];
    let lines = file.text.lines().enumerate();
    lines
        .flat_map(|(at, line)| {
            names.iter().filter(|name| line.contains(*name)).map(move |name| format!("line {} names {name}", at + 1))
        })
        .collect()
}

/// Links of a page to files that `exists` does not know; links to other sites and within the page are left alone.
pub(crate) fn links(file: &File, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let targets = file.text.split("](").skip(1).filter_map(|rest| rest.split([')', ' ', '#']).next());
    let ours = targets.filter(|target| !target.is_empty() && !target.contains("://") && !target.starts_with('`'));
    ours.filter(|target| !exists(&beside(folder, target)))
        .map(|target| format!("links to {target}, which is not there"))
        .collect()
}

/// Files that say what codes mean, for `packhorse explain`.
const CODES: [&str; 3] =
    ["runner/src/cli/codes.rs", "runner/core/src/workflow/codes.rs", "runner/core/src/run/codes.rs"];

/// Stable codes (`"PH4102"`) in a program's source that no file of [`CODES`] explains.
pub(crate) fn codes(files: &[File]) -> Vec<String> {
    let of_programs =
        |file: &&File| file.path.starts_with("runner/") && file.path.contains("/src/") && file.path.ends_with(".rs");
    let (explained, used): (Vec<_>, Vec<_>) =
        files.iter().filter(of_programs).partition(|file| CODES.contains(&file.path.as_str()));
    let explained: Vec<&str> = explained.iter().flat_map(|file| quoted_codes(&file.text)).collect();
    let own = |file: &File| file.text.split("#[cfg(test)]\nmod ").next().unwrap_or_default().to_owned();
    let without = |file: &&File| {
        let text = own(file);
        let unknown = quoted_codes(&text).into_iter().filter(|code| !explained.contains(code));
        unknown.map(|code| format!("{}: {code} is explained nowhere", file.path)).collect::<Vec<_>>()
    };
    let none = explained.is_empty().then(|| "no code was found".to_owned());
    used.iter().filter(|file| !file.path.contains("/tests")).flat_map(without).chain(none).collect()
}

/// What stands in quotes and is `PH` and four digits.
fn quoted_codes(text: &str) -> Vec<&str> {
    let is_code =
        |word: &&str| word.len() == 6 && word.starts_with("PH") && word[2..].bytes().all(|byte| byte.is_ascii_digit());
    text.split('"').filter(is_code).collect()
}

/// A relative path from `folder`, from the root of the repository.
fn beside(folder: &str, target: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Entries of `[workspace.dependencies]` without a row on the page, and rows without an entry.
pub(crate) fn dependencies(manifest: &str, page: &str) -> Vec<String> {
    let entries = entries(manifest);
    let rows: Vec<&str> =
        page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(name, _)| name)).collect();
    let without = entries
        .iter()
        .filter(|name| !rows.contains(*name))
        .map(|name| format!("{name} has no row in docs/DEPENDENCIES.md"));
    let stale = rows
        .iter()
        .filter(|name| !entries.contains(*name))
        .map(|name| format!("{name} has a row and is no dependency"));
    let none = entries.is_empty().then(|| "no dependency was found in Cargo.toml".to_owned());
    without.chain(stale).chain(none).collect()
}

/// Names in `[workspace.dependencies]`, without our own crates.
fn entries(manifest: &str) -> Vec<&str> {
    let section = manifest.lines().skip_while(|line| line.trim() != "[workspace.dependencies]").skip(1);
    let lines = section.take_while(|line| !line.starts_with('['));
    lines
        .filter(|line| !line.starts_with('#') && !line.contains("path ="))
        .filter_map(|line| line.split_once('=').map(|(name, _)| name.trim()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> File {
        File { path: "runner/src/x.rs".to_owned(), text: text.to_owned() }
    }

    #[test]
    fn a_code_that_nobody_explains_is_found() {
        let file = |path: &str, text: &str| File { path: path.to_owned(), text: text.to_owned() };
        let table = file("runner/src/cli/codes.rs", "(\"PH1001\", \"a port\")");
        let user = file("runner/src/app/x.rs", "Stop::usage(\"PH1001\", x); Stop::usage(\"PH1002\", \"PH1003 \")");
        assert_eq!(codes(&[table, user]), ["runner/src/app/x.rs: PH1002 is explained nowhere"]);
    }

    #[test]
    fn a_file_without_a_first_sentence_is_found() {
        assert_eq!(opening(&file("use std::fs;\n")).len(), 1);
        assert_eq!(opening(&file("//!\n")).len(), 1);
        assert_eq!(opening(&file("")).len(), 1);
        assert!(opening(&file("//! What this is for.\n")).is_empty());
        assert!(opening(&file("#![doc = include_str!(\"../README.md\")]\n")).is_empty());
    }

    #[test]
    fn a_long_file_is_found() {
        assert_eq!(length(&file(&"x\n".repeat(LONGEST + 1))).len(), 1);
        assert!(length(&file(&"x\n".repeat(LONGEST))).is_empty());
    }

    #[test]
    fn unfinished_work_is_found_and_talk_of_it_is_not() {
        assert_eq!(unfinished(&file("#[ignore = \"later\"]\nfn f() { todo!() }")).len(), 2);
        assert_eq!(unfinished(&file("fn f() { unimplemented!(\"x\") }")).len(), 1);
        assert_eq!(unfinished(&file("# [ignore]")).len(), 1);
        assert!(unfinished(&file("// todo!()\nlet x = \"unimplemented!()\";")).is_empty());
    }

    #[test]
    fn a_machine_is_found() {
        for name in ["ro", "wo"].into_iter().zip(["ot", "rk"]) {
            assert_eq!(machines(&file(&format!("x\nsee /{}{}/x", name.0, name.1))).len(), 1);
        }
        assert!(machines(&file("see /var/lib/packhorse, network/x, work/x")).is_empty());
    }

    #[test]
    fn a_link_to_nothing_is_found() {
        let page = File {
            path: "docs/a.md".to_owned(),
            text: "[x](../README.md) [y](b.md#part) [z](https://x.y/z) [w](#here)".to_owned(),
        };
        assert!(links(&page, |path| path == "README.md" || path == "docs/b.md").is_empty());
        assert_eq!(links(&page, |path| path == "README.md"), ["links to b.md, which is not there"]);
    }

    #[test]
    fn a_dependency_without_a_reason_is_found() {
        let manifest = "[workspace.dependencies]\npackhorse = { path = \"runner\" }\n\n# why\nserde = \"1\"\ntokio = { version = \"1\" }\n\n[x]\ny = 1\n";
        assert!(dependencies(manifest, "| `serde` | a |\n| `tokio` | b |\n").is_empty());
        assert_eq!(
            dependencies(manifest, "| `serde` | a |\n| `redb` | b |\n"),
            ["tokio has no row in docs/DEPENDENCIES.md", "redb has a row and is no dependency"]
        );
        assert_eq!(dependencies("", "").len(), 1);
    }
}
