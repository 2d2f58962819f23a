//! What every codec must stand before it is let near a device: its own vectors, round trips, garbage, and its own limits.
//!
//! * `report`: what came of it. `speaker`: either side of a session, as one type.
//! * `vars`: what sessions are opened with. `golden`: the vectors. `trip`: pieces from one side to the other. `noise`: random and damaged packets.
//! * `steady`: the same input twice, in batches and one by one, and across a save.
//!
//! A whole transfer over a lossy link needs the transfer machine, which this room does not know: whoever has both adds that
//! check to the report with [`TestReport::add`].

mod golden;
mod noise;
mod report;
mod speaker;
mod steady;
pub(super) mod trip;
mod vars;

use std::path::Path;
use std::sync::Arc;

pub(super) use speaker::{opening, pattern_bytes};

pub use report::{Check, Status, TestReport};
pub(crate) use trip::NO_URL;

use packhorse_core::transfer::Pairs;

use super::super::{Plugin, PluginError};
use super::vectors::{self, Vectors};

/// How much is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestOptions {
    /// The same seed tries the same inputs.
    pub seed: u64,
    /// How many random, and how many damaged packets each side must stand.
    pub random_inputs: u32,
    /// Variables for every session that is not a vector's; required ones that are missing here are taken from the vectors, or invented.
    pub vars: Pairs,
}

impl Default for TestOptions {
    fn default() -> Self {
        Self { seed: 1, random_inputs: 10_000, vars: Pairs::new() }
    }
}

/// What all checks work with.
pub(crate) struct Bench<'a> {
    pub(crate) plugin: &'a Arc<Plugin>,
    pub(crate) vectors: &'a [Vectors],
    pub(crate) options: TestOptions,
    pub(crate) vars: Pairs,
}

impl<'a> Bench<'a> {
    /// With variables settled.
    pub(crate) fn new(
        plugin: &'a Arc<Plugin>,
        vectors: &'a [Vectors],
        options: TestOptions,
    ) -> Result<Self, PluginError> {
        let vars = vars::settle(plugin, vectors, &options.vars)?;
        Ok(Self { plugin, vectors, options, vars })
    }
}

/// Where vectors lie.
#[derive(Debug, Clone, Copy)]
pub enum Folder<'a> {
    /// Beside the codec: they bear its name, and a stray file is an error.
    Own(&'a Path),
    /// Where somebody says that they lie: a second codec of the same format is held to the vectors of the first.
    Chosen(&'a Path),
}

/// The vectors in a folder, all of which must be this codec's.
pub(super) fn vectors_of(plugin: &Plugin, dir: &Path) -> Result<Vec<Vectors>, PluginError> {
    let vectors = vectors::read_dir(dir)?;
    match vectors.iter().find(|vectors| vectors.codec != plugin.name()) {
        None => Ok(vectors),
        Some(stray) => {
            let problem = format!("it is for the codec `{}`, not for `{}`", stray.codec, plugin.name());
            Err(PluginError::Vectors { path: stray.path.clone(), problem })
        }
    }
}

/// Runs every check. A check that fails stands in the report; an error is about the vectors, not the codec.
pub fn test(plugin: &Arc<Plugin>, vectors: &Folder<'_>, options: TestOptions) -> Result<TestReport, PluginError> {
    let vectors = match vectors {
        Folder::Own(dir) => vectors_of(plugin, dir)?,
        Folder::Chosen(dir) => vectors::read_dir(dir)?,
    };
    let bench = Bench::new(plugin, &vectors, options)?;
    let mut report = TestReport::new(plugin, bench.options.seed, bench.vars.clone());
    report.add(Check::of("size", size(plugin)));
    golden::checks(&bench).into_iter().for_each(|check| report.add(check));
    let (trips, seen) = trip::checks(&bench);
    trips.into_iter().for_each(|check| report.add(check));
    steady::checks(&bench).into_iter().for_each(|check| report.add(check));
    noise::checks(&bench, &seen).into_iter().for_each(|check| report.add(check));
    Ok(report)
}

/// Runs the vectors in a folder and nothing else; how many sessions they are. Where there is no folder, there are none.
///
/// # Errors
/// What fails, or why the vectors cannot be read, in words.
pub fn golden(plugin: &Arc<Plugin>, vectors_dir: &Path) -> Result<u64, String> {
    let vectors = vectors_of(plugin, vectors_dir).map_err(|error| packhorse_core::failure::chain(&error))?;
    let bench = Bench::new(plugin, &vectors, TestOptions::default());
    let bench = bench.map_err(|error| packhorse_core::failure::chain(&error))?;
    let checks = golden::checks(&bench);
    match checks.iter().find(|check| check.status == Status::Failed) {
        Some(check) => Err(format!("{}: {}", check.name, check.detail)),
        None => Ok(checks.iter().map(|check| check.cases).sum()),
    }
}

/// The component and its compiled code; loading it already held it to its limits.
fn size(plugin: &Plugin) -> Result<(u64, String), String> {
    let limit = plugin.template.ceilings.component;
    let memory = plugin.template.ceilings.limits.memory;
    Ok((1, format!("{} of {limit} bytes; at most {memory} bytes of memory an instance", plugin.bytes().len())))
}
