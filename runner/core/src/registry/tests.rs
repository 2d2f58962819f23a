//! Patterns, files of devices, and registries.

use super::*;
use crate::run::WallTime;
use crate::transfer::{Hello, Period};
use proptest::prelude::*;
use serde_json::{Value, json};

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap_or_else(|why| panic!("{text}: {why}"))
}

fn file(entries: &str) -> Devices {
    let text = format!("kind: devices/v1\ndevices:\n{entries}");
    read(text.as_bytes(), "lab.yaml").unwrap_or_else(|problems| panic!("{problems}"))
}

/// A file with these patterns.
fn of(patterns: &[&str]) -> Arc<Devices> {
    Arc::new(file(&patterns.iter().map(|text| format!("  - match: \"{text}\"\n")).collect::<String>()))
}

/// Codes of what is wrong with a file, in its order, and the text for people.
fn wrong(text: &str) -> (Vec<&'static str>, String) {
    let problems = read(text.as_bytes(), "lab.yaml").expect_err("it is wrong");
    (problems.iter().map(|problem| problem.code).collect(), problems.to_string())
}

#[test]
fn globs_mean_what_shells_mean() {
    let table = [
        ("gw-1", "gw-1", true),
        ("gw-1", "gw-10", false),
        ("gw-*", "gw-", true),
        ("gw-*", "gw", false),
        ("*", "anything", true),
        ("*-eu-*", "gw-eu-1", true),
        ("*-eu-*", "gw-us-1", false),
        ("a*b*c", "abbcbc", true),
        ("a*b*c", "abbcb", false),
        ("s-0?", "s-01", true),
        ("s-0?", "s-0", false),
        ("?*", "", false),
        ("*a", "aaab", false),
    ];
    for (text, id, means) in table {
        assert_eq!(pattern(text).matches(id), means, "{text} and {id}");
    }
}

#[test]
fn patterns_hold_what_device_ids_hold() {
    for bad in ["", "a b", "a/b", "gw-**", "ä", "a\u{0}", "[a]", &"x".repeat(129)] {
        assert!(Pattern::parse(bad).is_err(), "{bad:?}");
    }
    assert!(Pattern::parse(&"x".repeat(128)).is_ok() && Pattern::parse("A_.:@=-*?9").is_ok());
}

#[test]
fn two_globs_meet_where_one_id_fits_both() {
    let table = [
        ("gw-*", "*-1", true),
        ("gw-*", "sw-*", false),
        ("a?", "?b", true),
        ("a*c", "ab*", true),
        ("*a", "*b", false),
        ("a*a", "a", false),
        ("*", "?", true),
        ("a?c", "a*d", false),
    ];
    for (one, two, meet) in table {
        assert_eq!(pattern(one).meets(&pattern(two)), meet, "{one} and {two}");
        assert_eq!(pattern(two).meets(&pattern(one)), meet, "{two} and {one}");
    }
}

proptest! {
    #[test]
    fn what_one_id_fits_is_said_to_meet(one in "[ab*?]{1,6}", two in "[ab*?]{1,6}", id in "[ab]{0,6}") {
        if let (Ok(one), Ok(two)) = (Pattern::parse(&one), Pattern::parse(&two)) {
            prop_assert!(!(one.matches(&id) && two.matches(&id)) || one.meets(&two), "{one} {two} {id}");
        }
    }

    /// All ids of up to five letters stand for every id: patterns of three characters need no longer ones.
    #[test]
    fn what_is_said_to_meet_has_an_id(one in "[ab*?]{1,3}", two in "[ab*?]{1,3}") {
        if let (Ok(one), Ok(two)) = (Pattern::parse(&one), Pattern::parse(&two)) {
            let ids = (0..6).flat_map(|length| (0..1_u32 << length).map(move |bits| (length, bits)));
            let mut ids = ids.map(|(length, bits)| {
                (0..length).map(|at| if bits >> at & 1 == 0 { 'a' } else { 'b' }).collect::<String>()
            });
            prop_assert_eq!(one.meets(&two), ids.any(|id| one.matches(&id) && two.matches(&id)), "{} {}", one, two);
        }
    }

    #[test]
    fn random_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        drop(read(&bytes, "lab.yaml").map_err(|problems| problems.to_string()));
    }

    #[test]
    fn random_pieces_are_answered(pieces in prop::collection::vec(prop::sample::select(vec![
        "kind: devices/v1\n", "devices:\n", "  - ", "    ", "match: ", "gw-*", "\"*\"", "codec: ", "vars: ", "{ a: b }", "rate: ",
        "1KiB/s", "budget: ", "{ bytes: 1MiB, per: day }", "x-note: ", "labels:", "[", "]", "\n", "- ", "${{ a }}", "null", "7", "ä",
    ]), 0..40)) {
        let text = pieces.concat();
        if let Err(problems) = read(text.as_bytes(), "lab.yaml") {
            prop_assert!(problems.count() > 0 && problems.to_string().contains("lab.yaml:"), "{problems}");
        }
    }
}

