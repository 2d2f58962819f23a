//! Rules of topics: what a template may be, and what is filled into it.

use super::super::{Flow, Pairs, Qos, Route};
use super::*;

fn route(flow: Flow, template: &str) -> Route {
    Route { flow, template: template.to_owned(), qos: Qos::AtLeastOnce, retain: false }
}

fn pairs(vars: &[(&str, &str)]) -> Pairs {
    vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn strings(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

fn routes(template: &str, vars: &[(&str, &str)]) -> Result<Routes, RouteError> {
    Routes::new(&[route(Flow::ToDevice, template)], "dev-1", &pairs(vars))
}

#[test]
fn builds_topics_and_filters() {
    let check = |template: &str, vars: &[(&str, &str)], captures: &[&str], filter: &str, topic: &str| {
        let routes = routes(template, vars).unwrap();
        assert_eq!(routes.subscriptions(Flow::ToDevice), [(0, filter.to_owned(), Qos::AtLeastOnce)], "{template}");
        assert!(routes.subscriptions(Flow::FromDevice).is_empty());
        assert_eq!(routes.topic(0, &strings(captures)).as_deref(), Ok(topic), "{template}");
        assert_eq!(routes.captures(0, topic), Some(strings(captures)), "{template}");
        assert_eq!(routes.find(Flow::ToDevice, topic), Some((0, strings(captures))));
        assert_eq!(routes.find(Flow::FromDevice, topic), None);
    };
    check("{prefix}/down", &[("prefix", "packhorse/{device}")], &[], "packhorse/dev-1/down", "packhorse/dev-1/down");
    check("v1/{device}/chunk/{+}", &[], &["7"], "v1/dev-1/chunk/+", "v1/dev-1/chunk/7");
    check("/sys/{device}/{#}", &[], &["a/b/c"], "/sys/dev-1/#", "/sys/dev-1/a/b/c");
    check(
        "$aws/things/{device}/streams/{+}/data",
        &[],
        &["s"],
        "$aws/things/dev-1/streams/+/data",
        "$aws/things/dev-1/streams/s/data",
    );
    check("a/x-{device}-{n}y/{+}/{+}", &[("n", "5")], &["1", "2"], "a/x-dev-1-5y/+/+", "a/x-dev-1-5y/1/2");
    check("t/{device}/größe", &[], &[], "t/dev-1/größe", "t/dev-1/größe");
}

#[test]
fn a_topic_of_another_route_is_not_taken() {
    let routes = routes("v1/{device}/c/{+}", &[]).unwrap();
    for topic in ["v1/dev-1/c", "v1/dev-1/c/1/2", "v1/dev-2/c/1", "v1/dev-1/d/1", "/v1/dev-1/c/1", "", "v1"] {
        assert_eq!(routes.captures(0, topic), None, "{topic}");
    }
    assert_eq!(routes.captures(9, "v1/dev-1/c/1"), None);
}

#[test]
fn the_rest_needs_at_least_one_level() {
    let routes = routes("v1/{device}/{#}", &[]).unwrap();
    assert_eq!(routes.captures(0, "v1/dev-1"), None);
    assert_eq!(routes.captures(0, "v1/dev-1/a"), Some(strings(&["a"])));
}

#[test]
fn hostile_captures_are_refused() {
    let one = routes("v1/{device}/{+}", &[]).unwrap();
    let rest = routes("v1/{device}/{#}", &[]).unwrap();
    let long = "x".repeat(MAX_TOPIC_BYTES);
    for value in ["", "+", "#", "a+", "#b", "a\0b", "a\nb", "\u{7f}", "\u{85}", "\u{ffff}", "\u{fdd0}", long.as_str()] {
        assert!(one.topic(0, &strings(&[value])).is_err(), "{value:?}");
        assert!(rest.topic(0, &strings(&[value])).is_err(), "{value:?}");
    }
    for value in ["a/b", "/", "../dev-2", "a/", "/a"] {
        assert!(one.topic(0, &strings(&[value])).is_err(), "{value:?}");
    }
    for value in ["/", "a//b", "a/", "/a", "a/+/b", "a/#"] {
        assert!(rest.topic(0, &strings(&[value])).is_err(), "{value:?}");
    }
    // Dots mean nothing in MQTT: the topic stays below the device's own levels.
    assert_eq!(rest.topic(0, &strings(&["../dev-2/x"])).as_deref(), Ok("v1/dev-1/../dev-2/x"));
    // A letter that only looks like another is another level, and still below this device.
    assert_eq!(one.topic(0, &strings(&["d\u{435}v-2"])).as_deref(), Ok("v1/dev-1/d\u{435}v-2"));
}

#[test]
fn captures_must_be_as_many_as_the_route_has() {
    let routes = routes("v1/{device}/{+}", &[]).unwrap();
    assert_eq!(routes.topic(0, &[]), Err(RouteError::CaptureCount { route: 0, wanted: 1, given: 0 }));
    let two = strings(&["a", "b"]);
    assert_eq!(routes.topic(0, &two), Err(RouteError::CaptureCount { route: 0, wanted: 1, given: 2 }));
    assert_eq!(routes.topic(1, &two), Err(RouteError::NoSuchRoute { route: 1, count: 1 }));
    assert_eq!(routes.check(Flow::FromDevice, 0, &strings(&["a"])), Err(RouteError::WrongFlow { route: 0 }));
    assert_eq!(routes.check(Flow::ToDevice, 0, &strings(&["a"])), Ok(()));
}

#[test]
fn a_topic_that_grows_too_long_is_refused() {
    let routes = routes("v1/{device}/{+}", &[]).unwrap();
    let value = "x".repeat(MAX_TOPIC_BYTES - 5);
    assert!(matches!(routes.topic(0, &[value]), Err(RouteError::TooLong { .. })));
}

#[test]
fn hostile_device_ids_are_refused() {
    let long = "d".repeat(129);
    for device in ["", "+", "#", "a/b", "../x", "a b", "d\0", "dév", "$SYS", "{device}", "a,b", "a\n", long.as_str()] {
        let made = Routes::new(&[route(Flow::ToDevice, "v1/{device}")], device, &Pairs::new());
        assert!(matches!(made, Err(RouteError::Device(_))), "{device:?}");
    }
    for device in ["a", "A.b:c@d=e-f_9", &long[..128]] {
        assert!(Routes::new(&[route(Flow::ToDevice, "v1/{device}")], device, &Pairs::new()).is_ok(), "{device:?}");
    }
}

#[test]
fn hostile_variables_are_refused() {
    for value in ["+", "a/#", "a\0", "a\tb", "", "/", "a//b", "a/", "$SYS", "$SYS/x", "$share/g/x", "$share"] {
        assert!(routes("{prefix}/down", &[("prefix", value)]).is_err(), "{value:?}");
    }
    let long = "x".repeat(MAX_TOPIC_BYTES);
    assert!(routes("{prefix}/down", &[("prefix", &long)]).is_err());
    assert!(matches!(routes("{prefix}/down", &[]), Err(RouteError::MissingVar { .. })));
}

#[test]
fn variables_are_expanded_once() {
    let routes = routes("{a}/{b}", &[("a", "{device}"), ("b", "{a}")]).unwrap();
    assert_eq!(routes.topic(0, &[]).as_deref(), Ok("dev-1/{a}"));
    assert!(routes.names_device(0));
}

#[test]
fn broken_templates_are_refused() {
    for template in [
        "",
        "/",
        "//",
        "a//b",
        "a/",
        "{",
        "}",
        "a/{",
        "a/}",
        "a/{b",
        "{+}",
        "{#}",
        "{+}/a",
        "a/x{+}",
        "a/{+}x",
        "a/{#}/b",
        "a/x{#}",
        "a/+/b",
        "a/#",
        "+",
        "$SYS/x",
        "$share/g/t",
        "a/\0",
        "a/{B}",
        "a/{}",
        "a/{a b}",
        "a/{device}{",
        "$SYS",
        "a/{{x}}",
    ] {
        assert!(Template::parse(template).is_err(), "{template:?}");
    }
    assert!(Template::parse(&"a/".repeat(64)).is_err());
}

#[test]
fn a_route_tells_whether_it_names_the_device() {
    let all = [route(Flow::ToDevice, "a/{device}"), route(Flow::ToDevice, "a/b"), route(Flow::ToDevice, "{p}/x")];
    let bound = Routes::new(&all, "d", &pairs(&[("p", "q/{device}")])).unwrap();
    assert_eq!([0, 1, 2, 3].map(|route| bound.names_device(route)), [true, false, true, false]);
    assert_eq!(bound.quality(1), Some((Qos::AtLeastOnce, false)));
}

#[test]
fn two_routes_with_one_filter_are_refused() {
    let twice = [route(Flow::ToDevice, "a/{device}"), route(Flow::ToDevice, "a/{p}")];
    let made = Routes::new(&twice, "d", &pairs(&[("p", "d")]));
    assert_eq!(made, Err(RouteError::Overlap { first: 0, second: 1, filter: "a/d".to_owned() }));
    let apart = [route(Flow::ToDevice, "a/{device}"), route(Flow::FromDevice, "a/{device}")];
    assert!(Routes::new(&apart, "d", &Pairs::new()).is_ok());
}

#[test]
fn random_text_never_builds_a_topic_with_a_wildcard() {
    use proptest::prelude::*;
    proptest!(|(template in "[a-z/{}+#$]{0,24}", value in ".{0,12}", capture in ".{0,12}")| {
        let vars = pairs(&[("a", &value), ("b", &value)]);
        if let Ok(routes) = Routes::new(&[route(Flow::ToDevice, &template)], "dev", &vars) {
            let count = Template::parse(&template).unwrap().captures();
            if let Ok(topic) = routes.topic(0, &vec![capture.clone(); count]) {
                prop_assert!(!topic.contains(['+', '#', '\0']));
                prop_assert!(!topic.starts_with("$SYS/"));
                prop_assert!(routes.captures(0, &topic).is_some());
            }
        }
    });
}
