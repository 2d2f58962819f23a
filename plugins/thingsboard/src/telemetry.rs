//! What a device reports of its update: one object, or a list of them, with or without time stamps.

use packhorse_codec::json::{Members, ObjectWriter, Value, members};
use packhorse_codec::{Fault, Phase, Verdict};

use crate::announcement::exact;
use crate::describe::Kind;

/// What one entry says of updates of one kind. Empty text stands for a key that is not there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// What runs now.
    pub(crate) title: String,
    pub(crate) version: String,
    pub(crate) state: Option<State>,
    pub(crate) error: String,
}

/// The value of `fw_state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing is under way.
    Idle,
    /// On the way to the end, this far.
    Working(Phase),
    Updated,
    Failed,
    /// A state that only a server sets.
    Server,
}

/// More entries in one message are damage: each becomes an event, and a call gives back at most 4096.
const ENTRIES: usize = 32;

impl State {
    fn read(text: &str) -> Result<Self, Fault> {
        Ok(match text.trim().to_ascii_uppercase().as_str() {
            "" | "IDLE" => Self::Idle,
            "DOWNLOADING" => Self::Working(Phase::Downloading),
            "DOWNLOADED" => Self::Working(Phase::Downloaded),
            "VERIFIED" => Self::Working(Phase::Verified),
            "UPDATING" => Self::Working(Phase::Installing),
            "UPDATED" => Self::Updated,
            "FAILED" => Self::Failed,
            "QUEUED" | "INITIATED" => Self::Server,
            _ => return Err(Fault::malformed(format!("the state {text:?} is not one of ThingsBoard's"))),
        })
    }

    /// As it stands on the wire.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Idle => "IDLE",
            Self::Working(Phase::Offered | Phase::Downloading) => "DOWNLOADING",
            Self::Working(Phase::Downloaded) => "DOWNLOADED",
            Self::Working(Phase::Verified) => "VERIFIED",
            Self::Working(Phase::Installing | Phase::SelfTest | Phase::Rebooting) => "UPDATING",
            Self::Updated => "UPDATED",
            Self::Failed => "FAILED",
            Self::Server => "INITIATED",
        }
    }
}

impl Report {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// As shipped clients write it: everything that they know, in a list of one.
    pub(crate) fn message(&self, kind: Kind) -> Vec<u8> {
        let mut object = ObjectWriter::with_capacity(160);
        if !self.version.is_empty() {
            object.string(&kind.current("title"), &self.title);
            object.string(&kind.current("version"), &self.version);
        }
        if let Some(state) = self.state {
            object.string(&kind.key("state"), state.name());
        }
        object.string(&kind.key("error"), &self.error);
        exact([b"[", object.finish().as_slice(), b"]"].concat())
    }

    /// What a failure means: there are no codes, so that the words of shipped clients and of `ENOSPC` have to tell. A client that finds
    /// the title wrong or the algorithm unknown would find it again.
    pub(crate) fn verdict(&self) -> Verdict {
        let error = self.error.to_ascii_lowercase();
        let says = |words: &str| error.contains(words);
        if says("not meant for") || says("not supported") {
            Verdict::Refused
        } else if error == "cancelled" {
            Verdict::Cancelled
        } else if says("checksum") {
            Verdict::BadDigest
        } else if says("no space") {
            Verdict::DeviceFull
        } else {
            Verdict::Failed
        }
    }

    fn read(&mut self, kind: Kind, mut entry: Members<'_>) -> Result<(), Fault> {
        while let Some((key, value)) = entry.member()? {
            if let (true, Value::Object(values)) = (key.is("values"), value) {
                self.read_values(kind, members(values)?)?;
            } else {
                self.take(kind, &key.text(), value)?;
            }
        }
        Ok(())
    }

    fn read_values(&mut self, kind: Kind, mut values: Members<'_>) -> Result<(), Fault> {
        while let Some((key, value)) = values.member()? {
            self.take(kind, &key.text(), value)?;
        }
        Ok(())
    }

    /// Other keys are the device's own telemetry.
    fn take(&mut self, kind: Kind, key: &str, value: Value<'_>) -> Result<(), Fault> {
        let (current, name) = match key.strip_prefix("current_") {
            Some(rest) => (true, rest.strip_prefix(kind.prefix())),
            None => (false, key.strip_prefix(kind.prefix())),
        };
        let text = || value.text().map(|text| text.trim().to_owned()).unwrap_or_default();
        match (current, name) {
            (true, Some("title")) => self.title = text(),
            (true, Some("version")) => self.version = text(),
            (false, Some("state")) => self.state = Some(State::read(&text())?),
            (false, Some("error")) => self.error = text(),
            _ => {}
        }
        Ok(())
    }
}

/// What a message says of updates of one kind, in order.
pub(crate) fn read(kind: Kind, payload: &[u8]) -> Result<Vec<Report>, Fault> {
    let text = payload.strip_prefix(b"\xef\xbb\xbf").unwrap_or(payload).trim_ascii_start();
    let mut reports = Vec::new();
    if !text.starts_with(b"[") {
        add(kind, text, &mut reports)?;
        return Ok(reports);
    }
    for (at, entry) in Value::Array(text).items().enumerate() {
        match entry? {
            Value::Object(entry) if at < ENTRIES => add(kind, entry, &mut reports)?,
            Value::Object(_) => return Err(Fault::malformed(format!("more than {ENTRIES} entries in one message"))),
            _ => return Err(Fault::malformed("an entry of the list is not an object")),
        }
    }
    Ok(reports)
}

fn add(kind: Kind, entry: &[u8], reports: &mut Vec<Report>) -> Result<(), Fault> {
    let mut report = Report::default();
    report.read(kind, members(entry)?)?;
    if !report.is_empty() {
        reports.push(report);
    }
    Ok(())
}
