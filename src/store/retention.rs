//! Which snapshots stay, and why: a plan made of facts. It asks no disk and no clock, so that what
//! it decides can be shown first and tried for any day.
//!
//! A rule only ever keeps: what no rule names is dropped, and some snapshots are kept whatever the
//! rules say.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::civil::DateTime;
use jiff::{SignedDuration, Span, Timestamp};
use serde::{Deserialize, Serialize};

use crate::udid::Udid;

/// Snapshots that stay where nobody says anything.
const LAST: u32 = 3;

/// A stamp that is further ahead than the end of summer time can make it is of a clock that was
/// wrong.
pub const AHEAD_MAX: SignedDuration = SignedDuration::from_hours(2);

/// The rules. One that says nothing at all keeps the last three.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Policy {
    /// So many newest ones, beside the current backup.
    pub keep_last: Option<u32>,
    /// The newest one of each of so many days that have one. The current backup is the newest of
    /// its day.
    pub keep_daily: Option<u32>,
    /// The same by ISO weeks.
    pub keep_weekly: Option<u32>,
    /// The same by months.
    pub keep_monthly: Option<u32>,
    /// The same by years.
    pub keep_yearly: Option<u32>,
    /// All that are younger.
    pub keep_within: Option<Within>,
}

impl Policy {
    /// The newest ones beside the current backup, and no other rule.
    pub fn last(count: u32) -> Policy {
        Policy {
            keep_last: Some(count),
            ..Policy::default()
        }
    }

    /// The rules as they are meant.
    fn meant(&self) -> Policy {
        match *self == Policy::default() {
            true => Policy::last(LAST),
            false => self.clone(),
        }
    }
}

impl From<u32> for Policy {
    fn from(count: u32) -> Policy {
        Policy::last(count)
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let meant = self.meant();
        let counts = [
            ("keep-last", meant.keep_last),
            ("keep-daily", meant.keep_daily),
            ("keep-weekly", meant.keep_weekly),
            ("keep-monthly", meant.keep_monthly),
            ("keep-yearly", meant.keep_yearly),
        ];
        let counts = counts
            .iter()
            .filter_map(|(name, count)| Some(format!("{name} {}", (*count)?)));
        let within = meant.keep_within.map(|w| format!("keep-within {w}"));
        f.write_str(&counts.chain(within).collect::<Vec<_>>().join(", "))
    }
}

/// A stretch of time before now: `12h`, `30d`, `8w`, `6m`, `2y`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Within {
    count: u16,
    unit: char,
}

impl Within {
    /// The moment so long before `now`.
    fn before(self, now: DateTime) -> Option<DateTime> {
        let count = i64::from(self.count);
        let span = match self.unit {
            'h' => Span::new().try_hours(count),
            'd' => Span::new().try_days(count),
            'w' => Span::new().try_weeks(count),
            'm' => Span::new().try_months(count),
            _ => Span::new().try_years(count),
        };
        now.checked_sub(span.ok()?).ok()
    }
}

impl FromStr for Within {
    type Err = String;

    fn from_str(text: &str) -> Result<Within, String> {
        let wrong = || {
            format!("{text:?} is no stretch of time: write it as 12h, 30d, 8w, 6m (months) or 2y")
        };
        let unit = text.chars().last().ok_or_else(wrong)?;
        let digits = text.strip_suffix(unit).ok_or_else(wrong)?;
        let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        match digits.parse() {
            Ok(count) if is_number && "hdwmy".contains(unit) => Ok(Within { count, unit }),
            _ => Err(wrong()),
        }
    }
}

impl TryFrom<String> for Within {
    type Error = String;

    fn try_from(text: String) -> Result<Within, String> {
        text.parse()
    }
}

impl From<Within> for String {
    fn from(within: Within) -> String {
        within.to_string()
    }
}

impl fmt::Display for Within {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.count, self.unit)
    }
}

/// What a plan needs to know of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Which phone.
    pub udid: Udid,
    /// When it was made, local time: the day that it counts for.
    pub made: DateTime,
    /// Its place in the order of the phone's backups: a later one has a greater rank, whatever the
    /// clocks said.
    pub rank: usize,
    /// It is the phone's current backup.
    pub current: bool,
    /// We made it, and it stands where we put it.
    pub ours: bool,
    /// We made it, nobody has changed it, and no check has found it damaged.
    pub good: bool,
    /// Somebody wants it kept.
    pub pinned: bool,
    /// Somebody gave it a name.
    pub tagged: bool,
    /// What is noted of it cannot be read.
    pub unknown: bool,
    /// When it was last found whole, to the last byte.
    pub verified: Option<Timestamp>,
}

