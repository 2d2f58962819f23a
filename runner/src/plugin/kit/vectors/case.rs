//! A vectors file: cases, each a session with its steps. Every error names the file and the case.

use std::path::{Path, PathBuf};

use packhorse_core::transfer::{Command, Direction, Driver, Event, Incoming, More, Opening, Outgoing, Pairs, Span};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_yaml::Value;
use serde_yaml::with::singleton_map_recursive;

use super::super::super::PluginError;
use super::super::super::host::hex;
use super::spelling::{CommandWritten, EventWritten, FaultWanted, FileWritten, Hex, PairsWritten, SpanWritten};

pub(crate) const MAX_FILE_BYTES: u64 = 16 << 20;

/// A file of vectors.
#[derive(Debug)]
pub struct Vectors {
    /// Of the file.
    pub path: PathBuf,
    /// The codec that it is for.
    pub codec: String,
    /// In order.
    pub cases: Vec<Case>,
}

/// One session.
#[derive(Debug)]
pub struct Case {
    /// For messages.
    pub name: String,
    /// Which end speaks.
    pub side: Side,
    /// How it is opened. `packet_size` 0 = the mode's default.
    pub opening: Opening,
    /// Words that `open` must refuse with, where it must.
    pub refused: Option<String>,
    /// In order.
    pub steps: Vec<Step>,
}

/// Which end of the conversation a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The runner's.
    #[default]
    Platform,
    /// The device's.
    Device,
}

/// A call, and where it is written: a `save` beside another call is a call of its own.
#[derive(Debug)]
pub struct Step {
    /// Of the step in its case, from 1.
    pub number: usize,
    /// What is called.
    pub call: Call,
}

/// One call and what it must give. What is not written must not be given.
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are those of the contract")]
pub enum Call {
    Decode { batch: Vec<MessageIn>, events: Vec<Event>, replies: Vec<MessageOut>, faults: Vec<FaultWanted> },
    DeviceDecode { batch: Vec<MessageIn>, commands: Vec<Command>, replies: Vec<MessageOut>, faults: Vec<FaultWanted> },
    Encode { batch: Vec<Command>, messages: Vec<MessageOut>, faults: Vec<FaultWanted> },
    DeviceEncode { batch: Vec<Event>, messages: Vec<MessageOut>, faults: Vec<FaultWanted> },
    Save(Vec<u8>),
}

/// A message that arrives.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "MessageWritten")]
pub struct MessageIn(pub Incoming);

/// A message that must be sent.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "MessageWritten")]
pub struct MessageOut {
    route: u16,
    payload: Vec<u8>,
    more: More,
    cause: Option<u16>,
}

impl MessageOut {
    /// Whether this message is the one that was meant; its cause counts where it was written.
    pub fn is(&self, message: &Outgoing) -> bool {
        self.route == message.route
            && self.payload == message.payload
            && self.more == message.more.clone().unwrap_or_default()
            && self.cause.is_none_or(|cause| cause == message.cause)
    }

