//! What a packet costs: nanoseconds in the component, one a call and sixteen, and beside it the same code natively.

use std::path::Path;
use std::process::{Command as Process, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use packhorse_core::transfer::{Chunk, Command, Driver, Event, Incoming, Mode, Pairs, Span, Want};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::describe::driver_name;
use super::super::{Host, Plugin, PluginError};
use super::build::end_of;
use super::cost::{Costs, costs};
use super::test::trip::{PlatformCall, Trip};
use super::test::{Bench, TestOptions, opening, pattern_bytes, vectors_of};
use super::vectors::{Side, written};

/// Packets in one call of the larger kind.
const BATCH: usize = 16;
/// How long one figure is measured.
const LONG: Duration = Duration::from_millis(300);
/// Calls between two looks at the clock.
const CALLS: usize = 32;
/// A codec's own program for the native figures, below its folder.
const NATIVE: &str = "examples/native.rs";

/// What a codec costs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BenchReport {
    /// Of the plugin.
    pub name: String,
    /// Of the plugin.
    pub version: String,
    /// SHA-256 of the component, in hex.
    pub digest: String,
    /// Beside packets.
    pub costs: Costs,
    /// One for each kind of packet.
    pub rows: Vec<Row>,
    /// Why there are no native figures, where there are none.
    pub no_native: Option<String>,
}

/// One kind of packet.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Mode and call.
    pub name: String,
    /// Of the file, in one packet.
    pub piece_bytes: u32,
    /// In the component.
    pub component: Cost,
    /// The same format without WebAssembly.
    pub native: Option<Cost>,
    /// Why it was not measured; the figures are 0 then.
    pub skipped: Option<String>,
}

/// Nanoseconds a packet; the median of many rounds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Cost {
    /// One packet a call.
    pub single_ns: f64,
    /// Sixteen packets a call.
    pub batch_ns: f64,
}

impl BenchReport {
    /// Takes the native figures of another codec of the same format where it has none of its own.
    pub fn beside(&mut self, other: &Self) {
        for row in self.rows.iter_mut().filter(|row| row.native.is_none()) {
            let same = other.rows.iter().find(|one| one.name == row.name && one.piece_bytes == row.piece_bytes);
            row.native = same.and_then(|one| one.native);
        }
        if self.rows.iter().any(|row| row.native.is_some()) {
            self.no_native = None;
        }
    }
}

/// What is timed, and the calls that bring a session to where it can be.
struct Work {
    name: String,
    piece: u32,
    case: Value,
    cost: Cost,
}

/// Times a codec that has a device side, which makes the packets. `source` is its folder, where there is one. `host` is the one that
/// loaded it.
pub fn bench(
    host: &Host,
    plugin: &Arc<Plugin>,
    source: Option<&Path>,
    piece: Option<u32>,
    vars: &Pairs,
) -> Result<BenchReport, PluginError> {
    if !plugin.has_device_side() {
        return Err(PluginError::NoDeviceSide { plugin: plugin.title() });
    }
    let vectors = source.map_or_else(|| Ok(Vec::new()), |source| vectors_of(plugin, &source.join("vectors")))?;
    let bench = Bench::new(plugin, &vectors, TestOptions { vars: vars.clone(), ..TestOptions::default() })?;
    let (mut works, mut rows, mut idle) = (Vec::new(), Vec::new(), None);
    for mode in &plugin.description().modes {
        let align = mode.packet_align.max(1);
        let piece = piece.unwrap_or(1024).clamp(mode.packet_min, mode.packet_max) / align * align;
        let piece = if piece < mode.packet_min { mode.packet_default } else { piece };
        let bytes = pattern_bytes(piece as usize * BATCH);
        if idle.is_none() {
            idle = Some((opening(&bench, mode, piece, &bytes), commands(mode.driver, piece, &bytes)));
        }
        for call in ["encode", "decode"] {
            let name = format!("{} {call}", driver_name(mode.driver));
            match work(&bench, mode, piece, &bytes, call) {
                Ok((case, cost)) => works.push(Work { name, piece, case, cost }),
                Err(why) => rows.push(skipped(name, piece, why)),
            }
        }
    }
    let (natives, no_native) = match native(plugin.name(), source, &works) {
        Ok(natives) => (natives, None),
        Err(why) => (Vec::new(), Some(why)),
    };
    for work in works {
        let native = natives.iter().find(|native| native.name == work.name).map(|native| native.cost);
        let (name, piece_bytes) = (work.name, work.piece);
        rows.push(Row { name, piece_bytes, component: work.cost, native, skipped: None });
    }
    let (name, version, digest) = (plugin.name().to_owned(), plugin.version().to_owned(), plugin.digest().to_owned());
    let (opening, commands) = idle.ok_or_else(|| PluginError::NoDeviceSide { plugin: plugin.title() })?;
    let costs = costs(host, plugin, &opening, &commands)?;
    Ok(BenchReport { name, version, digest, costs, rows, no_native })
}

