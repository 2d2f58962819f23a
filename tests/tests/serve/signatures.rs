//! Whose plugins are taken: files that the vendor's own tool, minisign, has signed, or has not.

use crate::client::{get, send};
use crate::daemon::Daemon;
use crate::swaps::{codec, component};
use packhorse_tests::World;
use packhorse_tests::files::sha256;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

fn minisign(args: &[&str]) {
    let told = Command::new("minisign").args(args).output().expect("minisign: tests/run installs it");
    assert!(told.status.success(), "minisign {args:?}: {told:?}");
}

/// A pair of keys without a password, its secret half in the world's folder; gives the public one.
fn keys(world: &World, name: &str) -> String {
    let (public, secret) = (world.path(&format!("{name}.pub")), world.path(&format!("{name}.key")));
    minisign(&["-G", "-W", "-p", &public.display().to_string(), "-s", &secret.display().to_string()]);
    std::fs::read_to_string(public).unwrap().lines().nth(1).expect("the key is on the second line").to_owned()
}

fn sign(world: &World, name: &str, file: &Path) {
    let secret = world.path(&format!("{name}.key")).display().to_string();
    minisign(&["-S", "-s", &secret, "-m", &file.display().to_string()]);
}

/// The codec as a daemon shows it after a look.
fn looked(at: &str) -> Value {
    send(at, "POST", "/v1/reload", &[], b"").is(200);
    get(at, "/v1/plugins/json-base64").is(200).json()
}

#[test]
fn with_keys_a_plugin_counts_only_where_one_of_them_has_signed_it() {
    let mut daemon = Daemon::with(|world| {
        let (vendor, other) = (keys(world, "vendor"), keys(world, "other"));
        assert_ne!(vendor, other);
        keys(world, "stranger");
        format!("serve: {{ rate_limit: off }}\nplugin_keys: [{other}, {vendor}]\n")
    });
    let (at, component) = (daemon.http(), component());
    let file = daemon.world.path("plugins/json-base64.wasm");
    let [first, second] = [1, 2].map(|number| codec(&component, number));
    let refused = |view: &Value, words: &str| {
        let message = view["load_error"]["message"].as_str().unwrap_or_default();
        assert!(view["load_error"]["code"] == "PH6021" && message.contains(words), "{view:#}");
    };
    // What came with the program needs no signature; a file that takes its place does.
    std::fs::write(&file, &first).unwrap();
    let view = looked(&at);
    refused(&view, "json-base64.wasm.minisig: No such file");
    assert_eq!((&view["embedded"], &view["stale"]), (&json!(true), &json!(true)), "{view:#}");
    // The signature alone is the change.
    sign(&daemon.world, "vendor", &file);
    let view = looked(&at);
    assert_eq!((&view["digest"], &view["load_error"]), (&json!(sha256(&first)), &Value::Null), "{view:#}");
    // Other bytes beside the old signature, and then signed by somebody whose key is not there.
    std::fs::write(&file, &second).unwrap();
    let view = looked(&at);
    refused(&view, "or of other bytes");
    assert_eq!(view["digest"], sha256(&first), "the last good one counts");
    assert!(get(&at, "/metrics").body.contains("packhorse_definitions_stale{kind=\"plugin\"} 1"));
    sign(&daemon.world, "stranger", &file);
    refused(&looked(&at), "is of none of the keys");
    sign(&daemon.world, "other", &file);
    let view = looked(&at);
    assert_eq!((&view["digest"], &view["stale"]), (&json!(sha256(&second)), &json!(false)), "{view:#}");
    let err = daemon.process().err();
    assert_eq!(err.matches("PH6021").count(), 2, "told once per content:\n{err}");
    daemon.stop();
}

#[test]
fn from_a_terminal_too_and_only_to_be_run() {
    let world = World::new();
    let key = keys(&world, "vendor");
    world.text("packhorse.yaml", &format!("plugin_keys: [{key}]\n"));
    let file = world.path("x/json-base64.wasm");
    std::fs::create_dir_all(world.path("x")).unwrap();
    std::fs::write(&file, codec(&component(), 3)).unwrap();
    let file = file.display().to_string();
    let text = "kind: workflow/v1\nname: a\ncodec: json-base64\nsteps:\n  - uses: sleep\n    with: { duration: 1ms }\n";
    let workflow = world.text("a.yaml", text).display().to_string();
    let data = world.data().display().to_string();
    let embedded = ["--mqtt", "embedded://127.0.0.1:0", "--fastdfs", "embedded://127.0.0.1:0", "--data", &data];
    let run = |more: &[&str]| world.ask(&[&["run", &workflow][..], &embedded, more].concat());
    run(&["--codec", &file]).exits(2).says(&["PH6021", "minisig"]);
    run(&["--plugins", &world.path("x").display().to_string()]).exits(2).says(&["PH6021"]);
    run(&[]).exits(0);
    world.ask(&["plugin", "inspect", &file]).exits(0);
    sign(&world, "vendor", Path::new(&file));
    run(&["--codec", &file]).exits(0);
    world.text("packhorse.yaml", "plugin_keys: [RWQ]\n");
    run(&[]).exits(2).says(&["PH1007", "`RWQ` is no public key of minisign"]);
}
