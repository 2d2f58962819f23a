//! What only a Redis server can do to the keys of workflows.

use super::testing::{Proxy, RedisServer};
use super::*;
use crate::store::{KeyValue as _, KvError};
use packhorse_core::effect::KvRequest;
use packhorse_core::run::WallTime;
use serde_json::json;

fn get(key: &str) -> KvRequest {
    KvRequest::Get { key: key.to_owned() }
}

fn set(key: &str, value: &str) -> KvRequest {
    KvRequest::Set { key: key.to_owned(), value: value.to_owned(), expire: None }
}

#[tokio::test]
async fn keys_survive_a_restart_of_the_server_and_the_connection_is_made_anew() {
    let mut server = RedisServer::with(&["--save", "", "--appendonly", "yes", "--appendfsync", "always"]);
    let values = RedisKeyValue::new(&RedisSettings::new(server.url())).expect("a url");
    for round in 0..3 {
        values.operate(set("a", &round.to_string()), WallTime(0)).await.expect("works");
        server.kill();
        server.start_again();
        let got = values.operate(get("a"), WallTime(0)).await.expect("works again");
        assert_eq!(got, json!(round.to_string()));
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_without_its_password() {
    let mut server = RedisServer::start();
    server.kill();
    let url = server.url().replace("redis://", "redis://somebody:secret@");
    let values = RedisKeyValue::new(&RedisSettings::new(url)).expect("a url");
    let error = values.ping().await.expect_err("not there");
    let text = packhorse_core::failure::chain(&error);
    assert!(text.contains("redis://somebody:***@127.0.0.1") && !text.contains("secret"), "{text}");
    let error = values.operate(get("a"), WallTime(0)).await.expect_err("not there");
    assert!(matches!(error, KvError::Store(_)), "{error}");
}

#[tokio::test]
async fn what_no_workflow_can_hold_is_refused_by_name() {
    let server = RedisServer::start();
    let values = RedisKeyValue::new(&RedisSettings::new(server.url())).expect("a url");
    server.tell(&["SETRANGE", "large", "2000000", "x"]);
    server.tell(&["SETBIT", "odd", "0", "1"]);
    server.tell(&["HSET", "hash", "f", "v"]);
    let large = values.operate(get("large"), WallTime(0)).await.expect_err("too large").to_string();
    assert!(large.contains("more than the 1048576 bytes"), "{large}");
    let odd = values.operate(get("odd"), WallTime(0)).await.expect_err("no text").to_string();
    assert!(odd.contains("UTF-8"), "{odd}");
    let write = values.operate(set("a", &"x".repeat(2_000_000)), WallTime(0)).await.expect_err("too large");
    assert!(matches!(write, KvError::Unfit { .. }), "{write}");
    let wrong = values.operate(get("hash"), WallTime(0)).await.expect_err("a hash");
    assert!(matches!(wrong, KvError::WrongType { .. }), "{wrong}");
}

#[tokio::test]
async fn users_and_passwords_are_used_and_refusals_told() {
    let server = RedisServer::with(&["--save", "", "--requirepass", "canary-7"]);
    let plain = RedisKeyValue::new(&RedisSettings::new(server.url())).expect("a url");
    let error = packhorse_core::failure::chain(&plain.ping().await.expect_err("no password"));
    assert!(error.contains("NOAUTH"), "{error}");
    let with = RedisSettings { password: Some("canary-7".to_owned()), ..RedisSettings::new(server.url()) };
    assert!(!format!("{with:?}").contains("canary-7"));
    let values = RedisKeyValue::new(&with).expect("a url");
    values.operate(set("a", "1"), WallTime(0)).await.expect("works");
    let wrong = RedisSettings { password: Some("wrong".to_owned()), ..RedisSettings::new(server.url()) };
    let error = RedisKeyValue::new(&wrong).expect("a url").ping().await.expect_err("wrong password");
    let text = packhorse_core::failure::chain(&error);
    assert!(!text.contains("wrong\"") && text.contains("Redis"), "{text}");
}

#[test]
fn other_urls_are_refused() {
    for url in ["", "localhost:6379", "http://x", "unix:///tmp/x", "redis://h/notadb", "redis://"] {
        let made = RedisKeyValue::new(&RedisSettings::new(url));
        assert!(matches!(made, Err(RedisUrlError::Url { .. })), "{url}: {made:?}");
    }
}

#[tokio::test]
async fn an_answer_that_was_lost_is_repeated_only_where_that_changes_nothing() {
    let server = RedisServer::start();
    let proxy = Proxy::before(&server);
    let values = RedisKeyValue::new(&RedisSettings::new(proxy.url())).expect("a url");
    let incr = || KvRequest::Incr { key: "n".to_owned(), by: 1 };
    assert_eq!(values.operate(incr(), WallTime(0)).await.expect("works"), json!(1));
    let mut unknown = 0;
    for round in 2..20 {
        proxy.cut_answers(1);
        let lost = values.operate(incr(), WallTime(0)).await.expect_err("its answer was cut");
        assert!(matches!(lost, KvError::UnknownOutcome { .. }), "{lost}");
        unknown += 1;
        assert_eq!(values.operate(get("n"), WallTime(0)).await.expect("works"), json!(round.to_string()), "done once");
        proxy.cut_answers(1);
        let set = values.operate(set("a", &round.to_string()), WallTime(0)).await;
        assert_eq!((set.expect("repeated"), proxy.left()), (json!(null), 0));
        assert_eq!(values.operate(get("a"), WallTime(0)).await.expect("works"), json!(round.to_string()));
    }
    println!("{unknown} answers of increments cut, none of them carried out twice");
}
