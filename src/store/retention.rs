//! Retention: decides which snapshots stay, and why. The plan is a pure function of facts about the
//! snapshots. It uses neither disk nor clock, so a decision can be shown before it is carried out
//! and tested for any date.
//!
//! Rules only ever keep snapshots. A snapshot that no rule keeps is dropped, except for those that
//! are kept regardless of the rules.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::civil::DateTime;
use jiff::{SignedDuration, Span, Timestamp};
use serde::{Deserialize, Serialize};

use crate::base::udid::Udid;

/// The number of snapshots to keep if the policy has no rules.
const LAST: u32 = 3;

/// The largest plausible distance of a snapshot's date into the future. The end of summer time
/// accounts for less than two hours, so a larger distance means that a clock was wrong.
pub(crate) const AHEAD_MAX: SignedDuration = SignedDuration::from_hours(2);

/// The retention rules. An empty policy keeps the last three snapshots.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Policy {
    /// Keep the N newest snapshots, beside the current backup.
    pub keep_last: Option<u32>,
    /// Keep the newest snapshot of each of the last N days that have one. The current backup is the
    /// newest of its day.
    pub keep_daily: Option<u32>,
    /// Keep the newest snapshot of each of the last N ISO weeks that have one.
    pub keep_weekly: Option<u32>,
    /// Keep the newest snapshot of each of the last N months that have one.
    pub keep_monthly: Option<u32>,
    /// Keep the newest snapshot of each of the last N years that have one.
    pub keep_yearly: Option<u32>,
    /// Keep all snapshots that are younger than this.
    pub keep_within: Option<Within>,
}

impl Policy {
    /// Returns a policy that keeps the `count` newest snapshots, beside the current backup.
    pub fn last(count: u32) -> Policy {
        Policy {
            keep_last: Some(count),
            ..Policy::default()
        }
    }

    /// Returns the effective rules: an empty policy is replaced by the default.
    fn matching(&self) -> Policy {
        if *self == Policy::default() {
            Policy::last(LAST)
        } else {
            self.clone()
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
        let matching = self.matching();
        let counts = [
            ("keep-last", matching.keep_last),
            ("keep-daily", matching.keep_daily),
            ("keep-weekly", matching.keep_weekly),
            ("keep-monthly", matching.keep_monthly),
            ("keep-yearly", matching.keep_yearly),
        ];
        let counts = counts
            .iter()
            .filter_map(|(name, count)| Some(format!("{name} {}", (*count)?)));
        let within = matching.keep_within.map(|w| format!("keep-within {w}"));
        f.write_str(&counts.chain(within).collect::<Vec<_>>().join(", "))
    }
}

/// A span of time before now: `12h`, `30d`, `8w`, `6m` (months), `2y`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Within {
    count: u16,
    unit: char,
}

impl Within {
    /// Returns the moment this long before `now`, or `None` if it is out of range.
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
            format!("{text:?} is not a duration; use for example 12h, 30d, 8w, 6m (months) or 2y")
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

/// The facts about a snapshot that a plan needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The snapshot's phone.
    pub udid: Udid,
    /// The local time at which the backup was made. It decides for which day, week, month and year
    /// the snapshot counts.
    pub made: DateTime,
    /// The position among the phone's backups. A later backup has a greater rank, whatever the
    /// clocks said.
    pub rank: usize,
    /// True for the phone's current backup.
    pub current: bool,
    /// True if we made the snapshot and it is where we put it.
    pub ours: bool,
    /// True if we made it, no other program has changed it, and no check has found it damaged.
    pub good: bool,
    /// True if the user pinned it.
    pub pinned: bool,
    /// True if the user gave it a name.
    pub tagged: bool,
    /// True if its notes or its record cannot be read.
    pub unknown: bool,
    /// The time of the last check that found every byte intact.
    pub verified: Option<Timestamp>,
}

