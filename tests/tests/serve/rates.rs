//! How often the API may be asked: each token for itself, and never at the cost of those who watch the process.

use crate::client::{Answer, get, send};
use crate::daemon::{Daemon, token};
use crate::elsewhere::Elsewhere;
use packhorse_tests::World;
use serde_json::json;
use std::cell::RefCell;

/// Far more than may come at once.
const MANY: usize = 1_000;

/// A header of an answer.
fn header(answer: &Answer, name: &str) -> Option<String> {
    let line = answer.head.lines().find_map(|line| {
        let (found, value) = line.split_once(": ")?;
        found.eq_ignore_ascii_case(name).then_some(value)
    });
    line.map(str::to_owned)
}

#[test]
fn who_asks_too_often_is_told_to_wait_and_nobody_else() {
    let tokens = RefCell::new(Vec::new());
    let written = |world: &World| {
        let entry = |name: &str| {
            let (text, entry) = token(world, name, &[]);
            tokens.borrow_mut().push(text);
            entry
        };
        let entries = [entry("greedy"), entry("modest")];
        json!({ "serve": { "tokens": entries, "rate_limit": { "per_second": 1, "burst": 3 } } }).to_string()
    };
    let mut daemon = Daemon::with(written);
    let (at, tokens) = (daemon.http(), tokens.into_inner());
    let ask = |token: &str| send(&at, "GET", "/v1/runs", &[&format!("Authorization: Bearer {token}")], b"");
    let first = ask(&tokens[0]).is(200);
    assert_eq!(header(&first, "RateLimit-Policy").as_deref(), Some("\"requests\";q=3;w=3"), "{first:?}");
    assert_eq!(header(&first, "RateLimit").as_deref(), Some("\"requests\";r=2;t=1"), "{first:?}");
    assert_eq!(header(&first, "Retry-After"), None, "{first:?}");
    let refused = (0..MANY).map(|_| ask(&tokens[0])).find(|answer| answer.status != 200).expect("some are too many");
    let refused = refused.is(429);
    assert_eq!(refused.json()["code"], "PH8412");
    assert_eq!(header(&refused, "Retry-After").as_deref(), Some("1"), "{refused:?}");
    assert!(header(&refused, "RateLimit").is_some_and(|left| left.starts_with("\"requests\";r=0;")), "{refused:?}");
    ask(&tokens[1]).is(200);
    // Whoever watches the process asks as often as it likes, with whatever token.
    for _ in 0..20 {
        get(&at, "/healthz").is(200);
        get(&at, "/readyz").is(200);
        send(&at, "GET", "/metrics", &[&format!("Authorization: Bearer {}", tokens[0])], b"").is(200);
    }
    // Guesses are counted too, all of one address together.
    let guess = |number: usize| ask(&format!("ph_{number}")).status;
    assert!((0..MANY).map(guess).any(|status| status == 429), "guesses are counted");
    // The command line waits as long as it is told to.
    let elsewhere = Elsewhere::new(&at, &tokens[0]);
    (0..4).for_each(|_| drop(elsewhere.ask(&["ps"]).exits(0)));
    daemon.stop();
}

#[test]
fn without_a_word_a_hundred_requests_a_second_are_answered() {
    let mut daemon = Daemon::with(|_| "{}".to_owned());
    let answer = get(&daemon.http(), "/v1/runs").is(200);
    assert_eq!(header(&answer, "RateLimit-Policy").as_deref(), Some("\"requests\";q=1000;w=10"), "{answer:?}");
    daemon.stop();
}
