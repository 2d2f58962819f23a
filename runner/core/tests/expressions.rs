//! Expressions as workflows use them: what they give, how they fail, how much stack they take.

use packhorse_core::workflow::expr::{self, Scope};
use packhorse_core::workflow::{self, Problems, Workflow};
use serde_json::{Value, json};

/// A quarter of what is promised, so that a slower build or another machine has room.
const TIGHT: usize = expr::STACK / 4;

fn on_thread<T: Send + 'static>(stack: usize, work: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::Builder::new().stack_size(stack).spawn(work).expect("spawns").join().expect("does not panic")
}

/// A workflow whose one output is the given value, and which has the names that the scope has.
fn workflow_with(output: &str) -> Result<Workflow, Problems> {
    let source = format!(
        r#"kind: workflow/v1
name: table
inputs:
  text: {{ type: string }}
  number: {{ type: integer }}
  size: {{ type: size }}
  share: {{ type: number }}
  absent: {{ type: string, optional: true }}
  pause: {{ type: duration }}
  names: {{ type: list }}
  extra: {{ type: map }}
  image: {{ type: file }}
steps:
  - id: got
    uses: redis.get
    with: {{ key: a }}
  - id: skipped
    uses: redis.get
    with: {{ key: a }}
outputs:
  it: {}
"#,
        serde_json::to_string(output).expect("text is JSON, and JSON is YAML")
    );
    workflow::check(source.as_bytes(), "table.yaml")
}

fn scope() -> Scope {
    let scope = json!({
        "inputs": {
            "text": "${{ run.id }} ' \" {{x}}", "number": 7, "size": 65_536, "share": 0.5, "absent": null, "pause": "5m",
            "names": ["a", "b", "c"], "extra": { "a": { "b": 1 } },
            "image": { "uri": "file:/a", "name": "a", "size": 10, "md5": "m", "sha256": "s" },
        },
        "steps": {
            "got": { "status": "succeeded", "outputs": { "value": "v" }, "attempts": 2, "error": null },
            "skipped": { "status": "skipped", "outputs": {}, "attempts": 0, "error": null },
        },
        "run": { "id": "run_1", "workflow": "table", "traffic": { "payload_bytes": 5 } },
        "vars": {},
    });
    scope.as_object().expect("a map").clone()
}

fn evaluate(output: &str) -> Result<Value, String> {
    let output = output.to_owned();
    on_thread(expr::STACK, move || {
        let workflow = workflow_with(&output).map_err(|problems| problems.to_string())?;
        workflow.outputs["it"]
            .resolve(&scope())
            .map_err(|failure| format!("{failure} {}", failure.hint.as_deref().unwrap_or_default()))
    })
}

