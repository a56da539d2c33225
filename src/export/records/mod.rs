//! Exports kinds of content that are lists of records: a page to read, JSON Lines and a table for
//! each list, with the files that belong to the records beside them.
//!
//! ```text
//! DIR/calls.html, calls.jsonl, calls.csv
//! DIR/voicemail.html, voicemail.jsonl, voicemail.csv, recordings/NAME.amr
//! DIR/calendar.html, calendar.ics, ...   reminders.html, reminders.ics, ...
//! DIR/bookmarks.html, reading-list.html, history.html, ...
//! DIR/voice-memos.html, ..., recordings/NAME.m4a
//! ```
//! A new kind is a variant of [`What`], a file here that describes its records for the formats, and
//! a line in `write`.

mod calendar;
mod calls;
mod files;
mod ics;
#[cfg(feature = "web")]
pub(crate) mod listed;
mod netscape;
mod page;
mod reminders;
mod safari;
mod table;
mod voice_memos;
mod voicemail;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use serde::Serialize;

use self::table::Table;
use crate::backup_format::unreadable_rows::Unread;
use crate::base::progress::{Monitor, Phase};
use crate::content;
use crate::content::contacts::{Contacts, Directory, Region};
use crate::content::messages::Period;
use crate::export::destination::{Into, Target};
use crate::export::mark::Mark;
use crate::export::messages::Counts;
use crate::export::outcome::{Listing, Problem, Renamed, Tally};
use crate::export::workers::{self, Manner, Task};
use crate::export::{Error, Exported};
use crate::reader::backup::Backup;

/// The kinds of content that this module exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// Calls.
    Calls,
    /// Voicemail, with its recordings.
    Voicemail,
    /// Events of all calendars.
    Calendar,
    /// Reminders of all lists.
    Reminders,
    /// Bookmarks, reading list and history of Safari.
    Safari,
    /// Voice memos, with their recordings.
    VoiceMemos,
}

impl What {
    /// Returns the kind of content.
    pub fn kind(self) -> content::Kind {
        match self {
            What::Calls => content::Kind::Calls,
            What::Voicemail => content::Kind::Voicemail,
            What::Calendar => content::Kind::Calendar,
            What::Reminders => content::Kind::Reminders,
            What::Safari => content::Kind::Safari,
            What::VoiceMemos => content::Kind::VoiceMemos,
        }
    }
}

/// The formats of lists of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// A page to read and to print.
    Html,
    /// JSON Lines: a record in each line.
    Jsonl,
    /// CSV: a table for spreadsheets.
    Csv,
    /// iCalendar, for events and reminders.
    Ics,
}

/// Options for an export of records.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Options for filling the target folder.
    pub into: Into,
    /// The formats; each once.
    pub formats: Vec<Format>,
    /// The period.
    pub period: Period,
}

/// The result of an export.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// The path of the target folder.
    pub to: String,
    /// True if nothing was to be written.
    pub dry_run: bool,
    /// True if the export ran to its end.
    pub complete: bool,
    /// True if an earlier run of the same export filled the folder.
    pub resumed: bool,
    /// The reason that names are not known, if the contacts cannot be read.
    pub no_names: Option<String>,
    /// The numbers of exported records.
    pub records: Vec<Count>,
    /// Counts of the files that belong to records.
    pub files: Counts,
    /// The records with a date that cannot be right, or with a part that cannot be decoded. They
    /// are exported, and marked.
    pub doubtful: Listing<Doubtful>,
    /// The lists that the backup does not have, with the reasons.
    pub absent: Vec<String>,
    /// The reasons why a list is not whole.
    pub incomplete: Vec<String>,
    /// The problems with single files.
    pub problems: Listing<Problem>,
    /// The files that got a number or another name because their own was taken or the disk cannot
    /// hold it.
    pub renamed: Listing<Renamed>,
    /// The parts of the backup's list that could not be read.
    pub unread: Unread,
}

impl Report {
    /// Returns true if everything was exported without a problem.
    pub fn is_good(&self) -> bool {
        self.complete
            && self.no_names.is_none()
            && self.doubtful.count == 0
            && self.incomplete.is_empty()
            && self.problems.count == 0
    }
}

/// A number of records of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Count {
    /// The name of one record, such as "call".
    pub one: &'static str,
    /// Their number.
    pub count: u64,
}

/// A record with something that cannot be right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Doubtful {
    /// The record, in words.
    pub record: String,
    /// The reason.
    pub why: String,
}

