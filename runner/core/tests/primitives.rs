//! Primitives at their border: parameters to effects, answers to outputs, refusals in words.

use packhorse_core::effect::{Confirmed, Reply, Traffic, TransferReport};
use packhorse_core::failure::{Class, Failure};
use packhorse_core::file::FileRef;
use packhorse_core::step::{self, PRIMITIVES, Start};
use packhorse_core::transfer::{Algorithm, Digest};
use packhorse_core::workflow::{self, expr};
use serde_json::{Map, Value, json};

const MD5: &str = "900150983cd24fb0d6963f7d28e17f72";
const SHA256: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn file() -> Value {
    json!({ "uri": "fastdfs:group1/M00/00/00/a.bin", "name": "a.bin", "size": 3, "md5": MD5, "sha256": SHA256 })
}

fn with(value: &Value) -> Map<String, Value> {
    let mut with = value.as_object().expect("a map").clone();
    for (_, value) in with.iter_mut().filter(|(_, value)| **value == json!("FILE")) {
        *value = file();
    }
    with
}

fn start(name: &str, parameters: &Value) -> Result<Start, Failure> {
    let primitive = step::primitive(name).unwrap_or_else(|| panic!("{name} exists"));
    (primitive.start)(&with(parameters))
}

fn finish(name: &str, parameters: &Value, reply: Reply) -> Result<Value, Failure> {
    let primitive = step::primitive(name).unwrap_or_else(|| panic!("{name} exists"));
    let outputs = (primitive.finish)(&with(parameters), reply)?;
    for (output, _) in &outputs {
        let known = |field: &step::OutputField| field.name == output || field.name == step::ANY_OUTPUT;
        assert!(primitive.outputs.iter().any(known), "{name} has no output {output}");
    }
    let promised = primitive.outputs.iter().filter(|field| !field.kind.ends_with('?'));
    promised.for_each(|field| assert!(outputs.contains_key(field.name), "{name} lacks {}", field.name));
    Ok(Value::Object(outputs))
}

fn effect(start: Start) -> Value {
    match start {
        Start::Effect(effect) => serde_json::to_value(*effect).expect("effects are JSON"),
        Start::Sleep(duration) => json!({ "sleep": duration.as_millis() as u64 }),
        Start::Done(outputs) => json!({ "done": outputs }),
    }
}

/// Whether everything in `expected` is in `found`.
fn contains(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            expected.iter().all(|(name, value)| found.get(name).is_some_and(|found| contains(found, value)))
        }
        _ => found == expected,
    }
}

