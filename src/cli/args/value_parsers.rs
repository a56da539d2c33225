//! Parses sizes, dates, durations and patterns as users type them.

use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime};

use idev_backup::base::units::{parse_span, span};
use idev_backup::doctor::TOPICS;
use idev_backup::reader::selection::{Select, Wanted};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned, civil};

/// Parses a pattern of names or domains, so that a mistake is found before any data is read.
pub fn pattern(text: &str) -> Result<String, String> {
    let wanted = Wanted {
        patterns: vec![text.to_owned()],
        ..Wanted::default()
    };
    match Select::new(wanted) {
        Ok(_) => Ok(text.to_owned()),
        Err(e) => Err(e.to_string()),
    }
}

/// Parses a number of things.
pub fn count(text: &str) -> Result<u32, String> {
    text.parse()
        .map_err(|_| "expected a whole number, such as 3".to_owned())
}

/// Parses a topic of `doctor`.
pub fn topic(text: &str) -> Result<String, String> {
    if TOPICS.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "{text:?} is not a topic of `doctor`; the topics are {}",
        TOPICS.join(", ")
    ))
}

/// Parses a host name by which browsers address a server.
pub fn host_name(text: &str) -> Result<String, String> {
    let is_right = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    if !text.is_empty() && text.chars().all(is_right) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "{text:?} is not a host name, such as backups.example.org"
    ))
}

/// Default of `--patience`: longer than the 30 minutes for which a phone waits for its passcode.
pub const PATIENCE: &str = "31m";

/// Parses how long a phone may be silent. A number without a unit counts minutes, the unit of older
/// config files.
pub fn patience(text: &str) -> Result<Duration, String> {
    const LIMITS: (Duration, Duration) =
        (Duration::from_secs(5 * 60), Duration::from_secs(10 * 3600));
    let (least, most) = LIMITS;
    let time = span_or(text, "m")?;
    if (least..=most).contains(&time) {
        return Ok(time);
    }
    Err(format!("expected {} to {}", span(least), span(most)))
}

/// Parses how long a repository may show no progress.
pub fn repository_patience(text: &str) -> Result<Duration, String> {
    match span_or(text, "m")? {
        Duration::ZERO => Err("expected a duration, such as 31m".to_owned()),
        time => Ok(time),
    }
}

/// Parses how long the owner may take to tap Trust. A number without a unit counts seconds, the
/// unit of earlier versions.
pub fn trust_wait(text: &str) -> Result<Duration, String> {
    span_or(text, "s")
}

/// Parses a duration; `unit` is that of a number without one.
fn span_or(text: &str, unit: &str) -> Result<Duration, String> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return parse_span(&format!("{text}{unit}"));
    }
    parse_span(text)
}

/// Parses a range of sizes: "+10M" (at least), "-1k" (at most), "1M..2M", "500" (exactly).
pub fn sizes(text: &str) -> Result<RangeInclusive<u64>, String> {
    let range = match (text.strip_prefix('+'), text.strip_prefix('-')) {
        (Some(least), _) => size(least)?..=u64::MAX,
        (_, Some(most)) => 0..=size(most)?,
        _ => match text.split_once("..") {
            Some((least, most)) => size(least)?..=size(most)?,
            None => size(text)?..=size(text)?,
        },
    };
    if range.is_empty() {
        Err("the range is empty: its first size is larger than its second".to_owned())
    } else {
        Ok(range)
    }
}

/// Parses a size such as "1.5M", in the decimal units that phones and disks use.
fn size(text: &str) -> Result<u64, String> {
    const WRONG: &str =
        "expected a number of bytes, or of k, M, G or T (1M is 1,000,000): +10M, -1k, 1M..2M";
    let text = text.trim_end_matches(['b', 'B']);
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u64 = match &text[digits.len()..] {
        "" => 1,
        "k" | "K" => 1_000,
        "M" | "m" => 1_000_000,
        "G" | "g" => 1_000_000_000,
        "T" | "t" => 1_000_000_000_000,
        _ => return Err(WRONG.to_owned()),
    };
    let is_number = digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let whole = digits.parse::<u64>().ok();
    let exact = whole.and_then(|number| number.checked_mul(unit));
    let about = || {
        digits
            .parse::<f64>()
            .ok()
            .map(|number| number * unit as f64)
    };
    match (exact, about()) {
        (Some(bytes), _) => Ok(bytes),
        (None, Some(bytes)) if is_number && bytes < u64::MAX as f64 => Ok(bytes as u64),
        _ => Err(WRONG.to_owned()),
    }
}

