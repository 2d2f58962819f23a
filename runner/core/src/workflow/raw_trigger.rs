//! Triggers as written, for the schema and the reader.

use super::raw::Cel;
use crate::trigger::IfMissed;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// What starts runs by itself: exactly one of `mqtt`, `schedule`, `file`, `http`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Trigger", extend("x-later" = ["redis", "workflow"]))]
#[expect(dead_code, reason = "every field is in the schema; each is read from the tree, with its place")]
pub(super) struct RawTrigger {
    /// Name, snake_case, unique among the triggers; what is durable of a trigger is kept under it. Its kind and place, as in
    /// `mqtt_1`, where it is not given.
    #[schemars(extend("format" = "snake", "pattern" = "^[a-z][a-z0-9_]*$", "maxLength" = 64))]
    id: Option<String>,
    /// A message starts a run.
    mqtt: Option<RawMqtt>,
    /// A time starts a run.
    schedule: Option<RawSchedule>,
    /// A new or changed file starts a run.
    file: Option<RawFile>,
    /// A request to the daemon's API starts a run.
    http: Option<RawHttp>,
}

/// A message starts a run.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "MqttTrigger")]
#[expect(dead_code, reason = "every field is in the schema; some are read from the tree, with their places")]
pub(super) struct RawMqtt {
    /// Filter of topics, with `+` and `#`.
    #[schemars(required, extend("format" = "filter"))]
    pub(super) topic: Option<String>,
    /// One run for all messages with the same key, for 7 days; text or an expression over `trigger`.
    #[schemars(with = "Option<String>", extend("x-expression" = true))]
    dedupe_key: Option<Value>,
    /// Bare CEL over `trigger`; the message is ignored where it is false.
    #[schemars(with = "Option<Cel>")]
    r#if: Option<Value>,
    /// Inputs of the run; expressions over `trigger`.
    #[schemars(extend("x-expression" = "below"))]
    inputs: Option<Map<String, Value>>,
    /// Starts a minute at the most; 60 where it is not given. Twice as many may come at once, what is beyond waits.
    #[schemars(range(min = 1, max = 6_000))]
    pub(super) max_rate: Option<u32>,
}

/// A time starts a run.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ScheduleTrigger")]
#[expect(dead_code, reason = "every field is in the schema; some are read from the tree, with their places")]
pub(super) struct RawSchedule {
    /// Minute, hour, day of month, month, day of week.
    #[schemars(required, extend("format" = "cron"))]
    pub(super) cron: Option<String>,
    /// A time zone of the IANA database; UTC where it is not given.
    #[schemars(extend("format" = "zone"))]
    pub(super) timezone: Option<String>,
    /// Each time is put off by a part of this, at most 1d, that is the same whenever it is asked for.
    #[schemars(extend("format" = "duration"))]
    pub(super) jitter: Option<String>,
    /// What is done with times that passed while no daemon ran; `run_once` where it is not given.
    pub(super) if_missed: Option<IfMissed>,
    /// Bare CEL over `trigger`; the time is passed over where it is false.
    #[schemars(with = "Option<Cel>")]
    r#if: Option<Value>,
    /// Inputs of the run; expressions over `trigger`.
    #[schemars(extend("x-expression" = "below"))]
    inputs: Option<Map<String, Value>>,
}

/// A new or changed file starts a run.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "FileTrigger")]
#[expect(dead_code, reason = "every field is in the schema; some are read from the tree, with their places")]
pub(super) struct RawFile {
    /// Where the files lie; a relative path counts from the daemon's working folder.
    #[schemars(required, extend("format" = "path"))]
    pub(super) folder: Option<String>,
    /// What they are called, with `*` and `?`; all names where it is not given.
    #[schemars(extend("format" = "glob"))]
    pub(super) glob: Option<String>,
    /// Bare CEL over `trigger`; the file is ignored where it is false.
    #[schemars(with = "Option<Cel>")]
    r#if: Option<Value>,
    /// Inputs of the run; expressions over `trigger`.
    #[schemars(extend("x-expression" = "below"))]
    inputs: Option<Map<String, Value>>,
    /// Starts a minute at the most; 60 where it is not given. Twice as many may come at once, what is beyond waits.
    #[schemars(range(min = 1, max = 6_000))]
    pub(super) max_rate: Option<u32>,
}

/// A request to the daemon's API starts a run.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "HttpTrigger")]
#[expect(dead_code, reason = "every field is in the schema; some are read from the tree, with their places")]
pub(super) struct RawHttp {
    /// One run for all requests with the same key, for 7 days, where the request bears no `Idempotency-Key`.
    #[schemars(with = "Option<String>", extend("x-expression" = true))]
    dedupe_key: Option<Value>,
    /// Bare CEL over `trigger`; the request is ignored where it is false.
    #[schemars(with = "Option<Cel>")]
    r#if: Option<Value>,
    /// Inputs of the run; expressions over `trigger`.
    #[schemars(extend("x-expression" = "below"))]
    inputs: Option<Map<String, Value>>,
    /// Starts a minute at the most; 60 where it is not given. Twice as many may come at once, what is beyond is refused.
    #[schemars(range(min = 1, max = 6_000))]
    pub(super) max_rate: Option<u32>,
}
