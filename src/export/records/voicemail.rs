//! Voicemail in the formats of an export.

use super::Run;
use super::files::Attached;
use super::page::Shown;
use super::table::Record;
use crate::content::Time;
use crate::content::voicemail::{DOMAIN, Recording, Voicemail};
use crate::export::{Error, words};

pub(super) fn write(voicemail: &Voicemail<'_>, run: &mut Run<'_, '_>) -> Result<(), Error> {
    let names = run.names(voicemail.home());
    run.list::<Recording>(|each| voicemail.each(names.as_ref(), each))
}

impl Record for Recording {
    const STEM: &'static str = "voicemail";
    const ONE: &'static str = "voicemail message";
    const TITLE: &'static str = "Voicemail";
    const HEADER: &'static [&'static str] = &[
        "time",
        "name",
        "address",
        "call back",
        "duration",
        "heard",
        "deleted",
        "transcript",
        "recording",
        "doubts",
    ];

    fn time(&self) -> Option<Time> {
        self.time
    }

    fn doubts(&self) -> &[String] {
        &self.doubts
    }

    fn name(&self) -> String {
        format!("{} ({})", self.id, self.caller())
    }

    fn fields(&self) -> Vec<String> {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        vec![
            self.time.map(words::local).unwrap_or_default(),
            text(&self.name),
            text(&self.address),
            text(&self.call_back),
            words::duration(self.seconds),
            words::yes(self.heard),
            words::yes(self.deleted),
            text(&self.transcript),
            text(&self.exported),
            self.doubts.join("\n"),
        ]
    }

    fn shown(&self) -> Shown {
        let mut facts: Vec<String> = self.time.map(words::clock).into_iter().collect();
        facts.push(words::duration(self.seconds));
        if self.name.is_some() {
            facts.extend(self.address.clone());
        }
        if !self.heard {
            facts.push("Not heard".to_owned());
        }
        if self.deleted {
            facts.push("Deleted".to_owned());
        }
        if self.path.is_none() {
            facts.push("The recording is not in the backup".to_owned());
        }
        Shown {
            heading: self
                .time
                .map_or_else(|| "Without a date".to_owned(), words::day),
            title: self.caller().to_owned(),
            is_marked: !self.heard,
            facts,
            text: self.transcript.clone(),
            audio: self.exported.clone(),
            ..Shown::default()
        }
    }

    fn file(&mut self) -> Option<Attached<'_>> {
        let day = self.time.map(words::file_stamp).unwrap_or_default();
        let name = format!("{day} {}", self.caller());
        Some(Attached {
            domain: DOMAIN,
            path: self.path.as_deref(),
            is_in_icloud: false,
            folder: "recordings",
            name: name.trim().to_owned(),
            extension: ".amr",
            modified: self.time.map(|time| time.seconds() as f64),
            exported: &mut self.exported,
        })
    }
}
