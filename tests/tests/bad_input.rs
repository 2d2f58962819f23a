//! Bad input and missing services, before a run exists: exit 2 or 69, every problem with its place, and nothing left behind.

use packhorse_tests::world::workflow;
use packhorse_tests::{Ended, World};

/// Validates and runs a workflow; both refuse it with these words.
#[track_caller]
fn refused(text: &str, words: &[&str]) {
    let world = World::new();
    let path = world.text("bad.yaml", text).display().to_string();
    world.ask(&["validate", &path]).exits(2).says(words);
    let checked = world.json(2, &["validate", &path]);
    let problems = checked["items"][0]["problems"].as_array().expect("problems are a list");
    assert!(!problems.is_empty(), "{checked:#}");
    for problem in problems {
        let placed = problem["line"].is_u64() && problem["column"].is_u64();
        assert!(placed && problem["code"].is_string() && problem["message"].is_string(), "{problem:#}");
    }
    world.embedded(std::path::Path::new(&path), &[]).end().exits(2).says(words);
    assert!(!world.data().exists(), "nothing was started");
}

const HEAD: &str = "kind: workflow/v1\nname: bad\nsteps:\n";

#[test]
fn broken_yaml_is_refused_with_its_place() {
    refused("kind: workflow/v1\nname: bad\nsteps: [\n", &["bad.yaml:"]);
    refused("kind: workflow/v1\nname: \"bad\nsteps: []\n", &["bad.yaml:"]);
    refused(&format!("{HEAD}\t- uses: log\n"), &["bad.yaml:4:1"]);
    refused("", &["bad.yaml:1:1"]);
    refused("- a\n- b\n", &["bad.yaml:1:1"]);
}

#[test]
fn hostile_yaml_is_refused_with_its_place() {
    let big = format!("{HEAD}  - uses: log\n    with: {{ message: hello }}\n# {}\n", "x".repeat(300 << 10));
    refused(&big, &["256 KiB"]);
    let deep = format!("{HEAD}  - uses: log\n    with: {{ message: {}{} }}\n", "[".repeat(5_000), "]".repeat(5_000));
    refused(&deep, &["bad.yaml:5:", "64"]);
    let laughs = "kind: workflow/v1\nname: bad\nx-a: &a [1, 1]\nx-b: &b [*a, *a]\nsteps: []\n";
    refused(laughs, &["bad.yaml:3:6", "anchor"]);
    let many =
        format!("{HEAD}  - uses: log\n    with: {{ message: hello, fields: {{ a: [{}] }} }}\n", "1,".repeat(30_000));
    refused(&many, &["20"]);
}

#[test]
fn every_problem_of_a_file_is_told_in_one_pass() {
    let text = "kind: workflow/v1\nname: bad\nname: twice\ninputs:\n  device: { type: strng }\nsteps:\n  - id: push\n    uses: transfer.pusj\n  \
                - uses: log\n    wiht: { message: hello }\n  - if: steps.psh.status == 'failed'\n    uses: sleep\n    with: { duration: soon }\n  \
                - uses: log\n    with: { message: \"${{ inputs.device + }}\" }\n    foreach: [1]\n";
    let words = [
        "bad.yaml:3:1",
        "twice",
        "bad.yaml:5:",
        "did you mean `string`",
        "bad.yaml:8:",
        "did you mean `transfer.push`",
        "bad.yaml:10:",
        "did you mean `with`",
        "bad.yaml:13:",
        "foreach",
    ];
    let world = World::new();
    let path = world.text("bad.yaml", text).display().to_string();
    let told = world.ask(&["validate", &path]).exits(2);
    let missing: Vec<_> = words.iter().filter(|word| !told.out.contains(*word)).collect();
    assert!(missing.is_empty(), "not told: {missing:?}\n{}", told.out);
}

#[test]
fn expressions_that_cannot_be_are_refused() {
    let with =
        |expression: &str| format!("{HEAD}  - uses: log\n    with: {{ message: \"${{{{ {expression} }}}}\" }}\n");
    refused(&with("1 +"), &["bad.yaml:5:", "not CEL"]);
    refused(&with("steps.none.outputs.x"), &["bad.yaml:5:", "none"]);
    refused(&with(&format!("{}1{}", "(".repeat(40), ")".repeat(40))), &["bad.yaml:5:", "16"]);
    refused(&with(&"1+".repeat(200)), &["bad.yaml:5:"]);
    refused(&format!("{HEAD}  - if: 1 + 1\n    uses: log\n    with: {{ message: a }}\n"), &["bad.yaml:4:"]);
}

#[test]
fn a_workflow_that_is_not_there_is_told_with_those_that_are() {
    let world = World::new();
    world.ask(&["run", "nosuch.yaml"]).exits(2).says(&["nosuch.yaml", "PH2002"]);
    let folder = workflow("x").parent().unwrap().display().to_string();
    world.ask(&["run", "ota-pusj", "--workflows", &folder]).exits(2).says(&["ota-push", "log-pull"]);
    world.ask(&["validate", "nosuch.yaml"]).exits(2).says(&["nosuch.yaml"]);
    world.ask(&["run", "."]).exits(2);
}

/// Runs ota-push with these inputs: refused before anything is started.
#[track_caller]
fn not_run(world: &World, inputs: &[&str], words: &[&str]) -> Ended {
    let all: Vec<&str> = inputs.iter().flat_map(|input| ["-i", *input]).collect();
    let ended = world.embedded(&workflow("ota-push"), &all).end().exits(2).says(words);
    assert!(!world.data().exists(), "nothing was started");
    ended
}

