//! The envelope of facts: which format each is of, and what is read of other formats.

use super::*;
use crate::grant::RefusedCall;

/// As the first program that knew step plugins wrote it.
const REFUSED: &str = r#"{"v":2,"at":1700000000000,"fact":"call_refused","step":"auth","call":{"plugin":"p","call":"redis.get k","why":"no"}}"#;

#[test]
fn only_facts_that_earlier_programs_do_not_know_are_of_a_later_format() {
    let call = RefusedCall { plugin: "p".to_owned(), call: "redis.get k".to_owned(), why: "no".to_owned() };
    let refused = Record::new(WallTime(1_700_000_000_000), Fact::CallRefused { step: "auth".to_owned(), call });
    assert_eq!(String::from_utf8(refused.encode()).expect("text"), REFUSED);
    assert_eq!(Record::decode(REFUSED.as_bytes()).expect("is read"), refused);
    assert_eq!(Record::new(WallTime(1), Fact::LimitReached).v, 1);
}

#[test]
fn a_format_that_comes_later_is_named() {
    let later = REFUSED.replace("\"v\":2", "\"v\":6");
    let error = Record::decode(later.as_bytes()).expect_err("is refused").to_string();
    assert!(error.contains("format 6") && error.contains("up to 5"), "{error}");
}

#[test]
fn a_creation_without_plugins_is_read_as_one_with_none() {
    let old = r#"{"v":1,"at":1,"fact":"created","run":"run_01J9ZK3M5N7P9Q1R3S5T7V9W1X","workflow":"w","digest":"00","engine":"0.1.0","inputs":{},"vars":{},"codec":null}"#;
    let record = Record::decode(old.as_bytes()).expect("is read");
    let again = String::from_utf8(record.encode()).expect("text");
    assert!(["plugins", "trigger", "message", "terms"].iter().all(|name| !again.contains(name)), "{again}");
}

#[test]
fn what_admission_decides_is_of_the_third_format() {
    let by: RunId = "run_01J9ZK3M5N7P9Q1R3S5T7V9W1X".parse().expect("an id");
    let facts = [
        (Fact::Withheld { why: Bar::BehindPriority }, r#""fact":"withheld","why":"behind_priority""#),
        (Fact::Admitted, r#""fact":"admitted""#),
        (Fact::Superseded { by }, r#""fact":"superseded","by":"run_01J9ZK3M5N7P9Q1R3S5T7V9W1X""#),
    ];
    for (fact, text) in facts {
        let record = Record::new(WallTime(1), fact);
        assert_eq!(String::from_utf8(record.encode()).expect("text"), format!(r#"{{"v":3,"at":1,{text}}}"#));
        assert_eq!(Record::decode(&record.encode()).expect("is read"), record);
    }
}
