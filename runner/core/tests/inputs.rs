//! What a run makes of the inputs that it is given, and what a checked workflow holds.

use packhorse_core::workflow::{self, Exhausted, InputKind, OnError, StepKind, Workflow, expr};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

fn everything() -> Workflow {
    let check = || workflow::check(include_bytes!("workflows/good/everything.yaml"), "everything.yaml");
    let thread = std::thread::Builder::new().stack_size(expr::STACK).spawn(check).expect("spawns");
    thread.join().expect("no panic").unwrap_or_else(|problems| panic!("{problems}"))
}

fn given(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn what_is_given_is_typed_and_the_rest_is_default() {
    let inputs = [
        ("device", "gw-1"),
        ("image", "a/b.bin"),
        ("count", "5"),
        ("share", "2"),
        ("loud", "true"),
        ("pause", "30s"),
        ("limit", "64KiB"),
        ("speed", "1KiB/s"),
        ("names", "[\"x\"]"),
        ("extra", "{\"y\": [1]}"),
        ("mode", "slow"),
    ];
    let resolved = everything().resolve_inputs(&given(&inputs)).expect("good");
    let expected = json!({
        "device": "gw-1", "image": "a/b.bin", "count": 5, "share": 2, "loud": true, "pause": "30s", "limit": 65_536, "speed": 1024,
        "names": ["x"], "extra": {"y": [1]}, "mode": "slow",
    });
    assert_eq!(json!(resolved.values), expected);
    assert_eq!(resolved.files, [("image".to_owned(), "a/b.bin".to_owned())]);

    let resolved = everything().resolve_inputs(&given(&[("device", "gw-1")])).expect("good");
    let expected = json!({
        "device": "gw-1", "image": null, "count": 3, "share": 0.5, "loud": false, "pause": "5m", "limit": 3_145_728, "speed": 16_384,
        "names": ["a", "b"], "extra": {"a": 1}, "mode": "fast",
    });
    assert_eq!(json!(resolved.values), expected);
    assert!(resolved.files.is_empty());
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let failures =
        everything().resolve_inputs(&given(&[("count", "many"), ("mode", "fst"), ("dvice", "a")])).expect_err("wrong");
    let told: Vec<String> = failures.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "the workflow `everything` has no input `dvice` [PH0110]",
            "the input `device` is missing [PH0111]",
            "the input `count` must be an integer, and is `many` [PH0112]",
            "the input `mode`: must be one of fast, slow, and is `fst` [PH0113]",
        ]
    );
    assert!(failures[0].hint.as_deref().is_some_and(|hint| hint.starts_with("did you mean `device`?")));
    assert!(failures[1].hint.as_deref().is_some_and(|hint| hint.contains("-i device=VALUE")));
}

#[test]
fn wrong_values_are_refused_one_by_one() {
    let long = "x".repeat(70_000);
    let table = [
        ("device", "Gw", "PH0113"),
        ("device", "gw-1\n", "PH0113"),
        ("device", "", "PH0113"),
        ("device", long.as_str(), "PH0112"),
        ("image", "", "PH0112"),
        ("count", "0", "PH0113"),
        ("count", "11", "PH0113"),
        ("count", "1.5", "PH0112"),
        ("count", "99999999999999999999", "PH0112"),
        ("share", "NaN", "PH0112"),
        ("share", "a", "PH0112"),
        ("loud", "yes", "PH0112"),
        ("pause", "5", "PH0112"),
        ("pause", "2h", "PH0113"),
        ("limit", "-1", "PH0112"),
        ("speed", "5KiB", "PH0112"),
        ("names", "{}", "PH0112"),
        ("names", "a,b", "PH0112"),
        ("extra", "[]", "PH0112"),
        ("extra", "5", "PH0112"),
        ("mode", "Fast", "PH0113"),
    ];
    for (name, value, code) in table {
        let mut inputs = given(&[("device", "gw-1")]);
        inputs.insert(name.to_owned(), value.to_owned());
        let failures = everything().resolve_inputs(&inputs).expect_err(name);
        assert_eq!(failures.len(), 1, "{name}={value}: {failures:?}");
        assert_eq!(failures[0].code, code, "{name}={value}: {}", failures[0]);
    }
}

