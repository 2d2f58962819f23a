//! A conversation of others, understood: what went to a device is read by the codec's device side, and what came from it by the
//! platform's, which is opened on what the former learnt of the file.

use std::sync::Arc;

use packhorse_core::transfer::{Command, Direction, Faulted, FileInfo, Flow, Incoming, Opening, Outgoing, Pairs};
use serde_json::{Value, json};

use super::super::{DeviceSession, Plugin, PluginError, Session};
use super::vectors::{Side, written};

/// What was understood of one message, spelt as in vectors.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Heard {
    /// Events or commands.
    pub words: Vec<Value>,
    /// What a codec would have answered by itself.
    pub replies: Vec<Value>,
    /// What it could not read.
    pub faults: Vec<Value>,
    /// Why nothing could be understood.
    pub trouble: Option<String>,
}

/// Both ends of a codec, listening.
#[derive(Debug)]
pub struct Listener {
    plugin: Arc<Plugin>,
    device: String,
    vars: Pairs,
    theirs: Option<DeviceSession>,
    ours: Option<(Opening, Session)>,
    /// Why the platform's side is not open.
    closed: String,
    their_case: Case,
    our_case: Case,
    finished: Vec<Value>,
}

/// What becomes a case of vectors: how a session was opened, and what it heard.
#[derive(Debug, Default)]
struct Case {
    opening: Option<Opening>,
    steps: Vec<Value>,
}

impl Listener {
    /// Listens for one device. `file` is what is pushed, where it is known from the start.
    pub fn new(plugin: &Arc<Plugin>, device: &str, vars: &Pairs, file: Option<FileInfo>) -> Result<Self, PluginError> {
        plugin.vars(device, vars)?;
        let mut listener = Self {
            plugin: Arc::clone(plugin),
            device: device.to_owned(),
            vars: vars.clone(),
            theirs: None,
            ours: None,
            closed: "nothing is known of the file yet".to_owned(),
            their_case: Case::default(),
            our_case: Case::default(),
            finished: Vec::new(),
        };
        if plugin.has_device_side() {
            let opening = listener.opening(Direction::Push, FileInfo::default());
            listener.theirs = Some(plugin.open_device(&opening)?);
            listener.their_case.opening = Some(opening);
        }
        match file {
            Some(file) => listener.learn(Direction::Push, file),
            None => listener.learn(Direction::Pull, FileInfo::default()),
        }
        Ok(listener)
    }

    /// The next message of the conversation.
    pub fn hear(&mut self, flow: Flow, message: &Incoming) -> Heard {
        match flow {
            Flow::ToDevice => self.hear_platform(message),
            Flow::FromDevice => self.hear_device(message),
        }
    }

    /// Everything that was heard, as the cases of a vectors file.
    pub fn vectors(mut self) -> Value {
        self.finish(Side::Device);
        self.finish(Side::Platform);
        written::vectors(self.plugin.name(), self.finished)
    }

    fn hear_platform(&mut self, message: &Incoming) -> Heard {
        let Some(session) = &mut self.theirs else { return silent("the codec has no device side to read it with") };
        let decoded = match session.decode(vec![message.clone()]) {
            Ok(decoded) => decoded,
            Err(error) => {
                let opening = self.opening(Direction::Push, FileInfo::default());
                self.theirs = self.plugin.open_device(&opening).ok();
                return silent(&error.to_string());
            }
        };
        for command in &decoded.commands {
            match command {
                Command::Offer(offer) if offer.file.size.is_some() => self.learn(Direction::Push, offer.file.clone()),
                Command::Offer(offer) if offer.file.digests.is_empty() => {
                    self.learn(Direction::Pull, offer.file.clone());
                }
                _ => {}
            }
        }
        let words = decoded.commands.iter().map(written::command).collect();
        let heard = heard(words, &decoded.replies, &decoded.faults);
        self.their_case.steps.push(step(message, "commands", &heard));
        heard
    }

    fn hear_device(&mut self, message: &Incoming) -> Heard {
        let Some((opening, session)) = &mut self.ours else { return silent(&self.closed) };
        match session.decode(vec![message.clone()]) {
            Ok(decoded) => {
                let words = decoded.events.iter().map(written::event).collect();
                let heard = heard(words, &decoded.replies, &decoded.faults);
                self.our_case.steps.push(step(message, "events", &heard));
                heard
            }
            Err(error) => {
                let opening = opening.clone();
                self.open(opening);
                silent(&error.to_string())
            }
        }
    }

    /// The platform spoke of this file: its side is opened on it, where it is another one than before.
    fn learn(&mut self, direction: Direction, file: FileInfo) {
        let opening = self.opening(direction, file);
        if self.ours.as_ref().is_none_or(|(before, _)| *before != opening) {
            self.open(opening);
        }
    }

    fn open(&mut self, opening: Opening) {
        if self.plugin.description().mode(opening.direction).is_none() {
            return;
        }
        match self.plugin.open(&opening) {
            Ok(session) => {
                self.finish(Side::Platform);
                self.our_case = Case { opening: Some(opening.clone()), steps: Vec::new() };
                self.ours = Some((opening, session));
            }
            // What was open before goes on: one that only lacks a name, say, is no better.
            Err(error) => self.closed = error.to_string(),
        }
    }

    fn opening(&self, direction: Direction, file: FileInfo) -> Opening {
        let modes = &self.plugin.description().modes;
        let mode = self.plugin.description().mode(direction).or_else(|| modes.first());
        let driver = mode.map_or(packhorse_core::transfer::Driver::PlatformPush, |mode| mode.driver);
        Opening {
            direction: driver.direction(),
            driver,
            device: self.device.clone(),
            file,
            packet_size: mode.map_or(1024, |mode| mode.packet_default),
            epoch: 1,
            attempt: 1,
            started_at: 0,
            done: Vec::new(),
            vars: self.vars.clone(),
            saved: Vec::new(),
        }
    }

    fn finish(&mut self, side: Side) {
        let case = std::mem::take(if side == Side::Device { &mut self.their_case } else { &mut self.our_case });
        if let (Some(opening), false) = (case.opening, case.steps.is_empty()) {
            let who = if side == Side::Device { "the device hears" } else { "the platform hears" };
            let name = format!("{who}, conversation {}", self.finished.len() + 1);
            self.finished.push(written::case(&name, side, &opening, case.steps));
        }
    }
}

fn silent(trouble: &str) -> Heard {
    Heard { trouble: Some(trouble.to_owned()), ..Heard::default() }
}

fn heard(words: Vec<Value>, replies: &[Outgoing], faults: &[Faulted]) -> Heard {
    let replies = replies.iter().map(written::outgoing).collect();
    Heard { words, replies, faults: faults.iter().map(written::fault).collect(), trouble: None }
}

fn step(message: &Incoming, words: &str, heard: &Heard) -> Value {
    let mut step = json!({ "decode": [written::incoming(message)] });
    for (key, values) in [(words, &heard.words), ("replies", &heard.replies), ("faults", &heard.faults)] {
        if !values.is_empty() {
            step[key] = json!(values);
        }
    }
    step
}
