//! Jobs that the system starts on a schedule: one module without I/O per scheduler builds the text
//! of a job, and [`install`] passes it to the system. [`job_state`] keeps the files of each job,
//! [`jobs`] adds and removes jobs, and [`job_run`] runs one.

pub(crate) mod cron;
pub mod install;
pub mod job_run;
pub mod job_state;
pub mod jobs;
pub(crate) mod launchd;
pub(crate) mod systemd;
pub(crate) mod windows;

use std::fmt;
use std::str::FromStr;

use jiff::Zoned;

/// Schedule of a job, in local time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Once a day.
    Daily {
        /// The hour, 0 to 23.
        hour: u8,
        /// The minute, 0 to 59.
        minute: u8,
    },
    /// Once a week.
    Weekly {
        /// The day of the week; 0 is Sunday, as in crontab(5) and launchd.plist(5).
        day: u8,
        /// The hour, 0 to 23.
        hour: u8,
        /// The minute, 0 to 59.
        minute: u8,
    },
    /// Several times a day, starting at midnight.
    Every {
        /// The interval in minutes. It divides a day, so that each day has the same times in all
        /// schedulers.
        minutes: u16,
    },
    /// All the time, starting when the user logs in or the computer starts: `watch`.
    Always,
}

impl When {
    /// Returns the next time after `now`, or `None` for a job that always runs.
    pub fn next(self, now: &Zoned) -> Option<Zoned> {
        let (step, first, day) = match self {
            When::Daily { hour, minute } => (1440, (hour, minute), None),
            When::Weekly { day, hour, minute } => (1440, (hour, minute), Some(day)),
            When::Every { minutes } => (minutes.max(1), (0, 0), None),
            When::Always => return None,
        };
        let first = u16::from(first.0) * 60 + u16::from(first.1);
        (0..9).find_map(|ahead| {
            let date = now.date().checked_add(jiff::Span::new().days(ahead)).ok()?;
            let of_week = date.weekday().to_sunday_zero_offset();
            if day.is_some_and(|day| of_week.cast_unsigned() != day) {
                return None;
            }
            let mut minutes = (first..1440).step_by(usize::from(step));
            minutes.find_map(|minute| {
                let hour = i8::try_from(minute / 60).ok()?;
                let at = date.at(hour, i8::try_from(minute % 60).ok()?, 0, 0);
                // A time that a clock change skips is moved by the length of the change.
                let at = at.to_zoned(now.time_zone().clone()).ok()?;
                (at > *now).then_some(at)
            })
        })
    }
}

/// English names of the days, Sunday first.
pub(crate) const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            When::Daily { hour, minute } => write!(f, "daily {hour:02}:{minute:02}"),
            When::Weekly { day, hour, minute } => write!(
                f,
                "weekly {} {hour:02}:{minute:02}",
                &DAYS[usize::from(day) % 7][..3]
            ),
            When::Every { minutes } if minutes % 60 == 0 => write!(f, "every {}h", minutes / 60),
            When::Every { minutes } => write!(f, "every {minutes}m"),
            When::Always => f.write_str("always"),
        }
    }
}

impl FromStr for When {
    type Err = String;

    /// Parses the output of `Display`: "daily 22:00", "weekly Sun 22:00", "every 6h", "always".
    fn from_str(text: &str) -> Result<When, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        match words[..] {
            ["daily", clock] => {
                parse_clock(clock).map(|(hour, minute)| When::Daily { hour, minute })
            }
            ["weekly", day, clock] => {
                let (hour, minute) = parse_clock(clock)?;
                let day = parse_day(day)?;
                Ok(When::Weekly { day, hour, minute })
            }
            ["every", span] => parse_every(span),
            ["always"] => Ok(When::Always),
            _ => Err(format!("{text:?} is not a time of a schedule")),
        }
    }
}

/// Parses a time of day such as "22:00" into hour and minute.
fn parse_clock(text: &str) -> Result<(u8, u8), String> {
    let bad = || format!("{text:?} is not a time; use HH:MM, for example 22:00");
    let part = |text: &str, limit: u8| {
        let is_number = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        let number = text.parse().ok().filter(|_| is_number);
        number.filter(|number| *number < limit)
    };
    let (hour, minute) = text.split_once(':').ok_or_else(bad)?;
    part(hour, 24).zip(part(minute, 60)).ok_or_else(bad)
}

/// Parses the name of a day, such as "Sun" or "sunday"; three letters are enough.
fn parse_day(text: &str) -> Result<u8, String> {
    let begins = |day: &&str| {
        let head = day.get(..text.len());
        text.len() >= 3 && head.is_some_and(|head| head.eq_ignore_ascii_case(text))
    };
    let at = DAYS.iter().position(begins);
    let at = at.and_then(|at| u8::try_from(at).ok());
    at.ok_or_else(|| format!("{text:?} is not a day of the week; use for example Sun"))
}

/// Parses an interval such as "6h" or "30m".
fn parse_every(text: &str) -> Result<When, String> {
    let bad = || {
        format!(
            "{text:?} is not a possible interval; use 15m, 30m, 1h, 2h, 3h, 4h, 6h, 8h, 12h or 24h"
        )
    };
    let hours = text.strip_suffix('h').map(|number| (number, 60));
    let (number, unit) = hours
        .or_else(|| text.strip_suffix('m').map(|number| (number, 1)))
        .ok_or_else(bad)?;
    let minutes = number.parse::<u16>().ok().and_then(|n| n.checked_mul(unit));
    // An interval below an hour must divide an hour, a longer one must divide a day. The minimum is
    // five minutes.
    match minutes {
        Some(minutes @ 5..60) if 60 % minutes == 0 => Ok(When::Every { minutes }),
        Some(minutes @ 60..=1440) if minutes % 60 == 0 && 1440 % minutes == 0 => {
            Ok(When::Every { minutes })
        }
        _ => Err(bad()),
    }
}