/// Parses a date: "2026-01-31", "2026-01-31T18:00", RFC 3339, or "7d" ago. Returns seconds since
/// 1970.
pub fn date(text: &str) -> Result<i64, String> {
    // The computer's clock may show a year that no calendar can express.
    let now = Timestamp::try_from(SystemTime::now()).unwrap_or_default();
    date_at(text, &now.to_zoned(TimeZone::system()))
}

fn date_at(text: &str, now: &Zoned) -> Result<i64, String> {
    const WRONG: &str = "expected a date: 2026-01-31, 2026-01-31T18:00, 2026-01-31T18:00:00Z, or a time ago: 12h, \
        7d, 4w";
    let second = |zoned: Zoned| zoned.timestamp().as_second();
    let local = |time: civil::DateTime| time.to_zoned(now.time_zone().clone()).map(second);
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Ok(timestamp.as_second());
    }
    // The branch above handles dates of other time zones.
    if !text.contains('[')
        && let Ok(time) = text.parse::<civil::DateTime>()
    {
        return local(time).map_err(|_| WRONG.to_owned());
    }
    let ago = text.char_indices().last().and_then(|(at, unit)| {
        let seconds: i64 = match unit {
            'h' => 3600,
            'd' => 24 * 3600,
            'w' => 7 * 24 * 3600,
            _ => return None,
        };
        let number: u32 = text[..at].parse().ok()?;
        now.timestamp()
            .as_second()
            .checked_sub(seconds * i64::from(number))
    });
    ago.ok_or_else(|| WRONG.to_owned())
}

/// Formats a time for listings: local time, to the minute.
pub fn local(rfc3339: &str, zone: &TimeZone) -> String {
    match rfc3339.parse::<Timestamp>() {
        Ok(time) => {
            let local = time.to_zoned(zone.clone());
            local.strftime("%Y-%m-%d %H:%M").to_string()
        }
        Err(_) => rfc3339.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_takes_times_and_minutes() {
        for (text, minutes) in [("31m", 31), ("31", 31), ("1h", 60), ("5m", 5), ("10h", 600)] {
            assert_eq!(
                patience(text),
                Ok(Duration::from_secs(minutes * 60)),
                "{text}"
            );
        }
        for text in ["", "4m", "1", "11h", "601", "31 minutes", "-31"] {
            assert!(patience(text).is_err(), "{text}");
        }
        assert!(patience("1m").is_err_and(|why| why.contains("5 minutes to 10 hours")));
        assert_eq!(trust_wait("20"), Ok(Duration::from_secs(20)));
        assert_eq!(trust_wait("2m"), Ok(Duration::from_secs(120)));
    }

    #[test]
    fn sizes_are_read_in_decimal_units() {
        for (text, range) in [
            ("+10M", 10_000_000..=u64::MAX),
            ("-1k", 0..=1000),
            ("1M..2M", 1_000_000..=2_000_000),
            ("1.5GB", 1_500_000_000..=1_500_000_000),
            ("500", 500..=500),
            ("0", 0..=0),
            ("-0", 0..=0),
        ] {
            assert_eq!(sizes(text), Ok(range), "{text}");
        }
        for text in [
            "",
            "+",
            "M",
            "1X",
            "1..",
            "..2",
            "2M..1M",
            "--1",
            "1e9",
            "inf",
            "nan",
            "-99999999T",
            "1 M",
            "1é",
        ] {
            assert!(sizes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn local_exact_and_relative_dates_parse() {
        let now: Zoned = "2026-02-07T12:00[Europe/Berlin]".parse().unwrap();
        for (text, wanted) in [
            ("2026-01-31", "2026-01-30T23:00:00Z"),
            ("2026-01-31T18:00", "2026-01-31T17:00:00Z"),
            ("2026-01-31T18:00:00+05:00", "2026-01-31T13:00:00Z"),
            ("2026-01-31T18:00:00Z", "2026-01-31T18:00:00Z"),
            ("7d", "2026-01-31T11:00:00Z"),
            ("2h", "2026-02-07T09:00:00Z"),
            ("1w", "2026-01-31T11:00:00Z"),
        ] {
            let wanted: Timestamp = wanted.parse().unwrap();
            assert_eq!(date_at(text, &now), Ok(wanted.as_second()), "{text}");
        }
        for text in [
            "",
            "d",
            "-7d",
            "7",
            "yesterday",
            "2026-13-01",
            "31.01.2026",
            "1é",
        ] {
            assert!(date_at(text, &now).is_err(), "{text}");
        }
    }
}