/// The reason for which a snapshot stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The phone's current backup always stays.
    Current,
    /// The newest good snapshot always stays.
    NewestGood,
    /// The last verified snapshot stays: the newest one with a check, and the one with the newest
    /// check.
    LastVerified,
    /// The user pinned it.
    Pinned,
    /// The user gave it a name.
    Tagged,
    /// Another program made it, changed it or moved it.
    NotOurs,
    /// The notes or the record cannot be read, so the snapshot may be pinned.
    Unknown,
    /// The date is in the future, so the clock was wrong when it was made, or is wrong now.
    Ahead,
    /// Kept by the rule `keep-last`.
    Last,
    /// Kept by the rule `keep-daily`.
    Daily,
    /// Kept by the rule `keep-weekly`.
    Weekly,
    /// Kept by the rule `keep-monthly`.
    Monthly,
    /// Kept by the rule `keep-yearly`.
    Yearly,
    /// Kept by the rule `keep-within`.
    Within,
}

impl Why {
    /// Returns the reason in words for people.
    pub fn words(&self) -> &'static str {
        match self {
            Why::Current => "the current backup",
            Why::NewestGood => "the newest good one",
            Why::LastVerified => "the last one verified",
            Why::Pinned => "pinned",
            Why::Tagged => "has a name",
            Why::NotOurs => "made by another program",
            Why::Unknown => "its notes cannot be read, so it may be pinned",
            Why::Ahead => "its date is in the future",
            Why::Last => "keep-last",
            Why::Daily => "keep-daily",
            Why::Weekly => "keep-weekly",
            Why::Monthly => "keep-monthly",
            Why::Yearly => "keep-yearly",
            Why::Within => "keep-within",
        }
    }
}

/// The decision about one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The reasons for keeping it. If empty, the snapshot is dropped.
    pub why: Vec<Why>,
}

impl Decision {
    /// Returns true if the snapshot stays.
    pub fn keeps(&self) -> bool {
        !self.why.is_empty()
    }
}

/// Returns the rules for one phone, if there are any. UDIDs are compared without regard to case,
/// since people copy them from places that write them differently.
pub(crate) fn own<'a>(rules: &'a BTreeMap<Udid, Policy>, udid: &Udid) -> Option<&'a Policy> {
    let is_it = |of: &Udid| of.as_str().eq_ignore_ascii_case(udid.as_str());
    rules.iter().find(|(of, _)| is_it(of)).map(|(_, own)| own)
}

/// Decides about each snapshot, in the order given, separately for each phone. `now` is local time,
/// like the snapshots' dates.
pub fn plan(snapshots: &[Facts], policy: &Policy, now: DateTime) -> Vec<Decision> {
    let mut decisions = vec![Decision { why: Vec::new() }; snapshots.len()];
    let mut phones: BTreeMap<&Udid, Vec<usize>> = BTreeMap::new();
    for (at, facts) in snapshots.iter().enumerate() {
        phones.entry(&facts.udid).or_default().push(at);
    }
    for mut of_one in phones.into_values() {
        // The current backup counts as the newest, whatever the clock said.
        of_one.sort_by_key(|&at| {
            let facts = &snapshots[at];
            (facts.current, facts.rank)
        });
        of_one.reverse();
        decide(snapshots, &of_one, &policy.matching(), now, &mut decisions);
    }
    decisions
}

/// Decides about the snapshots of one phone, given newest first.
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

    // A damaged snapshot does not use up a rule's count. It is kept as long as a good one in its
    // place would be.
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
        // `before` returns `None` for a time before the calendar's range: then all are younger.
        if since.is_some_and(|since| since.is_none_or(|since| all[at].made >= since)) {
            keep(at, Why::Within);
        }
    }
}

/// A function that returns the calendar period (day, week, month or year) of a moment.
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
    fn retention_spans_round_trip() {
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
    fn policy_refuses_unknown_keys() {
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
    fn damaged_backup_displaces_no_good_one() {
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
