//! What every store of keys must do, whatever it lies on.

use super::at;
use crate::store::redis::testing::RedisServer;
use crate::store::*;
use packhorse_core::effect::KvRequest;
use packhorse_core::run::WallTime;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// A second in the scripts below is so long on a server that has a clock of its own: what the test itself takes is nothing beside it.
pub(in crate::store) const LONG: u64 = 1_000;

/// A store of keys whose clock can be put forward.
struct Keys {
    store: Arc<dyn KeyValue>,
    server: Option<RedisServer>,
    clock: std::cell::Cell<u64>,
    _folder: Option<TempDir>,
}

impl Keys {
    fn of(store: Arc<dyn KeyValue>, server: Option<RedisServer>, folder: Option<TempDir>) -> Self {
        Self { store, server, clock: std::cell::Cell::new(0), _folder: folder }
    }

    /// A server's clock cannot be set: its keys' times are moved instead.
    fn at(&self, seconds: u64) -> WallTime {
        let moved = i64::try_from(seconds).expect("small") - i64::try_from(self.clock.replace(seconds)).expect("small");
        if let Some(server) = self.server.as_ref().filter(|_| moved != 0) {
            let script = "for _, key in ipairs(redis.call('KEYS', '*')) do local left = redis.call('PTTL', key) \
                if left >= 0 then redis.call('PEXPIRE', key, left - ARGV[1]) end end return 1";
            let moved = (moved * i64::try_from(LONG).expect("small") * 1_000).to_string();
            assert_eq!(server.tell(&["EVAL", script, "0", &moved]), ":1");
        }
        at(seconds * LONG)
    }
}

fn key_values() -> Vec<(&'static str, Keys)> {
    let folder = tempfile::tempdir().expect("a folder");
    let embedded = EmbeddedStore::open(&folder.path().join("store.redb")).expect("a new store");
    let server = RedisServer::start();
    let redis = RedisKeyValue::new(&RedisSettings::new(server.url())).expect("a url");
    vec![
        ("memory", Keys::of(Arc::new(MemoryKeyValue::default()), None, None)),
        ("embedded", Keys::of(Arc::new(embedded), None, Some(folder))),
        ("redis", Keys::of(Arc::new(redis), Some(server), None)),
    ]
}

/// Operations on the key-value store, one a line: seconds, command, what comes of it.
async fn check(script: &str) {
    for (name, keys) in key_values() {
        let mut last = (0, 0);
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (asked, expected) = line.split_once(" -> ").expect("an operation and what comes of it");
            let words: Vec<&str> = asked.split_whitespace().collect();
            let came = match keys.store.operate(request(&words[1..]), keys.at(words[0].parse().expect("seconds"))).await
            {
                Ok(Value::String(id)) if words[1] == "xadd" => grown(&id, &mut last),
                Ok(value) => value.to_string(),
                Err(KvError::WrongType { .. }) => "wrong type".to_owned(),
                Err(KvError::NotAnInteger { .. }) => "not an integer".to_owned(),
                Err(error) => panic!("{name}: {error}"),
            };
            assert_eq!(came, expected, "{name}: {line}");
        }
    }
}

/// Whether an id of a stream is one, and greater than the last.
fn grown(id: &str, last: &mut (u64, u64)) -> String {
    let (ms, number) = id.split_once('-').expect("two numbers");
    let id = (ms.parse().expect("a number"), number.parse().expect("a number"));
    if *last < id {
        *last = id;
        return "id".to_owned();
    }
    format!("{id:?} after {last:?}")
}

fn request(words: &[&str]) -> KvRequest {
    let text = |place: usize| words[place].to_owned();
    match words {
        ["get", _] => KvRequest::Get { key: text(1) },
        ["set", _, _] => KvRequest::Set { key: text(1), value: text(2), expire: None },
        ["set", _, _, seconds] => {
            let expire = Some(Duration::from_secs(LONG * seconds.parse::<u64>().expect("seconds")));
            KvRequest::Set { key: text(1), value: text(2), expire }
        }
        ["del", _] => KvRequest::Del { key: text(1) },
        ["incr", _, by] => KvRequest::Incr { key: text(1), by: by.parse().expect("a number") },
        ["hset", _, _, _] => KvRequest::Hset { key: text(1), field: text(2), value: text(3) },
        ["hget", _, _] => KvRequest::Hget { key: text(1), field: text(2) },
        ["hdel", _, _] => KvRequest::Hdel { key: text(1), field: text(2) },
        ["expire", _, seconds] => KvRequest::Expire {
            key: text(1),
            after: Duration::from_secs(LONG * seconds.parse::<u64>().expect("seconds")),
        },
        ["xadd", _, field, value] => {
            KvRequest::Xadd { key: text(1), fields: vec![(field.to_string(), value.to_string())], maxlen: None }
        }
        ["xadd", _, field, value, most] => {
            let fields = vec![(field.to_string(), value.to_string())];
            KvRequest::Xadd { key: text(1), fields, maxlen: Some(most.parse().expect("a number")) }
        }
        ["hgetall", _] => KvRequest::Hgetall { key: text(1) },
        _ => panic!("unknown operation {words:?}"),
    }
}