#[test]
fn the_model_holds_what_the_file_says() {
    let workflow = everything();
    assert_eq!((workflow.name.as_str(), workflow.labels["team"].as_str()), ("everything", "platform"));
    assert_eq!((workflow.timeout, workflow.digest.len()), (Duration::from_secs(3 * 86_400), 64));
    assert_eq!(workflow.inputs.iter().map(|input| input.kind).collect::<Vec<_>>().len(), 11);
    assert_eq!((workflow.inputs[0].kind, workflow.inputs[1].optional), (InputKind::String, true));
    let ids: Vec<&str> = workflow.steps.iter().map(|step| step.id.as_str()).collect();
    assert_eq!(ids, ["_1", "push", "block", "_4"]);
    assert_eq!((workflow.on_failure[0].id.as_str(), workflow.finally[0].id.as_str()), ("_on_failure_1", "_finally_1"));

    let push = &workflow.steps[1];
    assert_eq!(
        (push.timeout, push.deadline),
        (Some(Duration::from_secs(3600)), Some(Duration::from_secs(14 * 86_400)))
    );
    assert_eq!((push.on_error, push.retry.on_exhausted), (OnError::Continue, Exhausted::Pause));
    assert_eq!((push.retry.max_attempts, push.retry.initial, push.retry.factor), (3, Duration::from_secs(1), 1.5));
    assert_eq!((push.retry.max, push.retry.max_elapsed), (Duration::from_secs(300), Some(Duration::from_secs(86_400))));
    assert_eq!(push.retry.errors, ["transient", "PH4102", "TOO_SLOW"]);
    let StepKind::Uses { primitive, with } = &push.kind else { panic!("push is no block") };
    assert_eq!((primitive.name, with.len()), ("transfer.push", 7));
    assert_eq!(with["packet_size"].as_literal(), Some(&json!("auto")));
    assert_eq!(with["device"].as_literal(), None);

    let block = &workflow.steps[2];
    assert_eq!((block.timeout, block.retry.max_attempts), (None, 1), "defaults are for steps with `uses`");
    let StepKind::Block(inner) = &block.kind else { panic!("block is one") };
    assert_eq!((inner[0].id.as_str(), inner[1].id.as_str(), inner[0].retry.max_attempts), ("inner", "_3_2", 2));
    let StepKind::Block(deepest) = &inner[1].kind else { panic!("a block in a block") };
    assert_eq!((deepest[0].id.as_str(), deepest[0].line > inner[1].line - 1), ("_3_2_1", true));
}

#[test]
fn a_block_around_settles_checksum_verify() {
    let check = || workflow::check(include_bytes!("../../../workflows/checksum-verify.yaml"), "checksum-verify.yaml");
    let thread = std::thread::Builder::new().stack_size(expr::STACK).spawn(check).expect("spawns");
    let workflow = thread.join().expect("no panic").expect("passes");
    assert_eq!(workflow.steps[0].retry.max_attempts, 3);
    let StepKind::Block(steps) = &workflow.steps[0].kind else { panic!("settle is a block") };
    let condition = steps[1].condition.as_ref().expect("push has an if");
    assert_eq!(condition.text(), "!steps.asked.outputs.same");
    assert_eq!(condition.paths(), [["steps", "asked", "outputs", "same"]]);
    let scope = |same: bool| {
        json!({ "steps": { "asked": { "status": "succeeded", "outputs": { "same": same } } } })
            .as_object()
            .expect("a map")
            .clone()
    };
    assert_eq!((condition.holds(&scope(true)), condition.holds(&scope(false))), (Ok(false), Ok(true)));
    let missing = json!({ "steps": { "asked": { "status": "skipped", "outputs": {} } } });
    assert_eq!(condition.holds(missing.as_object().expect("a map")).expect_err("no such output").code, "PH0301");
}
