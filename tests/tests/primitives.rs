//! Every primitive and every rule of flow in tiny workflows, through the whole program.

use packhorse_tests::client::Stranger;
use packhorse_tests::{Ended, Service, World, files};
use serde_json::{Value, json};
use std::time::Duration;

struct Bench {
    world: World,
    services: Service,
}

impl Bench {
    fn new() -> Self {
        let world = World::new();
        let services = world.services();
        Self { world, services }
    }

    /// Runs the steps (and whatever follows them) as a workflow without a codec.
    fn run(&self, code: i32, body: &str, more: &[&str]) -> Value {
        self.ended(body, more).exits(code).json()
    }

    fn ended(&self, body: &str, more: &[&str]) -> Ended {
        let path = self.world.text("tiny.yaml", &format!("kind: workflow/v1\nname: tiny\n{body}"));
        self.world.run(&self.services, &path, more).end()
    }
}

fn step<'a>(run: &'a Value, id: &str) -> &'a Value {
    let steps = run["steps"].as_array().expect("steps are a list");
    steps.iter().find(|step| step["id"] == id).unwrap_or_else(|| panic!("there is no step {id} in {run:#}"))
}

#[test]
fn redis_keeps_values_within_and_between_runs() {
    let bench = Bench::new();
    let write = r#"
steps:
  - uses: redis.set
    with: { key: a, value: one }
  - { id: got, uses: redis.get, with: { key: a } }
  - { id: none, uses: redis.get, with: { key: nothing } }
  - { id: first, uses: redis.incr, with: { key: n } }
  - { id: second, uses: redis.incr, with: { key: n, by: 41 } }
  - { uses: redis.hset, with: { key: h, field: x, value: 1 } }
  - { uses: redis.hset, with: { key: h, field: "y", value: true } }
  - { id: field, uses: redis.hget, with: { key: h, field: x } }
  - { id: all, uses: redis.hgetall, with: { key: h } }
  - { id: gone, uses: redis.del, with: { key: a } }
  - { id: again, uses: redis.del, with: { key: a } }
outputs:
  got: "${{ steps.got.outputs.value }}"
  none: "${{ coalesce(steps.none.outputs.value, 'absent') }}"
  counts: "${{ [steps.first.outputs.value, steps.second.outputs.value] }}"
  field: "${{ steps.field.outputs.value }}"
  all: "${{ steps.all.outputs.values }}"
  deleted: "${{ [steps.gone.outputs.deleted, steps.again.outputs.deleted] }}"
"#;
    let wanted = json!({
        "got": "one", "none": "absent", "counts": [1, 42], "field": "1", "all": { "x": "1", "y": "true" }, "deleted": [true, false],
    });
    assert_eq!(bench.run(0, write, &[])["outputs"], wanted);
    let read =
        "steps:\n  - { id: n, uses: redis.incr, with: { key: n } }\noutputs: { n: \"${{ steps.n.outputs.value }}\" }\n";
    assert_eq!(bench.run(0, read, &[])["outputs"]["n"], 43, "the store outlives the process");
    let kind = "steps:\n  - { id: bad, uses: redis.incr, with: { key: h } }\n";
    assert_eq!(bench.run(1, kind, &[])["error"]["code"], "PH7001");
}

