//! Reminders in the formats of an export.

use super::Run;
use super::calendar::{moment, rule};
use super::ics::Lines;
use super::page::Shown;
use super::table::Record;
use crate::content::Time;
use crate::content::reminders::{Reminder, Reminders};
use crate::export::{Error, words};

pub(super) fn write(reminders: &Reminders, run: &mut Run<'_, '_>) -> Result<(), Error> {
    run.list::<Reminder>(|each| reminders.each(each))
}

impl Record for Reminder {
    const STEM: &'static str = "reminders";
    const ONE: &'static str = "reminder";
    const TITLE: &'static str = "Reminders";
    const HEADER: &'static [&'static str] = &[
        "list",
        "title",
        "due",
        "completed",
        "completed at",
        "priority",
        "flagged",
        "repeats",
        "account",
        "deleted",
        "notes",
        "created",
        "modified",
        "doubts",
    ];

    fn time(&self) -> Option<Time> {
        Reminder::time(self)
    }

    fn doubts(&self) -> &[String] {
        &self.doubts
    }

    fn name(&self) -> String {
        format!("{} ({})", self.id, title(self))
    }

    fn fields(&self) -> Vec<String> {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let time = |time: Option<Time>| time.map(words::local).unwrap_or_default();
        let rules: Vec<String> = self.rules.iter().map(rule).collect();
        vec![
            text(&self.list),
            text(&self.title),
            self.due.map(moment).unwrap_or_default(),
            words::yes(self.completed),
            time(self.completed_at),
            self.priority.map(|one| one.to_string()).unwrap_or_default(),
            words::yes(self.flagged),
            rules.join("\n"),
            text(&self.account),
            words::yes(self.deleted),
            text(&self.notes),
            time(self.created),
            time(self.modified),
            self.doubts.join("\n"),
        ]
    }

    fn shown(&self) -> Shown {
        let mut facts = Vec::new();
        facts.extend(self.due.map(|due| format!("due {}", moment(due))));
        facts.extend(self.rules.iter().map(rule));
        if self.completed {
            let at = self
                .completed_at
                .map(|time| format!(" {}", words::local(time)));
            facts.push(format!("completed{}", at.unwrap_or_default()));
        }
        facts.extend(match self.priority {
            Some(1..=4) => Some("high priority".to_owned()),
            Some(5) => Some("medium priority".to_owned()),
            Some(_) => Some("low priority".to_owned()),
            None => None,
        });
        if self.flagged {
            facts.push("flagged".to_owned());
        }
        if self.deleted {
            facts.push("deleted".to_owned());
        }
        let done = if self.completed { "☑" } else { "☐" };
        Shown {
            heading: self.list.clone().unwrap_or_else(|| "No list".to_owned()),
            title: format!("{done} {}", title(self)),
            facts,
            text: self.notes.clone(),
            ..Shown::default()
        }
    }

    fn component(&self, lines: &mut Lines) -> bool {
        lines.reminder(self);
        true
    }
}

fn title(reminder: &Reminder) -> &str {
    reminder.title.as_deref().unwrap_or("No title")
}
