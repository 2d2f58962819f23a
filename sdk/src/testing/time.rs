//! What a packet costs natively, so that `packhorse plugin bench` can put it beside the component's figure.

use std::path::Path;
use std::time::{Duration, Instant};

use super::PlatformEnd;
use super::run::End;
use super::words::{Case, Message, Vectors};
use crate::session::Platform;

/// How long one figure is measured.
const LONG: Duration = Duration::from_millis(300);
/// Calls between two looks at the clock.
const CALLS: usize = 32;

/// Plays each case of the file that `packhorse plugin bench` gives as the only argument, times its last step, one item a call and all at
/// once, and prints one line of JSON for each: nanoseconds an item. For `examples/native.rs` of a codec:
///
/// ```text
/// fn main() {
///     packhorse_codec::testing::time::<my_codec::MyPlatform>();
/// }
/// ```
///
/// # Panics
/// Where the file cannot be read or played.
#[expect(clippy::print_stdout, reason = "it is the whole of an example")]
pub fn time<P: Platform>() {
    let path = std::env::args_os().nth(1).expect("usage: native FILE");
    let path = Path::new(&path);
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("cannot read {path:?}: {error}"));
    let vectors: Vectors = serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    for case in vectors.cases {
        let name = case.name.clone();
        let (single, batch) = case_of::<P>(case).unwrap_or_else(|why| panic!("{name:?}: {why}"));
        println!("{{\"name\":{name:?},\"single_ns\":{single:.1},\"batch_ns\":{batch:.1}}}");
    }
}

fn case_of<P: Platform>(mut case: Case) -> Result<(f64, f64), String> {
    let end = PlatformEnd::<P>::open(case.open.transfer()?).map_err(|text| format!("open was refused: {text:?}"))?;
    let last = case.steps.pop().ok_or("there is no step")?;
    for step in case.steps {
        if let Some(words) = step.encode {
            let batch = words.into_iter().map(<PlatformEnd<P> as End>::said).collect::<Result<Vec<_>, _>>()?;
            End::encode(&end, batch);
        }
        if let Some(messages) = step.decode {
            End::decode(&end, messages.iter().map(Message::incoming).collect());
        }
    }
    if let Some(words) = last.encode {
        let items = words.into_iter().map(<PlatformEnd<P> as End>::said).collect::<Result<Vec<_>, _>>()?;
        return Ok(both(&items, |batch| drop(PlatformEnd::encode(&end, batch))));
    }
    let items: Vec<_> = last.decode.unwrap_or_default().iter().map(Message::incoming).collect();
    Ok(both(&items, |batch| drop(PlatformEnd::decode(&end, batch))))
}

fn both<T: Clone>(items: &[T], mut call: impl FnMut(Vec<T>)) -> (f64, f64) {
    (measured(items, 1, &mut call), measured(items, items.len(), &mut call))
}

/// The median of many rounds. What a call takes in is made before the clock starts.
fn measured<T: Clone>(items: &[T], size: usize, call: &mut impl FnMut(Vec<T>)) -> f64 {
    let begun = Instant::now();
    let mut rounds = Vec::new();
    let mut at = 0;
    while begun.elapsed() < LONG || rounds.is_empty() {
        let batches: Vec<Vec<T>> = (0..CALLS)
            .map(|_| {
                at = (at + size) % items.len();
                if size == items.len() { items.to_vec() } else { items[at..at + size].to_vec() }
            })
            .collect();
        let clock = Instant::now();
        batches.into_iter().for_each(&mut *call);
        rounds.push(clock.elapsed().as_nanos() as f64 / (CALLS * size) as f64);
    }
    rounds.sort_by(f64::total_cmp);
    rounds[rounds.len() / 2]
}
