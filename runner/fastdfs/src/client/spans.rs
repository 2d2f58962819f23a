//! Which worker fetches which part of a file.

use std::ops::Range;

/// What is marked as complete, and what workers share out.
pub(super) const CHUNK: u64 = 4 << 20;

/// How many chunks a file has; the last one may be shorter.
pub(super) fn chunks(size: u64) -> u64 {
    size.div_ceil(CHUNK)
}

/// Shares out missing chunks, given in order: nearly as many to each of at most `workers`, neighbours in one span of bytes.
pub(super) fn shares(missing: &[u64], workers: usize, size: u64) -> Vec<Vec<Range<u64>>> {
    let workers = workers.clamp(1, missing.len().max(1));
    let share = |worker: usize| {
        let (from, to) = (worker * missing.len() / workers, (worker + 1) * missing.len() / workers);
        let together = missing[from..to].chunk_by(|chunk, next| chunk + 1 == *next);
        together.map(|run| run[0] * CHUNK..((run[0] + run.len() as u64) * CHUNK).min(size)).collect()
    };
    (0..workers).map(share).filter(|spans: &Vec<_>| !spans.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_missing_chunk_is_fetched_once_and_neighbours_together() {
        let size = 10 * CHUNK - 5;
        assert_eq!(chunks(size), 10);
        let missing = [0, 1, 2, 5, 6, 9];
        for workers in 0..9 {
            let shares = shares(&missing, workers, size);
            assert_eq!(shares.len(), workers.clamp(1, 6));
            let fetched: Vec<u64> =
                shares.iter().flatten().flat_map(|span| span.clone().step_by(CHUNK as usize)).collect();
            assert_eq!(fetched, missing.map(|chunk| chunk * CHUNK), "{workers}");
            assert_eq!(shares.last().unwrap().last().unwrap().end, size);
        }
        assert_eq!(shares(&missing, 1, size)[0].len(), 3);
        assert!(shares(&[], 4, 0).is_empty());
    }
}
