//! `plugin tap capture replay`: conversations of others.

use super::args::{ListenArgs, Output};
use super::plugin::{Place, blocking};
use super::print::{self, Show};
use super::signals::Signals;
use crate::app::exit::{Exit, Stop};
use crate::app::{self, Tap, TapError};
use crate::bus::Bus;
use crate::plugin::kit::capture::{self, Difference, Head, Line, Way};
use crate::plugin::kit::listen::Listener;
use crate::plugin::{Plugin, PluginError};
use packhorse_core::digest::Digester;
use packhorse_core::failure::chain;
use packhorse_core::transfer::{Algorithm, FileInfo};
use serde_json::{Value, json};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// Bytes of the file in one read.
const PIECE: usize = 256 << 10;

pub(super) async fn tap(device: &str, args: ListenArgs, show: Show) -> Result<Exit, Stop> {
    overhear(device, args, show, |line| {
        match show.output {
            Output::Json => print::write_out(&serde_json::to_string(line).unwrap_or_default()),
            Output::Text => print::write_out(&told(line)),
        }
        Ok(())
    })
    .await
}

pub(super) async fn capture(device: &str, to: &Path, args: ListenArgs, show: Show) -> Result<Exit, Stop> {
    let failed = |error: std::io::Error| Stop::usage("PH2004", format!("cannot write {}: {error}", to.display()));
    let mut file = File::create_new(to).map_err(failed)?;
    let mut head = true;
    let mut count = 0_u64;
    let ended = overhear_with(device, args, show, |said| {
        let written = match said {
            Said::Head(first) if head => {
                head = false;
                capture::write(&mut file, first)
            }
            Said::Head(_) => Ok(()),
            Said::Line(line) => {
                count += 1;
                capture::write(&mut file, line)
            }
        };
        written.map_err(failed)
    })
    .await;
    if head {
        // Nothing was listened to: an empty file is no capture.
        let _ = std::fs::remove_file(to);
        return ended;
    }
    let ended = ended?;
    show.result(&json!({ "capture": to, "messages": count }), || format!("{}: {count} messages", to.display()));
    Ok(if ended == Exit::Interrupted { Exit::Succeeded } else { ended })
}

