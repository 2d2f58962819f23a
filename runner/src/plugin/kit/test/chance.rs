//! Random round trips: files of any length and content, in pieces of any size that the mode allows.

use packhorse_core::transfer::Mode;
use rand::rngs::SmallRng;
use rand::{Rng, RngCore, SeedableRng};

use super::Bench;
use super::report::Check;
use super::trip::{NO_URL, Trip};

/// Most pieces have at most so many bytes: more of the same shows nothing more.
const USUAL_PIECE: u32 = 2048;
/// One session in so many has pieces of any size that is allowed.
const UNUSUAL: u32 = 64;
/// Most pieces of a file.
const PIECES: usize = 32;
/// Most bytes of a file.
const FILE_BYTES: usize = 256 << 10;

/// One check a mode.
pub(super) fn checks(bench: &Bench<'_>) -> Vec<Check> {
    if bench.options.round_trips == 0 || !bench.plugin.has_device_side() {
        return Vec::new();
    }
    let mut rng = SmallRng::seed_from_u64(bench.options.seed);
    let modes = bench.plugin.description().modes.iter();
    let checks = modes.filter_map(|mode| match trips(bench, mode, &mut rng) {
        // Told by the round trips that are not random.
        Err(problem) if problem.contains(NO_URL) => None,
        came => {
            let driver = super::super::super::describe::driver_name(mode.driver);
            Some(Check::of(format!("random round trips, {driver}"), came))
        }
    });
    checks.collect()
}

fn trips(bench: &Bench<'_>, mode: &Mode, rng: &mut SmallRng) -> Result<(u64, String), String> {
    let (mut pieces, mut files, mut bytes_in_all) = (0u64, 0u64, 0u64);
    while pieces < u64::from(bench.options.round_trips) {
        let size = piece_size(mode, rng);
        let longest = (size * PIECES).min(FILE_BYTES).min(usize::try_from(mode.file_max).unwrap_or(usize::MAX));
        let mut bytes = vec![0; rng.random_range(0..=longest)];
        rng.fill_bytes(&mut bytes);
        let told = |problem: String| {
            format!("file {files} of seed {}, {} bytes in pieces of {size}: {problem}", bench.options.seed, bytes.len())
        };
        pieces += Trip::open(bench, mode, size, &bytes).and_then(|mut trip| trip.carry()).map_err(told)?;
        files += 1;
        bytes_in_all += bytes.len() as u64;
    }
    Ok((pieces, format!("pieces of {files} random files, {bytes_in_all} bytes")))
}

fn piece_size(mode: &Mode, rng: &mut SmallRng) -> usize {
    let align = mode.packet_align.max(1);
    let usual = !rng.random_ratio(1, UNUSUAL);
    let most = if usual { mode.packet_max.min(USUAL_PIECE.max(mode.packet_min)) } else { mode.packet_max };
    let (least, most) = (mode.packet_min.div_ceil(align), (most / align).max(mode.packet_min.div_ceil(align)));
    (rng.random_range(least.max(1)..=most.max(1)) * align) as usize
}
