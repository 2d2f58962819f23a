//! The house rules, kept by a test: who may know whom, how files begin, what must not stand in them.
//!
//! Needs nothing but the sources. Every rule is a plain function from a file's path and text to the problems that it
//! finds, and each is shown a bad sample first: a rule that cannot fail keeps nothing.
//!
//! * `source`: a Rust file without comments and strings, and the paths that it names
//! * `rooms`: the import rules
//! * `words`: first lines, lengths, forbidden words, links, the list of dependencies
//! * `tree`: the files of the repository

mod rooms;
mod source;
mod tree;
mod words;

use tree::File;

/// Runs one rule over every file and shows all that it finds at once.
fn check(rule: impl Fn(&File) -> Vec<String>, wanted: impl Fn(&File) -> bool) {
    let files = tree::files();
    let meant: Vec<&File> = files.iter().filter(|file| wanted(file)).collect();
    assert!(!meant.is_empty(), "the rule looked at no file at all");
    let problems: Vec<String> = meant
        .iter()
        .flat_map(|file| rule(file).into_iter().map(|problem| format!("{}: {problem}", file.path)))
        .collect();
    assert!(problems.is_empty(), "{} problem(s):\n{}", problems.len(), problems.join("\n"));
}

fn rust(file: &File) -> bool {
    file.path.ends_with(".rs")
}

#[test]
fn imports_go_one_way() {
    check(rooms::imports, rust);
}

#[test]
fn crates_depend_one_way() {
    check(rooms::manifest, |file| file.path.ends_with("/Cargo.toml"));
}

#[test]
fn every_room_has_its_rule() {
    let files = tree::files();
    let unknown = rooms::unknown(files.iter().map(|file| file.path.as_str()));
    assert!(unknown.is_empty(), "rooms without an import rule in rooms.rs: {unknown:?}");
}

#[test]
fn adapters_are_built_by_app_alone() {
    check(rooms::adapters, rust);
}

#[test]
fn every_file_says_first_what_it_is_for() {
    check(words::opening, rust);
}

#[test]
fn no_file_is_long() {
    check(words::length, rust);
}

#[test]
fn nothing_is_ignored_or_left_to_do() {
    check(words::unfinished, rust);
}

#[test]
fn no_file_names_a_machine() {
    check(words::machines, |_| true);
}

#[test]
fn no_page_links_to_nothing() {
    check(|file| words::links(file, tree::exists), |file| file.path.ends_with(".md"));
}

#[test]
fn every_dependency_has_its_reason() {
    let root = tree::read("Cargo.toml");
    let page = tree::read("docs/DEPENDENCIES.md");
    let problems = words::dependencies(&root, &page);
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn every_code_is_explained() {
    let problems = words::codes(&tree::files());
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