/// Why a snapshot stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// It is the phone's current backup.
    Current,
    /// It is the newest one that is good.
    NewestGood,
    /// It is the last one that was verified, by its date or by that of the check.
    LastVerified,
    /// It is pinned.
    Pinned,
    /// It has a name.
    Tagged,
    /// Another program made it, changed it or moved it.
    NotOurs,
    /// It cannot be known whether it is pinned.
    Unknown,
    /// Its date lies ahead, so the clock was wrong when it was made, or is now.
    Ahead,
    /// By this rule.
    Last,
    /// By this rule.
    Daily,
    /// By this rule.
    Weekly,
    /// By this rule.
    Monthly,
    /// By this rule.
    Yearly,
    /// By this rule.
    Within,
}

impl Why {
    /// For people.
    pub fn words(&self) -> &'static str {
        match self {
            Why::Current => "the current backup",
            Why::NewestGood => "the newest good one",
            Why::LastVerified => "the last one verified",
            Why::Pinned => "pinned",
            Why::Tagged => "has a name",
            Why::NotOurs => "not ours to drop",
            Why::Unknown => "its notes cannot be read, so it may be pinned",
            Why::Ahead => "its date lies ahead",
            Why::Last => "keep-last",
            Why::Daily => "keep-daily",
            Why::Weekly => "keep-weekly",
            Why::Monthly => "keep-monthly",
            Why::Yearly => "keep-yearly",
            Why::Within => "keep-within",
        }
    }
}

/// What becomes of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// All that keeps it. Empty: it is dropped.
    pub why: Vec<Why>,
}

impl Decision {
    /// Whether it stays.
    pub fn keeps(&self) -> bool {
        !self.why.is_empty()
    }
}

/// The rules that a phone has of its own. How a UDID is written says nothing: people take it from
/// wherever they see it.
pub fn own<'a>(rules: &'a BTreeMap<Udid, Policy>, udid: &Udid) -> Option<&'a Policy> {
    let is_it = |of: &Udid| of.as_str().eq_ignore_ascii_case(udid.as_str());
    rules.iter().find(|(of, _)| is_it(of)).map(|(_, own)| own)
}

/// Decides about each snapshot, in the order given; phones by themselves. `now` is local time, as
/// their dates are.
pub fn plan(snapshots: &[Facts], policy: &Policy, now: DateTime) -> Vec<Decision> {
    let mut decisions = vec![Decision { why: Vec::new() }; snapshots.len()];
    let mut phones: BTreeMap<&Udid, Vec<usize>> = BTreeMap::new();
    for (at, facts) in snapshots.iter().enumerate() {
        phones.entry(&facts.udid).or_default().push(at);
    }
    for mut of_one in phones.into_values() {
        // The current one is the newest, whatever the clock said.
        of_one.sort_by_key(|&at| {
            let facts = &snapshots[at];
            (facts.current, facts.rank)
        });
        of_one.reverse();
        decide(snapshots, &of_one, &policy.meant(), now, &mut decisions);
    }
    decisions
}

