//! Formats: what a text must look like beyond being text. The same rules judge literals in a file and values in a run.

use super::{codes, units};
use crate::trigger::{self, Glob};
use serde_json::Value;

/// Longest device id in characters.
pub(crate) const MAX_DEVICE: usize = 128;
/// Longest MQTT topic in bytes.
pub(crate) const MAX_TOPIC: usize = 1024;

/// Most levels of a topic filter.
const MAX_LEVELS: usize = 128;

/// One format: its name in the schema, its name for people, its rule.
pub(crate) struct Format {
    /// As in `format` of the schema.
    pub(crate) name: &'static str,
    /// As in "must be …".
    pub(crate) words: &'static str,
    /// What is wrong with a value of the right JSON type.
    pub(crate) check: fn(&Value) -> Result<(), String>,
    /// The code of a wrong value, where it has one of its own.
    pub(crate) code: Option<&'static str>,
    /// What a wrong value should perhaps be.
    pub(crate) mend: fn(&Value) -> Option<String>,
}

/// A format without a code and a remedy of its own.
const fn plain(name: &'static str, words: &'static str, check: fn(&Value) -> Result<(), String>) -> Format {
    Format { name, words, check, code: None, mend: |_| None }
}

/// A format with a code of its own.
const fn coded(
    name: &'static str,
    words: &'static str,
    code: &'static str,
    check: fn(&Value) -> Result<(), String>,
) -> Format {
    Format { name, words, check, code: Some(code), mend: |_| None }
}

static FORMATS: &[Format] = &[
    plain("duration", "a duration such as 250ms, 2s, 5m, 72h or 14d", |value| {
        text(value, |text| units::duration(text).map(drop))
    }),
    plain("size", "a size such as 64KiB or 3MiB", |value| amount(value, units::size)),
    plain("rate", "a rate such as 16KiB/s", |value| amount(value, units::rate)),
    plain("device", "a device id", |value| text(value, device)),
    plain("topic", "an MQTT topic", |value| text(value, topic)),
    plain("md5", "32 hexadecimal digits", |value| text(value, |text| hex(text, 32))),
    plain("sha256", "64 hexadecimal digits", |value| text(value, |text| hex(text, 64))),
    Format {
        name: "kebab",
        words: "a kebab-case name",
        check: |value| text(value, kebab),
        code: Some(codes::BAD_NAME),
        mend: |value| recased(value, "-"),
    },
    Format {
        name: "snake",
        words: "a snake_case name",
        check: |value| text(value, snake),
        code: Some(codes::BAD_NAME),
        mend: |value| recased(value, "_"),
    },
    coded("filter", "an MQTT topic filter", codes::BAD_FILTER, |value| text(value, filter)),
    coded("glob", "a file name with * and ?", codes::BAD_GLOB, |value| text(value, |text| Glob::new(text).map(drop))),
    coded("cron", "a cron pattern such as 17 3 * * *", codes::BAD_CRON, |value| text(value, trigger::check_cron)),
    Format {
        mend: |value| trigger::zone_like(value.as_str()?),
        ..coded("zone", "a time zone such as Europe/Berlin", codes::BAD_ZONE, |value| text(value, trigger::check_zone))
    },
    plain("cel", "a CEL expression", |_| Ok(())),
    plain("file", "a file, as in \"${{ inputs.image }}\"", |_| Ok(())),
    plain("key", "text", |value| text(value, key)),
    plain("extension", "a file extension of at most 6 letters or digits, without a dot", |value| {
        text(value, extension)
    }),
    plain("packet", "`auto` or a number of bytes", packet),
    plain("path", "a path", |value| text(value, path)),
    plain("plugin", "the name of a plugin, as NAME or NAME@VERSION", |value| text(value, plugin)),
    plain("conditions", "a CEL condition, or a list of them", |_| Ok(())),
    plain("match", "a device id or a glob such as gw-*", |value| {
        text(value, |text| crate::registry::Pattern::parse(text).map(drop))
    }),
    plain("presence", "an MQTT topic, with {device} as a level", |value| {
        text(value, |text| crate::presence::Topic::parse(text).map(drop))
    }),
    plain("timezone", "a time zone such as Europe/Berlin", |value| text(value, timezone)),
    plain("word", "a code in capitals", |value| text(value, word)),
    plain("code", "a code such as PH0301 or a class such as transient", |value| text(value, error_code)),
];

