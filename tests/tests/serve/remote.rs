//! The command line of another machine: it asks the API what others ask the socket of the data folder, and is told the same.

use crate::client::send;
use crate::elsewhere::{Elsewhere, Scene, says};
use packhorse_tests::certificates::{Authority, Valid};
use packhorse_tests::http::FileServer;
use packhorse_tests::proxy::Proxy;
use packhorse_tests::tls;
use serde_json::json;
use std::time::Duration;

#[test]
fn the_same_is_told_on_another_machine() {
    let mut scene = Scene::new();
    let (good, bad) = (scene.over("sleeper"), scene.over("failer"));
    for args in [
        &["ps"][..],
        &["ps", "-a"],
        &["ps", "-a", "--limit", "1"],
        &["top"],
        &["show", &good],
        &["show", &good[..20]],
        &["show", &bad],
        &["logs", &good],
        &["logs", &bad[4..20]],
        &["logs", "-f", &bad],
        &["explain", &good],
        &["explain", &bad],
        &["explain", "PH8420"],
        &["holds"],
        &["release", "--all"],
        &["triggers"],
        &["dead-letters"],
        &["devices"],
        &["devices", "show", "gw-1"],
        &["devices", "show", "a/b?c"],
        &["resume", &good],
        &["reload"],
    ] {
        scene.same(0, args);
    }
    for args in [
        &["show", "run_NOSUCH"][..],
        &["show", "run_01ARZ3NDEKTSV4RRFFQ69G5FAV"],
        &["show", "run_0"],
        &["logs", "7"],
        &["explain", "gw-9"],
        &["explain", "run_NOSUCH"],
        &["retry", &good],
        &["hold", "device.id =="],
        &["release", "nothing"],
        &["dead-letters", "show", "7"],
        &["dead-letters", "retry", "7"],
        &["run", "--detach", "nobody"],
        &["run", "--detach", "sleeper", "-i", "time=soon"],
        &["run", "--detach", "sleeper", "-i", "x=1"],
        &["plugin", "repin", "--from", "x", "--to", "acme-tlv@0.0.1", &good],
    ] {
        scene.same(2, args);
    }
    scene.daemon.save("failer", "kind: workflow/v1\nname: failer\nsteps: []\n");
    // What a look changed is told by that look alone.
    scene.here(&["reload"]).exits(1);
    scene.same(1, &["reload"]);
    scene.daemon.stop();
}

#[test]
fn runs_are_started_and_steered_from_another_machine() {
    let mut scene = Scene::new();
    let there = &scene.all;
    let json = |args: &[&str]| there.ask(&[args, &["-o", "json"]].concat()).exits(0).json();
    let run = there.ask(&["run", "--detach", "sleeper", "-i", "time=1h"]).exits(0).out.trim().to_owned();
    assert_eq!(json(&["ps"])["items"][0]["run"], run.as_str());
    assert_eq!(json(&["top"])["totals"]["runs"], 1);
    assert_eq!(json(&["explain", &run])["items"][0]["unfinished"]["reason"], "sleeping");
    there.ask(&["pause", &run[..20]]).exits(0).says(&[&run, "paused"]);
    assert_eq!(json(&["resume", &run])["run"], run.as_str());
    let held = json(&["hold", "all", "--reason", "night"]);
    assert_eq!(held["items"][0]["by"], "http:boss", "{held:#}");
    scene.same(0, &["holds"]);
    let id = held["items"][0]["id"].as_str().unwrap().to_owned();
    there.ask(&["hold", "device.id == 'gw-1'"]).exits(0);
    assert_eq!(json(&["release", &id])["items"][0]["id"], id.as_str());
    there.ask(&["release", "device.id == 'gw-1'"]).exits(0).says(&["released", "gw-1"]);
    assert_eq!(json(&["holds"])["items"], json!([]));
    there.ask(&["cancel", &run, "--reason", "enough"]).exits(0).says(&[&run]);
    scene.daemon.until(&run, |view| view["status"] == "cancelled");
    assert!(scene.here(&["logs", &run]).out.contains("enough"), "why it was cancelled stands in its journal");
    // A run that is watched from there ends with its own code.
    there.ask(&["run", "sleeper"]).exits(0).says(&["succeeded"]);
    let failed = there.ask(&["run", "failer", "-o", "json"]).exits(1).json();
    assert_eq!(failed["status"], "failed", "{failed:#}");
    let failed = failed["run"].as_str().unwrap();
    assert_eq!(json(&["retry", failed])["run"], failed);
    there.world.file("fw.bin", 10, 1);
    there.ask(&["run", "-d", "ota-push", "-i", "device=d", "-i", "image=fw.bin"]).exits(2).says(&["PH8410"]);
    let audit = std::fs::read_to_string(scene.daemon.world.data().join("audit.jsonl")).unwrap();
    let of_boss = audit.lines().filter(|line| line.contains("\"by\":\"http:boss\"")).count();
    assert!(of_boss >= 10, "{audit}");
    scene.daemon.stop();
}

