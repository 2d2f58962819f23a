//! Which figures are good. Pure; the figures are measured elsewhere.

use super::Finding;
use crate::link::MESSAGE_LIMIT;
use std::time::Duration;

/// What two small packets cost whose sender waits for an acknowledgement that the other end holds back: 40 ms each on Linux.
const HELD_BACK: std::ops::RangeInclusive<Duration> = Duration::from_millis(25)..=Duration::from_millis(200);

/// Half of the times are longer. Zero of none.
pub(super) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// A question and its answer through the broker (median), beside a round trip of the network (as a connection takes it).
pub(super) fn ping_pong(median: Duration, network: Duration, rounds: usize) -> Finding {
    let figures = format!(
        "a question and its answer at QoS 1 take {:.1} ms through the broker (median of {rounds}; the network alone {:.1} ms)",
        ms(median),
        ms(network)
    );
    // Question and answer pass the network twice each way.
    let excess = median.saturating_sub(network * 2);
    if HELD_BACK.contains(&excess) {
        let text = format!("{figures}: this is the delay of a broker that waits before it sends small packets");
        let advice = "switch TCP_NODELAY on at the broker: for mosquitto `set_tcp_nodelay true` in mosquitto.conf; small windows are up to \
                      a thousand times as fast then";
        return Finding::warning("broker delay", "PH8012", text, advice);
    }
    if excess > *HELD_BACK.end() {
        let advice = "look at the load of the broker; transfers with small windows take this long a packet";
        return Finding::warning("broker delay", "PH8012", figures, advice);
    }
    Finding::ok("broker delay", figures)
}

/// What the broker said of its limits.
pub(super) fn limits(packet: Option<u32>, receive: Option<u16>, session: bool) -> Finding {
    let text = format!(
        "packets of {}, {} unacknowledged messages, session {}",
        packet.map_or_else(|| "any size".to_owned(), |bytes| format!("at most {bytes} bytes")),
        receive.unwrap_or(u16::MAX),
        if session { "kept" } else { "new" }
    );
    if packet.is_some_and(|bytes| bytes < MESSAGE_LIMIT + 256) {
        let advice = "raise the broker's maximum packet size, or transfers use small packets (`message_limit` of 1 KiB does not fit)";
        return Finding::warning("broker limits", "PH8013", text, advice);
    }
    if receive.is_some_and(|messages| messages < 16) {
        let advice = "raise the broker's receive maximum: it bounds the window of all transfers together";
        return Finding::warning("broker limits", "PH8013", text, advice);
    }
    Finding::ok("broker limits", text)
}

/// Room for files: what is free of how much, in bytes.
pub(super) fn room(check: &'static str, code: &'static str, free: u64, total: u64) -> Finding {
    let percent = (free.saturating_mul(100)).checked_div(total).unwrap_or(0);
    let text = format!("{} free of {} ({percent}%)", mib(free), mib(total));
    const MIB: u64 = 1 << 20;
    if free < 64 * MIB {
        return Finding::failure(check, code, text, "make room: runs stop with `disk full` soon, or have already");
    }
    if free < 1024 * MIB || percent < 3 {
        return Finding::warning(check, code, text, "make room: pulled files and the journal need it");
    }
    Finding::ok(check, text)
}

/// How long a small write takes until it is on disk.
pub(super) fn durable_write(median: Duration, writes: usize) -> Finding {
    let text = format!("4 KiB are on disk after {:.1} ms (median of {writes})", ms(median));
    if median > Duration::from_millis(50) {
        let advice =
            "put the data folder on a faster disk: every step waits for one such write, and all runs share them";
        return Finding::warning("disk speed", "PH8022", text, advice);
    }
    Finding::ok("disk speed", text)
}

