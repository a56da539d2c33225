//! Writes iCalendar (RFC 5545): events, reminders and the time zones that they refer to.

use std::collections::BTreeMap;
use std::fmt::Display;

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};

use crate::content::Time;
use crate::content::calendar::{Alarm, Attendee, Event, Moment, Rule, Status};
use crate::content::reminders::Reminder;
use crate::export::escape::{content_line, content_text};

/// The first and the last year in the descriptions of time zones.
const YEARS: (i16, i16) = (1980, 2045);
/// The years that iCalendar can write.
const WRITABLE: std::ops::RangeInclusive<i16> = 1..=9999;

/// Lines of a file.
#[derive(Default)]
pub(super) struct Lines(String);

impl Lines {
    /// Begins a calendar, with the time zones that its components refer to.
    pub(super) fn calendar<'a>(zones: impl IntoIterator<Item = &'a String>) -> Lines {
        let mut lines = Lines::default();
        lines.line("BEGIN", "VCALENDAR");
        lines.line("VERSION", "2.0");
        lines.line("PRODID", "-//idev-backup//EN");
        lines.line("CALSCALE", "GREGORIAN");
        for name in zones {
            if let Some(zone) = zone_of(Some(name)) {
                lines.zone(name, &zone);
            }
        }
        lines
    }

    /// Ends a calendar.
    pub(super) fn end() -> Lines {
        let mut lines = Lines::default();
        lines.line("END", "VCALENDAR");
        lines
    }

    /// Returns the text.
    pub(super) fn text(self) -> String {
        self.0
    }

    fn line(&mut self, name: &str, value: impl Display) {
        self.0.push_str(&content_line(name, &value.to_string()));
    }

    fn optional(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.line(name, content_text(value));
        }
    }

    /// Writes a point in time.
    fn time(&mut self, name: &str, time: Option<Time>) {
        if let Some(time) = time.filter(|time| WRITABLE.contains(&time.year())) {
            self.line(name, utc(time));
        }
    }

    /// Writes a moment, in a time zone if it has one that is known.
    fn moment(&mut self, name: &str, moment: Option<Moment>, zone: Option<&str>) {
        if let Some((parameters, value)) = moment.and_then(|moment| value_of(moment, zone)) {
            self.line(&format!("{name}{parameters}"), value);
        }
    }

    /// Describes a time zone by its transitions. Those with the same offsets are one component.
    fn zone(&mut self, name: &str, zone: &TimeZone) {
        let second = |year| jiff::civil::date(year, 1, 1).to_zoned(TimeZone::UTC);
        let (Ok(from), Ok(to)) = (second(YEARS.0), second(YEARS.1)) else {
            return;
        };
        let (from, to) = (from.timestamp(), to.timestamp());
        let info = zone.to_offset_info(from);
        let mut parts: BTreeMap<(bool, i32, i32, String), Vec<String>> = BTreeMap::new();
        let mut before = info.offset();
        let mut add = |at: Timestamp, before: Offset, after: Offset, is_dst: bool, short: &str| {
            let local = before.to_datetime(at).strftime("%Y%m%dT%H%M%S").to_string();
            let key = (is_dst, before.seconds(), after.seconds(), short.to_owned());
            parts.entry(key).or_default().push(local);
        };
        add(
            from,
            before,
            before,
            info.dst().is_dst(),
            info.abbreviation(),
        );
        for change in zone
            .following(from)
            .take_while(|change| change.timestamp() < to)
        {
            let after = change.offset();
            let is_dst = change.dst().is_dst();
            add(
                change.timestamp(),
                before,
                after,
                is_dst,
                change.abbreviation(),
            );
            before = after;
        }
        self.line("BEGIN", "VTIMEZONE");
        self.line("TZID", name);
        for ((is_dst, before, after, short), times) in parts {
            let kind = if is_dst { "DAYLIGHT" } else { "STANDARD" };
            self.line("BEGIN", kind);
            self.line("DTSTART", &times[0]);
            if times.len() > 1 {
                self.line("RDATE", times[1..].join(","));
            }
            self.line("TZOFFSETFROM", offset(before));
            self.line("TZOFFSETTO", offset(after));
            self.line("TZNAME", content_text(&short));
            self.line("END", kind);
        }
        self.line("END", "VTIMEZONE");
    }

    /// Writes an event. One without a beginning that can be written is left out; returns false
    /// then.
    pub(super) fn event(&mut self, event: &Event) -> bool {
        let zone = event.time_zone.as_deref();
        if event
            .start
            .and_then(|start| value_of(start, zone))
            .is_none()
        {
            return false;
        }
        self.line("BEGIN", "VEVENT");
        let uid = match &event.replaces {
            Some(original) => original.uid.clone().unwrap_or_else(|| own_uid(original.id)),
            None => event.uid.clone().unwrap_or_else(|| own_uid(event.id)),
        };
        self.line("UID", content_text(&uid));
        let changed = event.modified.or(event.created).unwrap_or(Time::EPOCH);
        self.time("DTSTAMP", Some(changed));
        if let Some(original) = &event.replaces {
            self.moment("RECURRENCE-ID", original.start, zone);
        }
        self.moment("DTSTART", event.start, zone);
        // An end before the beginning is not allowed.
        let end = event
            .end
            .filter(|end| event.start.is_some_and(|start| is_after(*end, start)));
        self.moment("DTEND", end, zone);
        self.optional("SUMMARY", event.title.as_deref());
        self.optional("DESCRIPTION", event.notes.as_deref());
        if let Some(place) = &event.location {
            let words = place.words();
            self.optional(
                "LOCATION",
                Some(words.as_str()).filter(|words| !words.is_empty()),
            );
            if let (Some(north), Some(east)) = (place.latitude, place.longitude) {
                self.line("GEO", format!("{north:.6};{east:.6}"));
            }
        }
        if let Some(url) = &event.url {
            self.line("URL", uri(url));
        }
        if let Some(url) = &event.conference {
            self.line("CONFERENCE;VALUE=URI", uri(url));
        }
        if let Some(status) = event.status {
            self.line(
                "STATUS",
                match status {
                    Status::Confirmed => "CONFIRMED",
                    Status::Tentative => "TENTATIVE",
                    Status::Cancelled => "CANCELLED",
                },
            );
        }
        self.optional("CATEGORIES", event.calendar.as_deref());
        if let Some(organizer) = &event.organizer {
            self.person("ORGANIZER", organizer);
        }
        for attendee in &event.attendees {
            self.person("ATTENDEE", attendee);
        }
        for rule in &event.rules {
            self.line("RRULE", rule_of(rule, event.all_day));
        }
        for exception in &event.exceptions {
            self.moment("EXDATE", Some(*exception), zone);
        }
        self.time("CREATED", event.created);
        self.time("LAST-MODIFIED", event.modified);
        for alarm in &event.alarms {
            self.line("BEGIN", "VALARM");
            self.line("ACTION", "DISPLAY");
            self.line(
                "DESCRIPTION",
                content_text(event.title.as_deref().unwrap_or("Alarm")),
            );
            match alarm {
                Alarm::After(seconds) => self.line("TRIGGER", duration(*seconds)),
                Alarm::At(time) => self.line("TRIGGER;VALUE=DATE-TIME", utc(*time)),
            }
            self.line("END", "VALARM");
        }
        self.line("END", "VEVENT");
        true
    }

    /// Writes a reminder.
    pub(super) fn reminder(&mut self, reminder: &Reminder) {
        self.line("BEGIN", "VTODO");
        let own = |id: i64| format!("{}-{id}", reminder.store);
        let uid = reminder.uid.clone().unwrap_or_else(|| own(reminder.id));
        self.line("UID", content_text(&uid));
        let changed = reminder
            .modified
            .or(reminder.created)
            .unwrap_or(Time::EPOCH);
        self.time("DTSTAMP", Some(changed));
        self.optional("SUMMARY", reminder.title.as_deref());
        self.optional("DESCRIPTION", reminder.notes.as_deref());
        // A rule counts from the beginning, and both must be days or both points in time.
        let begins = reminder
            .start
            .or(reminder.due.filter(|_| !reminder.rules.is_empty()));
        let due = reminder
            .due
            .filter(|due| begins.is_none_or(|start| !is_after(start, *due)));
        self.moment("DTSTART", begins, None);
        if due != begins || reminder.rules.is_empty() {
            self.moment("DUE", due, None);
        }
        for rule in &reminder.rules {
            self.line(
                "RRULE",
                rule_of(rule, matches!(begins, Some(Moment::Day(_)))),
            );
        }
        self.line(
            "STATUS",
            if reminder.completed {
                "COMPLETED"
            } else {
                "NEEDS-ACTION"
            },
        );
        self.time("COMPLETED", reminder.completed_at);
        if let Some(priority) = reminder.priority {
            self.line("PRIORITY", priority);
        }
        self.optional("CATEGORIES", reminder.list.as_deref());
        if reminder.flagged {
            self.line("X-FLAGGED", "TRUE");
        }
        if let Some(parent) = reminder.parent {
            self.line("X-PARENT", content_text(&own(parent)));
        }
        self.time("CREATED", reminder.created);
        self.time("LAST-MODIFIED", reminder.modified);
        self.line("END", "VTODO");
    }

    /// Writes a guest or the organizer. One without an address has nothing to be written to.
    fn person(&mut self, name: &str, person: &Attendee) {
        let mut property = name.to_owned();
        if let Some(name) = &person.name {
            property += &format!(";CN={}", parameter(name));
        }
        if name == "ATTENDEE" {
            property += match person.answer {
                Some("accepted") => ";PARTSTAT=ACCEPTED",
                Some("declined") => ";PARTSTAT=DECLINED",
                Some("maybe") => ";PARTSTAT=TENTATIVE",
                _ => ";PARTSTAT=NEEDS-ACTION",
            };
        }
        let address = match &person.address {
            Some(address) if address.contains(':') => uri(address),
            Some(address) if address.contains('@') => format!("mailto:{}", uri(address)),
            Some(number) => format!("tel:{}", uri(number)),
            None => "invalid:nomail".to_owned(),
        };
        self.line(&property, address);
    }
}

