//! Text with units: durations `250ms 2s 5m 72h 14d`, sizes `64KiB 3MiB`, rates `16KiB/s`.

use std::time::Duration;

/// Longest duration: 3650 days.
const MAX_DURATION: u64 = 3650 * 86_400;

/// Reads a duration: digits and one of `ms s m h d`, at most 3650 days.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration such as 250ms, 2s, 5m, 72h or 14d");
    let split = text.find(|letter: char| !letter.is_ascii_digit()).ok_or_else(wrong)?;
    let (digits, unit) = text.split_at(split);
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let seconds = |factor: u64| number.checked_mul(factor).filter(|seconds| *seconds <= MAX_DURATION);
    let duration = match unit {
        "ms" => Some(Duration::from_millis(number)).filter(|duration| duration.as_secs() <= MAX_DURATION),
        "s" => seconds(1).map(Duration::from_secs),
        "m" => seconds(60).map(Duration::from_secs),
        "h" => seconds(3600).map(Duration::from_secs),
        "d" => seconds(86_400).map(Duration::from_secs),
        _ => return Err(wrong()),
    };
    duration.ok_or_else(|| format!("`{text}` is longer than 3650d"))
}

/// Writes a duration in the largest unit that is exact; what is finer than a millisecond is cut off.
pub fn duration_text(duration: Duration) -> String {
    let millis = duration.as_millis();
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")];
    let unit = units.iter().find(|(factor, _)| millis > 0 && millis.is_multiple_of(*factor));
    match unit {
        Some((factor, unit)) => format!("{}{unit}", millis / factor),
        None if millis == 0 => "0s".to_owned(),
        None => format!("{millis}ms"),
    }
}

/// Reads a size in bytes: digits and nothing, `B`, `KiB`, `MiB`, `GiB`, `TiB`, or the decimal `KB`/`kB`, `MB`, `GB`, `TB`.
pub fn size(text: &str) -> Result<i64, String> {
    let wrong = || format!("`{text}` is not a size such as 64KiB or 3MiB");
    let split = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let number: i64 = digits.parse().map_err(|_| wrong())?;
    let factor: i64 = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        "KB" | "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        _ => return Err(wrong()),
    };
    number.checked_mul(factor).ok_or_else(|| format!("`{text}` is too large"))
}

/// Reads a rate in bytes a second: a size and `/s`.
pub fn rate(text: &str) -> Result<i64, String> {
    let wrong = || format!("`{text}` is not a rate such as 16KiB/s");
    let amount = text.strip_suffix("/s").ok_or_else(wrong)?;
    size(amount).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::{duration, duration_text, rate, size};
    use std::time::Duration;

    #[test]
    fn durations_have_one_unit() {
        let table = [("250ms", 250), ("2s", 2_000), ("5m", 300_000), ("72h", 259_200_000), ("14d", 1_209_600_000)];
        for (text, millis) in table {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(duration_text(Duration::from_secs(259_200)), "3d");
        assert_eq!(duration_text(Duration::from_millis(1500)), "1500ms");
        assert_eq!(duration_text(Duration::ZERO), "0s");
        for text in
            ["", "5", "m", "5 m", "-5m", "1h30m", "PT5M", "5M", "99999999999999999999s", "9999999999999d", "1.5h"]
        {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_and_rates_are_bytes() {
        assert_eq!(size("64KiB"), Ok(65_536));
        assert_eq!(size("3MB"), Ok(3_000_000));
        assert_eq!(size("7"), Ok(7));
        assert_eq!(rate("16KiB/s"), Ok(16_384));
        for text in ["", "KiB", "1 KiB", "-1KiB", "1kib", "99999999TiB", "1.5MiB"] {
            assert!(size(text).is_err(), "{text}");
        }
        assert!(rate("16KiB").is_err());
    }
}