/// The format of a name; schemas also bear formats that are not ours.
pub(crate) fn format(name: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|format| format.name == name)
}

fn text(value: &Value, check: impl Fn(&str) -> Result<(), String>) -> Result<(), String> {
    value.as_str().map_or(Ok(()), check)
}

fn amount(value: &Value, parse: fn(&str) -> Result<i64, String>) -> Result<(), String> {
    match value {
        Value::String(text) => parse(text).map(drop),
        Value::Number(number) if number.as_i64().is_none_or(|number| number < 0) => {
            Err(format!("{number} is below zero or no whole number of bytes"))
        }
        _ => Ok(()),
    }
}

/// Device ids: 1 to 128 of `A-Z a-z 0-9 _ . : @ = -`.
pub(crate) fn device(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("the device id is empty".to_owned());
    }
    if text.chars().count() > MAX_DEVICE {
        return Err(format!("the device id is longer than {MAX_DEVICE} characters"));
    }
    let wrong = text.chars().find(|letter| !(letter.is_ascii_alphanumeric() || "_.:@=-".contains(*letter)));
    match wrong {
        Some(letter) => {
            Err(format!("`{}` cannot stand in a device id: only A-Z a-z 0-9 _ . : @ = - can", letter.escape_default()))
        }
        None => Ok(()),
    }
}

/// Topics that one can publish to: no wildcards, no control characters.
pub(crate) fn topic(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("the topic is empty".to_owned());
    }
    if text.len() > MAX_TOPIC {
        return Err(format!("the topic is longer than {MAX_TOPIC} bytes"));
    }
    match text.chars().find(|letter| matches!(letter, '+' | '#') || letter.is_control()) {
        Some(letter @ ('+' | '#')) => {
            Err(format!("the wildcard `{letter}` cannot stand in a topic that is published to"))
        }
        Some(_) => Err("a control character cannot stand in a topic".to_owned()),
        None => Ok(()),
    }
}

/// Filters that a trigger subscribes to.
fn filter(text: &str) -> Result<(), String> {
    if text.contains(['{', '}']) {
        return Err("braces cannot stand in a trigger's topic".to_owned());
    }
    if text == "$share" || text.starts_with("$share/") {
        return Err("shared subscriptions are not supported".to_owned());
    }
    if text.split('/').count() > MAX_LEVELS {
        return Err(format!("a topic has {MAX_LEVELS} levels at the most"));
    }
    crate::grant::check_filter(text)
}

/// `NAME` or `NAME@VERSION`.
fn plugin(text: &str) -> Result<(), String> {
    let (name, version) = text.split_once('@').unwrap_or((text, "0"));
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let named = (1..=64).contains(&name.len()) && name.bytes().all(fits) && !name.starts_with('-');
    let versioned = version.starts_with(|first: char| first.is_ascii_digit())
        && version.len() <= 64
        && version.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-+".contains(&byte));
    if named && versioned {
        return Ok(());
    }
    Err(format!("`{}` names no plugin: a-z, 0-9 and hyphens, at most 64, and perhaps @VERSION", excerpt(text)))
}

/// What the name of an IANA time zone looks like; whether there is one of this name is not known here.
fn timezone(text: &str) -> Result<(), String> {
    let part = |part: &str| {
        part.starts_with(|first: char| first.is_ascii_alphabetic())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+-".contains(&byte))
    };
    if text.len() <= 64 && text.split('/').all(part) {
        return Ok(());
    }
    Err(format!("`{}` is no name of a time zone such as Europe/Berlin or UTC", excerpt(text)))
}

/// So many hexadecimal digits.
pub(crate) fn hex(text: &str, length: usize) -> Result<(), String> {
    if text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(());
    }
    Err(format!("`{}` is not {length} hexadecimal digits", excerpt(text)))
}