#[test]
fn files_are_stored_found_fetched_and_deleted() {
    let bench = Bench::new();
    let (image, bytes) = bench.world.file("fw.bin", 70_000, 1);
    let body = r#"
inputs: { image: { type: file } }
steps:
  - { id: stored, uses: fastdfs.upload, with: { file: "${{ inputs.image }}" } }
  - { id: info, uses: fastdfs.info, with: { file: "${{ steps.stored.outputs.file }}" } }
  - { id: digest, uses: checksum.compute, with: { file: "${{ steps.stored.outputs.file }}" } }
  - { uses: checksum.verify, with: { file: "${{ inputs.image }}", sha256: "${{ steps.digest.outputs.sha256 }}", size: "${{ inputs.image.size }}" } }
  - { id: fetched, uses: fastdfs.download, with: { file: "${{ steps.stored.outputs.file }}", to: "back/fw.bin" } }
  - { uses: fastdfs.delete, with: { uri: "${{ steps.stored.outputs.uri }}" } }
  - { id: lost, uses: fastdfs.info, with: { uri: "${{ steps.stored.outputs.uri }}" }, on_error: continue }
outputs:
  uri: "${{ steps.stored.outputs.uri }}"
  size: "${{ steps.info.outputs.size }}"
  md5: "${{ steps.digest.outputs.md5 }}"
  sha256: "${{ steps.digest.outputs.sha256 }}"
  lost: "${{ steps.lost.error.code }}"
"#;
    std::fs::create_dir_all(bench.world.path("back")).unwrap();
    let input = format!("image={}", image.display());
    let run = bench.run(0, body, &["-i", &input]);
    let outputs = &run["outputs"];
    assert!(outputs["uri"].as_str().is_some_and(|uri| uri.starts_with("fastdfs:group1/M00/")), "{run:#}");
    assert_eq!(outputs["size"], bytes.len());
    assert_eq!(outputs["md5"], files::md5(&bytes).as_str());
    assert_eq!(outputs["sha256"], files::sha256(&bytes).as_str());
    assert_eq!(outputs["lost"], "PH4101", "a deleted file is gone: {run:#}");
    assert!(std::fs::read(bench.world.path("back/fw.bin")).unwrap() == bytes);

    let wrong = "inputs: { image: { type: file } }\nsteps:\n  - { uses: checksum.verify, with: { file: \"${{ inputs.image }}\", md5: \"00000000000000000000000000000000\" } }\n";
    let run = bench.run(1, wrong, &["-i", &input]);
    assert_eq!(run["error"]["code"], "PH0421", "{run:#}");
    assert!(run["error"]["message"].as_str().is_some_and(|words| words.contains(&files::md5(&bytes))), "{run:#}");
}

#[test]
fn a_stored_file_is_an_input_by_its_id_and_by_its_digests() {
    let bench = Bench::new();
    let (image, bytes) = bench.world.file("fw.bin", 5_000, 2);
    let body = "inputs: { image: { type: file } }\nsteps:\n  - { id: stored, uses: fastdfs.upload, with: { file: \"${{ inputs.image }}\" } }\noutputs: { uri: \"${{ steps.stored.outputs.uri }}\", sha256: \"${{ inputs.image.sha256 }}\" }\n";
    let first = bench.run(0, body, &["-i", &format!("image={}", image.display())]);
    let uri = first["outputs"]["uri"].as_str().unwrap();
    for named in [uri.to_owned(), format!("md5:{}", files::md5(&bytes)), format!("sha256:{}", files::sha256(&bytes))] {
        let run = bench.run(0, body, &["-i", &format!("image={named}")]);
        assert_eq!(run["outputs"]["sha256"], files::sha256(&bytes).as_str(), "{named}");
    }
    let unknown = format!("image=md5:{}", files::md5(b"never stored"));
    bench.ended(body, &["-i", &unknown]).exits(2).says(&["PH4011"]);
}

