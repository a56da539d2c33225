//! Calls in the formats of an export.

use super::Run;
use super::page::Shown;
use super::table::Record;
use crate::content::Time;
use crate::content::calls::{Call, Calls, Direction};
use crate::export::{Error, words};

pub(super) fn write(calls: &Calls, run: &mut Run<'_, '_>) -> Result<(), Error> {
    let names = run.names(calls.home());
    run.list::<Call>(|each| calls.each(names.as_ref(), each))
}

impl Record for Call {
    const STEM: &'static str = "calls";
    const ONE: &'static str = "call";
    const TITLE: &'static str = "Calls";
    const HEADER: &'static [&'static str] = &[
        "time",
        "direction",
        "missed",
        "duration",
        "service",
        "names",
        "addresses",
        "app",
        "country",
        "place",
        "junk",
        "emergency",
        "doubts",
    ];

    fn time(&self) -> Option<Time> {
        self.time
    }

    fn doubts(&self) -> &[String] {
        &self.doubts
    }

    fn name(&self) -> String {
        format!("{} ({})", self.id, who(self))
    }

    fn fields(&self) -> Vec<String> {
        let addresses: Vec<&str> = self.people.iter().map(|one| one.address.as_str()).collect();
        let names: Vec<&str> = self
            .people
            .iter()
            .filter_map(|one| one.name.as_deref())
            .collect();
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        vec![
            self.time.map(words::local).unwrap_or_default(),
            direction(self).to_lowercase(),
            words::yes(self.missed),
            words::duration(self.seconds),
            self.service.words().to_owned(),
            names.join("\n"),
            addresses.join("\n"),
            text(&self.app),
            text(&self.country),
            text(&self.place),
            words::yes(self.junk),
            words::yes(self.emergency),
            self.doubts.join("\n"),
        ]
    }

    fn shown(&self) -> Shown {
        let mut facts: Vec<String> = self.time.map(words::clock).into_iter().collect();
        facts.push(
            if self.missed {
                "Missed"
            } else {
                direction(self)
            }
            .to_owned(),
        );
        facts.push(match &self.app {
            Some(app) => app.clone(),
            None => self.service.words().to_owned(),
        });
        if self.seconds > 0.0 {
            facts.push(words::duration(self.seconds));
        }
        let addresses = self.people.iter().filter(|one| one.name.is_some());
        facts.extend(addresses.map(|one| one.address.clone()));
        facts.extend(self.place.clone());
        if self.junk {
            facts.push("Marked as unwanted".to_owned());
        }
        Shown {
            heading: self
                .time
                .map_or_else(|| "Without a date".to_owned(), words::day),
            title: who(self),
            is_marked: self.missed,
            facts,
            ..Shown::default()
        }
    }
}

fn direction(call: &Call) -> &'static str {
    match call.direction {
        Direction::Incoming => "Incoming",
        Direction::Outgoing => "Outgoing",
    }
}

/// Returns the names of the other people.
fn who(call: &Call) -> String {
    let people: Vec<&str> = call.people.iter().map(|one| one.shown()).collect();
    if people.is_empty() {
        "Unknown number".to_owned()
    } else {
        people.join(", ")
    }
}