#[test]
fn templates_give_what_they_say() {
    let table = [
        ("plain", json!("plain")),
        ("${{ inputs.number }}", json!(7)),
        ("${{ inputs.number * 3 }}", json!(21)),
        ("${{ inputs.size * 3 }}", json!(196_608)),
        ("${{ double(inputs.number) * inputs.share }}", json!(3.5)),
        ("${{ inputs.number }} ", json!("7 ")),
        ("n=${{ inputs.number }}, ${{ inputs.share }}, ${{ true }}", json!("n=7, 0.5, true")),
        ("$${{ inputs.number }}", json!("${{ inputs.number }}")),
        ("a $${{ b ${{ 1 }} $$", json!("a ${{ b 1 $$")),
        ("${{ inputs.text }}", json!("${{ run.id }} ' \" {{x}}")),
        ("<${{ inputs.text }}>", json!("<${{ run.id }} ' \" {{x}}>")),
        ("${{ inputs.absent == null }}", json!(true)),
        ("${{ coalesce(inputs.absent, steps.skipped.outputs.value, 'none') }}", json!("none")),
        ("${{ coalesce(steps.got.outputs.value, 'none') }}", json!("v")),
        ("${{ coalesce(null, null) }}", json!(null)),
        ("${{ coalesce() }}", json!(null)),
        ("${{ has(steps.skipped.outputs.value) }}", json!(false)),
        ("${{ has(steps.got.outputs.value) }}", json!(true)),
        ("${{ steps.skipped.status }}", json!("skipped")),
        ("${{ steps.skipped.outputs }}", json!({})),
        ("${{ inputs.names }}", json!(["a", "b", "c"])),
        ("${{ inputs.names[1] }}", json!("b")),
        ("${{ inputs.names.map(n, n + '!').filter(n, n != 'b!') }}", json!(["a!", "c!"])),
        ("${{ inputs.names.exists(n, n == 'c') && inputs.names.all(n, size(n) == 1) }}", json!(true)),
        ("${{ inputs.extra.a.b + 1 }}", json!(2)),
        ("${{ inputs.extra['a']['b'] }}", json!(1)),
        ("${{ {'a': {'b': [1, 2]}} }}", json!({"a": {"b": [1, 2]}})),
        ("${{ 'x}}y' }}", json!("x}}y")),
        ("${{ bytes_of('3MiB') }}", json!(3_145_728)),
        ("${{ bytes_of('16KiB/s') }}", json!(16_384)),
        ("${{ duration('14d') }}", json!("14d")),
        ("${{ duration(inputs.pause) + duration('30s') }}", json!("330s")),
        ("${{ duration(inputs.pause) > duration('1h') }}", json!(false)),
        ("${{ duration(inputs.pause).getSeconds() }}", json!(300)),
        ("${{ timestamp('2026-01-02T03:04:05Z').getFullYear() }}", json!(2026)),
        ("${{ 'Abc'.lowerAscii().substring(0, 2).replace('b', 'x') }}", json!("ax")),
        ("${{ 'a,b'.split(',').join('-') }}", json!("a-b")),
        ("${{ 'gw-0001'.matches('^gw-[0-9]+$') }}", json!(true)),
        ("${{ 'n %d'.format([3]) }}", json!("n 3")),
        ("${{ string(inputs.number) + 'x' }}", json!("7x")),
        ("${{ int('12') + 1 }}", json!(13)),
        ("${{ inputs.number in [7, 8] ? 'in' : 'out' }}", json!("in")),
        ("${{ false && inputs.names[99] == 'x' }}", json!(false)),
        ("${{ run.traffic.payload_bytes }}", json!(5)),
        ("${{ inputs.image.name }}", json!("a")),
        ("${{\n  inputs.number +\n  1\n}}", json!(8)),
        ("${{ 'ö💾'.size() }}", json!(2)),
    ];
    for (output, expected) in table {
        assert_eq!(evaluate(output), Ok(expected), "{output}");
    }
}

#[test]
fn failures_name_the_expression_and_its_place() {
    let table = [
        ("${{ steps.skipped.outputs.value }}", "PH0301", "there is no `value`"),
        ("${{ inputs.number + inputs.share }}", "PH0301", "convert one side: double(…) or int(…)"),
        ("${{ inputs.text + inputs.number }}", "PH0301", "convert one side: string(…)"),
        ("${{ inputs.number / 0 }}", "PH0301", "division by zero"),
        ("${{ inputs.names[9] }}", "PH0301", "no item"),
        ("${{ 9223372036854775807 + inputs.number }}", "PH0301", "64 bits"),
        ("${{ bytes_of('much') }}", "PH0301", "bytes_of(…): `much` is not a size"),
        ("${{ duration('soon') }}", "PH0301", "duration(…): `soon` is not a duration"),
        ("${{ b'abc' }}", "PH0303", "bytes cannot be kept"),
        ("${{ 1.0 / 0.0 }}", "PH0303", "not a number that can be kept"),
        ("${{ duration('1s') - duration('2s') }}", "PH0303", "below zero"),
        ("${{ {1: 2} }}", "PH0303", "keys that are not text"),
        ("a ${{ inputs.absent }}", "PH0304", "gives nothing, which cannot be part of a text"),
        ("a ${{ inputs.names }}", "PH0304", "gives a list"),
    ];
    for (output, code, words) in table {
        let error = evaluate(output).expect_err(output);
        assert!(error.contains(code) && error.contains(words), "{output}: {error}");
        assert!(error.contains("table.yaml:21:"), "{output}: {error}");
    }
}