#[test]
fn messages_go_out_and_answers_come_back() {
    let bench = Bench::new();
    let listener = Stranger::connect(&bench.services.broker, &["news/#"]);
    let publish = r#"
steps:
  - { uses: mqtt.publish, with: { topic: news/text, payload: plain } }
  - { uses: mqtt.publish, with: { topic: news/json, payload: { state: updated, n: 3 } } }
  - { uses: mqtt.publish, with: { topic: news/bytes, payload_base64: AP8= , qos: 0 } }
"#;
    bench.run(0, publish, &[]);
    let heard: Vec<_> = std::iter::from_fn(|| listener.hear(Duration::from_millis(500))).collect();
    assert_eq!(heard.len(), 3, "{heard:?}");
    assert!(heard.contains(&("news/text".to_owned(), b"plain".to_vec())));
    assert!(heard.contains(&("news/bytes".to_owned(), vec![0, 255])));
    let (_, object) = heard.iter().find(|(topic, _)| topic == "news/json").unwrap();
    assert_eq!(serde_json::from_slice::<Value>(object).unwrap(), json!({ "state": "updated", "n": 3 }));

    let answerer = Stranger::connect(&bench.services.broker, &["dev/1/ask"]);
    let over = std::thread::spawn(move || {
        let (_, asked) = answerer.hear(Duration::from_secs(60)).expect("the question comes");
        answerer.say("dev/1/tell", br#"{"version": "1.2", "asked": true}"#.to_vec());
        (asked, answerer)
    });
    let request = r#"
steps:
  - { id: v, uses: mqtt.request, with: { topic: dev/1/ask, reply_topic: dev/1/tell, payload: version, wait: 30s } }
outputs: { version: "${{ steps.v.outputs.json.version }}", topic: "${{ steps.v.outputs.topic }}" }
"#;
    let run = bench.run(0, request, &[]);
    assert_eq!(run["outputs"], json!({ "version": "1.2", "topic": "dev/1/tell" }));
    assert_eq!(over.join().unwrap().0, b"version");

    let silence = "steps:\n  - { uses: mqtt.request, with: { topic: x/ask, reply_topic: x/tell, wait: 300ms } }\n";
    let run = bench.run(1, silence, &[]);
    assert_eq!((&run["error"]["code"], &run["error"]["class"]), (&json!("PH5301"), &json!("transient")), "{run:#}");
}

#[test]
fn sleep_assert_log_and_fail_do_as_they_say() {
    let bench = Bench::new();
    let calm = r#"
steps:
  - { id: nap, uses: sleep, with: { duration: 400ms } }
  - { uses: assert, with: { that: 1 + 1 == 2 } }
  - { uses: log, with: { level: warn, message: "what is told", fields: { n: 7 } } }
"#;
    let ended = bench.ended(calm, &[]).exits(0);
    assert!(ended.err.contains("what is told"), "{}", ended.err);
    assert!(step(&ended.json(), "nap")["duration_ms"].as_u64().unwrap() >= 400);
    let untrue = "steps:\n  - { id: a, uses: assert, with: { that: 1 > 2, message: numbers are odd } }\n";
    let run = bench.run(1, untrue, &[]);
    assert_eq!((&run["error"]["code"], &run["error"]["step"]), (&json!("PH0431"), &json!("a")));
    assert!(run["error"]["message"].as_str().unwrap().contains("numbers are odd"));
}

#[test]
fn a_step_is_tried_again_as_often_as_it_may() {
    let bench = Bench::new();
    let body = r#"
steps:
  - id: block
    retry: { max_attempts: 5, errors: [NOT_YET], backoff: { initial: 10ms, max: 20ms } }
    steps:
      - { id: n, uses: redis.incr, with: { key: tries } }
      - { uses: fail, if: steps.n.outputs.value < 3, with: { message: not yet, code: NOT_YET } }
outputs: { tries: "${{ steps.n.outputs.value }}" }
"#;
    let run = bench.run(0, body, &[]);
    assert_eq!(run["outputs"]["tries"], 3);
    assert_eq!(step(&run, "block")["attempts"], 3);

    let exhausted = "steps:\n  - { id: never, uses: fail, with: { message: never, code: NEVER }, retry: { max_attempts: 3, errors: [NEVER], backoff: { initial: 10ms } } }\n";
    let run = bench.run(1, exhausted, &[]);
    assert_eq!((step(&run, "never")["attempts"].clone(), &run["error"]["code"]), (json!(3), &json!("NEVER")));

    let permanent = "steps:\n  - { id: never, uses: fail, with: { message: never }, retry: { max_attempts: 3 } }\n";
    assert_eq!(step(&bench.run(1, permanent, &[]), "never")["attempts"], 1, "permanent failures are not tried again");
}

#[test]
fn errors_are_skipped_over_or_end_the_run_and_the_last_words_are_always_said() {
    let bench = Bench::new();
    let body = r#"
steps:
  - { id: soft, uses: fail, with: { message: soft }, on_error: continue }
  - { id: seen, if: steps.soft.status == 'failed', uses: redis.set, with: { key: seen, value: "${{ steps.soft.error.message }}" } }
  - { id: skipped, if: "false", uses: fail, with: { message: never } }
  - id: shaped
    uses: redis.get
    with: { key: seen }
    outputs: { loud: "${{ outputs.value.upperAscii() }}" }
  - { id: hard, uses: fail, with: { message: hard, code: HARD } }
  - { id: after, uses: log, with: { message: never } }
on_failure:
  - { id: rescue, uses: redis.set, with: { key: why, value: "${{ error.code }} ${{ error.step }}" } }
finally:
  - { id: last, uses: redis.set, with: { key: over, value: "yes" } }
"#;
    let run = bench.run(1, body, &[]);
    let statuses: Vec<_> = run["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| (step["id"].as_str().unwrap(), step["status"].as_str().unwrap()))
        .collect();
    let wanted = [
        ("soft", "failed"),
        ("seen", "succeeded"),
        ("skipped", "skipped"),
        ("shaped", "succeeded"),
        ("hard", "failed"),
        ("after", "skipped"),
        ("rescue", "succeeded"),
        ("last", "succeeded"),
    ];
    assert_eq!(statuses, wanted, "{run:#}");
    assert_eq!(run["error"]["code"], "HARD");
    assert_eq!(step(&run, "shaped")["outputs"], json!({ "value": "soft", "loud": "SOFT" }), "they come beside its own");
    let read = "steps:\n  - { id: why, uses: redis.get, with: { key: why } }\n  - { id: over, uses: redis.get, with: { key: over } }\noutputs: { why: \"${{ steps.why.outputs.value }}\", over: \"${{ steps.over.outputs.value }}\" }\n";
    assert_eq!(bench.run(0, read, &[])["outputs"], json!({ "why": "HARD hard", "over": "yes" }));
}

#[test]
fn a_step_and_a_run_that_take_too_long_time_out() {
    let bench = Bench::new();
    let step_late = "steps:\n  - { id: nap, uses: sleep, with: { duration: 1m }, timeout: 300ms }\n";
    let run = bench.ended(step_late, &[]);
    assert!(matches!(run.code, Some(1 | 5)), "{} {}", run.out, run.err);
    assert!(run.json()["error"]["message"].as_str().is_some_and(|words| words.contains("nap")), "{}", run.out);
    let run_late = "timeout: 300ms\nsteps:\n  - { id: nap, uses: sleep, with: { duration: 1m } }\nfinally:\n  - { id: last, uses: log, with: { message: over } }\n";
    let run = bench.run(5, run_late, &[]);
    assert_eq!((&run["status"], &step(&run, "last")["status"]), (&json!("timed_out"), &json!("succeeded")));
}

#[test]
fn inputs_codec_and_vars_reach_expressions_with_their_types() {
    let bench = Bench::new();
    let body = r#"
inputs:
  device: { type: string, default: gw-1 }
  n: { type: integer, default: 4 }
  limit: { type: size, default: 2KiB }
  rest: { type: list, default: [1, two] }
codec: json-base64
vars: { prefix: "fleet/${{ inputs.device }}" }
steps:
  - { uses: assert, with: { that: "inputs.n * 2 == 8 && inputs.limit == 2048 && vars.prefix == 'fleet/gw-9'" } }
outputs: { whole: "${{ inputs.n }}", text: "n=${{ inputs.n }}", list: "${{ inputs.rest }}", device: "${{ device.id }}" }
"#;
    let run = bench.run(0, body, &["-i", "device=gw-9"]);
    assert_eq!(run["outputs"], json!({ "whole": 4, "text": "n=4", "list": [1, "two"], "device": "gw-9" }));
}
