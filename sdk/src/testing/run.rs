//! Plays golden vectors: YAML files of scripted sessions, wire bytes on one side and words on the other.

use std::fmt::Debug;
use std::path::Path;

use super::words::{Case, Faulted, Message, Side, Step, Vectors, Word};
use super::{DeviceEnd, PlatformEnd};
use crate::session::{Device, Platform};
use crate::types::{self, Incoming, Outgoing, Text, Transfer};

/// Plays every `*.yaml` in a folder, relative to the crate, and gives the number of cases.
///
/// # Panics
/// With the file, the case and the step where a codec says something else, and when there is no file at all.
pub fn vectors<P: Platform, D: Device>(folder: &str) -> usize {
    play(folder, &P::describe().name, |case| match case.side {
        Side::Platform => platform::<P>(case),
        Side::Device => device::<D>(case),
    })
}

/// The same for a codec without a device side.
///
/// # Panics
/// As [`vectors`], and on a case of the device side.
pub fn vectors_platform_only<P: Platform>(folder: &str) -> usize {
    play(folder, &P::describe().name, |case| match case.side {
        Side::Platform => platform::<P>(case),
        Side::Device => Err("this codec has no device side".into()),
    })
}

fn play(folder: &str, codec: &str, run: impl Fn(Case) -> Result<(), String>) -> usize {
    let mut count = 0;
    let mut paths: Vec<_> = std::fs::read_dir(Path::new(folder))
        .unwrap_or_else(|error| panic!("cannot read {folder}: {error}"))
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    paths.sort();
    for path in &paths {
        let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("cannot read {path:?}: {error}"));
        let vectors: Vectors = serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        assert_eq!(vectors.codec, codec, "{path:?} is for another codec");
        for case in vectors.cases {
            let name = case.name.clone();
            run(case).unwrap_or_else(|why| panic!("{path:?}, {name:?}: {why}"));
            count += 1;
        }
    }
    assert!(count > 0, "there are no vectors in {folder}");
    count
}

/// What one call gave, whichever side it was.
pub(super) struct Given<W> {
    words: Vec<W>,
    messages: Vec<Outgoing>,
    faults: Vec<types::Faulted>,
}

/// One side, as far as a script needs it. `In` is what it encodes, `Out` what it decodes to.
pub(super) trait End {
    type In: Clone;
    type Out: PartialEq + Debug;
    fn decode(&self, batch: Vec<Incoming>) -> Given<Self::Out>;
    fn encode(&self, batch: Vec<Self::In>) -> Given<Self::Out>;
    fn save(&self) -> Vec<u8>;
    fn said(word: Word) -> Result<Self::In, String>;
    fn heard(word: Word) -> Result<Self::Out, String>;
    fn expected(step: &mut Step) -> Vec<Word>;
}

impl<P: Platform> End for PlatformEnd<P> {
    type In = types::Command;
    type Out = types::Event;

    fn decode(&self, batch: Vec<Incoming>) -> Given<types::Event> {
        let given = Self::decode(self, batch);
        Given { words: given.events, messages: given.replies, faults: given.faults }
    }
    fn encode(&self, batch: Vec<types::Command>) -> Given<types::Event> {
        let given = Self::encode(self, batch);
        Given { words: Vec::new(), messages: given.messages, faults: given.faults }
    }
    fn save(&self) -> Vec<u8> {
        Self::save(self)
    }
    fn said(word: Word) -> Result<types::Command, String> {
        word.command()
    }
    fn heard(word: Word) -> Result<types::Event, String> {
        word.event()
    }
    fn expected(step: &mut Step) -> Vec<Word> {
        step.events.take().unwrap_or_default()
    }
}

impl<D: Device> End for DeviceEnd<D> {
    type In = types::Event;
    type Out = types::Command;

