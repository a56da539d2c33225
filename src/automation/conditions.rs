//! Decides whether a backup is to be made now. Decides only: the time, the last backup and the
//! phone's state are arguments.

use std::str::FromStr;
use std::time::{Duration, SystemTime};

use crate::base::time::age;
use crate::base::units;
use crate::device::connector::State;

/// A span of the day in local time, from one minute up to and without another. It may include
/// midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hours {
    from: u16,
    to: u16,
}

impl Hours {
    /// Returns true if a minute of the day (0 to 1439) is in the span.
    pub fn hold(self, minute: u16) -> bool {
        if self.from < self.to {
            (self.from..self.to).contains(&minute)
        } else {
            minute >= self.from || minute < self.to
        }
    }
}

impl FromStr for Hours {
    type Err = String;

    /// Parses a span such as "23:00-07:00".
    fn from_str(text: &str) -> Result<Hours, String> {
        let bad =
            || format!("{text:?} is not a span of hours; use HH:MM-HH:MM, for example 23:00-07:00");
        let (from, to) = text.split_once('-').ok_or_else(bad)?;
        let minute =
            |text: &str| parse_clock(text.trim()).map(|(h, m)| u16::from(h) * 60 + u16::from(m));
        match (minute(from), minute(to)) {
            (Ok(from), Ok(to)) if from != to => Ok(Hours { from, to }),
            _ => Err(bad()),
        }
    }
}

impl std::fmt::Display for Hours {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
        write!(f, "{}-{}", clock(self.from), clock(self.to))
    }
}

/// Parses a time of day such as "22:00" into hour and minute.
pub(crate) fn parse_clock(text: &str) -> Result<(u8, u8), String> {
    let bad = || format!("{text:?} is not a time; use HH:MM, for example 22:00");
    let part = |text: &str, limit: u8| {
        let is_number = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        let number = text.parse().ok().filter(|_| is_number);
        number.filter(|number| *number < limit)
    };
    let (hour, minute) = text.split_once(':').ok_or_else(bad)?;
    part(hour, 24).zip(part(minute, 60)).ok_or_else(bad)
}

/// Conditions for starting a backup. Conditions that are not set always hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conditions {
    /// The last backup is older than this.
    pub older_than: Option<Duration>,
    /// The phone is charging.
    pub charging: bool,
    /// The phone's battery has at least this many percent.
    pub battery_min: Option<u64>,
    /// No backup starts in these hours.
    pub quiet: Option<Hours>,
}

impl Conditions {
    /// Returns the reason against a backup now, as far as the clock and the store show one.
    /// `minute` is the present minute of the local day.
    pub(crate) fn against_the_time(
        &self,
        now: SystemTime,
        minute: u16,
        last: Option<SystemTime>,
    ) -> Option<String> {
        if let Some(hours) = self.quiet.filter(|hours| hours.hold(minute)) {
            return Some(format!("the quiet hours ({hours}) are in effect"));
        }
        let limit = self.older_than?;
        let age = age(now, last?)?;
        let enough = age <= limit;
        enough.then(|| {
            format!(
                "the last backup is {} old (due after {})",
                units::span(age),
                units::span(limit)
            )
        })
    }

    /// Returns the reason against a backup now, as far as the phone's state shows one.
    pub(crate) fn against_the_phone(&self, state: &State) -> Option<String> {
        if self.charging && !state.charging {
            return Some("the phone is not charging".to_owned());
        }
        match (self.battery_min, state.battery) {
            (Some(min), Some(percent)) if percent < min => Some(format!(
                "the phone's battery is at {percent} %, and at least {min} % is required"
            )),
            (Some(min), None) if min > 0 => Some(format!(
                "the phone does not report its battery level, and at least {min} % is required"
            )),
            _ => None,
        }
    }

    /// Returns true if the conditions depend on the phone's state.
    pub(crate) fn need_the_phone(&self) -> bool {
        self.charging || self.battery_min.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn quiet_hours_may_span_midnight() {
        let hours: Hours = "23:00-07:00".parse().unwrap();
        for (minute, held) in [
            (1380, true),
            (0, true),
            (419, true),
            (420, false),
            (1379, false),
        ] {
            assert_eq!(hours.hold(minute), held, "{minute}");
        }
        let hours: Hours = "9:00 - 17:30".parse().unwrap();
        assert_eq!((hours.hold(540), hours.hold(1050)), (true, false));
        assert_eq!(hours.to_string(), "09:00-17:30");
        for bad in [
            "",
            "7-8",
            "24:00-1:00",
            "7:60-8:00",
            "07:00-07:00",
            "-1:00-2:00",
            "+7:00-8:00",
        ] {
            assert!(bad.parse::<Hours>().is_err(), "{bad}");
        }
    }

    /// Checks that a run is skipped only while the last backup is younger than the limit. A last
    /// backup dated an hour ahead, as after a change of the clock, does not count.
    #[test]
    fn recent_backup_skips_the_run() {
        let due = Conditions {
            older_than: Some(20 * HOUR),
            ..Conditions::default()
        };
        let now = SystemTime::UNIX_EPOCH + 1_000_000 * HOUR;
        for (last, skips) in [
            (None, false),
            (Some(now - 21 * HOUR), false),
            (Some(now - 20 * HOUR), true),
            (Some(now - HOUR), true),
            (Some(now + HOUR / 60), true),
            // The clock jumped back, or was ahead when the last backup was made.
            (Some(now + HOUR), false),
            (Some(SystemTime::UNIX_EPOCH), false),
        ] {
            assert_eq!(
                due.against_the_time(now, 0, last).is_some(),
                skips,
                "{last:?}"
            );
        }
        assert_eq!(
            Conditions::default().against_the_time(now, 0, Some(now)),
            None
        );
    }

    #[test]
    fn skip_reason_names_the_condition() {
        let all = Conditions {
            charging: true,
            battery_min: Some(30),
            quiet: Some("23:00-07:00".parse().unwrap()),
            ..Conditions::default()
        };
        let why = all.against_the_time(SystemTime::now(), 60, None).unwrap();
        assert!(why.contains("23:00-07:00"), "{why}");
        let state = |battery, charging| State {
            battery,
            charging,
            ..State::default()
        };
        let why = |battery, charging| all.against_the_phone(&state(battery, charging));
        assert_eq!(why(Some(30), true), None);
        assert!(why(Some(29), true).unwrap().contains("29 %"));
        assert!(why(None, true).unwrap().contains("does not report"));
        assert!(why(Some(99), false).unwrap().contains("not charging"));
    }
}
