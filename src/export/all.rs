//! Exports every kind of content into a folder of its own, with an index page.
//!
//! ```text
//! DIR/index.html
//! DIR/messages/…, contacts/…, photos/…, calls/…
//! ```

use std::mem;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::backup_format::unreadable_rows::Unread;
use crate::base::progress::{Event, Monitor, Phase};
use crate::content;
use crate::export::destination::{Into, Target};
use crate::export::mark::Mark;
use crate::export::record_file::RecordFile;
use crate::export::records::{self, Count, What};
use crate::export::{Error, Exported, contacts, escape, messages, notes, page, photos, whatsapp};
use crate::reader::backup::Backup;

/// Options for an export of everything.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Options for filling the target folder.
    pub into: Into,
    /// Write records for programs too: JSON Lines and tables beside the pages.
    pub records: bool,
}

/// The result for one kind.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Row {
    /// The kind, which is the name of its folder too.
    pub name: &'static str,
    /// The numbers of exported entries.
    pub exported: Vec<Count>,
    /// Number of entries that cannot be decoded, or with something that cannot be right.
    pub undecodable: u64,
    /// Number of files that are only in iCloud.
    pub only_in_icloud: u64,
    /// Number of files that the phone names and the backup does not have.
    pub missing: u64,
    /// Number of files with problems.
    pub problems: u64,
    /// Parts of the kind that the backup does not have, or that could not be read.
    pub notes: Vec<String>,
    /// The reason that the backup does not have the kind.
    pub absent: Option<String>,
    /// The reason that the kind could not be exported.
    pub failed: Option<String>,
    /// The page to read, below the target folder.
    pub page: Option<String>,
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
    /// The kinds, in the order in which they were exported.
    pub kinds: Vec<Row>,
    /// The parts of the backup's list that could not be read.
    pub unread: Unread,
}

impl Report {
    /// Returns true if everything that the backup has was exported without a problem.
    pub fn is_good(&self) -> bool {
        self.complete && self.kinds.iter().all(Row::is_good)
    }
}

impl Row {
    fn is_good(&self) -> bool {
        self.failed.is_none() && self.undecodable == 0 && self.problems == 0
    }
}

/// The arguments of every exporter.
struct Job<'a> {
    backup: &'a Backup,
    options: &'a Options,
    interrupt: &'a AtomicBool,
    monitor: &'a dyn Monitor,
}

/// Makes one phase of the kinds' own, so that their progress adds up.
struct OnePhase<'a> {
    monitor: &'a dyn Monitor,
    sums: Mutex<Sums>,
}

#[derive(Default)]
struct Sums {
    has_begun: bool,
    /// The bytes and files of the kinds before this one.
    before: (u64, u64),
    /// The bytes and files of this kind so far.
    now: (u64, u64),
}

impl OnePhase<'_> {
    fn new(monitor: &dyn Monitor) -> OnePhase<'_> {
        OnePhase {
            monitor,
            sums: Mutex::default(),
        }
    }
}

impl Monitor for OnePhase<'_> {
    fn event(&self, event: Event) {
        // A thread that panicked between two additions leaves sums that are good enough to show.
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Phase {
                phase: Phase::Extracting,
            } => {
                let ended = mem::take(&mut sums.now);
                sums.before = (sums.before.0 + ended.0, sums.before.1 + ended.1);
                if !mem::replace(&mut sums.has_begun, true) {
                    self.monitor.event(event);
                }
            }
            Event::Progress { bytes, files, .. } => {
                sums.now = (sums.now.0.max(bytes), sums.now.1.max(files));
                self.monitor.event(Event::Progress {
                    percent: None,
                    bytes: sums.before.0 + sums.now.0,
                    files: sums.before.1 + sums.now.1,
                    files_total: None,
                    bytes_total: None,
                });
            }
            event => self.monitor.event(event),
        }
    }
}