#[test]
fn an_entry_holds_what_the_file_says() {
    let devices = file(
        "  - match: gw-1
    codec: acme-tlv@1.2
    vars: { prefix: \"fleet/{device}\" }
    model: G200
    hw: rev-b
    rate: 16KiB/s
    budget: { bytes: 10MiB, per: day, x-why: sim card }
    timezone: Europe/Berlin
    labels: { site: berlin }
    x-note: the first one
",
    );
    let entry = &devices.entries[0];
    assert_eq!(
        (entry.codec.as_deref(), entry.model.as_deref(), entry.hw.as_deref()),
        (Some("acme-tlv@1.2"), Some("G200"), Some("rev-b"))
    );
    assert_eq!((entry.rate, entry.line), (Some(16_384), 3));
    assert_eq!(entry.budget, Some(Budget { bytes: 10 << 20, per: Period::Day }));
    assert_eq!(entry.vars["prefix"], "fleet/{device}");
    assert_eq!((entry.timezone.as_deref(), entry.labels["site"].as_str()), (Some("Europe/Berlin"), "berlin"));
    assert_eq!(devices.codecs(), ["acme-tlv@1.2"]);
}

#[test]
fn everything_that_is_wrong_is_told_with_its_place() {
    let (codes, text) = wrong(
        "kind: devices/v1
devices:
  - match: gw 1
  - codec: acme-tlv
  - { match: a, codek: x, rate: fast, timezone: \"Not a zone\", vars: { a: 1 } }
  - { match: b, budget: { bytes: 1MiB, per: hour }, model: \"\" }
",
    );
    assert_eq!(codes.len(), 8, "{text}");
    for words in [
        "lab.yaml:3",
        "lacks the key `match`",
        "did you mean `codec`",
        "not a rate",
        "time zone",
        "put it in quotes",
        "`hour`",
    ] {
        assert!(text.contains(words), "{words}?\n{text}");
    }
    assert_eq!(wrong("").0, ["PH0201"]);
    assert_eq!(wrong("# nothing\n").0, ["PH0201"]);
    assert_eq!(wrong("kind: workflow/v1\nname: x\n").0, ["PH0224"]);
    assert_eq!(wrong("kind: devices/v1\n").0, ["PH0213"]);
    assert_eq!(wrong("kind: devices/v1\ndevices: []\n").0, ["PH0215"]);
    assert_eq!(wrong("kind: devices/v1\ndevices: [{ match: \"${{ inputs.device }}\" }]\n").0, ["PH0237"]);
    assert_eq!(wrong("- kind: devices/v1\n").0, ["PH0214"]);
}

#[test]
fn limits_hold() {
    let globs: String = (0..257).map(|number| format!("  - match: \"{number:03}*\"\n")).collect();
    assert_eq!(wrong(&format!("kind: devices/v1\ndevices:\n{globs}")).0, ["PH0202"]);
    let long =
        format!("kind: devices/v1\ndevices:\n  - match: a\n    labels: {{ a: \"{}\" }}\n", "x".repeat(17 * 1024));
    assert_eq!(wrong(&long).0, ["PH0202"]);
    assert_eq!(wrong(&"#".repeat(257 * 1024)).0, ["PH0202"]);
}

#[test]
fn ties_in_one_file_are_errors() {
    let (codes, text) =
        wrong("kind: devices/v1\ndevices:\n  - match: \"gw-*\"\n  - match: \"*-01\"\n  - match: a\n  - match: a\n");
    assert_eq!(codes, ["PH0250", "PH0250"]);
    assert!(
        text.contains("lab.yaml:4")
            && text.contains("`gw-*` in line 3")
            && text.contains("stands twice, also in line 5"),
        "{text}"
    );
}

#[test]
fn the_nearest_entry_wins() {
    let (one, two) = (of(&["*", "gw-*"]), of(&["gw-1", "gw-eu-*"]));
    let registry = Registry::new([("one", &*one), ("two", &*two)]);
    let found = |id: &str| registry.find(id).map(|placed| (placed.file.clone(), placed.entry.pattern.to_string()));
    assert_eq!(found("gw-1"), Some(("two".to_owned(), "gw-1".to_owned())));
    assert_eq!(found("gw-eu-1"), Some(("two".to_owned(), "gw-eu-*".to_owned())));
    assert_eq!(found("gw-9"), Some(("one".to_owned(), "gw-*".to_owned())));
    assert_eq!(found("x"), Some(("one".to_owned(), "*".to_owned())));
    assert_eq!(
        registry.all().iter().map(|placed| placed.entry.pattern.as_str()).collect::<Vec<_>>(),
        ["gw-1", "gw-eu-*", "gw-*", "*"]
    );
    assert!(Registry::default().find("gw-1").is_none() && Registry::default().is_empty());
}

fn files(all: &[(&str, &Arc<Devices>)]) -> BTreeMap<String, Arc<Devices>> {
    all.iter().map(|(name, devices)| ((*name).to_owned(), Arc::clone(devices))).collect()
}

#[test]
fn whoever_was_there_first_stays() {
    let (gateways, others, both) = (of(&["gw-*"]), of(&["sw-*"]), of(&["gw-*", "a"]));
    assert!(clashes(&files(&[("a", &gateways)]), &files(&[("b", &others)])).is_empty());
    let refused = clashes(&files(&[("b", &gateways)]), &files(&[("a", &both)]));
    let clash = refused.get("a").expect("the newcomer is refused");
    assert!(clash.to_string().contains("`gw-*` in line 3 and `gw-*` of file b, line 3"), "{clash}");
    // At the start nobody was there: the first by name.
    let refused = clashes(&files(&[]), &files(&[("a", &both), ("b", &gateways)]));
    assert_eq!(refused.keys().collect::<Vec<_>>(), ["b"]);
}

#[test]
fn entries_that_move_between_files_move_together() {
    let (one, two) = (of(&["a"]), of(&["b"]));
    let counting = files(&[("x", &one), ("y", &two)]);
    assert!(clashes(&counting, &files(&[("x", &two), ("y", &one)])).is_empty(), "they change places");
    let (more, less, bad) = (of(&["a", "b"]), of(&["c"]), of(&["c", "d"]));
    let refused = clashes(&counting, &files(&[("x", &more), ("y", &less), ("z", &bad)]));
    assert_eq!(refused.keys().collect::<Vec<_>>(), ["z"], "the move goes on beside a file that is refused");
}

#[test]
fn every_field_of_the_context_is_there_for_every_device() {
    let plain = context("x", None, None);
    let entry = file("  - { match: x, model: G200, rate: 1KiB/s, labels: { site: berlin }, vars: { a: b } }\n").entries
        [0]
    .clone();
    let full = context("x", Some(&entry), Some(json!({ "version": "1" })));
    let names = |value: &Value| value.as_object().expect("a map").keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&plain), names(&full));
    assert_eq!((&plain["model"], &plain["labels"], &plain["hello"]), (&Value::Null, &json!({}), &Value::Null));
    assert_eq!(
        (&full["rate"], &full["labels"]["site"], &full["hello"]["version"]),
        (&json!(1_024), &json!("berlin"), &json!("1"))
    );
}

#[test]
fn transfers_without_bounds_get_those_of_their_device_and_no_others() {
    let device = json!({ "id": "x", "rate": 1_024, "budget": { "bytes": 7, "per": "day" } });
    let given = |primitive: &str, with: Value| {
        let mut with = with.as_object().cloned().expect("a map");
        give(&device, primitive, &mut with);
        Value::Object(with)
    };
    let full = json!({ "device": "x", "rate": 1_024, "budget": { "bytes": 7, "per": "day" } });
    assert_eq!(given("transfer.push", json!({ "device": "x" })), full);
    assert_eq!(given("transfer.pull", json!({ "device": "x", "rate": null })), full);
    assert_eq!(given("transfer.push", json!({ "device": "x", "rate": 5 }))["rate"], 5);
    for (primitive, with) in
        [("transfer.push", json!({ "device": "y" })), ("transfer.verify", json!({ "device": "x" }))]
    {
        assert_eq!(given(primitive, with.clone()), with);
    }
}

#[test]
fn greetings_are_bounded_and_empty_ones_are_none() {
    let hello = |title: &str, meta| Hello { tag: 0, title: title.to_owned(), version: String::new(), meta };
    assert_eq!(greeting(&hello("", Vec::new()), WallTime(0)), None);
    let many = (0..1_000).map(|number| (format!("n{number}"), "ä".repeat(1_000))).collect();
    let kept = greeting(&hello("Pump", many), WallTime(0)).expect("it says something");
    assert_eq!((kept["title"].as_str(), kept["at"].as_str()), (Some("Pump"), Some("1970-01-01T00:00:00.000Z")));
    assert!(kept.to_string().len() < 16_384, "{}", kept.to_string().len());
}
