//! The API against its own document: schemathesis, which nobody here wrote, makes requests up from the document and looks whether each
//! answer is one that the document has.

use crate::client::{ended, get, started};
use crate::daemon::Daemon;
use packhorse_tests::client::Stranger;
use packhorse_tests::{Child, count};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const SLEEPER: &str = "kind: workflow/v1
name: sleeper
inputs: { time: { type: duration, default: 1ms } }
steps: [{ uses: sleep, with: { duration: \"${{ inputs.time }}\" } }]
";
const ASKED: &str = "kind: workflow/v1
name: asked
inputs: { device: { type: string, pattern: \"[a-z0-9-]+\" } }
triggers:
  - { id: asked, http: { inputs: { device: \"${{ trigger.payload.device }}\" } } }
  - { id: said, mqtt: { topic: \"said/+\", inputs: { device: \"${{ trigger.payload.device }}\" } } }
steps: [{ uses: sleep, with: { duration: 1ms } }]
";
/// What every answer is held to: no 5xx, and nothing that is not in the document.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,\
    response_headers_conformance";
/// Runs and dead letters that requests may be about.
const KNOWN: usize = 10;

fn schemathesis() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    let own = || home().join(".cache/packhorse-tests/venv-schemathesis/bin/schemathesis");
    let program = std::env::var_os("PACKHORSE_SCHEMATHESIS").map_or_else(own, PathBuf::from);
    assert!(
        program.is_file(),
        "there is no schemathesis at {}: `tests/run` installs it; or python3 -m venv ~/.cache/packhorse-tests/venv-schemathesis \
         && ~/.cache/packhorse-tests/venv-schemathesis/bin/pip install -r tests/clients/schemathesis/requirements.txt",
        program.display()
    );
    program
}

/// Runs under way and over, and dead letters; their ids.
fn known(daemon: &Daemon, at: &str) -> [Vec<String>; 3] {
    let begin = |time: &str| (0..KNOWN).map(|_| started(at, "sleeper", &json!({ "time": time }))).collect::<Vec<_>>();
    let (over, under_way) = (begin("1ms"), begin("1h"));
    over.iter().for_each(|run| drop(ended(at, run)));
    let stranger = Stranger::connect(&daemon.services.broker, &[]);
    let letters = || {
        let listed = get(at, "/v1/dead-letters").is(200).json();
        let items = listed["items"].as_array().expect("a list");
        items.iter().map(|letter| letter["id"].to_string()).collect::<Vec<_>>()
    };
    while letters().len() < KNOWN {
        stranger.say("said/x", "no device");
        std::thread::sleep(Duration::from_millis(100));
    }
    [over, under_way, letters()]
}

/// Names that exist go into most requests: of what is made up there is nothing, and all answers would be 404.
fn settings([over, under_way, letters]: &[Vec<String>; 3]) -> String {
    let list = |values: &[String]| json!(values).to_string();
    let words = |words: &[&str]| json!(words).to_string();
    let of = |dictionary: &str| format!("{{ dictionary = \"{dictionary}\", probability = 0.7 }}");
    // A stream of a run that sleeps has no end.
    format!(
        "max-stream-events = 2\n\
        [dictionaries]\nruns = {{ values = {} }}\nover = {{ values = {} }}\nletters = {{ values = {} }}\n\
        workflows = {{ values = {} }}\nnames = {{ values = {} }}\n\
        [parameters]\n\"path.run\" = {}\n\"path.letter\" = {}\n\"path.workflow\" = {}\n\"path.name\" = {}\n\"body.workflow\" = {}\n\
        [[operations]]\ninclude-path = \"/v1/runs/{{run}}/events\"\nparameters = {{ \"path.run\" = {} }}\n",
        list(&[&under_way[..], over].concat()),
        list(over),
        list(letters),
        words(&["sleeper", "asked"]),
        words(&["sleeper", "asked", "json-base64", "acme-tlv"]),
        of("runs"),
        of("letters"),
        of("workflows"),
        of("names"),
        of("workflows"),
        of("over")
    )
}

/// Lets it loose on the API; what it printed, and its report.
fn report(daemon: &Daemon, at: &str, settings: &Path) -> (String, Value) {
    let report = daemon.world.path("report.json");
    let mut command = Command::new(schemathesis());
    command.current_dir(daemon.world.folder()).env("NO_COLOR", "1").arg("--config-file").arg(settings);
    command.args(["run", &format!("http://{at}/v1/openapi.json"), "--phases", "examples,coverage,fuzzing"]);
    command.args(["--max-examples", &count(10, 150).to_string(), "--workers", "2", "--seed", "1", "--checks", CHECKS]);
    command.args(["--continue-on-failure", "--request-timeout", "60", "--report", "json", "--report-json-path"]);
    let ended = Child::start(
        {
            command.arg(&report);
            command
        },
        "schemathesis",
    )
    .end();
    let told = format!("{}\n{}", ended.out, ended.err);
    assert_eq!(ended.code, Some(0), "{told}");
    let report = std::fs::read(&report).unwrap_or_else(|error| panic!("no report: {error}\n{told}"));
    (told, serde_json::from_slice(&report).expect("a report is JSON"))
}

#[test]
fn every_answer_to_made_up_requests_is_in_the_document() {
    let mut daemon = Daemon::start();
    daemon.save("sleeper", SLEEPER);
    daemon.save("asked", ASKED);
    daemon.ask(&["reload"]).expect("both are good");
    let at = daemon.http();
    let document = get(&at, "/v1/openapi.json").is(200).json();
    // The document itself is left out: it has to be read before anything else.
    let operations =
        document["paths"].as_object().unwrap().values().map(|item| item.as_object().unwrap().len()).sum::<usize>() - 1;
    let settings = daemon.world.text("schemathesis.toml", &settings(&known(&daemon, &at)));
    let (told, report) = report(&daemon, &at, &settings);
    let number = |pointer: &str| {
        report.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("no {pointer}: {report:#}"))
    };
    assert_eq!(report["complete"], true, "{told}");
    assert_eq!(number("/operations/tested"), operations as u64, "{told}");
    for bad in ["/test_cases/with_failures", "/test_cases/errored", "/test_cases/without_checks"] {
        assert_eq!(number(bad), 0, "{bad}: {told}");
    }
    let (cases, accepted) = (number("/test_cases/generated"), accepted(&report));
    assert!(cases >= count(400, 2_000) as u64, "{told}");
    let missed: Vec<&String> = accepted.iter().filter(|(_, accepted)| *accepted == 0).map(|(name, _)| name).collect();
    println!(
        "schemathesis {}: {cases} cases of {operations} operations, all answered as documented; valid requests were accepted {} times, \
         never of: {missed:?}",
        report["schemathesis_version"].as_str().unwrap_or_default(),
        accepted.iter().map(|(_, accepted)| accepted).sum::<u64>()
    );
    assert!(missed.len() <= operations / 4, "most operations did what they were asked for: {report:#}");
    get(&at, "/readyz").is(200);
    daemon.stop();
}

/// How often each operation did what a valid request asked for.
fn accepted(report: &Value) -> Vec<(String, u64)> {
    let rates = report["valid_rates"].as_object().expect("rates of valid requests");
    let sum = |phases: &Value| {
        phases.as_object().into_iter().flatten().filter_map(|(_, rate)| rate["accepted"].as_u64()).sum()
    };
    rates.iter().map(|(name, phases)| (name.clone(), sum(phases))).collect()
}
