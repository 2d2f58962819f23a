//! A conversation in a file: a line of JSON that says whose, then one for each message, with what the codec understood of it.

use std::io::{BufRead as _, BufReader, Read as _, Write};
use std::path::Path;
use std::sync::Arc;

use packhorse_core::transfer::{Flow, Incoming, Pairs};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::{Plugin, PluginError};
use super::listen::{Heard, Listener};
use super::vectors::{MessageIn, written};

/// Of the file's format.
const VERSION: u32 = 1;
/// A longer line is none of ours: the largest payload in hex, and words around it.
const MAX_LINE_BYTES: usize = 8 << 20;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Of the format.
    pub capture: u32,
    /// What listened.
    pub codec: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of the component, in hex.
    pub digest: String,
    /// Who was listened to.
    pub device: String,
    /// Variables that it was done with.
    pub vars: Pairs,
}

/// One message.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Since the capture began.
    pub ms: u64,
    /// Which way it went.
    pub flow: Way,
    /// As vectors spell it.
    pub message: Value,
    /// Events or commands.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<Value>,
    /// Answers that a codec would have given by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replies: Vec<Value>,
    /// What could not be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Value>,
    /// Why nothing was understood.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// Which way a message went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// From the platform.
    ToDevice,
    /// From the device.
    FromDevice,
}

impl From<Flow> for Way {
    fn from(flow: Flow) -> Self {
        if flow == Flow::ToDevice { Self::ToDevice } else { Self::FromDevice }
    }
}

impl From<Way> for Flow {
    fn from(way: Way) -> Self {
        if way == Way::ToDevice { Self::ToDevice } else { Self::FromDevice }
    }
}

impl Head {
    /// Of a capture that begins now.
    pub fn new(plugin: &Plugin, device: &str, vars: &Pairs) -> Self {
        let [codec, version, digest] = [plugin.name(), plugin.version(), plugin.digest()].map(str::to_owned);
        Self { capture: VERSION, codec, version, digest, device: device.to_owned(), vars: vars.clone() }
    }
}

impl Line {
    /// A message and what was understood of it.
    pub fn new(ms: u64, flow: Flow, message: &Incoming, heard: Heard) -> Self {
        let Heard { words, replies, faults, trouble } = heard;
        Self { ms, flow: flow.into(), message: written::incoming(message), words, replies, faults, trouble }
    }

    fn heard(&self) -> Heard {
        let (words, replies, faults) = (self.words.clone(), self.replies.clone(), self.faults.clone());
        Heard { words, replies, faults, trouble: self.trouble.clone() }
    }
}

/// Writes one line.
pub fn write(to: &mut impl Write, line: &impl Serialize) -> std::io::Result<()> {
    serde_json::to_writer(&mut *to, line)?;
    to.write_all(b"\n")
}

/// Reads a capture. A last line that is cut is left out: whoever captured was stopped in it.
pub fn read(path: &Path) -> Result<(Head, Vec<Line>), PluginError> {
    let failed = |source| PluginError::File { verb: "read", path: path.to_owned(), source };
    let wrong = |problem: String| PluginError::Capture { path: path.to_owned(), problem };
    let mut lines = BufReader::new(std::fs::File::open(path).map_err(failed)?);
    let mut head = None;
    let (mut read, mut text) = (Vec::new(), String::new());
    for number in 1.. {
        text.clear();
        let taken = lines.by_ref().take(MAX_LINE_BYTES as u64 + 1).read_line(&mut text);
        if taken.map_err(failed)? == 0 {
            break;
        }
        if text.len() > MAX_LINE_BYTES {
            return Err(wrong(format!("line {number} has more than {MAX_LINE_BYTES} bytes")));
        }
        if !text.ends_with('\n') && head.is_some() {
            break;
        }
        if head.is_none() {
            head = Some(first(&text).map_err(wrong)?);
        } else {
            read.push(serde_json::from_str(&text).map_err(|error| wrong(format!("line {number}: {error}")))?);
        }
    }
    let head = head.ok_or_else(|| wrong("it is empty".to_owned()))?;
    Ok((head, read))
}

fn first(text: &str) -> Result<Head, String> {
    let head: Head = serde_json::from_str(text).map_err(|error| format!("it is no capture: {error}"))?;
    if head.capture != VERSION {
        return Err(format!("a capture of version {}; this program reads version {VERSION}", head.capture));
    }
    Ok(head)
}

/// What two codecs make of the same conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Replay {
    /// What captured it: name and version.
    pub captured_by: String,
    /// What it is replayed through.
    pub codec: String,
    /// Messages.
    pub messages: usize,
    /// Where they differ.
    pub differences: Vec<Difference>,
    /// What the newer one says, as the content of a vectors file.
    #[serde(skip)]
    pub vectors: Value,
}

/// One message that is understood otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Its place in the capture, from 1.
    pub number: usize,
    /// Since the capture began.
    pub ms: u64,
    /// Which way it went.
    pub flow: Way,
    /// The message.
    pub message: Value,
    /// What was understood then.
    pub then: Value,
    /// What is understood now.
    pub now: Value,
}

/// Runs a captured conversation through a codec.
pub fn replay(plugin: &Arc<Plugin>, head: &Head, lines: &[Line], path: &Path) -> Result<Replay, PluginError> {
    let mut listener = Listener::new(plugin, &head.device, &head.vars, None)?;
    let mut differences = Vec::new();
    for (number, line) in (1..).zip(lines) {
        let message: MessageIn = serde_json::from_value(line.message.clone()).map_err(|error| {
            PluginError::Capture { path: path.to_owned(), problem: format!("message {number}: {error}") }
        })?;
        let (then, now) = (line.heard(), listener.hear(line.flow.into(), &message.0));
        if then != now {
            let (ms, flow, message) = (line.ms, line.flow, line.message.clone());
            differences.push(Difference { number, ms, flow, message, then: told(&then), now: told(&now) });
        }
    }
    Ok(Replay {
        captured_by: format!("{} {}", head.codec, head.version),
        codec: plugin.title(),
        messages: lines.len(),
        differences,
        vectors: listener.vectors(),
    })
}

fn told(heard: &Heard) -> Value {
    let mut told = serde_json::Map::new();
    for (name, values) in [("words", &heard.words), ("replies", &heard.replies), ("faults", &heard.faults)] {
        if !values.is_empty() {
            told.insert(name.to_owned(), Value::from(values.clone()));
        }
    }
    told.extend(heard.trouble.iter().map(|trouble| ("trouble".to_owned(), Value::from(trouble.clone()))));
    Value::Object(told)
}