#[test]
fn several_runs_are_moved_to_another_build_at_once() {
    let mut scene = Scene::new();
    let runs = [scene.daemon.run("sleeper", &["-i", "time=1h"]), scene.daemon.run("sleeper", &["-i", "time=1h"])];
    let plugin = send(
        &scene.daemon.http(),
        "GET",
        "/v1/plugins/json-base64",
        &[&format!("Authorization: Bearer {}", std::fs::read_to_string(&scene.all.token).unwrap().trim())],
        b"",
    );
    let digest = plugin.is(200).json()["digest"].as_str().unwrap().to_owned();
    let from = "0".repeat(64);
    let repin = ["plugin", "repin", "--from", &from, "--to", &digest];
    // Neither has a codec.
    scene.same(1, &[&repin[..], &[&runs[0], &runs[1], "run_NOSUCH"]].concat());
    scene.same(0, &[&repin[..], &["--all"]].concat());
    let audit = std::fs::read_to_string(scene.daemon.world.data().join("audit.jsonl")).unwrap();
    let line = audit.lines().find(|line| line.contains("POST /v1/repin")).expect("it is audited");
    assert!(line.contains(&runs[1]) && line.contains(&digest), "{line}");
    scene.daemon.stop();
}

#[test]
fn who_may_not_is_refused_and_nothing_is_done_here() {
    let mut scene = Scene::new();
    let there = &scene.all;
    let url = there.url.clone();
    let run = scene.over("sleeper");
    let by = |variables: &[(&str, &str)], args: &[&str]| {
        there.told_by(&[&[("PACKHORSE_SERVER", url.as_str())], variables].concat(), args)
    };
    let token = there.token.display().to_string();
    by(&[("PACKHORSE_TOKEN_FILE", &token)], &["ps"]).exits(0);
    by(&[("PACKHORSE_TOKEN", &scene.looks)], &["show", &run]).exits(0).says(&[&run]);
    by(&[], &["ps"]).exits(4).says(&["PH8404", "--token-file"]);
    by(&[("PACKHORSE_TOKEN", "ph_wrong")], &["logs", "-f", &run]).exits(4).says(&["PH8404"]);
    by(&[("PACKHORSE_TOKEN", &scene.looks)], &["cancel", &run]).exits(4).says(&["PH8405", "runs:control", "--scope"]);
    by(&[("PACKHORSE_TOKEN", &scene.looks)], &["run", "sleeper"]).exits(4).says(&["PH8405"]);
    by(&[("PACKHORSE_TOKEN_FILE", "nowhere")], &["ps"]).exits(2).says(&["PH8421", "nowhere"]);
    by(&[("PACKHORSE_TOKEN", "\u{1}")], &["ps"]).exits(2).says(&["PH8421"]);
    there.world.text("packhorse.yaml", &format!("server: {{ url: '{url}', token_file: token }}\n"));
    there.told_by(&[], &["show", &run]).exits(0).says(&[&run]);
    there.told_by(&[], &["ps", "--server", "local"]).exits(2).says(&["PH8003", "no runs"]);
    there.told_by(&[], &["ps", "--data", "mine"]).exits(2).says(&["PH8003", "mine"]);
    std::fs::remove_file(there.world.path("packhorse.yaml")).unwrap();
    // What the API cannot do is not done on this machine in its stead.
    there.world.text("list", "gw-1\n");
    for args in [&["gc"][..], &["doctor"], &["plugin", "release", "acme-tlv"], &["run", "sleeper", "--each", "list"]] {
        by(&[], args).exits(2).says(&["PH8423", &format!("`packhorse {}", args[0])]);
        there.ask(args).exits(2).says(&["PH8423"]);
    }
    there.ask(&["dead-letters", "drop", "7"]).exits(2).says(&["PH8423", "dead-letters drop"]);
    there.ask(&["serve"]).exits(2).says(&["PH8423", "packhorse serve"]);
    there.ask(&["validate", "list"]).exits(2).says(&["PH8423", "packhorse validate"]);
    there.ask(&["resume"]).exits(2).says(&["PH8003"]);
    there.ask(&["ps", "--data", "x"]).exits(2).says(&["PH8421", "--data"]);
    assert!(!there.world.path(".packhorse").exists(), "nothing was made here");
    scene.daemon.stop();
    there.ask(&["ps"]).exits(69).says(&["PH8420", &url, "packhorse serve"]);
    there.ask(&["logs", "-f", &run]).exits(69).says(&["PH8420", &url]);
    there.ask(&["run", "-d", "sleeper"]).exits(69).says(&["PH8420", &url]);
}