#[test]
fn parameters_become_effects() {
    let table = [
        (
            "transfer.push",
            json!({"device": "gw-1", "file": "FILE"}),
            json!({"kind": "transfer", "device": "gw-1", "task": {"task": "push", "file": {"md5": MD5}}, "window": null, "packet_size": null}),
        ),
        (
            "transfer.push",
            json!({"device": "gw-1", "file": "FILE", "window": 16, "packet_size": "auto", "message_limit": "2KiB", "rate": "16KiB/s", "meta": {"a": "b"}}),
            json!({"window": 16, "packet_size": null, "message_limit": 2048, "rate": 16_384, "meta": {"a": "b"}}),
        ),
        (
            "transfer.push",
            json!({"device": "g", "file": "FILE", "window": null, "packet_size": 640, "rate": 5}),
            json!({"window": null, "packet_size": 640, "rate": 5}),
        ),
        (
            "transfer.pull",
            json!({"device": "g", "file_type": "syslog"}),
            json!({"task": {"task": "pull", "file_type": "syslog", "name": null}}),
        ),
        (
            "transfer.verify",
            json!({"device": "g", "file": "FILE", "on_difference": "report"}),
            json!({"task": {"task": "verify"}}),
        ),
        (
            "mqtt.publish",
            json!({"topic": "a/b", "payload": "hi"}),
            json!({"kind": "publish", "topic": "a/b", "payload": b"hi", "qos": "at_least_once", "retain": false}),
        ),
        (
            "mqtt.publish",
            json!({"topic": "a", "payload": {"b": [1]}, "qos": 0, "retain": true}),
            json!({"payload": b"{\"b\":[1]}", "qos": "at_most_once", "retain": true}),
        ),
        ("mqtt.publish", json!({"topic": "a", "payload_base64": "AAH/"}), json!({"payload": [0, 1, 255]})),
        ("mqtt.publish", json!({"topic": "a"}), json!({"payload": []})),
        (
            "mqtt.request",
            json!({"topic": "a", "reply_topic": "b"}),
            json!({"kind": "request", "reply_topic": "b", "wait": {"secs": 10, "nanos": 0}}),
        ),
        (
            "mqtt.request",
            json!({"topic": "a", "reply_topic": "b", "wait": "250ms"}),
            json!({"wait": {"secs": 0, "nanos": 250_000_000}}),
        ),
        ("mqtt.wait", json!({"topic": "a"}), json!({"kind": "wait", "topic": "a", "wait": {"secs": 10, "nanos": 0}})),
        (
            "fastdfs.append",
            json!({"file": "FILE", "payload": "x"}),
            json!({"kind": "blob_append", "uri": "fastdfs:group1/M00/00/00/a.bin", "bytes": b"x"}),
        ),
        (
            "plugin.run",
            json!({"plugin": "handshake", "input": {"a": [1]}}),
            json!({"kind": "plugin_run", "plugin": "handshake", "input": {"a": [1]}}),
        ),
        ("plugin.run", json!({"plugin": "acme@1.3"}), json!({"plugin": "acme@1.3", "input": null})),
        ("redis.get", json!({"key": "k"}), json!({"kind": "kv", "op": "get", "key": "k"})),
        (
            "redis.set",
            json!({"key": "k", "value": 5, "expire": "7d"}),
            json!({"op": "set", "value": "5", "expire": {"secs": 604_800, "nanos": 0}}),
        ),
        ("redis.del", json!({"key": "k"}), json!({"op": "del"})),
        ("redis.incr", json!({"key": "k"}), json!({"op": "incr", "by": 1})),
        ("redis.incr", json!({"key": "k", "by": -3}), json!({"by": -3})),
        (
            "redis.hset",
            json!({"key": "k", "field": "f", "value": true}),
            json!({"op": "hset", "field": "f", "value": "true"}),
        ),
        ("redis.hget", json!({"key": "k", "field": "f"}), json!({"op": "hget"})),
        ("redis.hgetall", json!({"key": "k"}), json!({"op": "hgetall"})),
        ("redis.hdel", json!({"key": "k", "field": "f"}), json!({"op": "hdel", "field": "f"})),
        (
            "redis.expire",
            json!({"key": "k", "after": "90s"}),
            json!({"op": "expire", "after": {"secs": 90, "nanos": 0}}),
        ),
        (
            "redis.xadd",
            json!({"key": "k", "fields": {"b": 1, "a": true}, "maxlen": 5}),
            json!({"op": "xadd", "fields": [["b", "1"], ["a", "true"]], "maxlen": 5}),
        ),
        ("fastdfs.upload", json!({"file": "FILE"}), json!({"kind": "upload", "ext": ""})),
        ("fastdfs.upload", json!({"file": "FILE", "ext": "bin"}), json!({"ext": "bin"})),
        (
            "fastdfs.download",
            json!({"file": "FILE", "to": "out/a.bin"}),
            json!({"kind": "download", "to": "out/a.bin"}),
        ),
        (
            "fastdfs.info",
            json!({"file": "FILE"}),
            json!({"kind": "blob_info", "uri": "fastdfs:group1/M00/00/00/a.bin"}),
        ),
        ("fastdfs.delete", json!({"uri": "fastdfs:g/x"}), json!({"kind": "blob_delete", "uri": "fastdfs:g/x"})),
        ("checksum.compute", json!({"file": "FILE"}), json!({"kind": "digest"})),
        ("checksum.verify", json!({"file": "FILE", "md5": MD5}), json!({"kind": "digest"})),
        ("sleep", json!({"duration": "5m"}), json!({"sleep": 300_000})),
        ("assert", json!({"that": true}), json!({"done": {}})),
        (
            "log",
            json!({"message": "hello ${{ x }}", "fields": {"a": [1]}}),
            json!({"kind": "log", "level": "info", "message": "hello ${{ x }}", "fields": {"a": [1]}}),
        ),
    ];
    for (name, parameters, expected) in table {
        let found = effect(start(name, &parameters).unwrap_or_else(|failure| panic!("{name}: {failure}")));
        assert!(contains(&found, &expected), "{name} {parameters}: {found}");
    }
}