fn skipped(name: String, piece_bytes: u32, why: String) -> Row {
    Row { name, piece_bytes, component: Cost::default(), native: None, skipped: Some(why) }
}

/// Moves a file of sixteen pieces, then times what one side says or hears of them.
fn work(bench: &Bench<'_>, mode: &Mode, piece: u32, bytes: &[u8], call: &str) -> Result<(Value, Cost), String> {
    let mut trip = Trip::open(bench, mode, piece as usize, bytes)?;
    trip.carry()?;
    let cost;
    let timed = if call == "encode" {
        let items = commands(mode.driver, piece, bytes);
        let faults = trip.platform.encode(items.clone()).map_err(|error| error.to_string())?.faults;
        sound(faults.len(), "words of their own before each piece")?;
        cost = both(&items, |batch| trip.platform.encode(batch).map(|_| ()))?;
        json!({ "encode": items.iter().map(written::command).collect::<Vec<_>>() })
    } else {
        let items = messages(&mut trip, mode.driver, piece, bytes)?;
        let faults = trip.platform.decode(items.clone()).map_err(|error| error.to_string())?.faults;
        sound(faults.len(), "each message once")?;
        cost = both(&items, |batch| trip.platform.decode(batch).map(|_| ()))?;
        json!({ "decode": items.iter().map(written::incoming).collect::<Vec<_>>() })
    };
    let mut steps: Vec<Value> = trip.calls.iter().map(step).collect();
    steps.push(timed);
    let name = format!("{} {call}", driver_name(mode.driver));
    Ok((written::case(&name, Side::Platform, &trip.opening, steps), cost))
}

fn sound(faults: usize, wants: &str) -> Result<(), String> {
    if faults == 0 { Ok(()) } else { Err(format!("it cannot be repeated: the protocol wants {wants}")) }
}

fn step(call: &PlatformCall) -> Value {
    match call {
        PlatformCall::Encode(batch) => json!({ "encode": batch.iter().map(written::command).collect::<Vec<_>>() }),
        PlatformCall::Decode(batch) => json!({ "decode": batch.iter().map(written::incoming).collect::<Vec<_>>() }),
    }
}

fn spans(piece: u32) -> impl Iterator<Item = Span> {
    (0..BATCH as u64).map(move |at| Span::new(at * u64::from(piece), (at + 1) * u64::from(piece)))
}

/// What the host says for each piece.
fn commands(driver: Driver, piece: u32, bytes: &[u8]) -> Vec<Command> {
    let command = |span: Span| match driver {
        Driver::PlatformPush | Driver::DevicePull => {
            let part = &bytes[span.start as usize..span.end as usize];
            let last = span.end == bytes.len() as u64;
            Command::Chunk(Chunk { tag: 0, offset: span.start, bytes: part.to_vec(), last })
        }
        Driver::PlatformPull => Command::Need(Want { tag: span.start + 1, span, limit: piece }),
        Driver::DevicePush => Command::Ack(packhorse_core::transfer::Receipt { tag: span.start + 1, span, good: true }),
    };
    spans(piece).map(command).collect()
}

