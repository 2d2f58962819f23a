//! One execution of a job: its state, and how it stands in messages.

use packhorse_codec::json::{ObjectWriter, Value, members};
use packhorse_codec::{Fault, Reader, Writer};

use crate::state::{plain, restore_text, save_text};

/// The states of an execution that occur here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Queued,
    InProgress,
    Succeeded,
    Failed,
    Rejected,
    Canceled,
}

impl Status {
    const ALL: [Self; 6] =
        [Self::Queued, Self::InProgress, Self::Succeeded, Self::Failed, Self::Rejected, Self::Canceled];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Queued => "QUEUED",
            Self::InProgress => "IN_PROGRESS",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Rejected => "REJECTED",
            Self::Canceled => "CANCELED",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name().eq_ignore_ascii_case(name.trim()))
    }

    /// No update changes it any more.
    pub(crate) const fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::InProgress)
    }
}

/// Pairs of names and values that a device leaves with its execution: the same comes back to it after a restart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Details(Vec<(String, String)>);

/// AWS takes 10 pairs, names of 128 and values of 1024 bytes; all of them together have to fit into what is saved.
const PAIRS_MOST: usize = 10;
const NAME_MOST: usize = 128;
const VALUE_MOST: usize = 1024;
const DETAILS_MOST: usize = 1536;

impl Details {
    pub(crate) fn new(pairs: &[(&str, &str)]) -> Self {
        Self(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    pub(crate) fn read(value: Value<'_>) -> Result<Self, Fault> {
        let Value::Object(text) = value else { return Err(Fault::malformed("statusDetails is no object")) };
        let mut details = Self::default();
        let mut all = members(text)?;
        while let Some((name, value)) = all.member()? {
            let Some(value) = value.text() else { continue };
            details.0.push((plain("a name in statusDetails", &name.text(), NAME_MOST)?.to_owned(), value.into_owned()));
        }
        let length = |(name, value): &(String, String)| name.len() + value.len();
        let fits = details.0.len() <= PAIRS_MOST
            && details.0.iter().all(|(_, value)| value.len() <= VALUE_MOST)
            && details.0.iter().map(length).sum::<usize>() <= DETAILS_MOST;
        if fits { Ok(details) } else { Err(Fault::malformed("statusDetails are more than can be kept")) }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn json(&self) -> String {
        let mut object = ObjectWriter::with_capacity(64);
        self.0.iter().for_each(|(name, value)| object.string(name, value));
        String::from_utf8_lossy(&object.finish()).into_owned()
    }
}

/// An execution. Times are Unix seconds, by the only date that a codec has: when its session began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) id: String,
    pub(crate) status: Status,
    /// Counts the changes, from 1.
    pub(crate) version: u64,
    pub(crate) details: Details,
    queued: u64,
    started: u64,
    updated: u64,
}

impl Job {
    pub(crate) fn new(id: String, now: u64) -> Self {
        Self {
            id,
            status: Status::Queued,
            version: 1,
            details: Details::default(),
            queued: now,
            started: 0,
            updated: now,
        }
    }

    /// A device takes or updates it. Without details those that are there stay.
    pub(crate) fn change(&mut self, status: Status, details: Option<Details>, now: u64) {
        if self.status == Status::Queued {
            self.started = now;
        }
        self.status = status;
        self.version += 1;
        self.updated = now;
        self.details = details.unwrap_or_else(|| std::mem::take(&mut self.details));
    }

    /// The whole execution, for whoever asks for it.
    pub(crate) fn execution(&self, thing: &str, document: Option<&str>) -> String {
        let mut object = ObjectWriter::with_capacity(512);
        object.string("jobId", &self.id);
        object.string("thingName", thing);
        object.string("status", self.status.name());
        if !self.details.is_empty() {
            object.raw("statusDetails", &self.details.json());
        }
        object.number("queuedAt", self.queued);
        if self.status != Status::Queued {
            object.number("startedAt", self.started);
        }
        object.number("lastUpdatedAt", self.updated);
        object.number("versionNumber", self.version);
        object.number("executionNumber", EXECUTION);
        if let Some(document) = document {
            object.raw("jobDocument", document);
        }
        String::from_utf8_lossy(&object.finish()).into_owned()
    }

    /// The part of it that answers an update.
    pub(crate) fn state(&self) -> String {
        let mut object = ObjectWriter::with_capacity(128);
        object.string("status", self.status.name());
        object.raw("statusDetails", &self.details.json());
        object.number("versionNumber", self.version);
        String::from_utf8_lossy(&object.finish()).into_owned()
    }

    pub(crate) fn save(&self, state: &mut Writer) {
        save_text(state, &self.id);
        state.u8(self.status as u8);
        [self.version, self.queued, self.started, self.updated].into_iter().for_each(|number| state.u64_be(number));
        state.u8(self.details.0.len() as u8);
        for (name, value) in &self.details.0 {
            save_text(state, name);
            save_text(state, value);
        }
    }

    pub(crate) fn restore(state: &mut Reader<'_>) -> Result<Self, Fault> {
        let id = restore_text(state, "job")?;
        let status = state.u8("status")?;
        let status = Status::ALL.into_iter().find(|known| *known as u8 == status).ok_or(Fault::Unsupported)?;
        let mut number = |what| state.u64_be(what);
        let [version, queued, started, updated] =
            [number("version")?, number("queued")?, number("started")?, number("updated")?];
        let mut details = Details::default();
        for _ in 0..state.u8("details")? {
            details.0.push((restore_text(state, "name")?, restore_text(state, "value")?));
        }
        Ok(Self { id, status, version, details, queued, started, updated })
    }
}

/// A job is executed once; a second attempt is another job.
pub(crate) const EXECUTION: u64 = 1;