#[tokio::test]
async fn text_is_set_read_and_removed() {
    check(
        r#"
        0 get a -> null
        0 set a 1 -> null
        0 get a -> "1"
        0 set a 2 -> null
        0 get a -> "2"
        0 del a -> 1
        0 del a -> 0
        0 get a -> null
        "#,
    )
    .await;
}

#[tokio::test]
async fn numbers_are_counted() {
    check(
        "
        0 incr n 5 -> 5
        0 incr n -7 -> -2
        0 get n -> \"-2\"
        0 set n 9223372036854775807 -> null
        0 incr n 1 -> not an integer
        0 get n -> \"9223372036854775807\"
        0 set n word -> null
        0 incr n 1 -> not an integer
        ",
    )
    .await;
}

#[tokio::test]
async fn hashes_have_fields_of_their_own() {
    check(
        r#"
        0 hgetall h -> {}
        0 hget h x -> null
        0 hset h x 1 -> 1
        0 hset h x 2 -> 0
        0 hset h y 3 -> 1
        0 hset hh x other -> 1
        0 hget h x -> "2"
        0 hget h z -> null
        0 hgetall h -> {"x":"2","y":"3"}
        0 del h -> 1
        0 hgetall h -> {}
        0 hgetall hh -> {"x":"other"}
        "#,
    )
    .await;
}

#[tokio::test]
async fn text_and_hashes_are_not_mixed_up() {
    check(
        r#"
        0 set t 1 -> null
        0 hset t x 1 -> wrong type
        0 hget t x -> wrong type
        0 hgetall t -> wrong type
        0 hset h x 1 -> 1
        0 get h -> wrong type
        0 incr h 1 -> wrong type
        0 set h text -> null
        0 get h -> "text"
        0 del h -> 1
        0 hset h y 1 -> 1
        0 hgetall h -> {"y":"1"}
        "#,
    )
    .await;
}

#[tokio::test]
async fn keys_expire_and_what_was_there_is_gone() {
    check(
        r#"
        0 set a 1 10 -> null
        9 get a -> "1"
        9 incr a 1 -> 2
        10 get a -> null
        10 del a -> 0
        10 incr a 1 -> 1
        99 get a -> "1"
        0 set b 1 10 -> null
        5 set b 2 -> null
        99 get b -> "2"
        0 set c 1 10 -> null
        10 hset c x 1 -> 1
        10 hgetall c -> {"x":"1"}
        "#,
    )
    .await;
}

#[tokio::test]
async fn numbers_are_read_as_redis_reads_them() {
    check(
        "
        0 set n +5 -> null
        0 incr n 1 -> not an integer
        0 set n 007 -> null
        0 incr n 1 -> not an integer
        0 set n -0 -> null
        0 incr n 1 -> not an integer
        0 set n -9223372036854775808 -> null
        0 incr n -1 -> not an integer
        0 incr n 1 -> -9223372036854775807
        ",
    )
    .await;
}

#[tokio::test]
async fn a_hash_goes_with_its_last_field() {
    check(
        r#"
        0 hdel h x -> 0
        0 hset h x 1 -> 1
        0 hset h y 2 -> 1
        0 hdel h x -> 1
        0 hdel h x -> 0
        0 hgetall h -> {"y":"2"}
        0 expire h 10 -> 1
        0 hdel h y -> 1
        0 del h -> 0
        0 set h text -> null
        0 hdel h x -> wrong type
        99 get h -> "text"
        "#,
    )
    .await;
}

#[tokio::test]
async fn keys_of_every_kind_can_be_let_expire() {
    check(
        r#"
        0 expire a 10 -> 0
        0 set a 1 -> null
        0 expire a 10 -> 1
        9 get a -> "1"
        10 get a -> null
        10 expire a 10 -> 0
        0 hset h x 1 -> 1
        0 expire h 10 -> 1
        5 hset h y 2 -> 1
        5 expire h 50 -> 1
        10 hgetall h -> {"x":"1","y":"2"}
        55 hgetall h -> {}
        60 set b 1 -> null
        60 expire b 0 -> 1
        60 get b -> null
        "#,
    )
    .await;
}