/// Exports the records of a kind into a folder.
pub fn export(
    backup: &Backup,
    to: &Path,
    what: What,
    options: &Options,
    interrupt: &AtomicBool,
    monitor: &dyn Monitor,
) -> Result<Exported<Report>, Error> {
    let dry_run = options.into.dry_run;
    // A kind that is not there fails before anything is written.
    let source = Source::open(backup, what)?;
    let mark = Mark::new(backup, &what.kind().name(), &Described::of(options));
    let mut target = Target::open(to, backup.folder(), options.into)?;
    let mut report = Report {
        to: to.display().to_string(),
        dry_run,
        resumed: mark.admits(&target)?,
        ..Report::default()
    };
    if !dry_run {
        mark.write(&target)?;
        monitor.phase(Phase::Extracting);
    }
    // A count that fails here fails again below, where it is reported.
    let records = source.count().unwrap_or_default();
    let tally = Tally::new(0, records * table::RECORD_BYTES, monitor, interrupt);
    let manner = Manner {
        // A file that an interrupted run left may be incomplete only under its temporary name.
        overwrite: options.into.overwrite || report.resumed,
        all_modes: false,
        holds_files: target.holds_files(),
        dry_run,
    };
    let root = target.root().to_path_buf();
    let written = workers::fill(backup.reader(), &root, manner, &tally, |give| {
        let mut run = Run {
            backup,
            options,
            tally: &tally,
            target: &mut target,
            report: &mut report,
            give,
            zones: BTreeSet::new(),
        };
        source.write(&mut run)
    });
    if let Err(e) = written {
        tally.stop(e);
    }
    (report.files.exported, report.files.bytes) = tally.written();
    report.files.there = tally.there();
    let lists = tally.into_lists(backup);
    report.unread = backup.unread();
    report.complete = lists.stopped.is_none();
    report.problems = lists.problems;
    report.renamed = lists.renamed;
    Ok(Exported {
        report,
        stopped: lists.stopped,
    })
}

/// The options that decide what an export writes.
#[derive(Serialize)]
struct Described<'a> {
    formats: &'a [Format],
    since: Option<String>,
    until: Option<String>,
}

impl Described<'_> {
    fn of(options: &Options) -> Described<'_> {
        Described {
            formats: &options.formats,
            since: options.period.since.map(|time| time.to_string()),
            until: options.period.until.map(|time| time.to_string()),
        }
    }
}

/// The open records of a kind.
enum Source<'a> {
    Calls(content::calls::Calls),
    Voicemail(content::voicemail::Voicemail<'a>),
    Calendar(Box<content::calendar::Calendar>),
    Reminders(content::reminders::Reminders),
    Safari(content::safari::Safari),
    VoiceMemos(content::voice_memos::VoiceMemos),
}

impl Source<'_> {
    fn open(backup: &Backup, what: What) -> Result<Source<'_>, content::Error> {
        Ok(match what {
            What::Calls => Source::Calls(content::calls::Calls::open(backup)?),
            What::Voicemail => Source::Voicemail(content::voicemail::Voicemail::open(backup)?),
            What::Calendar => {
                Source::Calendar(Box::new(content::calendar::Calendar::open(backup)?))
            }
            What::Reminders => Source::Reminders(content::reminders::Reminders::open(backup)?),
            What::Safari => Source::Safari(content::safari::Safari::open(backup)?),
            What::VoiceMemos => Source::VoiceMemos(content::voice_memos::VoiceMemos::open(backup)?),
        })
    }

    /// Returns the number of records, for the progress.
    fn count(&self) -> Result<u64, content::Error> {
        match self {
            Source::Calls(calls) => calls.count(),
            Source::Voicemail(voicemail) => voicemail.count(),
            Source::Calendar(calendar) => calendar.events(),
            Source::Reminders(reminders) => reminders.count(),
            Source::Safari(safari) => safari.count().map(|(one, two, three)| one + two + three),
            Source::VoiceMemos(memos) => memos.count(),
        }
    }

    fn write(&self, run: &mut Run<'_, '_>) -> Result<(), Error> {
        match self {
            Source::Calls(calls) => calls::write(calls, run),
            Source::Voicemail(voicemail) => voicemail::write(voicemail, run),
            Source::Calendar(calendar) => calendar::write(calendar, run),
            Source::Reminders(reminders) => reminders::write(reminders, run),
            Source::Safari(safari) => safari::write(safari, run),
            Source::VoiceMemos(memos) => voice_memos::write(memos, run),
        }
    }
}

/// A running export.
struct Run<'a, 'b> {
    backup: &'a Backup,
    options: &'a Options,
    tally: &'a Tally<'b>,
    target: &'a mut Target,
    report: &'a mut Report,
    give: &'a dyn Fn(Task) -> bool,
    /// The time zones that events refer to.
    zones: BTreeSet<String>,
}

impl Run<'_, '_> {
    /// Returns the names of addresses in the contacts. A backup whose contacts cannot be read is
    /// exported without them.
    fn names(&mut self, home: Option<Region>) -> Option<Directory> {
        match Contacts::open(self.backup) {
            Ok(contacts) => Some(contacts.directory(home)),
            Err(e) => {
                self.report.no_names = Some(e.to_string());
                None
            }
        }
    }

    /// Writes a list. `read` calls its argument for each record until that returns false. If it
    /// fails after a part of the list, that part is exported.
    fn list<R: table::Record>(
        &mut self,
        read: impl FnOnce(&mut dyn FnMut(R) -> bool) -> Result<(), content::Error>,
    ) -> Result<(), Error> {
        let mut table = Table::<R>::create(self)?;
        let mut failed = None;
        let done = read(&mut |record| {
            failed = table.add(record, self).err();
            failed.is_none() && !self.tally.is_over()
        });
        if let Some(e) = failed {
            return Err(e);
        }
        if let Err(e) = done {
            self.report.incomplete.push(e.to_string());
        }
        // Files of an export that stopped are dropped, so that none of them is incomplete.
        if !self.tally.is_over() {
            table.finish(self)?;
        }
        Ok(())
    }
}