/// About those of one phone, newest first.
fn decide(
    all: &[Facts],
    newest_first: &[usize],
    policy: &Policy,
    now: DateTime,
    decisions: &mut [Decision],
) {
    let mut keep = |at: usize, why: Why| {
        let decision: &mut Decision = &mut decisions[at];
        if !decision.why.contains(&why) {
            decision.why.push(why);
        }
    };
    let is_ahead = |at: usize| {
        let facts = &all[at];
        !facts.current && facts.made > now && facts.made.duration_since(now) > AHEAD_MAX
    };
    for &at in newest_first {
        let facts = &all[at];
        let whatever = [
            (facts.current, Why::Current),
            (!facts.current && !facts.ours, Why::NotOurs),
            (facts.unknown, Why::Unknown),
            (facts.pinned, Why::Pinned),
            (facts.tagged, Why::Tagged),
            (is_ahead(at), Why::Ahead),
        ];
        for (_, why) in whatever.into_iter().filter(|(keeps, _)| *keeps) {
            keep(at, why);
        }
    }
    let in_time = || newest_first.iter().copied().filter(|&at| !is_ahead(at));
    let good = in_time().find(|&at| all[at].good);
    let verified = || newest_first.iter().copied().filter(|&at| all[at].good);
    let by_date = verified().find(|&at| all[at].verified.is_some());
    let by_check = verified()
        .filter(|&at| all[at].verified.is_some())
        .max_by_key(|&at| all[at].verified);
    good.into_iter().for_each(|at| keep(at, Why::NewestGood));
    by_date
        .into_iter()
        .chain(by_check)
        .for_each(|at| keep(at, Why::LastVerified));

    // One that is damaged takes no good one's place, and stays as long as one in its place would.
    let counted = || in_time().filter(|&at| all[at].ours || (all[at].current && all[at].good));
    let mut left = policy.keep_last.unwrap_or(0);
    for at in counted().filter(|&at| !all[at].current) {
        if left > 0 {
            keep(at, Why::Last);
            left -= u32::from(all[at].good);
        }
    }
    let calendars: [(Option<u32>, Why, Calendar); 4] = [
        (policy.keep_daily, Why::Daily, day),
        (policy.keep_weekly, Why::Weekly, week),
        (policy.keep_monthly, Why::Monthly, month),
        (policy.keep_yearly, Why::Yearly, year),
    ];
    for (count, why, calendar) in calendars {
        let (mut left, mut taken) = (count.unwrap_or(0), None);
        for at in counted() {
            let page = calendar(all[at].made);
            if left > 0 && taken != Some(page) {
                keep(at, why.clone());
                if all[at].good {
                    (left, taken) = (left - 1, Some(page));
                }
            }
        }
    }
    let since = policy.keep_within.map(|within| within.before(now));
    for at in counted() {
        // So long ago that there was no calendar: all of them.
        if since.is_some_and(|since| since.is_none_or(|since| all[at].made >= since)) {
            keep(at, Why::Within);
        }
    }
}

/// Which page of a calendar a moment is on.
type Calendar = fn(DateTime) -> (i16, i16);

fn day(time: DateTime) -> (i16, i16) {
    (time.year(), time.day_of_year())
}

fn week(time: DateTime) -> (i16, i16) {
    let week = time.date().iso_week_date();
    (week.year(), i16::from(week.week()))
}

fn month(time: DateTime) -> (i16, i16) {
    (time.year(), i16::from(time.month()))
}

fn year(time: DateTime) -> (i16, i16) {
    (time.year(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(made: &str) -> Facts {
        Facts {
            udid: "00008030-001C195E0A88802E".parse().unwrap(),
            made: made.parse().unwrap(),
            rank: 0,
            current: false,
            ours: true,
            good: true,
            pinned: false,
            tagged: false,
            unknown: false,
            verified: None,
        }
    }

    #[test]
    fn a_stretch_of_time_is_read_as_it_is_written() {
        for text in ["12h", "30d", "8w", "6m", "2y", "0d"] {
            assert_eq!(text.parse::<Within>().unwrap().to_string(), text);
        }
        for text in ["", "30", "d", "-1d", "+1d", "1 d", "1x", "99999d", "é"] {
            assert!(text.parse::<Within>().is_err(), "{text}");
        }
        let now: DateTime = "2026-03-31T12:00:00".parse().unwrap();
        let before = |text: &str| text.parse::<Within>().unwrap().before(now).unwrap();
        assert_eq!(before("1m"), "2026-02-28T12:00:00".parse().unwrap());
        assert_eq!(before("12h"), "2026-03-31T00:00:00".parse().unwrap());
    }

    #[test]
    fn a_policy_is_read_from_a_file_and_refuses_what_it_does_not_know() {
        let read = |text: &str| serde_json::from_str::<Policy>(text);
        let policy = read(r#"{"keep-last": 3, "keep-within": "30d"}"#).unwrap();
        assert_eq!(policy.to_string(), "keep-last 3, keep-within 30d");
        assert_eq!(read("{}").unwrap().to_string(), "keep-last 3");
        for text in [
            r#"{"keep_last": 3}"#,
            r#"{"keep-last": -1}"#,
            r#"{"keep-within": "x"}"#,
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_damaged_one_takes_no_good_ones_place() {
        let now = "2026-11-22T12:00:00".parse().unwrap();
        let mut all = ["2026-11-22T10:00:00", "2026-11-21T10:00:00"]
            .map(facts)
            .to_vec();
        all.push(facts("2026-11-20T10:00:00"));
        all[0].current = true;
        all[1].good = false;
        all[1].rank = 1;
        let kept: Vec<bool> = plan(&all, &Policy::last(1), now)
            .iter()
            .map(Decision::keeps)
            .collect();
        assert_eq!(kept, [true, true, true]);
    }
}