/// Scheduler that starts jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// cron, with the user's crontab(1).
    Cron,
    /// The user's instance of systemd.
    Systemd,
    /// launchd, on macOS.
    Launchd,
    /// The Task Scheduler, on Windows.
    Task,
}

impl Kind {
    /// Returns the name that users type.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Cron => "cron",
            Kind::Systemd => "systemd",
            Kind::Launchd => "launchd",
            Kind::Task => "task",
        }
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Kind, String> {
        let kinds = [Kind::Cron, Kind::Systemd, Kind::Launchd, Kind::Task];
        let found = kinds.into_iter().find(|kind| kind.name() == text);
        found.ok_or_else(|| "one of cron, systemd, launchd, task".to_owned())
    }
}

/// Job as schedulers see it: a name, a time, and a command that runs without a shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Job {
    /// The name: letters, digits, `-` and `_`.
    pub name: String,
    /// The times at which the job runs.
    pub when: When,
    /// The absolute path of the program, and its arguments.
    pub command: Vec<String>,
}

/// Checks that a name is harmless in every file and unit that it becomes part of.
pub fn check_name(name: &str) -> Result<(), String> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let first = name
        .bytes()
        .next()
        .is_some_and(|b| b.is_ascii_alphanumeric());
    if first && name.len() <= 40 && name.bytes().all(fits) {
        Ok(())
    } else {
        Err(format!(
            "{name:?} is not a valid job name; use up to 40 letters, digits, - and _"
        ))
    }
}

/// Rejects a path that contains a line break or another control character: a line of a crontab or
/// of a unit ends there, and the rest would become a line of its own.
pub fn check_path(path: &str) -> Result<(), String> {
    match path.chars().find(|letter| letter.is_control()) {
        Some(letter) => Err(format!(
            "the path {path:?} has the control character {:?}",
            letter.escape_default().to_string()
        )),
        None => Ok(()),
    }
}

/// Escapes text for XML and removes characters that XML cannot represent.
fn xml(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Builds a job whose command has characters that need quoting somewhere, for the tests of
    /// every scheduler.
    pub(crate) fn hostile(when: When) -> Job {
        Job {
            name: "nightly".to_owned(),
            when,
            command: [
                "/opt/my tools/idev-backup",
                "schedule",
                "run",
                "/home/o'brien/50% \"x\" $HOME \\ & <é>.json",
            ]
            .map(str::to_owned)
            .to_vec(),
        }
    }

    #[test]
    fn schedule_text_round_trips() {
        for text in [
            "daily 22:00",
            "weekly Sun 03:05",
            "weekly Sat 23:59",
            "every 6h",
            "every 15m",
            "always",
        ] {
            assert_eq!(text.parse::<When>().unwrap().to_string(), text);
        }
        assert_eq!(
            "weekly monday 3:05".parse::<When>().unwrap().to_string(),
            "weekly Mon 03:05"
        );
        for bad in [
            "",
            "daily",
            "daily 24:00",
            "daily 7",
            "weekly Su 22:00",
            "weekly 22:00",
            "every 5h",
            "every 7m",
            "every 0h",
            "every 90m",
            "every 48h",
            "every é",
            "every",
        ] {
            assert!(bad.parse::<When>().is_err(), "{bad}");
        }
    }

    #[test]
    fn next_run_is_after_now() {
        // A Monday, and the night in which Berlin switches to summer time.
        for (when, now, next) in [
            (
                "daily 22:00",
                "2026-11-23T12:00[Europe/Berlin]",
                "2026-11-23T22:00",
            ),
            (
                "daily 22:00",
                "2026-11-23T22:00[Europe/Berlin]",
                "2026-11-24T22:00",
            ),
            (
                "weekly Sun 3:05",
                "2026-11-23T12:00[Europe/Berlin]",
                "2026-11-29T03:05",
            ),
            (
                "weekly Mon 3:05",
                "2026-11-23T12:00[Europe/Berlin]",
                "2026-11-30T03:05",
            ),
            (
                "every 6h",
                "2026-11-23T12:00[Europe/Berlin]",
                "2026-11-23T18:00",
            ),
            (
                "every 6h",
                "2026-12-31T23:00[Europe/Berlin]",
                "2027-01-01T00:00",
            ),
            (
                "daily 2:30",
                "2026-03-29T00:00[Europe/Berlin]",
                "2026-03-29T03:30",
            ),
        ] {
            let when: When = when.parse().unwrap();
            let found = when.next(&now.parse().unwrap()).unwrap();
            assert_eq!(
                found.strftime("%Y-%m-%dT%H:%M").to_string(),
                next,
                "{when} {now}"
            );
        }
        assert_eq!(When::Always.next(&Zoned::now()), None);
    }

    #[test]
    fn unsafe_names_and_paths_are_refused() {
        for (name, good) in [
            ("nightly", true),
            ("a-b_3", true),
            ("", false),
            ("-x", false),
            ("../x", false),
            ("a b", false),
            ("a%b", false),
            ("é", false),
        ] {
            assert_eq!(check_name(name).is_ok(), good, "{name}");
        }
        for (path, is_good) in [
            ("/a b/c%$\"'", true),
            ("/a\n* * * * * x", false),
            ("/a\0", false),
            ("/a\t", false),
            ("/\u{85}", false),
        ] {
            assert_eq!(check_path(path).is_ok(), is_good, "{path:?}");
        }
        assert_eq!(xml("a<b>&\"c\u{1}"), "a&lt;b&gt;&amp;&quot;c");
    }
}
