//! What a device says, read by the platform and written by the device: one object a message, most of its keys optional.

use std::borrow::Cow;

use packhorse_codec::json::{ObjectWriter, Value, members};
use packhorse_codec::{Fault, Phase, Verdict};

use crate::offer::{Digests, exact, id};

/// Everything that may stand in a message of the device. Empty text stands for a key that is not there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// Which offer it is about.
    pub(crate) offer: String,
    /// Which download of it, counted from 1.
    pub(crate) attempt: Option<u64>,
    /// What runs, or ran.
    pub(crate) version: String,
    pub(crate) phase: String,
    pub(crate) done: Option<u64>,
    pub(crate) percent: Option<u64>,
    pub(crate) size: Option<u64>,
    pub(crate) digests: Digests,
    pub(crate) reason: String,
    pub(crate) message: String,
}

/// What a `reason` of the scheme means. Others are a failure, in the device's own words.
const REASONS: [(&str, Verdict); 6] = [
    ("digest", Verdict::BadDigest),
    ("size", Verdict::BadSize),
    ("storage", Verdict::DeviceFull),
    ("refused", Verdict::Refused),
    ("cancelled", Verdict::Cancelled),
    ("failed", Verdict::Failed),
];

const PHASES: [(&str, Phase); 5] = [
    ("downloading", Phase::Downloading),
    ("downloaded", Phase::Downloaded),
    ("installing", Phase::Installing),
    ("self_test", Phase::SelfTest),
    ("rebooting", Phase::Rebooting),
];

/// The word for a phase; none where the scheme has another topic for it, or no word.
pub(crate) fn phase_name(phase: Phase) -> Option<&'static str> {
    PHASES.iter().find(|(_, known)| *known == phase).map(|(name, _)| *name)
}

/// The word for a verdict that is not good.
pub(crate) fn reason_name(verdict: Verdict) -> &'static str {
    REASONS.iter().find(|(_, known)| *known == verdict).map_or("failed", |(name, _)| name)
}

impl Report {
    /// Reads a message; an empty payload is an object without keys.
    pub(crate) fn read(payload: &[u8]) -> Result<Self, Fault> {
        let mut report = Self::default();
        if payload.iter().all(|byte| byte.is_ascii_whitespace() || *byte == 0) {
            return Ok(report);
        }
        let mut all = members(payload)?;
        while let Some((key, value)) = all.member()? {
            if value != Value::Null {
                report.take(&key.text(), value)?;
            }
        }
        Ok(report)
    }

    fn take(&mut self, key: &str, value: Value<'_>) -> Result<(), Fault> {
        if self.digests.take(key, value)? {
            return Ok(());
        }
        let text = || value.text().unwrap_or_default().trim().to_owned();
        let number = || value.u64().ok_or_else(|| Fault::malformed(format!("{key} is not a whole number")));
        match key {
            "offer" => self.offer = id(&text())?,
            "attempt" => self.attempt = Some(number()?),
            "version" => self.version = text(),
            "phase" => self.phase = text().to_ascii_lowercase(),
            "done" => self.done = Some(number()?),
            "percent" => self.percent = Some(percent(&value)?),
            "size" => self.size = Some(number()?),
            "reason" => self.reason = text(),
            "message" => self.message = text(),
            _ => {}
        }
        Ok(())
    }

    pub(crate) fn message(&self) -> Vec<u8> {
        let mut object = ObjectWriter::with_capacity(256);
        let texts = |object: &mut ObjectWriter, pairs: &[(&str, &String)]| {
            pairs.iter().filter(|(_, text)| !text.is_empty()).for_each(|(key, text)| object.string(key, text));
        };
        let numbers = |object: &mut ObjectWriter, pairs: &[(&str, Option<u64>)]| {
            pairs.iter().filter_map(|(key, value)| Some((key, (*value)?))).for_each(|(key, it)| object.number(key, it));
        };
        texts(&mut object, &[("offer", &self.offer)]);
        numbers(&mut object, &[("attempt", self.attempt)]);
        texts(&mut object, &[("version", &self.version), ("phase", &self.phase)]);
        numbers(&mut object, &[("done", self.done), ("percent", self.percent), ("size", self.size)]);
        self.digests.write(&mut object);
        texts(&mut object, &[("reason", &self.reason), ("message", &self.message)]);
        exact(object)
    }

    /// What the device is doing; downloading where it does not say.
    pub(crate) fn phase(&self) -> Result<Phase, Fault> {
        if self.phase.is_empty() {
            return Ok(Phase::Downloading);
        }
        let found = PHASES.iter().find(|(name, _)| *name == self.phase).map(|(_, phase)| *phase);
        found.ok_or_else(|| Fault::malformed(format!("the phase {:?} is not one of this scheme", self.phase)))
    }

    /// Bytes of a file of `size` that the device has.
    pub(crate) fn bytes(&self, size: u64) -> Option<u64> {
        let hundredth = |percent: u64| (u128::from(size) * u128::from(percent.min(100)) / 100) as u64;
        self.done.or_else(|| self.percent.map(hundredth))
    }

    /// What the reason of a `retry` means.
    pub(crate) fn verdict(&self) -> Verdict {
        let reason = self.reason.to_ascii_lowercase();
        REASONS.iter().find(|(name, _)| *name == reason).map_or(Verdict::Failed, |(_, verdict)| *verdict)
    }
}

/// 0 to 100; what stands behind a point, and a per cent sign, do not matter.
fn percent(value: &Value<'_>) -> Result<u64, Fault> {
    let text = value.text().unwrap_or(Cow::Borrowed(""));
    let digits = text.trim().trim_end_matches('%').trim_end();
    let whole = digits.split_once('.').map_or(digits, |(whole, _)| whole);
    let number = whole.parse::<u64>().ok().filter(|number| *number <= 100 && !whole.starts_with('+'));
    number.ok_or_else(|| Fault::malformed(format!("percent is {text:?}, and not a number from 0 to 100")))
}