#[test]
fn wrong_parameters_are_permanent_and_told_in_words() {
    let long = "x".repeat(129);
    let table = [
        ("transfer.push", json!({"device": "", "file": "FILE"}), "the device id is empty"),
        ("transfer.push", json!({"device": "a/b", "file": "FILE"}), "`/` cannot stand in a device id"),
        ("transfer.push", json!({"device": "a b", "file": "FILE"}), "cannot stand in a device id"),
        ("transfer.push", json!({"device": long, "file": "FILE"}), "longer than 128"),
        ("transfer.push", json!({"device": 5, "file": "FILE"}), "`device` must be a device id, and is an integer"),
        ("transfer.push", json!({"device": "a", "file": "a.bin"}), "is not a file"),
        ("transfer.push", json!({"device": "a"}), "lacks the parameter `file`"),
        ("transfer.push", json!({"device": null, "file": "FILE"}), "lacks the parameter `device`"),
        ("transfer.push", json!({"device": "a", "file": "FILE", "window": 0}), "`window` must be at least 1"),
        ("transfer.push", json!({"device": "a", "file": "FILE", "window": 1.5}), "`window` must be an integer"),
        ("transfer.push", json!({"device": "a", "file": "FILE", "windows": 1}), "has no parameter `windows`"),
        ("transfer.push", json!({"device": "a", "file": "FILE", "packet_size": 0}), "must be at least 1"),
        ("transfer.push", json!({"device": "a", "file": "FILE", "message_limit": 10}), "not within 64B"),
        ("transfer.push", json!({"device": "a", "file": "FILE", "rate": "0KiB/s"}), "never ends"),
        ("transfer.push", json!({"device": "a", "file": "FILE", "meta": {"a": 1}}), "`a` must be text"),
        ("transfer.pull", json!({"device": "a", "file_type": ""}), "`file_type` is empty"),
        ("mqtt.publish", json!({"topic": "a/#"}), "the wildcard `#`"),
        ("mqtt.publish", json!({"topic": "a/+/b"}), "the wildcard `+`"),
        ("mqtt.publish", json!({"topic": ""}), "the topic is empty"),
        ("mqtt.publish", json!({"topic": "a\u{0}b"}), "a control character"),
        ("mqtt.publish", json!({"topic": "a", "payload": "x", "payload_base64": "AA=="}), "not both"),
        ("mqtt.publish", json!({"topic": "a", "payload_base64": "!"}), "is not base64"),
        ("mqtt.publish", json!({"topic": "a", "qos": 2}), "`qos` must be at most 1"),
        ("mqtt.request", json!({"topic": "a", "reply_topic": "+"}), "wildcard"),
        ("mqtt.request", json!({"topic": "a", "reply_topic": "b", "wait": 5}), "`wait` must be a duration"),
        ("mqtt.wait", json!({"topic": "a/#"}), "the wildcard `#`"),
        ("fastdfs.append", json!({"uri": "file:/etc/passwd", "payload": "x"}), "is not in the file store"),
        ("plugin.run", json!({}), "`plugin`"),
        ("plugin.run", json!({"plugin": "../handshake"}), "names no plugin"),
        ("plugin.run", json!({"plugin": "handshake@latest"}), "names no plugin"),
        ("redis.get", json!({"key": ""}), "the key is empty"),
        ("redis.set", json!({"key": "k", "value": [1]}), "`value` must be text"),
        ("redis.expire", json!({"key": "k", "after": 90}), "`after` must be"),
        ("redis.xadd", json!({"key": "k", "fields": {}}), "holds no field"),
        ("redis.xadd", json!({"key": "k", "fields": {"a": [1]}}), "`a` must be"),
        ("redis.xadd", json!({"key": "k", "fields": {"a": 1}, "maxlen": 0}), "`maxlen` must be at least 1"),
        ("fastdfs.upload", json!({"file": "FILE", "ext": ".tar.gz"}), "is not an extension"),
        ("fastdfs.download", json!({"file": "FILE", "to": ""}), "the path is empty"),
        ("fastdfs.info", json!({}), "either `file` or `uri`"),
        ("fastdfs.delete", json!({"uri": "/etc/passwd"}), "is not in the file store"),
        ("checksum.verify", json!({"file": "FILE"}), "give at least one"),
        ("checksum.verify", json!({"file": "FILE", "md5": "xyz"}), "`xyz` is not 32 hexadecimal digits"),
        ("checksum.verify", json!({"file": "FILE", "sha256": MD5}), "is not 64 hexadecimal digits"),
        ("sleep", json!({"duration": "soon"}), "is not a duration"),
        ("assert", json!({"that": "true"}), "`that` must be true or false, and is text"),
        ("log", json!({"message": "a", "level": "loud"}), "`level` cannot be `loud`"),
        ("fail", json!({"message": "a", "code": "PH0001"}), "is not a code"),
    ];
    for (name, parameters, words) in table {
        let failure = start(name, &parameters).expect_err(&format!("{name} {parameters}"));
        assert_eq!(
            (failure.code.as_str(), failure.class),
            ("PH0401", Class::Permanent),
            "{name} {parameters}: {failure}"
        );
        assert!(failure.message.contains(words), "{name} {parameters}: {failure}");
    }
}

