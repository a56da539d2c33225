//! Voice memos in the formats of an export.

use super::Run;
use super::files::Attached;
use super::page::Shown;
use super::table::Record;
use crate::content::Time;
use crate::content::voice_memos::{Memo, VoiceMemos};
use crate::export::{Error, words};

pub(super) fn write(memos: &VoiceMemos, run: &mut Run<'_, '_>) -> Result<(), Error> {
    run.list::<Memo>(|each| memos.each(each))
}

impl Record for Memo {
    const STEM: &'static str = "voice-memos";
    const ONE: &'static str = "voice memo";
    const TITLE: &'static str = "Voice memos";
    const HEADER: &'static [&'static str] = &[
        "time",
        "title",
        "duration",
        "folder",
        "deleted",
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
        format!("“{}”", self.title)
    }

    fn fields(&self) -> Vec<String> {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        vec![
            self.time.map(words::local).unwrap_or_default(),
            self.title.clone(),
            self.seconds.map(words::duration).unwrap_or_default(),
            text(&self.folder),
            words::yes(self.deleted),
            text(&self.exported),
            self.doubts.join("\n"),
        ]
    }

    fn shown(&self) -> Shown {
        let mut facts: Vec<String> = self.time.map(words::clock).into_iter().collect();
        facts.extend(self.seconds.map(words::duration));
        facts.extend(self.folder.clone());
        if self.deleted {
            facts.push("Deleted".to_owned());
        }
        if self.path.is_none() {
            facts.push("Only in iCloud".to_owned());
        }
        Shown {
            heading: self
                .time
                .map_or_else(|| "Without a date".to_owned(), words::day),
            title: self.title.clone(),
            facts,
            audio: self.exported.clone(),
            ..Shown::default()
        }
    }

    fn file(&mut self) -> Option<Attached<'_>> {
        let ending = self
            .path
            .as_deref()
            .and_then(|path| path.rfind('.').map(|at| &path[at..]));
        Some(Attached {
            domain: self.domain,
            path: self.path.as_deref(),
            is_in_icloud: true,
            folder: "recordings",
            name: self.title.clone(),
            extension: ending.unwrap_or_default(),
            modified: self.time.map(|time| time.seconds() as f64),
            exported: &mut self.exported,
        })
    }
}