/// What the device says for each piece, as messages.
fn messages(trip: &mut Trip<'_>, driver: Driver, piece: u32, bytes: &[u8]) -> Result<Vec<Incoming>, String> {
    let event = |span: Span| match driver {
        Driver::PlatformPush => Event::Ack(span),
        Driver::DevicePull => Event::Want(Want { tag: 0, span, limit: piece }),
        Driver::DevicePush | Driver::PlatformPull => {
            let (part, last) = (&bytes[span.start as usize..span.end as usize], span.end == bytes.len() as u64);
            let sum = packhorse_core::transfer::Sum::Absent;
            Event::Data(packhorse_core::transfer::Data { tag: 0, offset: span.start, bytes: part.to_vec(), sum, last })
        }
    };
    let encoded = trip.device.encode(spans(piece).map(event).collect()).map_err(|error| error.to_string())?;
    sound(encoded.faults.len(), "words of the device before each piece")?;
    let arrived = |message: packhorse_core::transfer::Outgoing| {
        let (route, payload, more) = (message.route, message.payload, message.more);
        Incoming { route, payload, more }
    };
    let messages: Vec<Incoming> = encoded.messages.into_iter().map(arrived).take(BATCH).collect();
    if messages.is_empty() { Err("the device says nothing for a piece".to_owned()) } else { Ok(messages) }
}

fn both<T: Clone>(
    items: &[T],
    mut call: impl FnMut(Vec<T>) -> Result<(), super::super::CallError>,
) -> Result<Cost, String> {
    let single_ns = measured(items, 1, &mut call)?;
    Ok(Cost { single_ns, batch_ns: measured(items, items.len(), &mut call)? })
}

/// The median of many rounds. What a call takes in is made before the clock starts.
fn measured<T: Clone>(
    items: &[T],
    size: usize,
    call: &mut impl FnMut(Vec<T>) -> Result<(), super::super::CallError>,
) -> Result<f64, String> {
    let begun = Instant::now();
    let mut rounds = Vec::new();
    let mut at = 0;
    while begun.elapsed() < LONG || rounds.is_empty() {
        let mut batches = Vec::with_capacity(CALLS);
        for _ in 0..CALLS {
            batches.push(items[at..at + size].to_vec());
            at = (at + size) % items.len();
        }
        let clock = Instant::now();
        for batch in batches {
            call(batch).map_err(|error| error.to_string())?;
        }
        rounds.push(clock.elapsed().as_nanos() as f64 / (CALLS * size) as f64);
    }
    rounds.sort_by(f64::total_cmp);
    Ok(rounds[rounds.len() / 2])
}

/// A line of what the codec's own program prints.
#[derive(Deserialize)]
struct Native {
    name: String,
    #[serde(flatten)]
    cost: Cost,
}

/// Runs the codec's own program on the same sessions; or says why not.
fn native(codec: &str, source: Option<&Path>, works: &[Work]) -> Result<Vec<Native>, String> {
    let source = source.filter(|source| source.join("Cargo.toml").is_file());
    let source = source.ok_or("there is no crate of it in the plugins folder")?;
    if !source.join(NATIVE).is_file() {
        return Err(format!("{} has no {NATIVE}", source.display()));
    }
    let file = tempfile::NamedTempFile::new().map_err(|error| format!("cannot make a file: {error}"))?;
    let cases = works.iter().map(|work| work.case.clone()).collect();
    serde_json::to_writer(&file, &written::vectors(codec, cases)).map_err(|error| error.to_string())?;
    // A name of its own: in a workspace the examples of all codecs lie in one folder.
    let example = format!("native-{codec}");
    let mut cargo = Process::new("cargo");
    cargo.current_dir(source).args(["run", "--release", "--quiet", "--example", &example, "--"]).arg(file.path());
    let ran = cargo.stdin(Stdio::null()).output().map_err(|error| format!("cargo does not run ({error})"))?;
    if !ran.status.success() {
        return Err(end_of(&String::from_utf8_lossy(&ran.stderr)));
    }
    let said = String::from_utf8_lossy(&ran.stdout);
    let lines = said.lines().map(|line| serde_json::from_str(line).map_err(|error| format!("{line}: {error}")));
    lines.collect()
}