/// Exports a kind into a folder. Returns its row, and the error that ended it early.
type Exporter = fn(&Job<'_>, &Path) -> Result<(Row, Option<Error>), Error>;

/// The kinds. A new one joins by a line.
const KINDS: &[(&str, Exporter)] = &[
    ("messages", |job, to| {
        conversations_into(job, to, messages::export)
    }),
    ("whatsapp", |job, to| {
        conversations_into(job, to, whatsapp::export)
    }),
    ("contacts", contacts_into),
    ("notes", notes_into),
    ("calls", |job, to| {
        records_into(job, to, What::Calls, "calls.html")
    }),
    ("voicemail", |job, to| {
        records_into(job, to, What::Voicemail, "voicemail.html")
    }),
    ("calendar", |job, to| {
        records_into(job, to, What::Calendar, "calendar.html")
    }),
    ("reminders", |job, to| {
        records_into(job, to, What::Reminders, "reminders.html")
    }),
    ("safari", |job, to| {
        records_into(job, to, What::Safari, "bookmarks.html")
    }),
    ("voice-memos", |job, to| {
        records_into(job, to, What::VoiceMemos, "voice-memos.html")
    }),
    ("photos", photos_into),
];

/// Exports all kinds of content of a backup into a folder.
pub fn export(
    backup: &Backup,
    to: &Path,
    options: &Options,
    interrupt: &AtomicBool,
    monitor: &dyn Monitor,
) -> Result<Exported<Report>, Error> {
    let mark = Mark::new(backup, "all", &options.records);
    let mut target = Target::open(to, backup.folder(), options.into)?;
    let mut report = Report {
        to: to.display().to_string(),
        dry_run: options.into.dry_run,
        resumed: mark.admits(&target)?,
        ..Report::default()
    };
    if !report.dry_run {
        mark.write(&target)?;
    }
    let monitor = OnePhase::new(monitor);
    let job = Job {
        backup,
        options,
        interrupt,
        monitor: &monitor,
    };
    let mut stopped = None;
    for (name, exporter) in KINDS {
        let folder: PathBuf = target.root().join(name);
        let mut row = match exporter(&job, &folder) {
            Ok((row, end)) => {
                stopped = end;
                row
            }
            Err(Error::Content(
                e @ (content::Error::Absent(_) | content::Error::OnlyInEncrypted(_)),
            )) => Row {
                absent: Some(e.to_string()),
                ..Row::default()
            },
            Err(Error::NothingMatches) => Row {
                absent: Some(format!("the backup has no {name}")),
                ..Row::default()
            },
            // The other kinds may be whole.
            Err(Error::Content(e)) => Row {
                failed: Some(e.to_string()),
                ..Row::default()
            },
            Err(e) => {
                stopped = Some(e);
                Row::default()
            }
        };
        row.name = name;
        row.page = row.page.map(|page| format!("{name}/{page}"));
        report.kinds.push(row);
        if stopped.is_some() {
            break;
        }
    }
    report.complete = stopped.is_none();
    report.unread = backup.unread();
    if !report.dry_run && report.complete {
        write_index(&mut target, &report)?;
    }
    Ok(Exported { report, stopped })
}

/// An export of conversations.
type Conversations = fn(
    &Backup,
    &Path,
    &messages::Options,
    &AtomicBool,
    &dyn Monitor,
) -> Result<Exported<messages::Report>, Error>;

fn conversations_into(
    job: &Job<'_>,
    to: &Path,
    export: Conversations,
) -> Result<(Row, Option<Error>), Error> {
    let mut formats = vec![messages::Format::Html];
    if job.options.records {
        formats.extend([messages::Format::Jsonl, messages::Format::Csv]);
    }
    let options = messages::Options {
        into: job.options.into,
        formats,
        ..messages::Options::default()
    };
    let exported = export(job.backup, to, &options, job.interrupt, job.monitor)?;
    let report = exported.report;
    let row = Row {
        exported: vec![
            count("message", report.messages),
            count("conversation", report.chats),
            count(
                "attachment",
                report.attachments.exported + report.attachments.there,
            ),
        ],
        undecodable: report.undecodable + report.damage.count + report.doubtful.count,
        only_in_icloud: report.attachments.only_in_icloud,
        missing: report.attachments.missing,
        problems: report.problems.count,
        notes: report.no_names.into_iter().collect(),
        page: Some("index.html".to_owned()),
        ..Row::default()
    };
    Ok((row, exported.stopped))
}

fn contacts_into(job: &Job<'_>, to: &Path) -> Result<(Row, Option<Error>), Error> {
    let mut formats = vec![contacts::Format::Html, contacts::Format::Vcard];
    if job.options.records {
        formats.extend([contacts::Format::Jsonl, contacts::Format::Csv]);
    }
    let options = contacts::Options {
        into: job.options.into,
        formats,
    };
    let exported = contacts::export(job.backup, to, &options, job.interrupt, job.monitor)?;
    let row = Row {
        exported: vec![count("contact", exported.report.people)],
        notes: exported.report.no_pictures.into_iter().collect(),
        page: Some("contacts.html".to_owned()),
        ..Row::default()
    };
    Ok((row, exported.stopped))
}

fn notes_into(job: &Job<'_>, to: &Path) -> Result<(Row, Option<Error>), Error> {
    let mut formats = vec![notes::Format::Html, notes::Format::Markdown];
    if job.options.records {
        formats.push(notes::Format::Jsonl);
    }
    let options = notes::Options {
        into: job.options.into,
        formats,
        ..notes::Options::default()
    };
    let exported = notes::export(job.backup, to, &options, job.interrupt, job.monitor)?;
    let report = exported.report;
    let mut counts = vec![count("note", report.notes)];
    if report.locked > 0 {
        counts.push(count("locked note", report.locked));
    }
    let row = Row {
        exported: counts,
        undecodable: report.undecodable + report.damage.count,
        only_in_icloud: report.attachments.only_in_icloud,
        missing: report.attachments.missing,
        problems: report.problems.count,
        page: Some("index.html".to_owned()),
        ..Row::default()
    };
    Ok((row, exported.stopped))
}

fn records_into(
    job: &Job<'_>,
    to: &Path,
    what: What,
    page: &str,
) -> Result<(Row, Option<Error>), Error> {
    let mut formats = vec![records::Format::Html];
    if matches!(what, What::Calendar | What::Reminders) {
        formats.push(records::Format::Ics);
    }
    if job.options.records {
        formats.extend([records::Format::Jsonl, records::Format::Csv]);
    }
    let options = records::Options {
        into: job.options.into,
        formats,
        ..records::Options::default()
    };
    let exported = records::export(job.backup, to, what, &options, job.interrupt, job.monitor)?;
    let report = exported.report;
    let has_page = what != What::Safari || report.records.iter().any(|one| one.one == "bookmark");
    let row = Row {
        undecodable: report.doubtful.count + report.incomplete.len() as u64,
        only_in_icloud: report.files.only_in_icloud,
        missing: report.files.missing,
        problems: report.problems.count,
        notes: [report.incomplete, report.absent].concat(),
        page: has_page.then(|| page.to_owned()),
        exported: report.records,
        ..Row::default()
    };
    Ok((row, exported.stopped))
}

fn photos_into(job: &Job<'_>, to: &Path) -> Result<(Row, Option<Error>), Error> {
    let options = photos::Options {
        into: job.options.into,
        index: job.options.records,
        ..photos::Options::default()
    };
    let exported = photos::export(job.backup, to, &options, job.interrupt, job.monitor)?;
    let report = exported.report;
    let row = Row {
        exported: vec![count("photo or video", report.photos)],
        undecodable: report.damage.count,
        only_in_icloud: report.only_in_icloud,
        problems: report.problems.count,
        ..Row::default()
    };
    Ok((row, exported.stopped))
}

fn count(one: &'static str, count: u64) -> Count {
    Count { one, count }
}

fn write_index(target: &mut Target, report: &Report) -> Result<(), Error> {
    let mut file = RecordFile::create(target, &["index.html".to_owned()])?;
    file.write(&page::head("Content of the backup", false))?;
    file.write("<header><h1>Content of the backup</h1></header>\n<main>\n<ul class=\"list\">\n")?;
    for row in &report.kinds {
        let title = escape::html(&row.title());
        let title = match (&row.page, &row.absent, &row.failed) {
            (Some(page), None, None) => {
                format!("<a href=\"{}\">{title}</a>", escape::link(page))
            }
            (None, None, None) => format!("<a href=\"{}/\">{title}</a>", escape::link(row.name)),
            _ => format!("<b>{title}</b>"),
        };
        let words = escape::html(&row.words());
        let class = if row.failed.is_some() { "bad" } else { "soft" };
        file.write(&format!(
            "<li>{title}<div class=\"{class}\">{words}</div></li>\n"
        ))?;
    }
    file.write("</ul>\n</main>\n")?;
    file.write(page::foot())?;
    file.finish()
}

impl Row {
    /// Returns the name of the kind as a title.
    pub fn title(&self) -> String {
        if self.name == "whatsapp" {
            return "WhatsApp".to_owned();
        }
        let name = self.name.replace('-', " ");
        let mut characters = name.chars();
        match characters.next() {
            Some(first) => first.to_uppercase().chain(characters).collect(),
            None => name,
        }
    }

    /// Describes the result in a sentence without a full stop.
    pub fn words(&self) -> String {
        use crate::base::units::{count, counted};
        if let Some(why) = self.absent.as_ref().or(self.failed.as_ref()) {
            return why.clone();
        }
        let mut parts: Vec<String> = self
            .exported
            .iter()
            .map(|one| match one.one {
                "photo or video" if one.count != 1 => {
                    format!("{} photos and videos", count(one.count))
                }
                one_of => counted(one.count, one_of),
            })
            .collect();
        for (number, words) in [
            (self.undecodable, "undecodable or doubtful"),
            (self.only_in_icloud, "only in iCloud"),
            (self.missing, "missing"),
            (self.problems, "with problems"),
        ] {
            if number > 0 {
                parts.push(format!("{} {words}", count(number)));
            }
        }
        parts.extend(self.notes.iter().cloned());
        parts.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Kept(Mutex<Vec<Event>>);

    impl Monitor for Kept {
        fn event(&self, event: Event) {
            self.0.lock().unwrap().push(event);
        }
    }

    #[test]
    fn progress_of_kinds_adds_up() {
        let kept = Kept::default();
        let monitor = OnePhase::new(&kept);
        let progress = |bytes, files| Event::Progress {
            percent: None,
            bytes,
            files,
            files_total: Some(9),
            bytes_total: Some(90),
        };
        monitor.phase(Phase::Extracting);
        monitor.event(progress(30, 2));
        monitor.event(progress(20, 3));
        monitor.phase(Phase::Extracting);
        monitor.event(progress(5, 1));
        let events = kept.0.into_inner().unwrap();
        let phases = events.iter().filter(|e| matches!(e, Event::Phase { .. }));
        assert_eq!(phases.count(), 1);
        let Some(Event::Progress {
            bytes,
            files,
            bytes_total: None,
            ..
        }) = events.last()
        else {
            panic!("{events:?}");
        };
        assert_eq!((*bytes, *files), (35, 4));
    }
}
