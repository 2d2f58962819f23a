//! Topics: what a codec's route templates stand for, for one device.
//!
//! A codec never writes a topic. It names a route and what fills its `{+}` and `{#}`; the topic is built here, so that no
//! codec and no device name can reach another device's topic.
//!
//! * `template`: a template as it is written. `topics`: all routes of a codec, filled in for one device.

mod template;
mod topics;

pub use template::{Template, is_var_name};
pub use topics::Routes;

/// MQTT gives a topic's length two bytes.
const MAX_TOPIC_BYTES: usize = 65_535;
/// More levels than any vendor has; brokers refuse far fewer than MQTT allows.
const MAX_LEVELS: usize = 64;
/// Longer device ids are refused.
const MAX_DEVICE_BYTES: usize = 128;

/// Why a template, or what is to fill it, makes no topic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum RouteError {
    #[error("device id {0:?} is not made of 1 to 128 of A-Z a-z 0-9 _ . : @ = -")]
    Device(String),
    #[error("route template {template:?}: {problem}")]
    Template { template: String, problem: String },
    #[error("route template {template:?} needs the variable `{name}`, which is not given")]
    MissingVar { template: String, name: String },
    #[error("variable `{name}` cannot stand in a topic: {value:?} {problem}")]
    Var { name: String, value: String, problem: &'static str },
    #[error("there is no route {route}: the codec declares {count}")]
    NoSuchRoute { route: u16, count: usize },
    #[error("route {route} carries messages the other way")]
    WrongFlow { route: u16 },
    #[error("route {route} takes {wanted} captures, not {given}")]
    CaptureCount { route: u16, wanted: usize, given: usize },
    #[error("capture {value:?} of route {route} {problem}")]
    Capture { route: u16, value: String, problem: &'static str },
    #[error("the topic of route {route} has {len} bytes, more than {MAX_TOPIC_BYTES}")]
    TooLong { route: u16, len: usize },
    #[error("routes {first} and {second} would both take the topic filter {filter:?}")]
    Overlap { first: u16, second: u16, filter: String },
}

/// Checks a device id: 1 to 128 bytes of `A-Z a-z 0-9 _ . : @ = -`, which are safe in topics, keys and file names.
pub fn check_device(device: &str) -> Result<(), RouteError> {
    let fits = (1..=MAX_DEVICE_BYTES).contains(&device.len());
    if fits && device.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.:@=-".contains(&byte)) {
        return Ok(());
    }
    Err(RouteError::Device(shortened(device)))
}

/// For messages: what is too long to show is cut.
fn shortened(text: &str) -> String {
    let mut letters = text.chars();
    let mut short: String = letters.by_ref().take(80).collect();
    if letters.next().is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests;
