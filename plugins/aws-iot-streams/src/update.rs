//! Reads what a device asks of Jobs, and what an update means for the transfer.

use packhorse_codec::json::{Value, members};
use packhorse_codec::{Event, Fault, Outcome, Phase, Progress, Text, Verdict};

use crate::job::{Details, Status};
use crate::state::plain;
use crate::stream::Rejection;

/// AWS takes 64 bytes; a Rust client in the field allows itself ten more than a thing's name may have.
pub(crate) const TOKEN_MOST: usize = 138;

/// The members of a request: of `start-next`, `get` and `update` alike.
#[derive(Debug, Default)]
pub(crate) struct Request {
    /// Empty = none.
    pub(crate) token: String,
    pub(crate) status: Option<String>,
    pub(crate) details: Option<Details>,
    pub(crate) expected_version: Option<u64>,
    pub(crate) execution_number: Option<u64>,
    pub(crate) with_state: bool,
    pub(crate) with_document: Option<bool>,
}

/// Why a request is turned down, with the token that its answer repeats.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) token: String,
    pub(crate) rejection: Rejection,
}

impl Request {
    /// An empty message asks with nothing but its topic.
    pub(crate) fn read(payload: &[u8]) -> Result<Self, Refused> {
        let mut request = Self::default();
        if payload.trim_ascii().is_empty() {
            return Ok(request);
        }
        match request.fill(payload) {
            Ok(()) => Ok(request),
            Err(rejection) => Err(Refused { token: request.token, rejection }),
        }
    }

    fn fill(&mut self, payload: &[u8]) -> Result<(), Rejection> {
        let unreadable = |fault: Fault| Rejection::unreadable(crate::fields::Format::Json, fault);
        let mut details = None;
        let mut all = members(payload).map_err(|error| unreadable(error.into()))?;
        while let Some((key, value)) = all.member().map_err(|error| unreadable(error.into()))? {
            match &*key.bytes() {
                b"clientToken" => {
                    let token = value.text().unwrap_or_default();
                    plain("clientToken", &token, TOKEN_MOST).map_err(Rejection::request)?.clone_into(&mut self.token);
                }
                b"status" => self.status = value.text().map(|text| text.into_owned()),
                b"statusDetails" if value != Value::Null => details = Some(value),
                // A text in AWS' own documents, a number in those of clients.
                b"expectedVersion" => self.expected_version = value.u64(),
                b"executionNumber" => self.execution_number = value.u64(),
                b"includeJobExecutionState" => self.with_state = value == Value::Bool(true),
                b"includeJobDocument" => self.with_document = Some(value == Value::Bool(true)),
                _ => {}
            }
        }
        self.details = details.map(Details::read).transpose().map_err(Rejection::request)?;
        Ok(())
    }

    /// The state that an update wants, which must be one that a device may want.
    pub(crate) fn wanted(&self) -> Result<Status, Rejection> {
        let name = self.status.as_deref().unwrap_or_default();
        match Status::named(name) {
            Some(status @ (Status::InProgress | Status::Succeeded | Status::Failed | Status::Rejected)) => Ok(status),
            _ => Err(Rejection::new("InvalidRequest", format!("status is {name:?}"))),
        }
    }
}

/// What an update says of the transfer of a file of so many bytes.
pub(crate) fn meaning(status: Status, details: &Details, size: u64) -> Event {
    let reason = details.get("reason").or_else(|| details.get("self_test")).unwrap_or_default();
    let outcome = |verdict| Event::Outcome(Outcome { verdict, text: Text::new(status.name(), reason) });
    match status {
        Status::Succeeded => outcome(Verdict::Good),
        Status::Rejected => outcome(Verdict::Refused),
        Status::Failed => outcome(failure(reason)),
        Status::Queued | Status::InProgress | Status::Canceled => Event::Progress(progress(details, size)),
    }
}

/// There are no codes, so that the words of shipped agents have to tell.
fn failure(reason: &str) -> Verdict {
    let reason = reason.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|words| reason.contains(words));
    if says(&["signature", "checksum", "sig check"]) {
        Verdict::BadDigest
    } else if says(&["abort", "cancel"]) {
        Verdict::Cancelled
    } else if says(&["no space", "too large"]) {
        Verdict::DeviceFull
    } else {
        Verdict::Failed
    }
}

fn progress(details: &Details, size: u64) -> Progress {
    let blocks = details.get("receive").or_else(|| details.get("progress"));
    let done = blocks.and_then(|blocks| share(blocks, size));
    let phase = match details.get("self_test") {
        Some("ready") => Phase::Verified,
        Some("active") => Phase::SelfTest,
        _ if details.is_empty() => Phase::Offered,
        _ => Phase::Downloading,
    };
    Progress { phase, done: done.filter(|_| phase == Phase::Downloading), total: Some(size) }
}

/// `done/total`, counted in blocks of whatever size, as bytes.
fn share(blocks: &str, size: u64) -> Option<u64> {
    let (done, total) = blocks.split_once('/')?;
    let (done, total) = (done.trim().parse::<u64>().ok()?, total.trim().parse::<u64>().ok()?);
    let bytes = (total > 0 && done <= total).then(|| u128::from(size) * u128::from(done) / u128::from(total))?;
    u64::try_from(bytes).ok()
}
