//! Events in the formats of an export.

use super::Run;
use super::ics::Lines;
use super::page::Shown;
use super::table::Record;
use crate::content::Time;
use crate::content::calendar::{Calendar, Event, Moment, Rule, Status};
use crate::export::{Error, words};

pub(super) fn write(calendar: &Calendar, run: &mut Run<'_, '_>) -> Result<(), Error> {
    match calendar.zones() {
        Ok(zones) => run.zones = zones,
        Err(e) => run.report.incomplete.push(e.to_string()),
    }
    run.list::<Event>(|each| calendar.each(each))
}

impl Record for Event {
    const STEM: &'static str = "calendar";
    const ONE: &'static str = "event";
    const TITLE: &'static str = "Calendar";
    const HEADER: &'static [&'static str] = &[
        "start",
        "end",
        "time zone",
        "title",
        "location",
        "calendar",
        "account",
        "repeats",
        "organizer",
        "guests",
        "status",
        "url",
        "notes",
        "doubts",
    ];

    fn time(&self) -> Option<Time> {
        Event::time(self)
    }

    fn doubts(&self) -> &[String] {
        &self.doubts
    }

    fn name(&self) -> String {
        format!("{} ({})", self.id, title(self))
    }

    fn fields(&self) -> Vec<String> {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let guests: Vec<&str> = self.attendees.iter().map(|guest| guest.shown()).collect();
        let rules: Vec<String> = self.rules.iter().map(rule).collect();
        vec![
            self.start.map(moment).unwrap_or_default(),
            self.end.map(|end| moment(last(end))).unwrap_or_default(),
            text(&self.time_zone),
            text(&self.title),
            self.location
                .as_ref()
                .map(|place| place.words())
                .unwrap_or_default(),
            text(&self.calendar),
            text(&self.account),
            rules.join("\n"),
            self.organizer
                .as_ref()
                .map_or("", |one| one.shown())
                .to_owned(),
            guests.join("\n"),
            self.status.map_or("", status).to_owned(),
            text(&self.url),
            text(&self.notes),
            self.doubts.join("\n"),
        ]
    }

    fn shown(&self) -> Shown {
        let mut facts = Vec::new();
        facts.push(when(self));
        facts.extend(self.location.as_ref().map(|place| place.words()));
        facts.extend(self.calendar.clone());
        facts.extend(self.rules.iter().map(rule));
        facts.extend(
            self.status
                .filter(|one| *one != Status::Confirmed)
                .map(|one| status(one).to_owned()),
        );
        if !self.attendees.is_empty() {
            let guests: Vec<&str> = self.attendees.iter().map(|guest| guest.shown()).collect();
            facts.push(format!("with {}", guests.join(", ")));
        }
        Shown {
            heading: self.start.map_or_else(
                || "Without a date".to_owned(),
                |start| words::day(start.time()),
            ),
            title: title(self).to_owned(),
            url: self.url.clone().or_else(|| self.conference.clone()),
            is_marked: self.status == Some(Status::Cancelled),
            facts: facts.into_iter().filter(|fact| !fact.is_empty()).collect(),
            text: self.notes.clone(),
            ..Shown::default()
        }
    }

    fn component(&self, lines: &mut Lines) -> bool {
        lines.event(self)
    }
}

fn title(event: &Event) -> &str {
    event.title.as_deref().unwrap_or("No title")
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Confirmed => "confirmed",
        Status::Tentative => "tentative",
        Status::Cancelled => "cancelled",
    }
}

/// Returns the hours of an event.
fn when(event: &Event) -> String {
    let clock = |moment: Moment| match moment {
        Moment::Day(_) => None,
        Moment::Local(local) => Some(local.strftime("%H:%M").to_string()),
        Moment::Point(time) => Some(words::clock(time)),
    };
    match (event.start, event.end) {
        (Some(Moment::Day(start)), Some(end @ Moment::Day(_))) => match last(end) {
            Moment::Day(last) if last > start => format!("until {last}"),
            _ => "All day".to_owned(),
        },
        (Some(start), Some(end)) => {
            let parts: Vec<String> = [clock(start), clock(end)].into_iter().flatten().collect();
            parts.join("–")
        }
        (Some(start), None) => clock(start).unwrap_or_default(),
        _ => String::new(),
    }
}

/// Returns the last day of whole days, which end with the day after.
fn last(end: Moment) -> Moment {
    match end {
        Moment::Day(day) => Moment::Day(day.yesterday().unwrap_or(day)),
        end => end,
    }
}

/// Returns a moment for a table, in the local zone.
pub(super) fn moment(moment: Moment) -> String {
    match moment {
        Moment::Day(day) => day.to_string(),
        Moment::Local(local) => local.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Moment::Point(time) => words::local(time),
    }
}

/// Describes a rule: "every 2 weeks on MO, TU until 2026-01-31".
pub(super) fn rule(rule: &Rule) -> String {
    use crate::content::calendar::Frequency;
    let (one, many) = match rule.frequency {
        Frequency::Hourly => ("hour", "hours"),
        Frequency::Daily => ("day", "days"),
        Frequency::Weekly => ("week", "weeks"),
        Frequency::Monthly => ("month", "months"),
        Frequency::Yearly => ("year", "years"),
    };
    let mut text = match rule.interval {
        1 => format!("every {one}"),
        several => format!("every {several} {many}"),
    };
    let numbers = |numbers: &[i32]| {
        let numbers: Vec<String> = numbers.iter().map(i32::to_string).collect();
        numbers.join(", ")
    };
    if !rule.days.is_empty() {
        text += &format!(" on {}", rule.days.join(", "));
    }
    for (name, values) in [
        ("day", &rule.month_days),
        ("month", &rule.months),
        ("week", &rule.weeks),
        ("day of the year", &rule.year_days),
        ("choice", &rule.positions),
    ] {
        if !values.is_empty() {
            text += &format!(", {name} {}", numbers(values));
        }
    }
    if let Some(count) = rule.count {
        text += &format!(", {count} times");
    }
    if let Some(until) = rule.until {
        text += &format!(" until {}", moment(until));
    }
    text
}
