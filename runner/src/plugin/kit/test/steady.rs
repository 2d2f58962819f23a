//! The same input gives the same output: twice, in batches or one by one, and with a save in between.

use std::sync::Arc;

use packhorse_core::transfer::{Command, Event, Incoming, Receipt, Span};

use super::super::vectors::{Call, Case};
use super::Bench;
use super::report::Check;
use super::speaker::{Gave, Speaker, case_opening, shown};
use super::{Plugin, PluginError};

pub(super) fn checks(bench: &Bench<'_>) -> Vec<Check> {
    let cases: Vec<&Case> = bench.vectors.iter().flat_map(|vectors| &vectors.cases).collect();
    let cases: Vec<&Case> = cases.into_iter().filter(|case| case.refused.is_none()).collect();
    if cases.is_empty() {
        return vec![Check::skipped("same twice", "there are no vectors to repeat")];
    }
    vec![
        all("same twice", &cases, |case| same_twice(bench.plugin, case)),
        all("batches are worth their messages", &cases, |case| batches(bench.plugin, case)),
        reopened(bench.plugin, &cases),
    ]
}

fn all(name: &str, cases: &[&Case], check: impl Fn(&Case) -> Result<(), String>) -> Check {
    let failed = cases.iter().find_map(|case| Some(format!("case `{}`: {}", case.name, check(case).err()?)));
    Check::of(name, failed.map_or_else(|| Ok((cases.len() as u64, "the vectors' sessions".to_owned())), Err))
}

/// What a codec forgets with a session (an order of arrival, say) is its own affair: how many went on as before is only told.
fn reopened(plugin: &Arc<Plugin>, cases: &[&Case]) -> Check {
    let name = "save changes nothing, and opens again";
    let mut exact = 0;
    for case in cases {
        match saves(plugin, case) {
            Ok(same) => exact += u64::from(same),
            Err(problem) => return Check::of(name, Err(format!("case `{}`: {problem}", case.name))),
        }
    }
    let count = cases.len() as u64;
    Check::of(name, Ok((count, format!("{exact} of {count} sessions went on exactly as without the save"))))
}

fn open(plugin: &Arc<Plugin>, case: &Case, saved: Option<(Vec<u8>, Vec<Span>)>) -> Result<Speaker, String> {
    let mut opening = case_opening(plugin, case);
    if let Some((saved, done)) = saved {
        (opening.saved, opening.done) = (saved, done);
    }
    Speaker::open(plugin, case.side, &opening).map_err(|error: PluginError| error.to_string())
}

fn play(plugin: &Arc<Plugin>, case: &Case) -> Result<Vec<Gave>, String> {
    let mut speaker = open(plugin, case, None)?;
    case.steps.iter().map(|step| speaker.call(&step.call).map_err(|error| error.to_string())).collect()
}

fn same_twice(plugin: &Arc<Plugin>, case: &Case) -> Result<(), String> {
    let (first, second) = (play(plugin, case)?, play(plugin, case)?);
    let differs = first.iter().zip(&second).position(|(first, second)| first != second);
    differs.map_or(Ok(()), |at| {
        Err(format!("step {} gave {}, and then {}", case.steps[at].number, shown(&first[at]), shown(&second[at])))
    })
}

fn batches(plugin: &Arc<Plugin>, case: &Case) -> Result<(), String> {
    let (mut whole, mut single) = (open(plugin, case, None)?, open(plugin, case, None)?);
    for step in &case.steps {
        let at_once = whole.call(&step.call).map_err(|error| error.to_string())?;
        let batch: Option<Vec<Incoming>> = match &step.call {
            Call::Decode { batch, .. } | Call::DeviceDecode { batch, .. } => {
                Some(batch.iter().map(|message| message.0.clone()).collect())
            }
            Call::Encode { .. } | Call::DeviceEncode { .. } | Call::Save(_) => None,
        };
        let apart = match batch {
            Some(batch) => one_by_one(&mut single, batch)?,
            None => single.call(&step.call).map_err(|error| error.to_string())?,
        };
        if at_once != apart {
            let (at_once, apart) = (shown(&at_once), shown(&apart));
            return Err(format!("step {} gave {at_once} at once, and one by one {apart}", step.number));
        }
    }
    Ok(())
}

fn one_by_one(speaker: &mut Speaker, batch: Vec<Incoming>) -> Result<Gave, String> {
    let mut all = Gave::default();
    for (index, message) in (0u16..).zip(batch) {
        let mut gave = speaker.decode(vec![message]).map_err(|error| error.to_string())?;
        gave.messages.iter_mut().for_each(|message| message.cause = index);
        gave.faults.iter_mut().for_each(|faulted| faulted.index = index);
        all.events.append(&mut gave.events);
        all.commands.append(&mut gave.commands);
        all.messages.append(&mut gave.messages);
        all.faults.append(&mut gave.faults);
    }
    Ok(all)
}

/// Saves after every step and goes on in a new session, opened from the save; says whether all went as in one session.
fn saves(plugin: &Arc<Plugin>, case: &Case) -> Result<bool, String> {
    let mut through = open(plugin, case, None)?;
    let mut hopping = open(plugin, case, None)?;
    let mut held = Held(case.opening.done.clone());
    let mut same = true;
    for step in &case.steps {
        let told = |problem: String| format!("step {}: {problem}", step.number);
        let straight = through.call(&step.call).map_err(|error| told(error.to_string()))?;
        let hopped = hopping.call(&step.call).map_err(|error| told(error.to_string()))?;
        same &= straight == hopped;
        held.learn(&step.call, &hopped);
        let saved = hopping.save().map_err(|error| told(error.to_string()))?;
        if hopping.save().map_err(|error| told(error.to_string()))? != saved {
            return Err(told("two saves in a row gave different bytes".to_owned()));
        }
        hopping = open(plugin, case, Some((saved, held.0.clone())))
            .map_err(|problem| told(format!("the save: {problem}")))?;
    }
    Ok(same)
}

/// What the receiving end holds, as the host would tell a session that it opens anew: merged and sorted.
struct Held(Vec<Span>);

impl Held {
    /// From a push's events, and from the commands by which a pull's bytes are acknowledged.
    fn learn(&mut self, call: &Call, gave: &Gave) {
        for event in &gave.events {
            match event {
                Event::Ack(span) => self.add(*span),
                Event::AckThrough(offset) => {
                    self.0.clear();
                    self.add(Span::new(0, *offset));
                }
                Event::Missing(span) => self.remove(*span),
                _ => {}
            }
        }
        if let Call::Encode { batch, .. } = call {
            for command in batch {
                if let Command::Ack(Receipt { span, good: true, .. }) = command {
                    self.add(*span);
                }
            }
        }
    }

    fn add(&mut self, span: Span) {
        self.remove(span);
        self.0.push(span);
        self.0.retain(|span| !span.is_empty());
        self.0.sort();
        self.0.dedup_by(|later, earlier| {
            let touches = later.start <= earlier.end;
            if touches {
                earlier.end = earlier.end.max(later.end);
            }
            touches
        });
    }

    fn remove(&mut self, span: Span) {
        let around = |held: &Span| {
            [Span::new(held.start, held.end.min(span.start)), Span::new(held.start.max(span.end), held.end)]
        };
        self.0 = self.0.iter().flat_map(around).filter(|held| !held.is_empty()).collect();
    }
}