fn own_uid(id: i64) -> String {
    format!("event-{id}")
}

/// Returns the parameters and the value of a moment; `None` for a year that cannot be written.
fn value_of(moment: Moment, zone: Option<&str>) -> Option<(String, String)> {
    let none = String::new;
    Some(match moment {
        Moment::Day(day) if WRITABLE.contains(&day.year()) => {
            (";VALUE=DATE".to_owned(), day.strftime("%Y%m%d").to_string())
        }
        Moment::Local(local) if WRITABLE.contains(&local.year()) => {
            (none(), local.strftime("%Y%m%dT%H%M%S").to_string())
        }
        Moment::Point(time) if WRITABLE.contains(&time.year()) => match (zone, zone_of(zone)) {
            (Some(name), Some(zone)) => {
                let local = time.timestamp().to_zoned(zone).datetime();
                let value = local.strftime("%Y%m%dT%H%M%S").to_string();
                (format!(";TZID={}", parameter(name)), value)
            }
            _ => (none(), utc(time)),
        },
        _ => return None,
    })
}

/// Returns a time zone by its name, if it is not UTC itself.
fn zone_of(name: Option<&str>) -> Option<TimeZone> {
    let name = name.filter(|name| !matches!(*name, "UTC" | "GMT" | "Etc/UTC"))?;
    TimeZone::get(name).ok()
}

