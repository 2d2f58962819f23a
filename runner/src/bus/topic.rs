//! Topic names and filters: what is valid (MQTT 5, section 4.7) and what matches. Pure.

/// Longest topic or filter in bytes; MQTT strings carry a 16-bit length.
const LONGEST: usize = u16::MAX as usize;

/// Most levels of a filter: the matcher recurses once a level.
const DEEPEST: usize = 128;

/// Whether a message may be published to `topic`; the error says what is wrong.
pub fn check_name(topic: &str) -> Result<(), &'static str> {
    check_text(topic)?;
    if topic.contains(['+', '#']) {
        return Err("a topic to publish to holds no + or #");
    }
    Ok(())
}

/// Whether `filter` may be subscribed to. Shared subscriptions (`$share/…`) are refused: brokers hand their messages
/// to any member and lose what a dying member held, so a transfer cannot live on one.
pub fn check_filter(filter: &str) -> Result<(), &'static str> {
    check_text(filter)?;
    if filter == "$share" || filter.starts_with("$share/") {
        return Err("shared subscriptions are not supported");
    }
    let levels = filter.split('/').count();
    if levels > DEEPEST {
        return Err("more than 128 levels");
    }
    for (index, level) in filter.split('/').enumerate() {
        if level.contains('#') && (level != "#" || index + 1 != levels) {
            return Err("# must be the whole of the last level");
        }
        if level.contains('+') && level != "+" {
            return Err("+ must be the whole of a level");
        }
    }
    Ok(())
}

/// Whether a filter holds a wildcard, so that more than one topic matches it.
pub fn has_wildcard(filter: &str) -> bool {
    filter.contains(['+', '#'])
}

/// Whether a valid `topic` matches a valid `filter`. Wildcards at the first level do not match topics that begin with
/// `$`; `a/#` matches `a` as well.
pub fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut names = topic.split('/');
    for level in filter.split('/') {
        if level == "#" {
            return true;
        }
        match names.next() {
            Some(name) if level == "+" || level == name => {}
            _ => return false,
        }
    }
    names.next().is_none()
}

fn check_text(text: &str) -> Result<(), &'static str> {
    if text.is_empty() {
        Err("it is empty")
    } else if text.len() > LONGEST {
        Err("longer than 65535 bytes")
    } else if text.contains('\0') {
        Err("it holds a NUL character")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_judged() {
        for good in ["a", "/", "a/b", "/a//b/", "$SYS/x", "ä/漢", " "] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in ["", "a/+", "#", "a\0b", "+", &"x".repeat(65_536)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn filters_are_judged() {
        for good in ["#", "+", "a/#", "+/+/#", "/+", "a//b", "$SYS/#", "$shared/x", "a/$share/b"] {
            assert_eq!(check_filter(good), Ok(()), "{good}");
        }
        for bad in ["", "a#", "#/a", "a/#/b", "a+", "+a/b", "a/b+", "$share/g/a", "$share", "a\0", &"+/".repeat(200)] {
            assert!(check_filter(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_tables_of_the_standard_hold() {
        for (filter, topic, expected) in [
            ("sport/tennis/player1/#", "sport/tennis/player1", true),
            ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
            ("sport/#", "sport", true),
            ("#", "anything/at/all", true),
            ("sport/tennis/+", "sport/tennis/player1", true),
            ("sport/tennis/+", "sport/tennis/player1/ranking", false),
            ("sport/+", "sport", false),
            ("sport/+", "sport/", true),
            ("+/+", "/finance", true),
            ("/+", "/finance", true),
            ("+", "/finance", false),
            ("#", "$SYS/monitor", false),
            ("+/monitor", "$SYS/monitor", false),
            ("$SYS/#", "$SYS/monitor", true),
            ("$SYS/monitor/+", "$SYS/monitor/Clients", true),
            ("a/+/c", "a/$b/c", true),
            ("A", "a", false),
        ] {
            assert_eq!(matches(filter, topic), expected, "{filter} {topic}");
        }
    }

    proptest! {
        #[test]
        fn a_topic_matches_itself_and_its_generalisations(levels in prop::collection::vec("[a-c]{0,2}", 1..6), at in any::<prop::sample::Index>()) {
            let topic = levels.join("/");
            prop_assume!(!topic.is_empty());
            prop_assert!(matches(&topic, &topic));
            let mut plus = levels.clone();
            let index = at.index(levels.len());
            plus[index] = "+".to_owned();
            prop_assert!(matches(&plus.join("/"), &topic));
            let mut hash = levels[..index].to_vec();
            hash.push("#".to_owned());
            prop_assert!(matches(&hash.join("/"), &topic));
        }

        #[test]
        fn rumqttc_agrees_on_filters_and_matches(filter in "[ab+#/]{1,7}", topic in "[ab/]{1,7}") {
            let valid = check_filter(&filter).is_ok();
            prop_assert_eq!(valid, rumqttc::valid_filter(&filter));
            if valid {
                prop_assert_eq!(matches(&filter, &topic), rumqttc::matches(&topic, &filter));
            }
        }

        #[test]
        fn no_text_panics(filter in any::<String>(), topic in any::<String>()) {
            let _ = (check_filter(&filter), check_name(&topic), matches(&filter, &topic));
        }
    }
}
