//! Formats numbers for people: decimal units as phones and disks show them, grouped thousands.

use std::time::Duration;

/// Returns a size such as "41.8 GB".
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KB", "MB", "GB", "TB", "PB"];
    if bytes < 1000 {
        return format!("{bytes} bytes");
    }
    let mut value = bytes as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// Returns a number with grouped thousands such as "94,027".
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Returns a number with its noun such as "1 file", "2 files".
pub fn counted(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", count(number))
}

/// Returns a duration such as "0:23" or "1:02:03", and below ten seconds such as "4.2 s".
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", time.as_secs_f64()),
        10..3600 => format!("{}:{:02}", seconds / 60, seconds % 60),
        _ => format!(
            "{}:{:02}:{:02}",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        ),
    }
}

/// Parses a span of time such as "1h30m", "20h", "7d" or "45s". A number without a unit is an
/// error.
pub fn parse_span(text: &str) -> Result<Duration, String> {
    let bad = || format!("{text:?} is not a duration; use for example 45s, 30m, 20h, 7d or 1h30m");
    let (mut seconds, mut number, mut units) = (0u64, None, 0);
    for c in text.trim().chars() {
        if let Some(digit) = c.to_digit(10) {
            let grown = number.unwrap_or(0u64).checked_mul(10);
            let grown = grown.and_then(|n| n.checked_add(digit.into()));
            number = Some(grown.ok_or_else(bad)?);
            continue;
        }
        let unit = match c.to_ascii_lowercase() {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            'w' => 604_800,
            _ => return Err(bad()),
        };
        let part = number.take().and_then(|n: u64| n.checked_mul(unit));
        let sum = part.and_then(|part| seconds.checked_add(part));
        seconds = sum.ok_or_else(bad)?;
        units += 1;
    }
    // The limit is a hundred years, since calculations with longer times could overflow.
    if units > 0 && number.is_none() && seconds <= 36_500 * 86_400 {
        Ok(Duration::from_secs(seconds))
    } else {
        Err(bad())
    }
}

/// Returns a span such as "20 hours", "3 days" or "5 minutes". The unit is the largest one that
/// gives at least two.
pub fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..120 => counted(seconds, "second"),
        120..7200 => counted(seconds / 60, "minute"),
        7200..172_800 => counted(seconds / 3600, "hour"),
        _ => counted(seconds / 86_400, "day"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_formatted_for_display() {
        assert_eq!(size(0), "0 bytes");
        assert_eq!(size(999_949), "999.9 KB");
        assert_eq!(size(999_999), "1.0 MB");
        assert_eq!(size(41_800_000_000), "41.8 GB");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(999), "999");
        assert_eq!(counted(1, "file"), "1 file");
        assert_eq!(duration(Duration::from_secs(3723)), "1:02:03");
        assert_eq!(duration(Duration::from_millis(4200)), "4.2 s");
    }

    #[test]
    fn time_spans_are_parsed() {
        let seconds = |text: &str| parse_span(text).map(|span| span.as_secs()).ok();
        for (text, expected) in [
            ("45s", Some(45)),
            ("1h30m", Some(5400)),
            ("7d", Some(604_800)),
            ("2W", Some(1_209_600)),
            ("0s", Some(0)),
            ("", None),
            ("20", None),
            ("h", None),
            ("1h5", None),
            ("-1h", None),
            ("99999999999999999999h", None),
            ("9999999d", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
        assert_eq!(span(Duration::from_secs(20 * 3600)), "20 hours");
        assert_eq!(span(Duration::from_secs(3 * 86_400)), "3 days");
    }
}
