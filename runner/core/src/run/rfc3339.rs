//! Times in what people and programs read: text as [`WallTime::to_rfc3339`] writes it, for `#[serde(with = "rfc3339")]`. Milliseconds, as the
//! journal has them, are read too.

use super::words::WallTime;
use serde::{Deserialize, Deserializer, Serializer};

/// The last moment that has four digits for its year, as RFC 3339 wants: later ones are told as this one.
const LAST: WallTime = WallTime(253_402_300_799_999);

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Millis(u64),
    Text(String),
}

impl Written {
    fn time<E: serde::de::Error>(self) -> Result<WallTime, E> {
        let text = match self {
            Self::Millis(millis) => return Ok(WallTime(millis)),
            Self::Text(text) => text,
        };
        let bad = || E::custom(format!("{text:?} is no time: 2027-03-01T00:00:00.000Z is one"));
        let time = chrono::DateTime::parse_from_rfc3339(&text).map_err(|_| bad())?;
        u64::try_from(time.timestamp_millis()).map(WallTime).map_err(|_| bad())
    }
}

/// Writes a time as text.
pub fn serialize<S: Serializer>(time: &WallTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&(*time).min(LAST).to_rfc3339())
}

/// Reads text or milliseconds.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<WallTime, D::Error> {
    Written::deserialize(deserializer)?.time()
}

/// The same for a time that may be absent.
pub mod option {
    use super::{Deserialize as _, Deserializer, Serializer, WallTime, Written};

    /// Writes a time as text, or nothing.
    pub fn serialize<S: Serializer>(time: &Option<WallTime>, serializer: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => super::serialize(time, serializer),
            None => serializer.serialize_none(),
        }
    }

    /// Reads text, milliseconds, or nothing.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<WallTime>, D::Error> {
        Option::<Written>::deserialize(deserializer)?.map(Written::time).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Serialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Times {
        #[serde(with = "super")]
        at: WallTime,
        #[serde(default, with = "super::option")]
        until: Option<WallTime>,
    }

    fn read(text: &str) -> Result<Times, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn text_and_milliseconds_are_read_and_text_is_written() {
        let times = Times { at: WallTime(1_700_000_000_001), until: Some(WallTime(0)) };
        let text = serde_json::to_string(&times).unwrap();
        assert_eq!(text, r#"{"at":"2023-11-14T22:13:20.001Z","until":"1970-01-01T00:00:00.000Z"}"#);
        assert_eq!(read(&text).unwrap(), times);
        assert_eq!(read(r#"{"at":1700000000001,"until":0}"#).unwrap(), times);
        assert_eq!(read(r#"{"at":"2023-11-15T00:13:20.001+02:00"}"#).unwrap(), Times { until: None, ..times });
        for bad in [r#"{"at":"yesterday"}"#, r#"{"at":-1}"#, r#"{"at":"1969-12-31T23:59:59Z"}"#, r#"{"at":null}"#] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn whatever_a_clock_says_can_be_read_again() {
        let times = Times { at: WallTime(u64::MAX), until: None };
        let text = serde_json::to_string(&times).unwrap();
        assert!(text.contains("9999-12-31T23:59:59.999Z"), "{text}");
        assert_eq!(read(&text).unwrap().at, LAST);
    }
}
