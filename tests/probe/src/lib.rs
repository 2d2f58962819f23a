//! A step plugin that makes the calls that its input lists, and tells what came of each.

use packhorse_step::{Class, Error, Failure, Input, fastdfs, log, mqtt, redis};
use serde_json::{Value, json};

packhorse_step::step!(run);

fn run(input: Input) -> Result<String, Failure> {
    let asked: Value = serde_json::from_str(&input.json).unwrap_or_default();
    if let Some(text) = asked["give"].as_str() {
        return Ok(text.to_owned());
    }
    let calls = asked["calls"].as_array().cloned().unwrap_or_default();
    let times = asked["times"].as_u64().unwrap_or(1);
    let mut results = Vec::new();
    for _ in 0..times {
        results.extend(calls.iter().map(|call| told(make(call))));
    }
    if let Some(code) = asked["fail"].as_str() {
        let class = match asked["class"].as_str() {
            Some("transient") => Class::Transient,
            Some("operator") => Class::Operator,
            _ => Class::Permanent,
        };
        let message = format!("as it was told: {}", Value::from(results));
        return Err(Failure { class, code: code.to_owned(), message });
    }
    Ok(json!({ "results": results, "attempt": input.attempt, "run": input.run }).to_string())
}

fn told(made: Result<Value, Error>) -> Value {
    match made {
        Ok(value) => value,
        Err(Error::Denied(why)) => json!({ "denied": why }),
        Err(Error::Spent(why)) => json!({ "spent": why }),
        Err(Error::Failed(failure)) => json!({ "failed": failure.code, "message": failure.message }),
    }
}

fn make(call: &Value) -> Result<Value, Error> {
    let text = |name: &str| call[name].as_str().unwrap_or_default();
    let number = |name: &str| call[name].as_u64();
    let millis = u32::try_from(number("ms").unwrap_or(1000)).unwrap_or(u32::MAX);
    let said =
        |message: Option<mqtt::Message>| json!(message.map(|m| String::from_utf8_lossy(&m.payload).into_owned()));
    match text("do") {
        "publish" => mqtt::publish(text("topic"), text("payload").as_bytes(), mqtt::Qos::AtLeastOnce, false).map(done),
        "request" => mqtt::request(text("topic"), text("payload").as_bytes(), text("reply"), millis).map(said),
        "wait" => mqtt::wait(text("topic"), millis).map(said),
        "get" => redis::get(text("key")).map(|value| json!(value)),
        "set" => redis::set(text("key"), text("value"), number("expire")).map(done),
        "delete" => redis::delete(text("key")).map(done),
        "hash-get" => redis::hash_get(text("key"), text("field")).map(|value| json!(value)),
        "hash-get-all" => redis::hash_get_all(text("key")).map(|pairs| json!(pairs)),
        "hash-set" => redis::hash_set(text("key"), text("field"), text("value")).map(done),
        "hash-delete" => redis::hash_delete(text("key"), text("field")).map(done),
        "stream-add" => redis::stream_add(text("key"), &[("n".to_owned(), "1".to_owned())], None).map(|id| json!(id)),
        "upload" => fastdfs::upload(text("bytes").as_bytes(), "txt", call["grows"] == true).map(|uri| json!(uri)),
        "append" => fastdfs::append(text("uri"), text("bytes").as_bytes()).map(done),
        "download" => {
            let length = u32::try_from(number("length").unwrap_or(4096)).unwrap_or(u32::MAX);
            let bytes = fastdfs::download(text("uri"), number("offset").unwrap_or(0), length);
            bytes.map(|bytes| json!(String::from_utf8_lossy(&bytes)))
        }
        // A file of its own from its first byte to its last.
        "grow" => {
            let uri = fastdfs::upload(b"one", "txt", true)?;
            fastdfs::append(&uri, b" two")?;
            let bytes = fastdfs::download(&uri, 1, 4096)?;
            fastdfs::delete(&uri)?;
            Ok(json!([String::from_utf8_lossy(&bytes), uri]))
        }
        "delete-file" => fastdfs::delete(text("uri")).map(done),
        "log" => {
            log::log(log::Level::Warn, text("message"), &[("field".to_owned(), text("field").to_owned())]).map(done)
        }
        "spin" => spin(),
        "panic" => panic!("told to: {}", text("message")),
        "memory" => Ok(json!(std::hint::black_box(vec![1_u8; 64 << 20]).len())),
        other => Ok(json!({ "unknown": other })),
    }
}

fn done((): ()) -> Value {
    json!("done")
}

fn spin() -> ! {
    let mut count = 0_u64;
    loop {
        count = std::hint::black_box(count.wrapping_add(1));
    }
}