/// The wall clock beside what else knows the time, each in milliseconds since 1970.
pub(super) fn clock(now: u64, file_system: Option<u64>, last_record: Option<u64>) -> Finding {
    // 2025-01-01 and 2100-01-01.
    const PLAUSIBLE: std::ops::Range<u64> = 1_735_689_600_000..4_102_444_800_000;
    let written = packhorse_core::run::WallTime(now).to_rfc3339();
    if !PLAUSIBLE.contains(&now) {
        return Finding::failure("clock", "PH8019", format!("it says {written}"), "set the clock, best by NTP");
    }
    if let Some(ahead) = last_record.map(|last| last.saturating_sub(now)).filter(|ahead| *ahead > 1_000) {
        let text =
            format!("it says {written}, which is {:.1} s before the last record of the journal", ahead as f64 / 1e3);
        let advice =
            "set the clock, best by NTP: until it has caught up, waits are moved and some devices ignore new transfers";
        return Finding::failure("clock", "PH8020", text, advice);
    }
    let apart = file_system.map_or(0, |other| other.abs_diff(now));
    if apart > 5_000 {
        let text = format!("it says {written}, the file system's is {:.1} s apart", apart as f64 / 1e3);
        return Finding::warning("clock", "PH8019", text, "set both clocks by NTP");
    }
    Finding::ok("clock", format!("it says {written}, and nothing here says otherwise"))
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn mib(bytes: u64) -> String {
    if bytes < 10 << 30 { format!("{} MiB", bytes >> 20) } else { format!("{} GiB", bytes >> 30) }
}

#[cfg(test)]
mod tests {
    use super::super::Grade;
    use super::*;

    fn check(finding: &Finding, status: Grade, words: &[&str]) {
        assert_eq!(finding.status, status, "{finding:?}");
        let all = format!("{} {} {:?}", finding.text, finding.advice.as_deref().unwrap_or_default(), finding.code);
        assert!(words.iter().all(|word| all.contains(word)), "{words:?} in {all}");
    }

    #[test]
    fn forty_milliseconds_are_a_missing_nodelay_and_a_long_way_is_not() {
        let ms = Duration::from_millis;
        check(&ping_pong(Duration::from_micros(300), ms(0), 50), Grade::Ok, &["0.3 ms"]);
        for slow in [40, 44, 88] {
            check(&ping_pong(ms(slow), ms(0), 50), Grade::Warning, &["set_tcp_nodelay true", "PH8012", "median"]);
        }
        check(&ping_pong(ms(85), ms(40), 50), Grade::Ok, &["85.0 ms"]);
        check(&ping_pong(ms(900), ms(1), 50), Grade::Warning, &["load of the broker"]);
    }

    #[test]
    fn limits_below_a_packet_or_a_window_are_told() {
        check(&limits(None, None, false), Grade::Ok, &["any size", "65535", "new"]);
        check(&limits(Some(1_100), None, true), Grade::Warning, &["1100 bytes", "PH8013", "kept"]);
        check(&limits(Some(65_536), Some(5), false), Grade::Warning, &["5 unacknowledged", "window"]);
    }

    #[test]
    fn a_full_or_slow_disk_is_told() {
        check(&room("disk", "PH8021", 50 << 30, 100 << 30), Grade::Ok, &["50 GiB", "(50%)"]);
        check(&room("disk", "PH8021", 500 << 20, 2 << 30), Grade::Warning, &["500 MiB"]);
        check(&room("disk", "PH8021", 1 << 20, 2 << 30), Grade::Failure, &["1 MiB", "PH8021"]);
        check(&room("disk", "PH8021", 0, 0), Grade::Failure, &["0 MiB"]);
        check(&durable_write(Duration::from_millis(4), 21), Grade::Ok, &["4.0 ms"]);
        check(&durable_write(Duration::from_millis(80), 21), Grade::Warning, &["80.0 ms", "PH8022"]);
        assert_eq!(median(vec![]), Duration::ZERO);
        assert_eq!(median([9, 1, 5].map(Duration::from_millis).to_vec()), Duration::from_millis(5));
    }

    #[test]
    fn a_clock_that_is_wrong_or_went_back_is_told() {
        let now = 1_760_000_000_000;
        check(&clock(now, Some(now + 100), Some(now - 5)), Grade::Ok, &["2025-10-09"]);
        check(&clock(12, None, None), Grade::Failure, &["1970-01-01", "NTP", "PH8019"]);
        check(&clock(now, None, Some(now + 90_000)), Grade::Failure, &["90.0 s before", "PH8020"]);
        check(&clock(now, Some(now - 60_000), None), Grade::Warning, &["60.0 s apart"]);
    }
}
