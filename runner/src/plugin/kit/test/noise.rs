//! Random and damaged packets: a codec may call them what it likes, and lives.

use packhorse_core::transfer::{Incoming, More, Opening};
use rand::rngs::SmallRng;
use rand::{Rng, RngCore, SeedableRng};

use super::super::super::{MAX_BATCH_BYTES, MAX_BATCH_ITEMS};
use super::super::vectors::{Call, Side};
use super::report::Check;
use super::speaker::{Speaker, case_opening, opening, pattern_bytes, receives, shown_payload, sides};
use super::trip::Seen;
use super::{Bench, Plugin};

const MAX_RANDOM_BYTES: usize = 2048;
/// A session that was fed much garbage is replaced, so that every state is met, the first as well.
const CALLS_A_SESSION: u32 = 64;

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
    while fed < u64::from(bench.options.random_inputs) {
        let diet = &diets[rng.random_range(0..diets.len())];
        let mut speaker = Speaker::open(bench.plugin, side, &diet.opening).map_err(|error| error.to_string())?;
        sessions += 1;
        for _ in 0..CALLS_A_SESSION {
            let batch = batch(rng, |rng| draw(diet, rng));
            fed += batch.len() as u64;
            let last = batch.last().map(|message| message.payload.clone()).unwrap_or_default();
            let gave = speaker.decode(batch).and_then(|gave| speaker.save().map(|_| gave));
            let gave = gave.map_err(|error| {
                format!("{error} (seed {}, packet {fed}: {})", bench.options.seed, shown_payload(&last))
            })?;
            faults += gave.faults.len();
            if fed >= u64::from(bench.options.random_inputs) {
                break;
            }
        }
    }
    Ok((fed, format!("{faults} refused, in {sessions} sessions")))
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
