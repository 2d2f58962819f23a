//! Random files and random expressions: the checker says what is wrong, and never panics.

use packhorse_core::workflow::{self, expr};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// Runs a property (`PACKHORSE_CASES` times as often) on a thread with the stack that expressions want.
fn hold<S>(cases: u32, strategy: S, property: fn(S::Value))
where
    S: Strategy + Send + 'static,
    S::Value: std::fmt::Debug,
{
    let work = move || {
        let times: u32 = std::env::var("PACKHORSE_CASES").ok().and_then(|times| times.parse().ok()).unwrap_or(1);
        let mut runner =
            TestRunner::new(Config { cases: cases * times, failure_persistence: None, ..Config::default() });
        let outcome = runner.run(&strategy, |value| {
            property(value);
            Ok(())
        });
        outcome.unwrap_or_else(|error| panic!("{error}"));
    };
    std::thread::Builder::new().stack_size(expr::STACK).spawn(work).expect("spawns").join().expect("holds");
}

/// Checks, and looks at both renderings of what is wrong.
fn check(source: &[u8]) {
    if let Err(problems) = workflow::check(source, "random.yaml") {
        assert!(problems.count() > 0);
        let text = problems.to_string();
        assert!(text.contains("random.yaml:"), "a problem without a place: {text}");
        assert!(!text.contains('\u{1b}'), "a terminal escape came through");
        let json = problems.to_json();
        assert_eq!(json["diagnostics"].as_array().map(Vec::len), Some(problems.count()));
    }
}

/// Pieces of YAML and of workflows.
fn pieces() -> impl Strategy<Value = Vec<&'static str>> {
    prop::collection::vec(
        prop::sample::select(vec![
            "kind: workflow/v1\n",
            "name: x\n",
            "steps:\n",
            "  - ",
            "    ",
            "  ",
            "\n",
            ": ",
            "- ",
            "? ",
            "[",
            "]",
            "{",
            "}",
            ",",
            "uses: log\n",
            "with: ",
            "if: ",
            "id: a",
            "steps",
            "inputs:\n",
            "type: string",
            "\"",
            "'",
            "${{ ",
            " }}",
            "|\n",
            ">-\n",
            "&a ",
            "*a",
            "<<: ",
            "!!str ",
            "---\n",
            "...\n",
            "# note\n",
            "\t",
            "%YAML 1.2\n",
            "\u{e9}",
            "\u{1f4be}",
            "\r\n",
            "\r",
            "\u{85}",
            "\u{2028}",
            "\0",
            "\u{7f}",
            "\u{feff}",
            "~",
            "null",
            "true",
            "1e999",
            "0x",
            "-",
            "@",
            "`",
            "steps.a.outputs.b",
            "a",
            "b:",
            "\\",
            "\\u00e9",
        ]),
        0..80,
    )
}

/// Pieces of CEL.
fn tokens() -> impl Strategy<Value = Vec<&'static str>> {
    prop::collection::vec(
        prop::sample::select(vec![
            "1",
            "2.5",
            "1u",
            "0x1F",
            "1e3",
            "'a'",
            "\"b\"",
            "r'\\'",
            "b'x'",
            "'''t'''",
            "true",
            "null",
            "inputs",
            ".text",
            ".a",
            "steps",
            "run",
            "(",
            ")",
            "[",
            "]",
            "{",
            "}",
            ",",
            ":",
            "?",
            "+",
            "-",
            "*",
            "/",
            "%",
            "!",
            "==",
            "!=",
            "<",
            "<=",
            "&&",
            "||",
            " in ",
            " ",
            ".",
            "..",
            "has(",
            "size(",
            "coalesce(",
            "duration(",
            "bytes_of(",
            "int(",
            "'5m'",
            ".map(x, ",
            ".exists(y, ",
            ".filter(",
            "x",
            "y",
            ".matches(",
            ".substring(",
            ".split(",
            ".format(",
            "'%s %d %.3f %x'",
            "[1, 2]",
            "{'a': 1}",
            "-9223372036854775808",
            "9223372036854775807",
            ".charAt(",
            ".replace(",
            ".join(",
            ".reverse()",
            "timestamp(",
            "string(",
            "?.",
            "[?",
            "Message{",
            "`a`",
            "google.protobuf.Duration{",
        ]),
        0..40,
    )
}

#[test]
fn random_bytes_never_panic() {
    hold(512, prop::collection::vec(any::<u8>(), 0..512), |bytes| check(&bytes));
}

#[test]
fn random_text_never_panics() {
    hold(512, "\\PC{0,256}", |text| check(text.as_bytes()));
}

#[test]
fn random_yaml_never_panics() {
    hold(2048, pieces(), |pieces| check(pieces.concat().as_bytes()));
}

#[test]
fn random_damage_to_a_good_file_never_panics() {
    let good = include_bytes!("workflows/good/everything.yaml");
    let damage = prop::collection::vec((0..good.len(), any::<u8>(), 0..3u8), 1..8);
    hold(512, damage, |damage| {
        let mut bytes = include_bytes!("workflows/good/everything.yaml").to_vec();
        for (at, byte, how) in damage {
            let at = at.min(bytes.len() - 1);
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        check(&bytes);
    });
}

#[test]
fn random_expressions_never_panic() {
    hold(2048, tokens(), |tokens| {
        let quoted = serde_json::to_string(&format!("${{{{ {} }}}}", tokens.concat())).expect("text is JSON");
        let source = format!(
            "kind: workflow/v1\nname: x\ninputs: {{ text: {{ type: string }}, a: {{ type: map }} }}\nsteps:\n  - uses: sleep\n    with: {{ duration: 1s }}\noutputs:\n  it: {quoted}\n"
        );
        check(source.as_bytes());
        if let Ok(workflow) = workflow::check(source.as_bytes(), "random.yaml") {
            let scope =
                serde_json::json!({ "inputs": { "text": "5m", "a": { "a": [1, "b"] } }, "steps": {}, "run": {} });
            let _ = workflow.outputs["it"].resolve(scope.as_object().expect("a map"));
        }
    });
}