#[test]
fn files_that_cannot_be_read_are_refused_before_the_run() {
    let world = World::new();
    not_run(&world, &["device=dev-1", "image=nosuch.bin"], &["nosuch.bin", "PH2004"]);
    std::fs::create_dir(world.path("folder")).unwrap();
    not_run(&world, &["device=dev-1", "image=folder"], &["folder", "not a regular file"]);
    let pipe = world.path("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    not_run(&world, &["device=dev-1", "image=pipe"], &["pipe", "not a regular file"]);
    not_run(&world, &["device=dev-1", "image=/dev/zero"], &["not a regular file"]);
    for endless in ["pipe", "/dev/zero"] {
        world.ask(&["validate", endless]).exits(2).says(&["not a regular file"]);
        world.ask(&["run", endless]).exits(2).says(&[endless]);
    }
}

#[test]
fn inputs_that_do_not_fit_are_all_told() {
    let world = World::new();
    world.file("fw.bin", 10, 1);
    not_run(&world, &["image=fw.bin"], &["device"]);
    not_run(&world, &["device=dev-1", "image=fw.bin", "devcie=x"], &["devcie", "did you mean"]);
    not_run(&world, &["device=a/b", "image=fw.bin"], &["device", "a/b"]);
    not_run(&world, &["device=dev-1", "image=fw.bin", "window=many"], &["window", "many"]);
    not_run(&world, &["device=dev-1", "image=fw.bin", "window=5000"], &["window", "1024"]);
    not_run(&world, &["device=#", "window=0"], &["device", "image", "window"]);
    not_run(&world, &["device=dev-1", "device=dev-2", "image=fw.bin"], &["given twice"]);
    not_run(&world, &["device"], &["KEY=VALUE"]);
}

#[test]
fn a_codec_that_is_not_there_names_the_command_that_builds_it() {
    let world = World::new();
    world.file("fw.bin", 10, 1);
    let asked = ["-i", "device=dev-1", "-i", "image=fw.bin", "--codec", "acme-tvl"];
    world.embedded(&workflow("ota-push"), &asked).end().exits(2).says(&["acme-tvl", "packhorse plugin build"]);
    let device = ["device", "--codec", "nosuch", "--id", "a", "--dir", "d", "--mqtt", "mqtt://127.0.0.1:9"];
    world.ask(&device).exits(2).says(&["nosuch", "packhorse plugin build"]);
    world.text("plugins/broken.wasm", "this is no WebAssembly");
    let asked = ["-i", "device=dev-1", "-i", "image=fw.bin", "--codec", "broken"];
    world.embedded(&workflow("ota-push"), &asked).end().exits(2).says(&["broken"]);
    assert!(!world.data().exists(), "nothing was started");
}

#[test]
fn a_port_in_use_or_a_broker_that_is_not_there_exits_69_and_names_the_address() {
    let world = World::new();
    let hello = world.text("hello.yaml", &format!("{HEAD}  - uses: log\n    with: {{ message: hello }}\n"));
    let (hello, data) = (hello.display().to_string(), world.data().display().to_string());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let at =
        |mqtt: &str, fastdfs: &str| world.ask(&["run", &hello, "--data", &data, "--mqtt", mqtt, "--fastdfs", fastdfs]);
    let (free, embedded) = ("embedded://127.0.0.1:0", format!("embedded://{address}"));
    at(&embedded, free).exits(69).says(&["PH1001", &address, "in use"]);
    at(free, &embedded).exits(69).says(&["PH1001", &address, "in use"]);
    world.ask(&["broker", "--listen", &address]).exits(69).says(&[&address]);
    world.ask(&["fastdfs", "serve", "--tracker", &address, "--path", "p"]).exits(69).says(&[&address]);
    drop(taken);
    at(&format!("mqtt://{address}"), free).exits(69).says(&["PH1006", &address]);
    world
        .ask(&["device", "--codec", "json-base64", "--id", "a", "--dir", "d", "--mqtt", &format!("mqtt://{address}")])
        .exits(69)
        .says(&[&address]);
    for nonsense in ["http://x", "embedded://nowhere", "broker:1883"] {
        at(nonsense, free).exits(2).says(&[nonsense.trim_start_matches("embedded://")]);
    }
    world
        .ask(&["device", "--codec", "json-base64", "--id", "a", "--dir", "d", "--mqtt", "embedded"])
        .exits(2)
        .says(&["client only"]);
    at(free, free).exits(0);
}

#[test]
fn a_data_folder_that_is_no_folder_or_holds_a_broken_store_exits_69() {
    let world = World::new();
    let hello = world.text("hello.yaml", &format!("{HEAD}  - uses: log\n    with: {{ message: hello }}\n"));
    world.text("data", "a file");
    world.embedded(&hello, &[]).end().exits(69).says(&["data"]);
    std::fs::remove_file(world.data()).unwrap();
    std::fs::create_dir(world.data()).unwrap();
    std::fs::write(world.data().join("store.redb"), vec![7; 9000]).unwrap();
    world.embedded(&hello, &[]).end().exits(69).says(&["store.redb"]);
    world.ask(&["ps", "--data", "nowhere"]).exits(2).says(&["nowhere"]);
}