#[test]
fn what_is_no_daemon_is_told_apart() {
    let mut scene = Scene::new();
    let (there, at) = (&scene.all, scene.daemon.http());
    let token = std::fs::read_to_string(&there.token).unwrap();
    let by = |url: &str| there.told_by(&[("PACKHORSE_SERVER", url), ("PACKHORSE_TOKEN", token.trim())], &["ps"]);
    for bad in [&at[..], "127.0.0.1", "ftp://h", "http://u:secret@h", "http://h?x=y"] {
        let ended = by(bad).exits(2).says(&["PH8421", "no URL of a daemon"]);
        assert!(!ended.err.contains("secret"), "{}", ended.err);
    }
    by(&format!("https://{at}")).exits(2).says(&["PH8422", "TLS"]);
    by(&format!("http://{at}/nowhere")).exits(2).says(&["PH8401"]);
    by(FileServer::start(b"a page".to_vec(), Duration::ZERO).url()).exits(2).says(&["PH8422"]);
    // No name of loopback, and nobody listens: a token does not leave in the open without a word.
    by("http://0.0.0.0:1").exits(69).says(&["PH8420", "http://0.0.0.0:1", "open line"]);
    let authority = Authority::new(there.world.folder(), "authority");
    let port = tls::before(&at, &authority.sign("localhost", &["localhost"], Valid::Now));
    let (secure, roots) = (format!("https://localhost:{port}"), authority.file.display().to_string());
    let by_tls = |roots: &str, args: &[&str]| {
        let variables =
            [("PACKHORSE_SERVER", &secure[..]), ("PACKHORSE_TOKEN", token.trim()), ("SSL_CERT_FILE", roots)];
        there.told_by(&variables, args)
    };
    by_tls(&roots, &["run", "sleeper"]).exits(0).says(&["succeeded"]);
    let stranger = Authority::new(there.world.folder(), "stranger").file.display().to_string();
    by_tls(&stranger, &["ps"]).exits(69).says(&["PH8420", "certificate", "SSL_CERT_FILE"]);
    by(&format!("http://localhost:{port}")).exits(2).says(&["PH8422", "HTTP"]);
    scene.daemon.stop();
}

#[test]
fn a_run_is_followed_while_its_daemon_is_away() {
    let mut scene = Scene::new();
    let proxy = Proxy::before(scene.daemon.http().parse().expect("an address"), 1);
    let token = std::fs::read_to_string(&scene.all.token).unwrap();
    let there = Elsewhere::new(&proxy.address.to_string(), token.trim());
    let mut watched = there.start(&["run", "sleeper", "-i", "time=1h"]);
    says(&mut watched, "run run_");
    let run = scene.daemon.ask(&["ps"]).expect("it is there")["items"][0]["run"].as_str().unwrap().to_owned();
    let mut logs = there.start(&["logs", "-f", &run, "-o", "json"]);
    logs.line(|line| line.contains("\"created\"").then_some(()));
    proxy.sever();
    says(&mut logs, "trying again");
    scene.daemon.kill();
    says(&mut watched, "trying again");
    scene.daemon.begin();
    scene.daemon.ask(&["cancel", &run]).expect("it is known again");
    watched.end().exits(3).says(&["cancelled"]);
    let logs = logs.end().exits(0);
    let whole = scene.here(&["logs", &run, "-o", "json"]).exits(0).out;
    assert_eq!(logs.out, whole, "each record once, in order");
    assert!(whole.lines().count() >= 4, "{whole}");
    scene.daemon.stop();
}
