//! Random and damaged packets: a codec may call them what it likes, and lives.

use std::sync::Arc;
use std::time::Duration;

use packhorse_core::transfer::{Incoming, More, Opening};
use rand::rngs::SmallRng;
use rand::{Rng, RngCore, SeedableRng};

use super::super::super::engine::thread_cpu_time;
use super::super::super::{CallError, Failure, MAX_BATCH_BYTES, MAX_BATCH_ITEMS, Trap};
use super::super::vectors::{Call, Side};
use super::report::Check;
use super::speaker::{Speaker, case_opening, opening, pattern_bytes, receives, shown_payload, sides};
use super::trip::Seen;
use super::{Bench, Plugin, PluginError};

const MAX_RANDOM_BYTES: usize = 2048;
/// A session that was fed much garbage is replaced, so that every state is met, the first as well.
const CALLS_A_SESSION: u32 = 64;
/// A call that took too long is repeated so often before it counts.
const REPEATS: u32 = 2;

/// How a session is opened, and the messages that it is fed with.
struct Diet {
    opening: Opening,
    messages: Vec<Incoming>,
}

pub(super) fn checks(bench: &Bench<'_>, seen: &[Seen]) -> Vec<Check> {
    let mut rng = SmallRng::seed_from_u64(bench.options.seed);
    let mut checks = Vec::new();
    for side in sides(bench.plugin) {
        let name = match side {
            Side::Platform => "platform",
            Side::Device => "device",
        };
        checks.push(Check::of(format!("random packets, {name}"), random(bench, *side, &mut rng)));
        let real = real(bench, *side, seen);
        let title = format!("damaged packets, {name}");
        checks.push(match real.is_empty() {
            true => Check::skipped(title, "no real packets are known: write vectors"),
            false => Check::of(title, damaged(bench, *side, &real, &mut rng)),
        });
    }
    checks
}

fn random(bench: &Bench<'_>, side: Side, rng: &mut SmallRng) -> Result<(u64, String), String> {
    let bytes = pattern_bytes(5000);
    let modes = &bench.plugin.description().modes;
    let diet = |mode| Diet { opening: opening(bench, mode, mode.packet_default, &bytes), messages: Vec::new() };
    let diets: Vec<Diet> = modes.iter().map(diet).collect();
    feed(bench, side, &diets, rng, |_, rng| {
        let route = any_route(bench.plugin, side, rng);
        let mut payload = vec![0; rng.random_range(0..MAX_RANDOM_BYTES)];
        rng.fill_bytes(&mut payload);
        Incoming { route, payload, more: captures(bench.plugin, route, rng) }
    })
}

fn damaged(bench: &Bench<'_>, side: Side, real: &[Diet], rng: &mut SmallRng) -> Result<(u64, String), String> {
    feed(bench, side, real, rng, |diet, rng| {
        let mut message = diet.messages[rng.random_range(0..diet.messages.len())].clone();
        let other = &diet.messages[rng.random_range(0..diet.messages.len())].payload;
        // Some stay whole, so that the session also goes on.
        if rng.random_ratio(3, 4) {
            damage(&mut message.payload, other, rng);
            message.payload.truncate(MAX_BATCH_BYTES / 2);
        }
        if rng.random_ratio(1, 16) {
            message.route = any_route(bench.plugin, side, rng);
            message.more = captures(bench.plugin, message.route, rng);
        }
        message
    })
}

/// Feeds what `draw` gives, in batches of different sizes.
fn feed(
    bench: &Bench<'_>,
    side: Side,
    diets: &[Diet],
    rng: &mut SmallRng,
    mut draw: impl FnMut(&Diet, &mut SmallRng) -> Incoming,
) -> Result<(u64, String), String> {
    let (mut fed, mut faults, mut sessions) = (0u64, 0usize, 0u64);
    let mut pace = Pace::default();
    while fed < u64::from(bench.options.random_inputs) {
        let diet = &diets[rng.random_range(0..diets.len())];
        let mut meal = Meal::begin(bench.plugin, side, &diet.opening).map_err(|error| error.to_string())?;
        sessions += 1;
        for _ in 0..CALLS_A_SESSION {
            let batch = batch(rng, |rng| draw(diet, rng));
            fed += batch.len() as u64;
            let last = batch.last().map(|message| message.payload.clone()).unwrap_or_default();
            faults += meal.eat(batch, &mut pace).map_err(|error| {
                format!("{error} (seed {}, packet {fed}: {})", bench.options.seed, shown_payload(&last))
            })?;
            if fed >= u64::from(bench.options.random_inputs) {
                break;
            }
        }
    }
    Ok((fed, format!("{faults} refused, in {sessions} sessions; {pace}")))
}

/// How long calls took.
#[derive(Debug, Default)]
struct Pace {
    slowest: Duration,
    /// Calls that passed a limit of time once, and then did not.
    repeated: u32,
}

impl std::fmt::Display for Pace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the slowest call took {:.2} ms of processor time", self.slowest.as_secs_f64() * 1e3)?;
        if self.repeated > 0 {
            write!(f, "; {} took too long once and were in time when repeated", self.repeated)?;
        }
        Ok(())
    }
}

/// A session, and all that it was fed with.
struct Meal<'a> {
    plugin: &'a Arc<Plugin>,
    side: Side,
    opening: &'a Opening,
    speaker: Speaker,
    eaten: Vec<Vec<Incoming>>,
}

