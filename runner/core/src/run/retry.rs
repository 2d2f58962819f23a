//! Whether and when a failed attempt is followed by another one.

use super::words::WallTime;
use crate::failure::{Class, Failure};
use crate::workflow::Retry;
use std::time::Duration;

/// Waits for a device that is not there: each try costs little, and the device tells when it is back where it can.
const OFFLINE_INITIAL: Duration = Duration::from_secs(5);
const OFFLINE_MAX: Duration = Duration::from_secs(300);

/// Longest wait that can be reckoned with: a hundred years.
const EVER: f64 = 100.0 * 365.0 * 86_400.0;

/// What to do after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// Try again after so long.
    After(Duration),
    /// It would be tried again, but all attempts or all time is used up.
    Exhausted,
    /// Failures of this kind are not tried again.
    Never,
}

/// Judges a failure by the step's policy. `tries` attempts have counted so far, the first one at `since`.
pub(super) fn again(
    retry: &Retry,
    failure: &Failure,
    tries: u32,
    since: WallTime,
    now: WallTime,
    random: u64,
) -> Again {
    if !retried(retry, failure) {
        return Again::Never;
    }
    if tries >= retry.max_attempts {
        return Again::Exhausted;
    }
    let wait = backoff(retry, tries, random);
    let elapsed = now.after(wait).since(since);
    if retry.max_elapsed.is_some_and(|most| elapsed > most) { Again::Exhausted } else { Again::After(wait) }
}

fn retried(retry: &Retry, failure: &Failure) -> bool {
    if failure.class == Class::Bug {
        return false;
    }
    if retry.errors.is_empty() {
        return failure.class == Class::Transient;
    }
    let class = word(failure.class);
    retry.errors.iter().any(|listed| *listed == failure.code || listed == class)
}

/// A class as `retry.errors` writes it.
pub(super) const fn word(class: Class) -> &'static str {
    match class {
        Class::Transient => "transient",
        Class::DeviceOffline => "device_offline",
        Class::Permanent => "permanent",
        Class::Operator => "operator",
        Class::Bug => "bug",
    }
}

/// Full jitter: anything from nothing to the grown wait, so that many runs which failed together do not return together.
fn backoff(retry: &Retry, tries: u32, random: u64) -> Duration {
    let ceiling = grown(retry.initial, retry.factor, retry.max, tries.saturating_sub(1));
    share(ceiling, random)
}

/// Between half and all of a wait that doubles: the device may be gone for days, the broker should not notice.
pub(super) fn offline(waits: u32, random: u64) -> Duration {
    let half = grown(OFFLINE_INITIAL, 2.0, OFFLINE_MAX, waits) / 2;
    half + share(half, random)
}

/// Between half and all of the longest wait: whoever told that the device is gone tells when it is back, so that this is for words that
/// get lost.
pub(super) fn told_offline(random: u64) -> Duration {
    OFFLINE_MAX / 2 + share(OFFLINE_MAX / 2, random)
}

fn grown(initial: Duration, factor: f64, max: Duration, times: u32) -> Duration {
    let times = i32::try_from(times).unwrap_or(i32::MAX);
    let seconds = initial.as_secs_f64() * factor.max(1.0).powi(times);
    // `min` also swallows what became infinite or no number.
    Duration::from_secs_f64(seconds.min(EVER)).min(max)
}

fn share(most: Duration, random: u64) -> Duration {
    let nanos = most.as_nanos() * u128::from(random) / u128::from(u64::MAX);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Retry {
        Retry { max_attempts: 4, initial: Duration::from_secs(2), max: Duration::from_secs(5), ..Retry::default() }
    }

    fn transient() -> Failure {
        Failure::new("PH5001", Class::Transient, "lost")
    }

    #[test]
    fn waits_grow_to_their_maximum_and_spread_from_zero() {
        for (tries, most) in [(1, 2), (2, 4), (3, 5)] {
            let longest = again(&policy(), &transient(), tries, WallTime(0), WallTime(0), u64::MAX);
            assert_eq!(longest, Again::After(Duration::from_secs(most)));
            let shortest = again(&policy(), &transient(), tries, WallTime(0), WallTime(0), 0);
            assert_eq!(shortest, Again::After(Duration::ZERO));
        }
        assert_eq!(again(&policy(), &transient(), 4, WallTime(0), WallTime(0), 0), Again::Exhausted);
    }

    #[test]
    fn time_used_up_ends_the_attempts() {
        let retry = Retry { max_elapsed: Some(Duration::from_secs(10)), ..policy() };
        assert_eq!(again(&retry, &transient(), 1, WallTime(0), WallTime(9_000), u64::MAX), Again::Exhausted);
        assert_eq!(again(&retry, &transient(), 1, WallTime(0), WallTime(9_000), 0), Again::After(Duration::ZERO));
    }

    #[test]
    fn a_list_of_errors_replaces_the_rule() {
        let listed =
            |errors: &[&str]| Retry { errors: errors.iter().map(|&word| word.to_owned()).collect(), ..policy() };
        let judge = |retry: &Retry, class| {
            again(retry, &Failure::new("PH5001", class, "x"), 1, WallTime(0), WallTime(0), 0) != Again::Never
        };
        assert!(!judge(&policy(), Class::Permanent));
        assert!(judge(&listed(&["PH5001"]), Class::Permanent));
        assert!(judge(&listed(&["permanent"]), Class::Permanent));
        assert!(!judge(&listed(&["PH5002"]), Class::Transient));
        assert!(!judge(&listed(&["bug"]), Class::Bug));
    }

    #[test]
    fn extreme_policies_do_not_overflow() {
        let retry = Retry {
            max_attempts: u32::MAX,
            initial: Duration::MAX,
            factor: f64::MAX,
            max: Duration::MAX,
            ..Retry::default()
        };
        let judged = again(&retry, &transient(), u32::MAX - 1, WallTime(0), WallTime(u64::MAX), u64::MAX);
        assert!(matches!(judged, Again::After(_)));
        assert!(offline(u32::MAX, u64::MAX) <= OFFLINE_MAX);
    }
}
