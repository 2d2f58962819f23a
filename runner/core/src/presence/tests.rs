//! Topics, rules, and what observations come to.

use super::*;
use crate::failure::Failure;
use crate::registry::{Devices, Registry, read};
use crate::run::WallTime;
use crate::workflow::expr::STACK;
use proptest::prelude::*;
use serde_json::json;

/// Expressions need the stack.
fn deep<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work);
        thread.expect("spawns").join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn file(entries: &str) -> Result<Devices, String> {
    let text = format!("kind: devices/v1\ndevices:\n{entries}");
    deep(|| read(text.as_bytes(), "lab.yaml").map_err(|problems| problems.to_string()))
}

fn registry(entries: &str) -> Registry {
    let devices = file(entries).unwrap_or_else(|problems| panic!("{problems}"));
    Registry::new([("lab", &devices)])
}

#[test]
fn a_topic_names_its_device_by_one_whole_level() {
    let topic = |text: &str| Topic::parse(text).unwrap_or_else(|why| panic!("{text}: {why}"));
    let table = [
        ("status/{device}", "status/+", "status/gw-1", Some("gw-1")),
        ("tele/{device}/LWT", "tele/+/LWT", "tele/plug_7/LWT", Some("plug_7")),
        ("tele/{device}/LWT", "tele/+/LWT", "tele/plug_7/STATE", None),
        ("{device}/status", "+/status", "a/status", Some("a")),
        ("status/{device}", "status/+", "status/a/b", None),
        ("status/{device}", "status/+", "status/", None),
        ("status/{device}", "status/+", "status/no device", None),
        ("status/{device}", "status/+", "status/gw-*", None),
        ("plant/status", "plant/status", "plant/status", None),
    ];
    for (text, filter, name, device) in table {
        let topic = topic(text);
        assert_eq!((topic.filter().as_str(), topic.device(name)), (filter, device), "{text} and {name}");
        assert_eq!((topic.as_str(), topic.names_device()), (text, text.contains("{device}")));
    }
    let long = "a/".repeat(200);
    for (bad, words) in [
        ("", "empty"),
        ("status/+", "wildcard `+`"),
        ("status/#", "wildcard `#`"),
        ("status/gw-{device}", "one whole level"),
        ("status/{prefix}", "one whole level"),
        ("{device}/{device}", "once is enough"),
        ("$share/a/{device}", "shared"),
        ("a\u{7}b", "control"),
        (&long, "128 levels"),
    ] {
        let why = Topic::parse(bad).expect_err(bad);
        assert!(why.contains(words), "{bad}: {why}");
    }
}