#[tokio::test]
async fn streams_give_ids_that_grow() {
    check(
        r#"
        5 xadd s a 1 -> id
        5 xadd s a 2 -> id
        4 xadd s a 3 -> id
        6 xadd s a 4 2 -> id
        6 get s -> wrong type
        6 hgetall s -> wrong type
        6 hset s a 1 -> wrong type
        6 incr s 1 -> wrong type
        6 expire s 10 -> 1
        15 xadd s a 5 -> id
        16 del s -> 0
        16 hset s a 1 -> 1
        16 xadd s a 1 -> wrong type
        16 set s text -> null
        16 xadd s a 1 -> wrong type
        16 del s -> 1
        16 xadd s a 1 -> id
        "#,
    )
    .await;
}

#[tokio::test]
async fn many_operations_are_answered_in_their_order_each_by_itself() {
    for (name, keys) in key_values() {
        let asked = ["set a 1", "incr a 1", "hset a x 1", "get a", "del a", "get a"];
        let requests = asked.iter().map(|line| request(&line.split(' ').collect::<Vec<_>>())).collect();
        let came = keys.store.operate_many(requests, at(0)).await.expect("works");
        assert!(matches!(came[2], Err(KvError::WrongType { .. })), "{name}: {came:?}");
        let good: Vec<Value> = came.into_iter().filter_map(Result::ok).collect();
        assert_eq!(good, [json!(null), json!(2), json!("2"), json!(1), json!(null)], "{name}");
    }
}

#[tokio::test]
async fn keys_of_any_text_do_not_touch_each_other() {
    for (name, keys) in key_values() {
        let texts = ["", "a", "a\0", "a\0b", "é", "\u{10ffff}"];
        for key in texts {
            for field in texts {
                let value = format!("{key}/{field}");
                let set = KvRequest::Hset { key: key.to_owned(), field: field.to_owned(), value };
                assert_eq!(keys.store.operate(set, at(0)).await.expect("works"), json!(1), "{name}");
            }
        }
        for key in texts {
            let all = keys.store.operate(KvRequest::Hgetall { key: key.to_owned() }, at(0)).await.expect("works");
            let expected: Value =
                texts.iter().map(|field| ((*field).to_owned(), json!(format!("{key}/{field}")))).collect();
            assert_eq!(all, expected, "{name}: {key:?}");
        }
    }
}

#[tokio::test]
async fn what_is_too_large_for_a_step_is_refused_alike_and_our_own_hashes_are_read_whole() {
    for (name, keys) in key_values() {
        let ask = |request| keys.store.operate(request, at(0));
        let (key, most) = ("k".to_owned(), 1 << 20);
        let set = |length: usize| KvRequest::Set { key: key.clone(), value: "x".repeat(length), expire: None };
        ask(set(most)).await.expect("as long as it may be");
        assert_eq!(ask(request(&["get", "k"])).await.expect("works").as_str().map(str::len), Some(most), "{name}");
        let field = |length: usize| KvRequest::Hset { key: "t".into(), field: "f".into(), value: "x".repeat(length) };
        ask(field(most)).await.expect("as long as it may be");
        let entry = KvRequest::Xadd { key: "s".into(), fields: vec![("a".into(), "x".repeat(most))], maxlen: None };
        let mut words = Vec::new();
        for refused in [set(most + 1), field(most + 1), entry, request(&["hgetall", "t"])] {
            match ask(refused).await {
                Err(error @ KvError::Unfit { .. }) => words.push(error.to_string()),
                other => panic!("{name}: {other:?}"),
            }
        }
        let expected = |key: &str| format!("key {key:?} holds more than the 1048576 bytes that a step can take");
        assert_eq!(words, ["k", "t", "s", "t"].map(expected), "{name}");
        let fields: Vec<(String, String)> = (0..5_000).map(|at| (format!("{at:05}"), format!("v{at}"))).collect();
        for part in fields.chunks(500) {
            let set = |(field, value): &(String, String)| KvRequest::Hset {
                key: "h".to_owned(),
                field: field.clone(),
                value: value.clone(),
            };
            keys.store.operate_many(part.iter().map(set).collect(), at(0)).await.expect("works");
        }
        let refused = ask(request(&["hgetall", "h"])).await.expect_err("too many").to_string();
        assert_eq!(refused, r#"key "h" holds more than the 4096 fields that a step can take"#, "{name}");
        assert!(keys.store.fields("h".to_owned(), at(0)).await.expect("readable") == fields, "{name}");
        assert_eq!(keys.store.fields("none".to_owned(), at(0)).await.expect("readable"), [], "{name}");
        let wrong = keys.store.fields("k".to_owned(), at(0)).await;
        assert!(matches!(wrong, Err(KvError::WrongType { .. })), "{name}: {wrong:?}");
    }
}