fn is_after(one: Moment, other: Moment) -> bool {
    match (one, other) {
        (Moment::Day(one), Moment::Day(other)) => one > other,
        (Moment::Local(one), Moment::Local(other)) => one > other,
        (one, other) => one.time() > other.time(),
    }
}

fn utc(time: Time) -> String {
    time.timestamp().strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// Returns a rule. The end of one for whole days is a day.
fn rule_of(rule: &Rule, all_day: bool) -> String {
    let mut parts = vec![format!("FREQ={}", rule.frequency.word())];
    if rule.interval > 1 {
        parts.push(format!("INTERVAL={}", rule.interval));
    }
    if let Some(count) = rule.count {
        parts.push(format!("COUNT={count}"));
    }
    let until = match rule.until {
        Some(Moment::Point(time)) if all_day => {
            let day = time.timestamp().to_zoned(TimeZone::UTC).date();
            value_of(Moment::Day(day), None)
        }
        Some(until) => value_of(until, None),
        None => None,
    };
    if let Some((_, until)) = until {
        parts.push(format!("UNTIL={until}"));
    }
    if !rule.days.is_empty() {
        parts.push(format!("BYDAY={}", rule.days.join(",")));
    }
    for (name, numbers) in [
        ("BYMONTHDAY", &rule.month_days),
        ("BYMONTH", &rule.months),
        ("BYWEEKNO", &rule.weeks),
        ("BYYEARDAY", &rule.year_days),
        ("BYSETPOS", &rule.positions),
    ] {
        if !numbers.is_empty() {
            let numbers: Vec<String> = numbers.iter().map(i32::to_string).collect();
            parts.push(format!("{name}={}", numbers.join(",")));
        }
    }
    parts.join(";")
}

/// Returns an offset from UTC: `+0100`, with seconds where there are some.
fn offset(seconds: i32) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    let all = seconds.unsigned_abs();
    let (hours, minutes, seconds) = (all / 3600, all / 60 % 60, all % 60);
    if seconds > 0 {
        format!("{sign}{hours:02}{minutes:02}{seconds:02}")
    } else {
        format!("{sign}{hours:02}{minutes:02}")
    }
}