#[test]
fn what_a_message_says_is_what_its_expression_gives() {
    let tasmota = "payload == 'Online' ? true : payload == 'Offline' ? false : null";
    let zigbee = "json.state == 'online'";
    let table = [
        (tasmota, &b"Online"[..], Ok(Some(true))),
        (tasmota, b"Offline", Ok(Some(false))),
        (tasmota, b"Hello", Ok(None)),
        (tasmota, b"", Ok(None)),
        (tasmota, b"\xff\xfe", Err("PH8508")),
        (zigbee, br#"{"state": "online"}"#, Ok(Some(true))),
        (zigbee, br#"{"state": "offline"}"#, Ok(Some(false))),
        (zigbee, b"online", Err("PH0301")),
        (zigbee, br#"{"other": 1}"#, Err("PH0301")),
        ("json == null ? null : json.up", b"true?", Ok(None)),
        ("json == null ? null : json.up", br#"{"up": 1}"#, Err("PH0302")),
        ("topic.endsWith('/gw-1') && payload != '0'", b"1", Ok(Some(true))),
    ];
    for (online, payload, expected) in table {
        let entry = format!("  - match: gw-*\n    presence: {{ topic: 's/{{device}}', online: \"{online}\" }}\n");
        let registry = registry(&entry);
        let rule = registry.rule("gw-1").expect("it has one");
        let said = deep(|| rule.judge("s/gw-1", payload)).map_err(|failure| failure.code);
        assert_eq!(said, expected.map_err(str::to_owned), "{online} of {payload:?}");
    }
    let long = vec![b'a'; crate::trigger::MAX_PAYLOAD + 1];
    let registry = registry("  - match: a\n    presence: { topic: 's', online: \"payload == '1'\" }\n");
    assert_eq!(registry.rule("a").expect("it has one").judge("s", &long).expect_err("too long").code, "PH8508");
}

#[test]
fn everything_that_is_wrong_is_told_in_one_pass_with_its_place() {
    let text = file(
        "  - match: gw-*
    presence: { topic: status, online: \"payload == 'on'\" }
  - match: sw-*
    presence: { topic: 'status/+', online: \"payload ==\" }
  - match: a
    presence: { topic: 's/{device}', online: \"payload\" }
  - match: b
    presence: { topic: 's/{device}', online: \"inputs.x == 1\", offline: no }
  - match: c
    presence: { online: \"payload.state == 1\" }
  - { match: d, codek: x, presence: { topic: 't', online: true } }
",
    )
    .expect_err("it is wrong");
    for words in [
        "lab.yaml:4:24",
        "does not say which device it is of",
        "wildcard `+`",
        "lab.yaml:6:55",
        "ends too early",
        "must be true, false or null",
        "lab.yaml:10:47",
        "`inputs` is not known in `online` of presence",
        "no key `offline`",
        "lacks the key `topic`",
        "`payload` is text and has no field `state`",
        "did you mean `codec`",
        "`online` must be",
    ] {
        assert!(text.contains(words), "{words}?\n{text}");
    }
}

#[test]
fn a_message_is_of_the_devices_whose_own_entry_names_its_topic() {
    let entries = "  - { match: 'gw-*', presence: { topic: 's/{device}', online: \"payload == 'on'\" } }
  - { match: gw-7, presence: { topic: 'other/{device}', online: \"payload == '1'\", x-note: odd } }
  - { match: gw-8 }
  - { match: meter-1, presence: { topic: 'plant', online: \"payload == 'on'\" } }
  - { match: meter-2, presence: { topic: 'plant', online: \"payload != 'off'\" } }
";
    let registry = registry(entries);
    let topics: Vec<&Topic> = registry.statuses().collect();
    assert_eq!(
        topics.iter().map(|topic| topic.as_str()).collect::<Vec<_>>(),
        ["other/{device}", "plant", "s/{device}"]
    );
    let told = |topic: usize, name: &str| {
        let told = registry.told_by(topics[topic], name);
        told.into_iter().map(|(id, _)| id).collect::<Vec<_>>()
    };
    assert_eq!(told(2, "s/gw-1"), ["gw-1"]);
    assert!(told(2, "s/gw-7").is_empty(), "its nearest entry names another topic");
    assert!(told(2, "s/gw-8").is_empty(), "its nearest entry names none");
    assert!(told(2, "s/meter-1").is_empty() && told(2, "other/gw-1").is_empty());
    assert_eq!(told(0, "other/gw-7"), ["gw-7"]);
    assert_eq!(told(1, "plant"), ["meter-1", "meter-2"]);
    let entry = serde_json::to_value(&*registry.find("gw-1").expect("an entry").entry).expect("JSON");
    assert_eq!(entry["presence"], json!({ "topic": "s/{device}", "online": "payload == 'on'" }));
    assert!(
        serde_json::to_value(&*registry.find("gw-8").expect("an entry").entry).expect("JSON").get("presence").is_none()
    );
}

#[test]
fn where_a_rule_stands_makes_no_other_one_of_it() {
    let entry = "  - match: a\n    presence: { topic: s, online: \"payload == 'on'\" }\n";
    let (one, moved) = (file(entry).expect("good"), file(&format!("  - match: b\n{entry}")).expect("good"));
    assert_eq!(one.entries[0].presence, moved.entries[1].presence);
    let other = file(&entry.replace("'on'", "'off'")).expect("good");
    assert_ne!(one.entries[0].presence, other.entries[0].presence);
}

const T: u64 = 1_700_000_000_000;

fn seen(online: bool, by: By, retained: bool, at: u64) -> Seen {
    Seen { online, by, retained, at: WallTime(T + at) }
}

/// Plays observations; tells the news of each, and whether it is written down.
fn play(all: &[Seen]) -> (Vec<(News, bool)>, Presence) {
    let (mut known, mut told) = (None, Vec::new());
    for seen in all {
        let observed = observe(known.as_ref(), *seen);
        told.push((observed.news, observed.keep));
        known = Some(observed.state);
    }
    (told, known.expect("something was seen"))
}

#[test]
fn a_will_lasts_until_the_device_is_heard() {
    use News::{CameBack, Nothing, WentAway};
    let (told, state) = play(&[
        seen(true, By::Traffic, false, 0),
        seen(false, By::Will, false, 1_000),
        seen(false, By::Will, false, 2_000),
        seen(false, By::Will, true, 3_000),
        seen(true, By::Traffic, false, 4_000),
    ]);
    assert_eq!(told, [(Nothing, true), (WentAway, true), (Nothing, false), (Nothing, false), (CameBack, true)]);
    let expected = Presence {
        online: true,
        since: WallTime(T + 4_000),
        heard_at: Some(WallTime(T + 4_000)),
        by: By::Traffic,
        said: Some(false),
    };
    assert_eq!(state, expected);
}

#[test]
fn what_a_broker_says_again_is_no_news() {
    use News::{CameBack, Nothing, WentAway};
    // The device has a will and no word for coming back: the kept `offline` is old when it was heard since.
    let (told, state) = play(&[
        seen(false, By::Will, false, 0),
        seen(true, By::Traffic, false, 1_000),
        seen(false, By::Will, true, 2_000),
        seen(false, By::Will, false, 3_000),
    ]);
    assert_eq!(told, [(WentAway, true), (CameBack, true), (Nothing, false), (WentAway, true)]);
    assert!(!state.online && state.since == WallTime(T + 3_000));
    // A kept `online` that was not there before is taken as it comes; nobody knows when the device was heard.
    let (told, state) = play(&[seen(false, By::Will, true, 0), seen(true, By::Will, true, 1_000)]);
    assert_eq!((told, state.heard_at), (vec![(WentAway, true), (CameBack, true)], None));
    assert_eq!(play(&[seen(true, By::Will, true, 0), seen(true, By::Will, true, 90_000)]).0[1], (Nothing, false));
}

#[test]
fn a_device_that_is_heard_all_the_time_costs_a_write_a_minute() {
    let all: Vec<Seen> = (0..600).map(|second| seen(true, By::Traffic, false, second * 1_000)).collect();
    let (told, state) = play(&all);
    assert_eq!(told.iter().filter(|(_, keep)| *keep).count(), 10);
    assert_eq!((state.since, state.heard_at), (WallTime(T), Some(WallTime(T + 540_000))));
}

#[test]
fn a_transfer_is_held_back_once_for_each_absence() {
    let gone = observe(None, seen(false, By::Will, false, 0)).state;
    let first = held_back("gw-1", Some(&gone), None).expect("it is gone");
    assert_eq!((first.code.as_str(), first.class), (TOLD_OFFLINE, crate::failure::Class::DeviceOffline));
    assert!(first.message.contains("gw-1 is offline since 2023-11-14T22:13:20.000Z, as its will message said"));
    assert_eq!(held_back("gw-1", Some(&gone), Some(&first)), None, "it tries in any case");
    let other = Failure::new("PH5103", crate::failure::Class::Transient, "x");
    assert_eq!(held_back("gw-1", Some(&gone), Some(&other)), Some(first.clone()));
    let back = observe(Some(&gone), seen(true, By::Will, false, 1)).state;
    assert_eq!(held_back("gw-1", Some(&back), None), None);
    let again = observe(Some(&back), seen(false, By::Will, false, 2)).state;
    assert!(held_back("gw-1", Some(&again), Some(&first)).is_some_and(|second| second != first));
    assert_eq!(held_back("gw-1", None, None), None);
    let kept: Presence = serde_json::from_str(&serde_json::to_string(&gone).expect("JSON")).expect("it is read again");
    assert_eq!(held_back("gw-1", Some(&kept), None), Some(first), "another process knows it as the same absence");
}

proptest! {
    #[test]
    fn what_is_kept_is_all_that_changes(all in prop::collection::vec((any::<bool>(), any::<bool>(), any::<bool>(), 0..200_000_u64), 1..40)) {
        let mut known: Option<Presence> = None;
        for (online, told, retained, at) in all {
            let (by, online) = if told { (By::Will, online) } else { (By::Traffic, true) };
            let Observed { state, news, keep } = observe(known.as_ref(), seen(online, by, told && retained, at));
            prop_assert!(keep || Some(state) == known);
            let was = known.is_some_and(|known| known.online);
            prop_assert_eq!(news == News::WentAway, !state.online && (known.is_none() || was));
            prop_assert_eq!(news == News::CameBack, state.online && known.is_some() && !was);
            prop_assert!(state.online || state.by == By::Will, "only a status says that it is gone");
            prop_assert!(known.is_none_or(|known| known.since <= state.since && known.heard_at <= state.heard_at));
            known = Some(state);
        }
    }

    #[test]
    fn no_topic_panics(text in any::<String>(), name in any::<String>()) {
        if let Ok(topic) = Topic::parse(&text) {
            let device = topic.device(&name).map(str::to_owned);
            prop_assert!(device.is_none_or(|device| name.split('/').any(|level| level == device)));
        }
    }
}