/// What is told while listening.
enum Said<'a> {
    Head(&'a Head),
    Line(&'a Line),
}

async fn overhear(
    device: &str,
    args: ListenArgs,
    show: Show,
    mut tell: impl FnMut(&Line) -> Result<(), Stop>,
) -> Result<Exit, Stop> {
    overhear_with(device, args, show, |said| if let Said::Line(line) = said { tell(line) } else { Ok(()) }).await
}

async fn overhear_with(
    device: &str,
    args: ListenArgs,
    show: Show,
    mut tell: impl FnMut(Said<'_>) -> Result<(), Stop>,
) -> Result<Exit, Stop> {
    let mut signals = Signals::take()?;
    let plugin = loaded(args.codec.clone(), &Place::of(args.plugins.clone())?).await?;
    let file = args.file.clone();
    let file = blocking(move || file.as_deref().map(described).transpose()).await?;
    let mut listener = Listener::new(&plugin, device, &args.vars, file).map_err(|error| refused(&error))?;
    let access = super::load(crate::settings::Given::default())?.mqtt_access;
    let bus: Arc<dyn Bus> = Arc::new(app::connect(&args.mqtt, &access).await?);
    let mut tap = Tap::open(&bus, &plugin, device, &args.vars).await.map_err(|error| match error {
        TapError::Plugin(error) => refused(&error),
        TapError::Bus(error) => Stop::unavailable("PH1006", chain(&error)),
    })?;
    tell(Said::Head(&Head::new(&plugin, device, &args.vars)))?;
    show.note(&format!("listening to {device} as {}", plugin.title()));
    let begun = Instant::now();
    let exit = loop {
        let heard = tokio::select! {
            heard = tap.next() => heard,
            exit = signals.next() => break exit,
        };
        let Some(heard) = heard else {
            return Err(Stop::unavailable("PH1006", "the subscription to the device's topics has ended"));
        };
        for (flow, message) in heard {
            let understood = listener.hear(flow, &message);
            let ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            tell(Said::Line(&Line::new(ms, flow, &message, understood)))?;
        }
    };
    bus.close().await;
    Ok(exit)
}

pub(super) async fn replay(
    file: PathBuf,
    codec: Option<String>,
    place: Place,
    as_vectors: Option<PathBuf>,
    show: Show,
) -> Result<Exit, Stop> {
    let path = file.clone();
    let (head, lines) = blocking(move || capture::read(&path)).await?;
    let plugin = loaded(codec.unwrap_or_else(|| head.codec.clone()), &place).await?;
    let replayed = blocking(move || capture::replay(&plugin, &head, &lines, &file)).await?;
    if let Some(to) = as_vectors {
        let text = serde_yaml::to_string(&replayed.vectors).map_err(|error| Stop::bug(error.to_string()))?;
        let failed = |error: std::io::Error| Stop::usage("PH2004", format!("cannot write {}: {error}", to.display()));
        std::fs::write(&to, text).map_err(failed)?;
        show.note(&format!("vectors: {}", to.display()));
    }
    show.result(&replayed, || {
        let (count, messages) = (replayed.differences.len(), replayed.messages);
        let head = format!(
            "{messages} messages, captured by {}, through {}: {count} understood otherwise",
            replayed.captured_by, replayed.codec
        );
        std::iter::once(head).chain(replayed.differences.iter().map(difference)).collect::<Vec<_>>().join("\n")
    });
    Ok(if replayed.differences.is_empty() { Exit::Succeeded } else { Exit::Failed })
}

async fn loaded(codec: String, place: &Place) -> Result<Arc<Plugin>, Stop> {
    let host = place.host().await?;
    blocking(move || host.load(&codec)).await
}

fn refused(error: &PluginError) -> Stop {
    Stop::usage("PH6006", chain(error))
}

/// Name, size, MD5 and SHA-256 of a file, read piece by piece.
fn described(path: &Path) -> Result<FileInfo, PluginError> {
    let failed = |source| PluginError::File { verb: "read", path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    let mut digester = Digester::new(&[Algorithm::Md5, Algorithm::Sha256]);
    let (mut piece, mut size) = (vec![0; PIECE], 0);
    loop {
        match file.read(&mut piece).map_err(failed)? {
            0 => break,
            count => {
                digester.update(&piece[..count]);
                size += count as u64;
            }
        }
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(FileInfo { name, size: Some(size), digests: digester.finish(), meta: Vec::new() })
}

/// One message for people: when, which way, and what it says.
fn told(line: &Line) -> String {
    let way = if line.flow == Way::ToDevice { "→" } else { "←" };
    let seconds = line.ms as f64 / 1000.0;
    let mut lines = vec![format!("{seconds:>9.3} {way} {}", short(&line.message))];
    let words = line.words.iter().map(|word| format!("            {}", short(word)));
    let faults = line.faults.iter().map(|fault| format!("            fault {}", short(fault)));
    let trouble = line.trouble.iter().map(|trouble| format!("            not understood: {trouble}"));
    lines.extend(words.chain(faults).chain(trouble));
    lines.join("\n")
}

fn difference(difference: &Difference) -> String {
    let way = if difference.flow == Way::ToDevice { "→" } else { "←" };
    let message = short(&difference.message);
    format!(
        "message {}, {} ms {way} {message}\n  then {}\n  now  {}",
        difference.number, difference.ms, difference.then, difference.now
    )
}

/// A value in a line; a long one is cut.
fn short(value: &Value) -> String {
    const MOST: usize = 160;
    let text = value.to_string();
    if text.len() <= MOST { text } else { format!("{}…", &text[..text.floor_char_boundary(MOST)]) }
}