/// Returns a length of time: `-PT15M`.
fn duration(seconds: i64) -> String {
    let sign = if seconds < 0 { "-" } else { "" };
    let all = seconds.unsigned_abs();
    let (days, hours, minutes, rest) = (all / 86_400, all / 3600 % 24, all / 60 % 60, all % 60);
    let mut text = format!("{sign}P");
    if days > 0 {
        text += &format!("{days}D");
    }
    if all == 0 || !all.is_multiple_of(86_400) {
        text.push('T');
        if hours > 0 {
            text += &format!("{hours}H");
        }
        if minutes > 0 {
            text += &format!("{minutes}M");
        }
        if rest > 0 || all == 0 {
            text += &format!("{rest}S");
        }
    }
    text
}

/// Returns the value of a parameter in quotes, without the characters that quotes cannot hold.
fn parameter(text: &str) -> String {
    let text: String = text
        .chars()
        .filter(|c| !c.is_control() && *c != '"')
        .collect();
    format!("\"{text}\"")
}

/// Returns an address without characters that would end the line.
fn uri(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_offsets_are_written() {
        for (seconds, text) in [
            (0, "PT0S"),
            (-900, "-PT15M"),
            (-86_400, "-P1D"),
            (93_784, "P1DT2H3M4S"),
        ] {
            assert_eq!(duration(seconds), text);
        }
        assert_eq!(
            (offset(3600), offset(-16_200)),
            ("+0100".into(), "-0430".into())
        );
        assert_eq!(offset(-75), "-000115");
    }

    #[test]
    fn hostile_texts_stay_in_their_line() {
        let event = Event {
            title: Some("a;b,c\r\nEND:VEVENT\nBEGIN:VEVENT".to_owned()),
            start: Time::since_1970(1_700_000_000).map(Moment::Point),
            time_zone: Some("No/Such\r\nZone".to_owned()),
            url: Some("http://x/\r\nX:y".to_owned()),
            organizer: Some(Attendee {
                name: Some("\"A\"\r\n:;B".to_owned()),
                address: Some("a@example.com\r\nX:y".to_owned()),
                answer: None,
            }),
            ..Event::default()
        };
        let mut lines = Lines::default();
        assert!(lines.event(&event));
        let text = lines.text().replace("\r\n ", "");
        let names: Vec<&str> = text
            .lines()
            .map(|line| line.split([':', ';']).next().unwrap_or_default())
            .collect();
        assert_eq!(
            names,
            [
                "BEGIN",
                "UID",
                "DTSTAMP",
                "DTSTART",
                "SUMMARY",
                "URL",
                "ORGANIZER",
                "END"
            ]
        );
        let mut lines = Lines::default();
        assert!(!lines.event(&Event::default()));
    }
}