    fn decode(&self, batch: Vec<Incoming>) -> Given<types::Command> {
        let given = Self::decode(self, batch);
        Given { words: given.commands, messages: given.replies, faults: given.faults }
    }
    fn encode(&self, batch: Vec<types::Event>) -> Given<types::Command> {
        let given = Self::encode(self, batch);
        Given { words: Vec::new(), messages: given.messages, faults: given.faults }
    }
    fn save(&self) -> Vec<u8> {
        Self::save(self)
    }
    fn said(word: Word) -> Result<types::Event, String> {
        word.event()
    }
    fn heard(word: Word) -> Result<types::Command, String> {
        word.command()
    }
    fn expected(step: &mut Step) -> Vec<Word> {
        step.commands.take().unwrap_or_default()
    }
}

fn platform<P: Platform>(case: Case) -> Result<(), String> {
    script(case, PlatformEnd::<P>::open)
}

fn device<D: Device>(case: Case) -> Result<(), String> {
    script(case, DeviceEnd::<D>::open)
}

fn script<E: End>(case: Case, open: fn(Transfer) -> Result<E, Text>) -> Result<(), String> {
    let end = match (open(case.open.transfer()?), case.refused) {
        (Ok(end), None) => end,
        (Ok(_), Some(words)) => return Err(format!("open does not refuse with {words:?}")),
        (Err(text), Some(words)) if text.message.contains(&words) || text.code.contains(&words) => return Ok(()),
        (Err(text), _) => return Err(format!("open was refused: {text:?}")),
    };
    for (number, step) in case.steps.into_iter().enumerate() {
        play_step(&end, step).map_err(|why| format!("step {number}: {why}"))?;
    }
    Ok(())
}

fn play_step<E: End>(end: &E, mut step: Step) -> Result<(), String> {
    let expected = E::expected(&mut step);
    if let Some(words) = step.encode.take() {
        let given = end.encode(words.into_iter().map(E::said).collect::<Result<_, _>>()?);
        compare_messages(&step.messages.take().unwrap_or_default(), &given.messages)?;
        compare_faults(&step.faults, &given.faults)?;
    }
    if let Some(messages) = step.decode.take() {
        let given = end.decode(messages.iter().map(Message::incoming).collect());
        let expected = expected.into_iter().map(E::heard).collect::<Result<Vec<_>, _>>()?;
        if given.words != expected {
            return Err(format!("meant\n  {expected:#?}\n, said\n  {:#?}\nfaults {:?}", given.words, given.faults));
        }
        compare_messages(&step.replies, &given.messages)?;
        compare_faults(&step.faults, &given.faults)?;
    }
    match step.save {
        Some(meant) if end.save() != meant.0 => Err(format!("saved {}", crate::hex::encode(&end.save()))),
        _ => Ok(()),
    }
}

fn compare_messages(meant: &[Message], said: &[Outgoing]) -> Result<(), String> {
    let same = |(meant, said): (&Message, &Outgoing)| {
        meant.route == said.route
            && meant.payload() == said.payload
            && meant.more() == said.more
            && meant.cause.is_none_or(|cause| cause == said.cause)
    };
    if meant.len() == said.len() && meant.iter().zip(said).all(same) {
        return Ok(());
    }
    Err(format!(
        "meant {}\nsaid  {}",
        meant.iter().map(show_meant).collect::<String>(),
        said.iter().map(show).collect::<String>()
    ))
}

fn show_meant(message: &Message) -> String {
    show_bytes(message.route, &message.payload())
}

fn show(message: &Outgoing) -> String {
    show_bytes(message.route, &message.payload)
}

fn show_bytes(route: u16, payload: &[u8]) -> String {
    match std::str::from_utf8(payload) {
        Ok(text) if !text.contains(char::is_control) => format!("\n  {route}: {text}"),
        _ => format!("\n  {route}: {}", crate::hex::encode(payload)),
    }
}

fn compare_faults(meant: &[Faulted], said: &[types::Faulted]) -> Result<(), String> {
    if meant.len() == said.len() && meant.iter().zip(said).all(|(meant, said)| meant.meets(said)) {
        return Ok(());
    }
    Err(format!("meant faults {meant:?}\nsaid {said:?}"))
}