fn report(confirmed: Confirmed, digests: &[(Algorithm, &str)], size: Option<u64>) -> Reply {
    let hex = |text: &str| {
        (0..text.len() / 2).map(|at| u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).expect("hex")).collect()
    };
    Reply::Transfer(TransferReport {
        file: serde_json::from_value::<FileRef>(file()).expect("a file"),
        confirmed,
        device_size: size,
        device_digests: digests
            .iter()
            .map(|(algorithm, text)| Digest { algorithm: *algorithm, value: hex(text) })
            .collect(),
        own_digests: Vec::new(),
        traffic: Traffic { payload_bytes: 3, ..Traffic::default() },
    })
}

#[test]
fn a_push_tells_what_is_ours_and_what_the_device_said() {
    let parameters = json!({"device": "g", "file": "FILE"});
    let told = finish("transfer.push", &parameters, report(Confirmed::DeviceDigest, &[(Algorithm::Md5, MD5)], Some(3)))
        .expect("good");
    assert!(contains(
        &told,
        &json!({"md5": MD5, "sha256": SHA256, "device_md5": MD5, "confirmed": "device_digest", "traffic": {"payload_bytes": 3}})
    ));
    let untold = finish("transfer.push", &parameters, report(Confirmed::Acks, &[], None)).expect("good");
    assert_eq!((untold.get("device_md5"), &untold["confirmed"]), (None, &json!("acks")));
    let other = finish(
        "transfer.push",
        &parameters,
        report(Confirmed::DeviceDigest, &[(Algorithm::Md5, &"0".repeat(32))], None),
    );
    assert_eq!(other.expect_err("differs").code, "PH0411");
}

#[test]
fn a_verify_fails_on_a_difference_unless_it_shall_report() {
    let fail = json!({"device": "g", "file": "FILE"});
    let report_it = json!({"device": "g", "file": "FILE", "on_difference": "report"});
    let zeros = "0".repeat(32);
    let table: Vec<(&str, Reply, Option<bool>)> = vec![
        ("same", report(Confirmed::DeviceDigest, &[(Algorithm::Md5, MD5)], Some(3)), Some(true)),
        ("same by sha-256", report(Confirmed::DeviceDigest, &[(Algorithm::Sha256, SHA256)], None), Some(true)),
        ("other digest", report(Confirmed::DeviceDigest, &[(Algorithm::Md5, &zeros)], Some(3)), Some(false)),
        ("other size", report(Confirmed::DeviceDigest, &[(Algorithm::Md5, MD5)], Some(4)), Some(false)),
        (
            "one of two differs",
            report(Confirmed::DeviceDigest, &[(Algorithm::Md5, MD5), (Algorithm::Sha256, &"0".repeat(64))], None),
            Some(false),
        ),
        ("no such file", report(Confirmed::Acks, &[], None), Some(false)),
        ("nothing to compare", report(Confirmed::DeviceDigest, &[(Algorithm::Crc32, "00000000")], None), None),
    ];
    for (name, reply, same) in table {
        let reported = finish("transfer.verify", &report_it, reply.clone());
        let failed = finish("transfer.verify", &fail, reply);
        match same {
            Some(same) => {
                assert_eq!(reported.expect(name)["same"], json!(same), "{name}");
                assert_eq!(failed.is_ok(), same, "{name}");
            }
            None => assert_eq!(
                (reported.expect_err(name).code, failed.expect_err(name).code),
                ("PH0413".into(), "PH0413".into())
            ),
        }
    }
}

