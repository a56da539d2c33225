//! Words for times and numbers, as people read them.

use jiff::Zoned;
use jiff::tz::TimeZone;

use crate::content::Time;

fn zoned(time: Time) -> Zoned {
    time.timestamp().to_zoned(TimeZone::system())
}

/// Returns a time in the local zone: "2026-11-30 18:04:05".
pub(crate) fn local(time: Time) -> String {
    zoned(time).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Returns the time of day in the local zone: "18:04".
pub(crate) fn clock(time: Time) -> String {
    zoned(time).strftime("%H:%M").to_string()
}

/// Returns the day in the local zone: "Monday, 30 November 2026".
pub(crate) fn day(time: Time) -> String {
    zoned(time).strftime("%A, %-d %B %Y").to_string()
}

/// Returns a time in the local zone as the beginning of a file name: "2026-11-30 18.04".
pub(crate) fn file_stamp(time: Time) -> String {
    zoned(time).strftime("%Y-%m-%d %H.%M").to_string()
}

/// Returns a length of time: "1:02:03" or "0:45".
pub(crate) fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes}:{seconds:02}")
    }
}

/// Returns "yes" or nothing.
pub(crate) fn yes(flag: bool) -> String {
    if flag { "yes" } else { "" }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn durations_are_short() {
        for (seconds, text) in [
            (0.0, "0:00"),
            (44.6, "0:45"),
            (600.0, "10:00"),
            (3723.0, "1:02:03"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }
}