impl<'a> Meal<'a> {
    fn begin(plugin: &'a Arc<Plugin>, side: Side, opening: &'a Opening) -> Result<Self, PluginError> {
        let speaker = Speaker::open(plugin, side, opening)?;
        Ok(Self { plugin, side, opening, speaker, eaten: Vec::new() })
    }

    /// How many messages were refused. A call that took too long is made again in a new session that was fed the same: a codec is
    /// deterministic, so one that loops does it again, while a machine that stood still (its time counts as the guest's) does not.
    fn eat(&mut self, batch: Vec<Incoming>, pace: &mut Pace) -> Result<usize, String> {
        self.eaten.push(batch.clone());
        let mut gave = swallow(&mut self.speaker, batch, pace);
        for _ in 0..REPEATS {
            if !gave.as_ref().is_err_and(is_slow) {
                break;
            }
            gave = self.again(pace)?;
            pace.repeated += u32::from(gave.is_ok());
        }
        gave.map_err(|error| error.to_string())
    }

    fn again(&mut self, pace: &mut Pace) -> Result<Result<usize, CallError>, String> {
        self.speaker = Speaker::open(self.plugin, self.side, self.opening).map_err(|error| error.to_string())?;
        let mut last = Ok(0);
        for batch in &self.eaten {
            last = swallow(&mut self.speaker, batch.clone(), pace);
            if last.is_err() {
                break;
            }
        }
        Ok(last)
    }
}

fn swallow(speaker: &mut Speaker, batch: Vec<Incoming>, pace: &mut Pace) -> Result<usize, CallError> {
    let before = thread_cpu_time();
    let gave = speaker.decode(batch)?;
    pace.slowest = pace.slowest.max(thread_cpu_time().saturating_sub(before));
    speaker.save()?;
    Ok(gave.faults.len())
}

const fn is_slow(error: &CallError) -> bool {
    matches!(error.failure, Failure::Trap(Trap::Cpu(_) | Trap::Wall(_)))
}

/// Mostly one message, and sometimes as many as a call may carry.
fn batch(rng: &mut SmallRng, mut draw: impl FnMut(&mut SmallRng) -> Incoming) -> Vec<Incoming> {
    let count = if rng.random_ratio(1, 4) { rng.random_range(1..=MAX_BATCH_ITEMS) } else { 1 };
    let (mut batch, mut bytes) = (Vec::new(), 0);
    while batch.len() < count && bytes < MAX_BATCH_BYTES / 2 {
        let message = draw(rng);
        bytes += message.payload.len();
        batch.push(message);
    }
    batch
}

/// The messages that are known to be real, by how their session was opened.
fn real(bench: &Bench<'_>, side: Side, seen: &[Seen]) -> Vec<Diet> {
    let mut diets: Vec<Diet> = Vec::new();
    let mut add = |opening: Opening, message: &Incoming| match diets.iter_mut().find(|diet| diet.opening == opening) {
        Some(diet) => diet.messages.push(message.clone()),
        None => diets.push(Diet { opening, messages: vec![message.clone()] }),
    };
    seen.iter().filter(|seen| seen.side == side).for_each(|seen| add(seen.opening.clone(), &seen.message));
    let cases = bench.vectors.iter().flat_map(|vectors| &vectors.cases);
    for case in cases.filter(|case| case.side == side && case.refused.is_none()) {
        for step in &case.steps {
            if let Call::Decode { batch, .. } | Call::DeviceDecode { batch, .. } = &step.call {
                batch.iter().for_each(|message| add(case_opening(bench.plugin, case), &message.0));
            }
        }
    }
    diets
}

fn any_route(plugin: &Plugin, side: Side, rng: &mut SmallRng) -> u16 {
    let flow = receives(side);
    let routes = (0u16..).zip(&plugin.description().routes);
    let routes: Vec<u16> = routes.filter(|(_, route)| route.flow == flow).map(|(index, _)| index).collect();
    // A description has a route of either flow.
    routes[rng.random_range(0..routes.len())]
}

/// What the route's wildcards could have taken: a device chooses its topics as it likes.
fn captures(plugin: &Plugin, route: u16, rng: &mut SmallRng) -> Option<More> {
    let template = &plugin.description().routes[usize::from(route)].template;
    let count = template.split('/').filter(|level| matches!(*level, "{+}" | "{#}")).count();
    let values = ["0", "1", "4294967296", "-1", "x", "$", "get", "é", "18446744073709551616", " "];
    let mut value = || match rng.random_range(0..values.len() + 1) {
        at if at < values.len() => values[at].to_owned(),
        _ => rng.random::<u64>().to_string(),
    };
    (count > 0).then(|| More { captures: (0..count).map(|_| value()).collect(), ..More::default() })
}

/// One to four wounds.
fn damage(payload: &mut Vec<u8>, other: &[u8], rng: &mut SmallRng) {
    for _ in 0..rng.random_range(1..=4) {
        let at = rng.random_range(0..=payload.len());
        match rng.random_range(0..8) {
            0 => payload.truncate(at),
            1 => drop(payload.drain(..at)),
            2 => payload.insert(at, rng.random()),
            3 => payload.extend_from_within(at..),
            4 => {
                payload.truncate(at);
                payload.extend_from_slice(&other[rng.random_range(0..=other.len())..]);
            }
            kind => {
                if let Some(byte) = payload.get_mut(at) {
                    *byte = match kind {
                        5 => *byte ^ (1 << rng.random_range(0..8)),
                        6 => [0, 0x7f, 0x80, 0xff, b'9', b'"'][rng.random_range(0..6)],
                        _ => rng.random(),
                    };
                }
            }
        }
    }
}