fn kebab(text: &str) -> Result<(), String> {
    if cased(text, '-') {
        Ok(())
    } else {
        Err(format!(
            "`{}` is not kebab-case: a-z, 0-9 and single hyphens, beginning with a letter, at most 64",
            excerpt(text)
        ))
    }
}

fn snake(text: &str) -> Result<(), String> {
    if cased(text, '_') {
        Ok(())
    } else {
        Err(format!(
            "`{}` is not snake_case: a-z, 0-9 and underscores, beginning with a letter, at most 64",
            excerpt(text)
        ))
    }
}

/// The name in the right case, where that is all that is wrong.
fn recased(value: &Value, joint: &str) -> Option<String> {
    let mut name = String::new();
    for letter in value.as_str()?.chars() {
        match letter {
            '-' | '_' | ' ' | '.' => name.push_str(joint),
            _ if letter.is_ascii_uppercase() && name.ends_with(|last: char| last.is_ascii_lowercase()) => {
                name.push_str(joint);
                name.push(letter.to_ascii_lowercase());
            }
            _ => name.push(letter.to_ascii_lowercase()),
        }
    }
    cased(&name, joint.chars().next()?).then(|| format!("write `{name}`"))
}

fn cased(text: &str, joint: char) -> bool {
    let letters = text.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == joint);
    let kebab = joint == '-' && (text.ends_with('-') || text.contains("--"));
    letters && text.len() <= 64 && text.starts_with(|letter: char| letter.is_ascii_lowercase()) && !kebab
}

fn key(text: &str) -> Result<(), String> {
    if text.is_empty() { Err("the key is empty".to_owned()) } else { Ok(()) }
}

/// At most 6 letters or digits.
pub(crate) fn extension(text: &str) -> Result<(), String> {
    if text.len() <= 6 && text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Ok(());
    }
    Err(format!("`{}` is not an extension of at most 6 letters or digits, without a dot", excerpt(text)))
}

fn packet(value: &Value) -> Result<(), String> {
    match value.as_str() {
        Some("auto") => Ok(()),
        Some(text) => match units::size(text) {
            Ok(1..=1_048_576) => Ok(()),
            Ok(size) => Err(format!("{size} is not within 1 to 1048576")),
            Err(_) => Err(format!("`{}` is neither `auto` nor a size", excerpt(text))),
        },
        None => Ok(()),
    }
}

/// Local paths: not empty, no control characters.
pub(crate) fn path(text: &str) -> Result<(), String> {
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err("the path is empty or has control characters".to_owned());
    }
    Ok(())
}

/// Codes of a workflow's own: `PH` is ours.
pub(crate) fn word(text: &str) -> Result<(), String> {
    let letters = text
        .chars()
        .all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit() || matches!(letter, '_' | '-'));
    let ours = text.len() == 6 && text.starts_with("PH") && text[2..].bytes().all(|byte| byte.is_ascii_digit());
    if letters && !ours && text.len() <= 32 && text.starts_with(|letter: char| letter.is_ascii_uppercase()) {
        return Ok(());
    }
    Err(format!(
        "`{}` is not a code: 1 to 32 of A-Z 0-9 _ -, beginning with a letter; PH and four digits are ours",
        excerpt(text)
    ))
}

/// Classes of failures, as in `retry.errors`.
pub(crate) static CLASSES: &[&str] = &["transient", "device_offline", "permanent", "operator", "bug"];

fn error_code(text: &str) -> Result<(), String> {
    let code = text
        .strip_prefix("PH")
        .is_some_and(|digits| digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit()));
    if code || word(text).is_ok() || CLASSES.contains(&text) {
        return Ok(());
    }
    Err(format!("`{}` is neither a code such as PH0301 nor one of {}", excerpt(text), CLASSES.join(", ")))
}

fn excerpt(text: &str) -> String {
    let shown: String = text.chars().take(40).collect();
    if shown.len() < text.len() { format!("{shown}…") } else { shown }
}
