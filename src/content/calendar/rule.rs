//! The rules by which events and reminders repeat.

use jiff::civil::Date;
use serde::Serialize;

use crate::content::calendar::Moment;

/// A rule by which something repeats.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rule {
    /// The unit of time.
    pub frequency: Frequency,
    /// The number of units from one occurrence to the next.
    pub interval: u32,
    /// The number of occurrences, if it is limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// The last time at which an occurrence can begin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Moment>,
    /// Days of the week: `MO`, or `-1FR` for the last Friday.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<String>,
    /// Days of the month; negative from its end.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub month_days: Vec<i32>,
    /// Months of the year, from 1.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub months: Vec<i32>,
    /// Weeks of the year.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub weeks: Vec<i32>,
    /// Days of the year.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub year_days: Vec<i32>,
    /// The choice among the days that fit.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub positions: Vec<i32>,
}

/// The units of time of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Frequency {
    /// Repeats every day.
    Daily,
    /// Repeats every week.
    Weekly,
    /// Repeats every month.
    Monthly,
    /// Repeats every year.
    Yearly,
    /// Repeats every hour; only reminders do.
    Hourly,
}

impl Frequency {
    /// Returns the word of iCalendar (RFC 5545, section 3.3.10).
    pub fn word(self) -> &'static str {
        match self {
            Frequency::Daily => "DAILY",
            Frequency::Weekly => "WEEKLY",
            Frequency::Monthly => "MONTHLY",
            Frequency::Yearly => "YEARLY",
            Frequency::Hourly => "HOURLY",
        }
    }

    fn of_calendar(number: i64) -> Option<Frequency> {
        Some(match number {
            1 => Frequency::Daily,
            2 => Frequency::Weekly,
            3 => Frequency::Monthly,
            4 => Frequency::Yearly,
            _ => return None,
        })
    }
}

impl Rule {
    /// Returns a rule with a frequency of EventKit's numbers in the calendar, from 1. The error
    /// names a number that is not known.
    pub(crate) fn of(frequency: i64, interval: Option<i64>) -> Result<Rule, String> {
        let frequency = Frequency::of_calendar(frequency)
            .ok_or_else(|| format!("the frequency {frequency} of its rule is not known"))?;
        Ok(Rule {
            frequency,
            interval: interval
                .and_then(|number| u32::try_from(number).ok())
                .map_or(1, |number| number.clamp(1, 10_000)),
            count: None,
            until: None,
            days: Vec::new(),
            month_days: Vec::new(),
            months: Vec::new(),
            weeks: Vec::new(),
            year_days: Vec::new(),
            positions: Vec::new(),
        })
    }

    /// Returns a rule with a frequency of the reminders' numbers, from 0.
    pub(crate) fn of_reminder(frequency: i64, interval: Option<i64>) -> Result<Rule, String> {
        if frequency == 4 {
            let mut rule = Rule::of(1, interval)?;
            rule.frequency = Frequency::Hourly;
            return Ok(rule);
        }
        let unknown = || format!("the frequency {frequency} of its rule is not known");
        Rule::of(frequency.checked_add(1).ok_or_else(unknown)?, interval).map_err(|_| unknown())
    }

    /// Reads the details of a rule: `D=0MO,+2TU;M=15`. A 0 before a day means every such day. `M`
    /// has days of the month; where only the month of the beginning fits its numbers, months. The
    /// error names a part that is not known.
    pub(crate) fn specify(&mut self, text: &str, begins: Option<Date>) -> Result<(), String> {
        let unknown = |part: &str| format!("a part of its rule is not known: {part:?}");
        for part in text
            .split(';')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            let (key, values) = part.split_once('=').ok_or_else(|| unknown(part))?;
            let values = values
                .split(',')
                .map(str::trim)
                .filter(|value| !value.is_empty());
            if key == "D" {
                for value in values {
                    self.days.push(day(value).ok_or_else(|| unknown(part))?);
                }
                continue;
            }
            let numbers: Result<Vec<i32>, _> = values.map(str::parse).collect();
            let numbers = numbers.map_err(|_| unknown(part))?;
            let (low, high, to) = match key {
                "M" if is_of_months(&numbers, begins) => (1, 12, &mut self.months),
                "M" => (-31, 31, &mut self.month_days),
                "O" => (1, 12, &mut self.months),
                "W" => (-53, 53, &mut self.weeks),
                "Y" => (-366, 366, &mut self.year_days),
                "S" => (-366, 366, &mut self.positions),
                _ => return Err(unknown(part)),
            };
            if numbers.iter().any(|n| *n < low || *n > high || *n == 0) {
                return Err(unknown(part));
            }
            to.extend(numbers);
        }
        Ok(())
    }
}

/// Returns true if numbers are months: the month of the beginning is among them, its day is not.
fn is_of_months(numbers: &[i32], begins: Option<Date>) -> bool {
    begins.is_some_and(|begins| {
        let has = |number: i8| numbers.contains(&i32::from(number));
        has(begins.month()) && !has(begins.day())
    })
}

/// Returns a day of the week as iCalendar writes it.
fn day(text: &str) -> Option<String> {
    let split = text.len().checked_sub(2)?;
    let (number, day) = (text.get(..split)?, text.get(split..)?);
    if !["MO", "TU", "WE", "TH", "FR", "SA", "SU"].contains(&day) {
        return None;
    }
    let number: i32 = match number.trim_start_matches('+') {
        "" => 0,
        number => number.parse().ok()?,
    };
    match number {
        0 => Some(day.to_owned()),
        -53..=53 => Some(format!("{number}{day}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_are_parsed() -> Result<(), String> {
        let begins = Date::new(2024, 3, 15).ok();
        let mut rule = Rule::of(4, Some(2))?;
        rule.specify("D=0MO,+2TU,-1FR;M=15,-1;O=6;S=1", begins)?;
        assert_eq!(rule.days, ["MO", "2TU", "-1FR"]);
        assert_eq!((rule.month_days, rule.months), (vec![15, -1], vec![6]));
        assert_eq!((rule.positions, rule.interval), (vec![1], 2));
        let mut rule = Rule::of(4, None)?;
        rule.specify("M=3", begins)?;
        assert_eq!((rule.months, rule.interval), (vec![3], 1));
        for bad in ["X=1", "D=0XX", "M=99", "M", "D=\u{1f600}", "W=0"] {
            let mut rule = Rule::of(1, None)?;
            assert!(rule.specify(bad, begins).is_err(), "{bad}");
        }
        assert_eq!(Rule::of_reminder(0, None)?.frequency, Frequency::Daily);
        assert_eq!(Rule::of_reminder(4, None)?.frequency, Frequency::Hourly);
        assert_eq!(
            Rule::of(9, None),
            Err("the frequency 9 of its rule is not known".to_owned())
        );
        Ok(())
    }
}
