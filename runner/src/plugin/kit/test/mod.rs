//! What every codec must stand before it is let near a device: its own vectors, round trips, garbage, and its own limits.
//!
//! * `report`: what came of it. `speaker`: either side of a session, as one type.
//! * `golden`: the vectors. `trip`: pieces from one side to the other. `noise`: random and damaged packets.
//! * `steady`: the same input twice, in batches and one by one, and across a save.
//!
//! A whole transfer over a lossy link needs the transfer machine, which this room does not know: whoever has both adds that
//! check to the report with [`TestReport::add`].

mod golden;
mod noise;
mod report;
mod speaker;
mod steady;
mod trip;

use std::path::Path;
use std::sync::Arc;

pub use report::{Check, Status, TestReport};
pub(crate) use trip::NO_URL;

use super::super::{Host, Plugin, PluginError};
use super::vectors::{self, Vectors};

/// How much is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TestOptions {
    /// The same seed tries the same inputs.
    pub seed: u64,
    /// How many random, and how many damaged packets each side must stand.
    pub random_inputs: u32,
}

impl Default for TestOptions {
    fn default() -> Self {
        Self { seed: 1, random_inputs: 10_000 }
    }
}

/// What all checks work with.
pub(crate) struct Bench<'a> {
    pub(crate) plugin: &'a Arc<Plugin>,
    pub(crate) vectors: &'a [Vectors],
    pub(crate) options: TestOptions,
}

/// Runs every check. A check that fails stands in the report; an error is about the vectors, not the codec.
///
/// `host` is the one that loaded `plugin`; sessions are opened on it, a few at a time.
pub fn test(
    host: &Host,
    plugin: &Arc<Plugin>,
    vectors_dir: &Path,
    options: TestOptions,
) -> Result<TestReport, PluginError> {
    let vectors = vectors::read_dir(vectors_dir)?;
    if let Some(stray) = vectors.iter().find(|vectors| vectors.codec != plugin.name()) {
        let problem = format!("it is for the codec `{}`, not for `{}`", stray.codec, plugin.name());
        return Err(PluginError::Vectors { path: stray.path.clone(), problem });
    }
    let bench = Bench { plugin, vectors: &vectors, options };
    let mut report = TestReport::new(plugin, options.seed);
    report.add(Check::of("size", size(host, plugin)));
    golden::checks(&bench).into_iter().for_each(|check| report.add(check));
    let (trips, seen) = trip::checks(&bench);
    trips.into_iter().for_each(|check| report.add(check));
    steady::checks(&bench).into_iter().for_each(|check| report.add(check));
    noise::checks(&bench, &seen).into_iter().for_each(|check| report.add(check));
    Ok(report)
}

/// The component and its compiled code; loading it already held it to its limits.
fn size(host: &Host, plugin: &Plugin) -> Result<(u64, String), String> {
    let limit = super::super::MAX_COMPONENT_BYTES;
    let memory = host.settings().limits.memory;
    Ok((1, format!("{} of {limit} bytes; at most {memory} bytes of memory an instance", plugin.bytes().len())))
}