    /// For messages about what is not as it should be.
    pub fn shown(&self) -> String {
        let payload =
            std::str::from_utf8(&self.payload).map_or_else(|_| hex(&self.payload), |text| format!("{text:?}"));
        let more = if self.more == More::default() { String::new() } else { format!(" {:?}", self.more) };
        format!("on route {}: {payload}{more}", self.route)
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct MessageWritten {
    route: u16,
    text: Option<String>,
    hex: Option<Hex>,
    #[serde(default)]
    captures: Vec<String>,
    response_topic: Option<String>,
    correlation: Option<Hex>,
    content_type: Option<String>,
    #[serde(default)]
    user: PairsWritten,
    cause: Option<u16>,
}

impl MessageWritten {
    fn parts(self) -> Result<(u16, Vec<u8>, More, Option<u16>), String> {
        let payload = match (self.text, self.hex) {
            (Some(text), None) => text.into_bytes(),
            (None, Some(Hex(bytes))) => bytes,
            _ => return Err("a message has either text or hex".to_owned()),
        };
        let more = More {
            captures: self.captures,
            response_topic: self.response_topic,
            correlation: self.correlation.map(|hex| hex.0),
            content_type: self.content_type,
            user: self.user.0,
        };
        Ok((self.route, payload, more, self.cause))
    }
}

impl TryFrom<MessageWritten> for MessageIn {
    type Error = String;

    fn try_from(written: MessageWritten) -> Result<Self, String> {
        let (route, payload, more, cause) = written.parts()?;
        if cause.is_some() {
            return Err("a message that arrives has no cause".to_owned());
        }
        let more = (more != More::default()).then_some(more);
        Ok(Self(Incoming { route, payload, more }))
    }
}

impl TryFrom<MessageWritten> for MessageOut {
    type Error = String;

    fn try_from(written: MessageWritten) -> Result<Self, String> {
        let (route, payload, more, cause) = written.parts()?;
        Ok(Self { route, payload, more, cause })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileOfVectors {
    codec: String,
    cases: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseWritten {
    name: String,
    #[serde(default)]
    side: Side,
    open: OpenWritten,
    refused: Option<String>,
    #[serde(default)]
    steps: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenWritten {
    direction: Direction,
    driver: Driver,
    #[serde(default = "a_device")]
    device: String,
    #[serde(default)]
    file: FileWritten,
    #[serde(default)]
    packet_size: u32,
    #[serde(default = "one")]
    epoch: u32,
    #[serde(default = "one")]
    attempt: u32,
    #[serde(default)]
    started_at: u64,
    #[serde(default)]
    vars: PairsWritten,
    #[serde(default)]
    done: Vec<SpanWritten>,
    #[serde(default)]
    saved: Hex,
}

fn a_device() -> String {
    "dev-1".to_owned()
}

const fn one() -> u32 {
    1
}

impl From<OpenWritten> for Opening {
    fn from(written: OpenWritten) -> Self {
        let vars: Pairs = written.vars.0;
        Self {
            direction: written.direction,
            driver: written.driver,
            device: written.device,
            file: written.file.into(),
            packet_size: written.packet_size,
            epoch: written.epoch,
            attempt: written.attempt,
            started_at: written.started_at,
            done: written.done.into_iter().map(Span::from).collect(),
            vars,
            saved: written.saved.0,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StepWritten {
    decode: Option<Vec<MessageIn>>,
    encode: Option<Vec<Value>>,
    save: Option<Hex>,
    events: Option<Vec<Value>>,
    commands: Option<Vec<Value>>,
    messages: Option<Vec<MessageOut>>,
    replies: Option<Vec<MessageOut>>,
    #[serde(default)]
    faults: Vec<FaultWanted>,
}

/// All files `*.yaml` of a folder, sorted; none where there is no such folder.
pub fn read_dir(dir: &Path) -> Result<Vec<Vectors>, PluginError> {
    if !dir.exists() {
        return Ok(Vec::new());
    }
    let failed = |source| PluginError::File { verb: "read", path: dir.to_owned(), source };
    let entries = std::fs::read_dir(dir).map_err(failed)?.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let mut paths: Vec<_> = entries
        .into_iter()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

/// One file.
pub fn read(path: &Path) -> Result<Vectors, PluginError> {
    let failed = |source| PluginError::File { verb: "read", path: path.to_owned(), source };
    let wrong = |problem: String| PluginError::Vectors { path: path.to_owned(), problem };
    let len = std::fs::metadata(path).map_err(failed)?.len();
    if len > MAX_FILE_BYTES {
        return Err(wrong(format!("it has {len} bytes, more than {MAX_FILE_BYTES}")));
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    let file: FileOfVectors = serde_yaml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    let cases = file.cases.into_iter().enumerate().map(|(at, written)| case(at, written));
    let cases = cases.collect::<Result<_, _>>().map_err(wrong)?;
    Ok(Vectors { path: path.to_owned(), codec: file.codec, cases })
}

fn case(at: usize, written: Value) -> Result<Case, String> {
    let name = written.get("name").and_then(Value::as_str).map_or_else(|| format!("{}", at + 1), str::to_owned);
    let of_case = |problem: String| format!("case `{name}`: {problem}");
    let written: CaseWritten = value(written).map_err(of_case)?;
    if written.open.driver.direction() != written.open.direction {
        return Err(of_case("its driver moves files the other way than its direction says".to_owned()));
    }
    let side = written.side;
    let mut steps = Vec::new();
    for (number, written) in (1..).zip(written.steps) {
        let calls = step(side, written).map_err(|problem| of_case(format!("step {number}: {problem}")))?;
        steps.extend(calls.into_iter().map(|call| Step { number, call }));
    }
    Ok(Case { side, opening: written.open.into(), refused: written.refused, steps, name: written.name })
}

fn step(side: Side, written: Value) -> Result<Vec<Call>, String> {
    let mut written: StepWritten = value(written)?;
    let save = written.save.take().map(|Hex(saved)| Call::Save(saved));
    let calls = call(side, written)?.into_iter().chain(save).collect::<Vec<_>>();
    if calls.is_empty() {
        return Err("a step has decode, encode or save".to_owned());
    }
    Ok(calls)
}

fn call(side: Side, written: StepWritten) -> Result<Option<Call>, String> {
    let StepWritten { decode, encode, save: _, events, commands, messages, replies, faults } = written;
    let given = [
        ("events", events.is_some()),
        ("commands", commands.is_some()),
        ("messages", messages.is_some()),
        ("replies", replies.is_some()),
        ("faults", !faults.is_empty()),
    ];
    let only = |allowed: &[&str]| {
        let stray = given.iter().find(|(name, there)| *there && !allowed.contains(name));
        stray.map_or(Ok(()), |(name, _)| Err(format!("`{name}` does not belong to this call on this side")))
    };
    let (messages, replies) = (messages.unwrap_or_default(), replies.unwrap_or_default());
    let call = match (side, decode, encode) {
        (Side::Platform, Some(batch), None) => {
            only(&["events", "replies", "faults"])?;
            Call::Decode { batch, events: words::<EventWritten, _>(events)?, replies, faults }
        }
        (Side::Device, Some(batch), None) => {
            only(&["commands", "replies", "faults"])?;
            Call::DeviceDecode { batch, commands: words::<CommandWritten, _>(commands)?, replies, faults }
        }
        (Side::Platform, None, Some(batch)) => {
            only(&["messages", "faults"])?;
            Call::Encode { batch: words::<CommandWritten, _>(Some(batch))?, messages, faults }
        }
        (Side::Device, None, Some(batch)) => {
            only(&["messages", "faults"])?;
            Call::DeviceEncode { batch: words::<EventWritten, _>(Some(batch))?, messages, faults }
        }
        (_, None, None) => return only(&[]).map(|()| None),
        (_, Some(_), Some(_)) => return Err("a step has decode or encode, not both".to_owned()),
    };
    Ok(Some(call))
}

fn words<Written: DeserializeOwned, Meant: From<Written>>(values: Option<Vec<Value>>) -> Result<Vec<Meant>, String> {
    let values = values.unwrap_or_default().into_iter();
    values.map(|written| value::<Written>(written).map(Meant::from)).collect()
}

/// Variants are written `{ ack: … }`, not with YAML's own tags.
fn value<T: DeserializeOwned>(written: Value) -> Result<T, String> {
    singleton_map_recursive::deserialize(written).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(cases: &str) -> Result<Vectors, PluginError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("v.yaml");
        std::fs::write(&path, format!("codec: x\ncases:\n{cases}")).unwrap();
        read(&path)
    }

    fn case_with(step: &str) -> String {
        format!("- name: one\n  open: {{ direction: push, driver: platform-push }}\n  steps:\n  - {step}\n")
    }

    #[test]
    fn words_are_read_as_they_are_spelled() {
        let step = "{ decode: [ { route: 2, hex: 'de ad' } ], events: [ { ack: [0, 4] }, { missing: [7] }, \
                    { data: { offset: 4, bytes: beef, sum: good } }, { progress: { phase: self_test, done: 3 } } ], \
                    faults: [ { not_mine: }, { index: 1, malformed: short } ], save: '00ff' }";
        let vectors = parsed(&case_with(step)).unwrap();
        let [decode, save] = &vectors.cases[0].steps[..] else { panic!("{vectors:?}") };
        assert!(matches!(&save.call, Call::Save(saved) if *saved == [0, 255]));
        assert_eq!([decode.number, save.number], [1, 1]);
        let Call::Decode { batch, events, faults, .. } = &decode.call else { panic!("{decode:?}") };
        assert_eq!(batch[0].0, Incoming { route: 2, payload: vec![0xde, 0xad], more: None });
        assert_eq!(events[..2], [Event::Ack(Span::new(0, 4)), Event::Missing(Span::new(7, u64::MAX))]);
        assert!(matches!(&events[2], Event::Data(data) if data.bytes == [0xbe, 0xef] && data.tag == 0 && !data.last));
        assert_eq!(faults[1].index, 1);
        assert_eq!(vectors.cases[0].opening.device, "dev-1");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_file_and_case() {
        let check = |cases: &str, words: &str| {
            let text = parsed(cases).unwrap_err().to_string();
            assert!(text.contains("v.yaml: ") && text.contains(words), "{text}");
        };
        check(&case_with("{ decode: [], evnts: [] }"), "case `one`: step 1: unknown field `evnts`");
        check(&case_with("{ decode: [], events: [ { akk: [0, 1] } ] }"), "case `one`: step 1: unknown variant `akk`");
        check(&case_with("{ decode: [ { route: 1 } ] }"), "a message has either text or hex");
        check(&case_with("{ decode: [ { route: 1, hex: abc } ] }"), "\"abc\" is not hex");
        check(&case_with("{ decode: [], messages: [] }"), "`messages` does not belong to this call on this side");
        check(&case_with("{ decode: [], encode: [] }"), "a step has decode or encode, not both");
        check(&case_with("{ decode: [], faults: [ { index: 0 } ] }"), "a fault has exactly one of");
        check(&case_with("{}"), "a step has decode, encode or save");
        check(
            "- name: two\n  open: { direction: pull, driver: platform-push }\n",
            "case `two`: its driver moves files",
        );
        check("- open: { direction: push, driver: platform-push }\n", "case `1`: missing field `name`");
        check("- name: x\n  extra: 1\n  open: {}\n", "case `x`: ");
    }
}