#[test]
fn answers_become_outputs() {
    let value = |value: Value| Reply::Value { value };
    let stored = Reply::Stored { file: serde_json::from_value(file()).expect("a file") };
    let digests = || Reply::Digests { size: 3, md5: MD5.to_owned(), sha256: SHA256.to_owned() };
    let message = |payload: &[u8]| {
        Reply::Message(packhorse_core::effect::MessageReply { topic: "t".into(), payload: payload.to_vec() })
    };
    let ask = json!({"topic": "a", "reply_topic": "b"});
    let table = [
        ("redis.get", json!({"key": "k"}), value(json!("v")), json!({"value": "v"})),
        ("redis.get", json!({"key": "k"}), value(json!(null)), json!({})),
        ("redis.set", json!({"key": "k", "value": "v"}), Reply::Done, json!({})),
        ("redis.del", json!({"key": "k"}), value(json!(1)), json!({"deleted": true})),
        ("redis.del", json!({"key": "k"}), value(json!(0)), json!({"deleted": false})),
        ("redis.incr", json!({"key": "k"}), value(json!(8)), json!({"value": 8})),
        ("redis.hset", json!({"key": "k", "field": "f", "value": "v"}), Reply::Done, json!({})),
        ("redis.hget", json!({"key": "k", "field": "f"}), value(json!("v")), json!({"value": "v"})),
        ("redis.hgetall", json!({"key": "k"}), value(json!({"a": "b"})), json!({"values": {"a": "b"}})),
        ("redis.hgetall", json!({"key": "k"}), value(json!(null)), json!({"values": {}})),
        ("redis.hdel", json!({"key": "k", "field": "f"}), value(json!(1)), json!({"deleted": true})),
        ("redis.expire", json!({"key": "k", "after": "1h"}), value(json!(0)), json!({"found": false})),
        ("redis.xadd", json!({"key": "k", "fields": {"a": 1}}), value(json!("5-0")), json!({"id": "5-0"})),
        ("mqtt.publish", json!({"topic": "a"}), Reply::Done, json!({})),
        (
            "mqtt.request",
            ask.clone(),
            message(b"{\"a\": 1}"),
            json!({"topic": "t", "payload_base64": "eyJhIjogMX0=", "payload": "{\"a\": 1}", "json": {"a": 1}}),
        ),
        (
            "mqtt.wait",
            json!({"topic": "t"}),
            message(b"hi"),
            json!({"topic": "t", "payload_base64": "aGk=", "payload": "hi"}),
        ),
        (
            "plugin.run",
            json!({"plugin": "p"}),
            Reply::Plugin { outputs: Map::from_iter([("own".to_owned(), json!([1]))]) },
            json!({"own": [1]}),
        ),
        ("mqtt.request", ask.clone(), message(b"hi"), json!({"topic": "t", "payload_base64": "aGk=", "payload": "hi"})),
        ("mqtt.request", ask, message(&[0xff]), json!({"topic": "t", "payload_base64": "/w=="})),
        (
            "fastdfs.upload",
            json!({"file": "FILE"}),
            stored,
            json!({"uri": "fastdfs:group1/M00/00/00/a.bin", "file": file()}),
        ),
        ("fastdfs.download", json!({"file": "FILE", "to": "x"}), Reply::Done, json!({"path": "x"})),
        (
            "fastdfs.info",
            json!({"file": "FILE"}),
            Reply::Info { size: 3, crc32: Some(5), created: None },
            json!({"size": 3, "crc32": 5}),
        ),
        ("fastdfs.delete", json!({"file": "FILE"}), Reply::Done, json!({})),
        ("checksum.compute", json!({"file": "FILE"}), digests(), json!({"size": 3, "md5": MD5, "sha256": SHA256})),
        (
            "checksum.verify",
            json!({"file": "FILE", "md5": MD5.to_uppercase(), "size": 3}),
            digests(),
            json!({"size": 3, "md5": MD5, "sha256": SHA256}),
        ),
        ("sleep", json!({"duration": "1s"}), Reply::Done, json!({})),
        ("log", json!({"message": "a"}), Reply::Done, json!({})),
    ];
    for (name, parameters, reply, expected) in table {
        assert_eq!(finish(name, &parameters, reply), Ok(expected), "{name}");
    }
    let differs =
        finish("checksum.verify", &json!({"file": "FILE", "sha256": "0".repeat(64)}), digests()).expect_err("differs");
    assert_eq!((differs.code.as_str(), differs.class), ("PH0421", Class::Permanent));
    let long = finish("redis.get", &json!({"key": "k"}), value(json!("x".repeat(65_537)))).expect_err("too long");
    assert_eq!(long.code, "PH0403");
}