#[test]
fn what_would_take_too_much_is_refused_before_it_begins() {
    let mut scope = scope();
    scope["inputs"]["names"] = json!(vec!["abcdefgh"; 3000]);
    scope["inputs"]["text"] = json!("a".repeat(60_000));
    let table = [
        ("${{ inputs.names.map(n, n + '!').join(', ').size() }}", Ok(json!(32_998))),
        ("${{ inputs.names.exists(n, n == 'x') }}", Ok(json!(false))),
        ("${{ inputs.text.replace('a', 'b').size() }}", Ok(json!(60_000))),
        ("${{ inputs.text.split('').map(n, n).size() }}", Ok(json!(60_000))),
        ("${{ [1, 2].map(n, inputs.number + n) }}", Ok(json!([8, 9]))),
        ("${{ inputs.names.map(n, inputs.names.map(m, m)) }}", Err("PH0305")),
        ("${{ inputs.names.all(n, inputs.names.all(m, m == n)) }}", Err("PH0305")),
        ("${{ inputs.names.map(n, inputs.names) }}", Err("PH0305")),
        ("${{ inputs.text.replace('a', inputs.text) }}", Err("PH0305")),
        ("${{ inputs.names.join(inputs.text) }}", Err("PH0305")),
        ("${{ inputs.text.split('').map(n, inputs.text) }}", Err("PH0305")),
    ];
    for (output, expected) in table {
        let scope = scope.clone();
        let found = on_thread(expr::STACK, move || {
            let workflow = workflow_with(output).unwrap_or_else(|problems| panic!("{problems}"));
            workflow.outputs["it"].resolve(&scope).map_err(|failure| failure.code)
        });
        assert_eq!(found, expected.map_err(str::to_owned), "{output}");
    }
}

/// The worst that the guard lets through, one of each kind and all of them mixed.
fn worst() -> Vec<String> {
    let nested = |open: &str, inner: &str, close: &str, depth: usize| open.repeat(depth) + inner + &close.repeat(depth);
    vec![
        nested("(", "1", ")", 16),
        nested("[", "1", "]", 16),
        nested("{'a':", "1", "}", 16),
        nested("size(", "'a'", ")", 16),
        nested("coalesce(null,", "inputs.extra.a.b", ")", 16),
        nested("string(has(inputs.text)?", "'a'", ":'b')", 8),
        "!".repeat(64) + "true",
        nested("!(", "true", ")", 16) + "&&" + &"!".repeat(47) + "true",
        "- ".repeat(64) + "1",
        "1".to_owned() + &"+1".repeat(64),
        "1".to_owned() + &"*1".repeat(64),
        "true".to_owned() + &"&&true".repeat(64),
        "true".to_owned() + &"||true".repeat(64),
        "1".to_owned() + &"<1".repeat(64),
        "true".to_owned() + &"?true:true".repeat(32),
        nested("true?(", "true", "):true", 16),
        "inputs.extra".to_owned() + &".a".repeat(63),
        "inputs.names".to_owned() + &"[0]".repeat(63),
        "'a'".to_owned() + &".trim()".repeat(64),
        nested("(1+2*-(true?1<2||!true:", "true", "))", 8),
        nested("(true?1:-(1+(", "1", ")))", 5) + &"+1".repeat(44),
        nested("[1].map(a,", "[1].map(b,{'a':[a,b,((((((((((1))))))))))]})", ")", 1),
        format!("[{}]", "1,".repeat(500) + "1"),
        format!("'{}'", "x".repeat(1000)),
        format!("'{}'.matches('{}')", "a".repeat(400), "(".repeat(40) + "a" + &")*".repeat(40)),
        format!("({})", nested("(1 in [", "1", "])", 7) + &" && !true".repeat(20)),
    ]
}

#[test]
fn what_the_guard_passes_stays_far_within_the_stack() {
    let stack = std::env::var("STACK").ok().and_then(|size| size.parse().ok()).unwrap_or(TIGHT);
    for text in worst() {
        on_thread(stack, move || {
            let output = format!("${{{{ {text} }}}}");
            let workflow = workflow_with(&output).unwrap_or_else(|problems| panic!("{problems}"));
            let _ = workflow.outputs["it"].resolve(&scope());
            let copy = workflow.clone();
            drop((copy, workflow));
        });
    }
}
