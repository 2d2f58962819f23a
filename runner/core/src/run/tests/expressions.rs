//! Expressions in steps, against checked workflows.

use super::*;
use serde_json::json;

/// Checks a workflow, plays events, gives the status of each step and the outputs. On a stack as the engine has it.
fn play(source: &'static str, events: &'static [&'static str]) -> RunView {
    let played = move || {
        let source = format!("kind: workflow/v1\nname: sample\n{source}");
        let workflow =
            crate::workflow::check(source.as_bytes(), "test.yaml").unwrap_or_else(|problems| panic!("{problems}"));
        let mut player = Player::new(workflow);
        events.iter().for_each(|event| drop(player.line(event)));
        player.run.view(player.now)
    };
    let thread = std::thread::Builder::new().stack_size(crate::workflow::expr::STACK).spawn(played);
    thread.expect("a thread").join().expect("no panic")
}

fn statuses(view: &RunView) -> Vec<(&str, StepStatus)> {
    view.steps.iter().map(|step| (step.id.as_str(), step.status)).collect()
}

#[test]
fn a_step_whose_condition_does_not_hold_is_skipped_with_empty_outputs() {
    let view = play(
        "
steps:
  - { id: a, if: '1 > 2', uses: redis.get, with: { key: k } }
  - { id: b, if: '!has(steps.a.outputs.value)', uses: log, with: { message: '${{ steps.a.status }}' } }
outputs:
  a: '${{ steps.a.status }}'
  b: '${{ steps.b.attempts }}'
",
        &["begin", "ok b"],
    );
    assert_eq!(statuses(&view), [("a", StepStatus::Skipped), ("b", StepStatus::Succeeded)]);
    assert_eq!(view.outputs, *json!({ "a": "skipped", "b": 1 }).as_object().expect("a map"));
}

#[test]
fn after_a_failure_only_conditions_that_ask_about_it_are_asked() {
    let view = play(
        "
steps:
  - { id: a, uses: log, with: { message: x } }
  - { id: apply, if: '1 < 2', uses: log, with: { message: x } }
  - { id: rescue, if: 'steps.a.status == \"failed\"', uses: log, with: { message: '${{ steps.a.error.code }}' } }
  - { id: last, uses: log, with: { message: x } }
on_failure:
  - { id: tell, uses: log, with: { message: '${{ error.code }} in ${{ error.step }}' } }
finally:
  - { id: tidy, if: 'run.status == \"failed\"', uses: log, with: { message: '${{ run.id }}' } }
",
        &["begin", "fail a permanent", "ok rescue", "ok tell", "ok tidy"],
    );
    assert_eq!(view.status, RunStatus::Failed);
    assert_eq!(
        statuses(&view),
        [
            ("a", StepStatus::Failed),
            ("apply", StepStatus::Skipped),
            ("rescue", StepStatus::Succeeded),
            ("last", StepStatus::Skipped),
            ("tell", StepStatus::Succeeded),
            ("tidy", StepStatus::Succeeded),
        ]
    );
}

#[test]
fn an_expression_that_fails_fails_its_step_and_a_retry_evaluates_it_anew() {
    let view = play(
        "
steps:
  - { id: a, uses: log, with: { message: '${{ string(1 / (run.traffic.packets - run.traffic.packets)) }}' } }
  - { id: b, uses: log, with: { message: x } }
",
        &["begin", "retry"],
    );
    assert_eq!(view.status, RunStatus::Failed);
    assert_eq!(statuses(&view), [("a", StepStatus::Failed), ("b", StepStatus::Skipped)]);
    assert_eq!(view.error.expect("why").failure.code, "PH0301");
}

#[test]
fn an_output_of_the_run_that_fails_fails_the_run() {
    let view = play(
        "
steps:
  - { id: a, uses: redis.get, with: { key: k } }
outputs:
  x: '${{ 1 / (run.traffic.packets - run.traffic.packets) }}'
",
        &["begin", "value a x"],
    );
    assert_eq!(view.status, RunStatus::Failed);
    let error = view.error.expect("why");
    assert_eq!((error.failure.code.as_str(), error.step), ("PH0301", None));
}

#[test]
fn a_block_evaluates_its_steps_again_in_each_round() {
    let view = play(
        "
steps:
  - id: settle
    retry: { max_attempts: 2, backoff: { initial: 1s } }
    steps:
      - { id: ask, uses: redis.get, with: { key: k } }
      - { id: push, if: 'steps.ask.outputs.value == \"old\"', uses: log, with: { message: x } }
      - { id: again, uses: log, with: { message: x } }
outputs:
  pushed: '${{ steps.push.status }}'
",
        &["begin", "value ask new", "fail again transient", "+5s", "value ask old", "ok push", "ok again"],
    );
    assert_eq!(view.status, RunStatus::Succeeded);
    assert_eq!(view.outputs["pushed"], "succeeded");
}