#[test]
fn an_answer_of_another_kind_is_a_bug_of_ours() {
    for primitive in PRIMITIVES {
        let reply = Reply::Info { size: 1, crc32: None, created: None };
        let reply = if primitive.name == "fastdfs.info" { Reply::Done } else { reply };
        let failure = (primitive.finish)(&Map::new(), reply).expect_err(primitive.name);
        assert_eq!((failure.code.as_str(), failure.class), ("PH0402", Class::Bug), "{}", primitive.name);
    }
}

#[test]
fn assert_and_fail_say_what_the_workflow_says() {
    let asserted = start("assert", &json!({"that": false, "message": "too old"})).expect_err("fails");
    assert_eq!((asserted.code.as_str(), asserted.message.as_str()), ("PH0431", "assert: too old"));
    let failed = start("fail", &json!({"message": "no", "code": "TOO_LARGE"})).expect_err("fails");
    assert_eq!((failed.code.as_str(), failed.class), ("TOO_LARGE", Class::Permanent));
    assert_eq!(start("fail", &json!({"message": "no"})).expect_err("fails").code, "PH0441");
}

/// The steps that other examples refer to.
const NAMED: [&str; 4] = ["fastdfs.upload", "transfer.push", "transfer.pull", "transfer.verify"];

#[test]
fn every_example_is_a_step_that_passes() {
    for primitive in PRIMITIVES {
        let mut source = "kind: workflow/v1\nname: example\ncodec: json-base64\ninputs:\n  device: { type: string }\n  image: { type: file }\n  expected: { type: string }\nsteps:\n".to_owned();
        let before = NAMED.iter().filter(|name| **name != primitive.name).filter_map(|name| step::primitive(name));
        for line in before.chain([*primitive]).flat_map(|primitive| primitive.example.lines()) {
            source.extend(["  ", line, "\n"]);
        }
        let name = primitive.name;
        let check = move || workflow::check(source.as_bytes(), name).map(drop).map_err(|problems| problems.to_string());
        let checked =
            std::thread::Builder::new().stack_size(expr::STACK).spawn(check).expect("spawns").join().expect("no panic");
        checked.unwrap_or_else(|problems| panic!("{problems}"));
    }
}

#[test]
fn help_names_every_parameter_output_and_error() {
    for primitive in PRIMITIVES {
        let page = step::help(primitive);
        let schema = (primitive.parameters)().to_value();
        for name in schema["properties"].as_object().into_iter().flat_map(Map::keys) {
            assert!(page.contains(&format!("\n  {name} (")), "{page}");
            assert!(schema["properties"][name]["description"].is_string(), "{}: {name} has no words", primitive.name);
        }
        for output in primitive.outputs {
            assert!(page.contains(&format!("\n  {} (", output.name)), "{page}");
        }
        primitive.errors.iter().for_each(|(code, _)| assert!(page.contains(code), "{page}"));
        assert!(page.contains(primitive.example.lines().next().expect("an example")), "{page}");
    }
}

#[test]
fn names_are_unique() {
    let mut names: Vec<&str> = PRIMITIVES.iter().map(|primitive| primitive.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), PRIMITIVES.len());
    assert_eq!(PRIMITIVES.len(), 28);
}
