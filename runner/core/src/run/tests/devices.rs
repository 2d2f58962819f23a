//! What a device's entry gives to steps, and what a push requires.

use super::*;
use serde_json::json;

const PUSH_TEXT: &str = "
inputs:
  device: { type: string }
  image: { type: file }
steps:
  - id: push
    uses: transfer.push
    with: { device: '${{ inputs.device }}', file: '${{ inputs.image }}', meta: { hw: b }, REQUIRE }
";

/// Begins a run of the push with these parameters for this device; gives the run and what was journaled as `with`.
fn begun(require: &str, device: Value) -> (RunView, Option<Value>, bool) {
    let source = format!("kind: workflow/v1\nname: sample\n{}", PUSH_TEXT.replace("REQUIRE", require));
    let work = move || {
        let workflow =
            crate::workflow::check(source.as_bytes(), "test.yaml").unwrap_or_else(|problems| panic!("{problems}"));
        let file =
            json!({ "uri": "file:/fw", "name": "fw", "size": 7, "md5": "", "sha256": "", "meta": { "line": "x" } });
        let inputs = json!({ "device": "gw-1", "image": file }).as_object().cloned().expect("a map");
        let created = Created { inputs, device, ..created() };
        let now = WallTime(T0);
        let (mut run, first) = Run::create(Arc::new(workflow), created, now);
        let decision = run.decide(RunEvent::Begin, Moment { now, random: 0 }).expect("it begins");
        let with = decision.facts.iter().find_map(|record| match &record.fact {
            Fact::StepReady { with, .. } => Some(Value::Object(with.clone())),
            _ => None,
        });
        drop(first);
        (run.view(now), with, !decision.effects.is_empty())
    };
    let thread = std::thread::Builder::new().stack_size(crate::workflow::expr::STACK).spawn(work);
    thread.expect("a thread").join().expect("no panic")
}

fn gateway() -> Value {
    json!({ "id": "gw-1", "hw": "b", "model": null, "rate": 2_048, "budget": { "bytes": 9_000_000, "per": "day" }, "labels": {} })
}

#[test]
fn what_holds_is_sent_with_the_bounds_of_the_device() {
    let (view, with, sent) =
        begun("require: [file.meta.hw == device.hw, 'file.size < 10', 'file.meta.line == \"x\"']", gateway());
    let with = with.expect("the step became ready");
    assert!(sent && view.error.is_none(), "{:?}", view.error);
    assert_eq!((&with["rate"], &with["budget"]["bytes"]), (&json!(2_048), &json!(9_000_000)));
    assert!(with.get("require").is_none(), "nothing is left to be said of it: {with}");
    let (_, with, _) = begun("rate: 1KiB/s", gateway());
    assert_eq!(with.expect("ready")["rate"], "1KiB/s", "the step's own goes first");
}

#[test]
fn what_does_not_hold_sends_nothing_and_names_the_values() {
    let other = json!({ "id": "gw-1", "hw": "a", "model": "G200", "labels": {} });
    let (view, _, sent) =
        begun("require: [file.meta.hw == device.hw, 'device.model == \"G200\"', 'file.size > 10']", other);
    let error = view.error.expect("the run failed");
    assert!(!sent);
    assert_eq!((error.failure.code.as_str(), error.failure.class), ("PH0414", Class::Permanent));
    for words in [
        "nothing was sent to gw-1",
        "`file.meta.hw == device.hw` does not hold (file.meta.hw is \"b\", device.hw is \"a\")",
        "`file.size > 10` does not hold (file.size is 7)",
    ] {
        assert!(error.failure.message.contains(words), "{words}? {}", error.failure.message);
    }
    assert!(!error.failure.message.contains("G200"), "what holds is not told: {}", error.failure.message);
}

#[test]
fn what_cannot_be_evaluated_or_is_of_another_device_sends_nothing() {
    let (view, _, sent) = begun("require: file.meta.missing == device.hw", gateway());
    assert!(!sent);
    assert_eq!(view.error.expect("it failed").failure.code, "PH0301");
    let (view, _, sent) = begun("require: device.hw == 'b'", json!({ "id": "gw-2", "hw": "b" }));
    assert!(!sent);
    assert_eq!(view.error.expect("it failed").failure.code, "PH0401");
}

#[test]
fn a_bad_requirement_is_found_before_a_run() {
    let wrong = |require: &str| {
        let source = format!("kind: workflow/v1\nname: sample\n{}", PUSH_TEXT.replace("REQUIRE", require));
        let check =
            move || crate::workflow::check(source.as_bytes(), "test.yaml").expect_err("it is wrong").to_string();
        std::thread::Builder::new()
            .stack_size(crate::workflow::expr::STACK)
            .spawn(check)
            .expect("spawns")
            .join()
            .expect("no panic")
    };
    let table = [
        ("require: file.size", "PH0241"),
        ("require: file.sise > 1", "PH0233"),
        ("require: '${{ device.hw == \"b\" }}'", "PH0236"),
        ("require: [device.hw == 'b', 7]", "PH0223"),
        ("require: device.hardware == 'b'", "PH0233"),
        ("require: 'file ='", "PH0230"),
    ];
    for (require, code) in table {
        let told = wrong(require);
        assert!(told.contains(code), "{require}: {told}");
    }
}
