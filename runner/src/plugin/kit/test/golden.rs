//! The codec's own vectors: every call gives exactly what is written.

use packhorse_core::transfer::{Faulted, Outgoing};

use super::super::super::PluginError;
use super::super::vectors::{Call, Case, FaultWanted, MessageOut, Vectors};
use super::report::Check;
use super::speaker::{Gave, Speaker, case_opening, shown, shown_payload};
use super::{Bench, Plugin};
use std::sync::Arc;

pub(super) fn checks(bench: &Bench<'_>) -> Vec<Check> {
    if bench.vectors.is_empty() {
        return vec![Check::skipped("vectors", "there are none: write vectors/*.yaml beside the codec")];
    }
    bench.vectors.iter().map(|vectors| file(bench, vectors)).collect()
}

fn file(bench: &Bench<'_>, vectors: &Vectors) -> Check {
    let name = vectors.path.file_name().unwrap_or(vectors.path.as_os_str()).to_string_lossy();
    let failed: Vec<String> = vectors
        .cases
        .iter()
        .filter_map(|case| run(bench.plugin, case).err().map(|problem| format!("case `{}`: {problem}", case.name)))
        .collect();
    let cases = vectors.cases.len() as u64;
    let came = if failed.is_empty() { Ok((cases, format!("{cases} sessions"))) } else { Err(failed.join("\n")) };
    Check::of(format!("vectors/{name}"), came)
}

fn run(plugin: &Arc<Plugin>, case: &Case) -> Result<(), String> {
    let opening = case_opening(plugin, case);
    let opened = Speaker::open(plugin, case.side, &opening);
    let mut speaker = match (opened, &case.refused) {
        (Ok(speaker), None) => speaker,
        (Ok(_), Some(words)) => return Err(format!("open does not refuse with {words:?}")),
        (Err(PluginError::Refused { text, .. }), Some(words))
            if text.message.contains(words) || text.code.contains(words) =>
        {
            return Ok(());
        }
        (Err(error), _) => return Err(error.to_string()),
    };
    for step in &case.steps {
        let gave = speaker.call(&step.call).map_err(|error| format!("step {}: {error}", step.number))?;
        compare(&step.call, &gave).map_err(|problem| format!("step {}: {problem}", step.number))?;
    }
    Ok(())
}

fn compare(call: &Call, gave: &Gave) -> Result<(), String> {
    match call {
        Call::Decode { events, replies, faults, .. } => {
            words("events", events, &gave.events)?;
            messages("replies", replies, &gave.messages)?;
            compare_faults(faults, &gave.faults)
        }
        Call::DeviceDecode { commands, replies, faults, .. } => {
            words("commands", commands, &gave.commands)?;
            messages("replies", replies, &gave.messages)?;
            compare_faults(faults, &gave.faults)
        }
        Call::Encode { messages: wanted, faults, .. } | Call::DeviceEncode { messages: wanted, faults, .. } => {
            messages("messages", wanted, &gave.messages)?;
            compare_faults(faults, &gave.faults)
        }
        Call::Save(saved) if *saved == gave.saved => Ok(()),
        Call::Save(saved) => Err(format!("save gave {}, not {}", shown_payload(&gave.saved), shown_payload(saved))),
    }
}

fn words<T: PartialEq + std::fmt::Debug>(what: &str, wanted: &[T], gave: &[T]) -> Result<(), String> {
    counts(what, wanted.len(), gave.len(), &gave)?;
    let differs = wanted.iter().zip(gave).position(|(wanted, gave)| wanted != gave);
    differs.map_or(Ok(()), |at| Err(format!("{what}[{at}] is {}, not {}", shown(&gave[at]), shown(&wanted[at]))))
}

fn messages(what: &str, wanted: &[MessageOut], gave: &[Outgoing]) -> Result<(), String> {
    let told: Vec<_> = gave.iter().map(|message| (message.route, shown_payload(&message.payload))).collect();
    counts(what, wanted.len(), gave.len(), &told)?;
    let differs = wanted.iter().zip(gave).position(|(wanted, gave)| !wanted.is(gave));
    differs.map_or(Ok(()), |at| {
        let (message, wanted) = (&gave[at], wanted[at].shown());
        Err(format!(
            "{what}[{at}] is on route {} of cause {}: {} {}, not {wanted}",
            message.route,
            message.cause,
            shown_payload(&message.payload),
            shown(&message.more),
        ))
    })
}

fn compare_faults(wanted: &[FaultWanted], gave: &[Faulted]) -> Result<(), String> {
    counts("faults", wanted.len(), gave.len(), &gave)?;
    let fits = |(wanted, gave): (&FaultWanted, &Faulted)| wanted.index == gave.index && wanted.is(&gave.fault);
    let differs = wanted.iter().zip(gave).position(|pair| !fits(pair));
    differs.map_or(Ok(()), |at| Err(format!("faults[{at}] is {}, not {}", shown(&gave[at]), shown(&wanted[at]))))
}

fn counts(what: &str, wanted: usize, gave: usize, found: &impl std::fmt::Debug) -> Result<(), String> {
    if wanted == gave {
        return Ok(());
    }
    Err(format!("{gave} {what}, not {wanted}: {}", shown(found)))
}
