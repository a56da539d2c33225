//! Exports notes to a folder: texts with styles, pages to read, and records for programs.
//!
//! ```text
//! DIR/notes/ACCOUNT/FOLDER/TITLE.md     Markdown, with the facts of the note in YAML before it
//! DIR/index.html, notes/ACCOUNT/FOLDER/TITLE.html    pages
//! DIR/notes.jsonl                       records
//! DIR/attachments/TITLE/FILE            the files
//! ```

mod html;
mod markdown;

#[cfg(feature = "web")]
pub(crate) use self::html::{article, folder};

use std::path::Path;
use std::sync::atomic::AtomicBool;

use serde::Serialize;

use crate::backup_format::unreadable_rows::Unread;
use crate::base::progress::{Monitor, Phase};
use crate::content::Presence;
use crate::content::notes::{self, Attachment, Note, Notes};
pub use crate::export::attachments::{Attachments, Counts};
use crate::export::attachments::{Files, Wanted};
use crate::export::destination::{Into, Target};
use crate::export::mark::Mark;
use crate::export::outcome::{Listing, Problem, Renamed, Tally};
use crate::export::record_file::{self, RecordFile};
use crate::export::workers::{self, Manner};
use crate::export::{Error, Exported};
use crate::reader::backup::Backup;

/// The formats of an export of notes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Markdown: a file for each note.
    Markdown,
    /// Pages to read, with an index and a search.
    Html,
    /// JSON Lines: a record for each note.
    Jsonl,
}

/// Options for an export of notes.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Options for filling the target folder.
    pub into: Into,
    /// The formats; each once.
    pub formats: Vec<Format>,
    /// The treatment of attachments.
    pub attachments: Attachments,
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
    /// Number of notes.
    pub notes: u64,
    /// Number of locked notes among them, whose text is encrypted.
    pub locked: u64,
    /// Number of recently deleted notes among them.
    pub deleted: u64,
    /// Number of notes and tables that cannot be decoded. They are marked as such.
    pub undecodable: u64,
    /// Counts of attachments.
    pub attachments: Counts,
    /// The parts of the database that cannot be read, and the dates that cannot be right.
    pub damage: Listing<Damage>,
    /// The problems with single files.
    pub problems: Listing<Problem>,
    /// The files that got a number or another name because their own was taken or the disk cannot
    /// hold it.
    pub renamed: Listing<Renamed>,
    /// The parts of the backup's list that could not be read.
    pub unread: Unread,
}

/// A part of the database that cannot be read or cannot be right.
#[derive(Debug, Clone, Serialize)]
pub struct Damage {
    /// The title of the note.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The reason.
    pub why: String,
}

/// The place of a note below the target folder.
struct Place {
    /// The names of its folders and its own, without an extension.
    parts: Vec<String>,
}

impl Place {
    /// Returns the names of a file of the note.
    fn file(&self, extension: &str) -> Vec<String> {
        let mut parts = self.parts.clone();
        if let Some(name) = parts.last_mut() {
            *name = format!("{name}.{extension}");
        }
        parts
    }

    /// Returns the way from the folder of the note to the target folder.
    fn up(&self) -> String {
        "../".repeat(self.parts.len().saturating_sub(1))
    }
}

/// Writes notes in one format.
trait Writer {
    fn note(&mut self, target: &mut Target, note: &Note, place: &Place) -> Result<(), Error>;
    fn finish(self: Box<Self>, target: &mut Target) -> Result<(), Error>;
}

/// The folder of the notes.
const FOLDER: &str = "notes";
/// The name of the folder for notes without an account.
const NO_ACCOUNT: &str = "No account";
/// The weight of a note in the progress, in bytes.
const NOTE_BYTES: u64 = 4096;

/// Exports the notes of a backup into a folder.
pub fn export(
    backup: &Backup,
    to: &Path,
    options: &Options,
    interrupt: &AtomicBool,
    monitor: &dyn Monitor,
) -> Result<Exported<Report>, Error> {
    if options.attachments == Attachments::Link && backup.is_encrypted() {
        return Err(Error::LinksToEncrypted);
    }
    let notes = Notes::open(backup)?;
    let mark = Mark::new(backup, "notes", &(&options.formats, options.attachments));
    let mut target = Target::open(to, backup.folder(), options.into)?;
    let resumed = mark.admits(&target)?;
    let dry_run = options.into.dry_run;
    if !dry_run {
        mark.write(&target)?;
        monitor.phase(Phase::Extracting);
    }
    let mut report = Report {
        to: to.display().to_string(),
        dry_run,
        resumed,
        ..Report::default()
    };
    for e in notes.damage() {
        let (note, why) = (None, e.to_string());
        report.damage.add(Damage { note, why });
    }
    let tally = Tally::new(0, notes.count() * NOTE_BYTES, monitor, interrupt);
    let manner = Manner {
        overwrite: options.into.overwrite || resumed,
        all_modes: false,
        holds_files: target.holds_files(),
        dry_run,
    };
    let root = target.root().to_path_buf();
    let written = workers::fill(backup.reader(), &root, manner, &tally, |give| {
        let files = Files::new(backup, options.attachments, dry_run, &tally, give);
        let target = &mut target;
        let mut writers: Vec<Box<dyn Writer>> = Vec::new();
        for format in options.formats.iter().filter(|_| !dry_run) {
            writers.push(match format {
                Format::Markdown => Box::new(markdown::Markdown),
                Format::Html => Box::new(html::Html::create(target)?),
                Format::Jsonl => Box::new(Jsonl::create(target)?),
            });
        }
        let mut failed = None;
        let read = notes.each(|mut note| {
            failed = one(&mut note, target, &files, &mut report, &mut writers).err();
            tally.moved(NOTE_BYTES);
            failed.is_none() && !tally.is_over()
        });
        if let Some(e) = failed {
            return Err(e);
        }
        read?;
        // Files of an export that stopped are dropped, so that none of them is incomplete.
        if !tally.is_over() {
            for writer in writers {
                writer.finish(target)?;
            }
        }
        Ok(())
    });
    if let Err(e) = written {
        tally.stop(e);
    }
    (report.attachments.exported, report.attachments.bytes) = tally.written();
    report.attachments.there = tally.there();
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

/// Exports a note.
fn one(
    note: &mut Note,
    target: &mut Target,
    files: &Files<'_>,
    report: &mut Report,
    writers: &mut [Box<dyn Writer>],
) -> Result<(), Error> {
    count(note, report);
    let place = place_of(note, target);
    let folder = place.parts.last().cloned().unwrap_or_default();
    for attachment in note.attachments_mut() {
        report.undecodable += u64::from(attachment.undecodable.is_some());
        file(attachment, &folder, target, files, &mut report.attachments)?;
        for part in &mut attachment.parts {
            file(part, &folder, target, files, &mut report.attachments)?;
        }
    }
    for writer in writers {
        writer.note(target, note, &place)?;
    }
    Ok(())
}

fn count(note: &Note, report: &mut Report) {
    report.notes += 1;
    report.locked += u64::from(note.locked);
    report.deleted += u64::from(note.deleted);
    report.undecodable += u64::from(note.undecodable.is_some());
    for why in &note.doubts {
        report.damage.add(Damage {
            note: note.title.clone(),
            why: why.clone(),
        });
    }
}

/// Exports the file of an attachment, and notes its place in the record.
fn file(
    attachment: &mut Attachment,
    folder: &str,
    target: &mut Target,
    files: &Files<'_>,
    counts: &mut Counts,
) -> Result<(), Error> {
    let Some(file) = attachment.file else {
        return Ok(());
    };
    let wanted = Wanted {
        domain: notes::DOMAIN,
        path: attachment.path.as_deref(),
        name: attachment.name.as_deref(),
        file,
        folder,
    };
    attachment.exported = files.export(&wanted, target, counts)?;
    Ok(())
}

/// Returns a place for a note that no other one has.
fn place_of(note: &Note, target: &mut Target) -> Place {
    let account = note.account.as_deref().unwrap_or(NO_ACCOUNT);
    let title = note.title.as_deref().unwrap_or("Untitled");
    let names = [FOLDER, account].into_iter();
    let names = names.chain(note.folders.iter().map(String::as_str));
    let names: Vec<String> = names.chain([title]).map(record_file::name_of).collect();
    match target.rules().below(names.iter().map(String::as_str)) {
        Some(mut place) => {
            target.take(&mut place);
            Place { parts: place.parts }
        }
        // `names` has at least three names that are not empty.
        None => Place { parts: names },
    }
}

/// Returns the title of a note, as people read it.
pub(crate) fn title(note: &Note) -> &str {
    note.title.as_deref().unwrap_or("Untitled")
}

/// Explains in a sentence why a note has no text; `None` if it has one.
fn remark(note: &Note) -> Option<String> {
    if note.locked {
        let hint = note.password_hint.as_ref();
        let hint = hint.map(|hint| format!(" The hint for it: {hint}"));
        return Some(format!(
            "This note is locked with a password, and its text is encrypted.{}",
            hint.unwrap_or_default()
        ));
    }
    let why = note.undecodable.as_ref()?;
    Some(format!("This note cannot be decoded: {why}."))
}

/// Returns the name of an attachment, with the reason why its file is missing.
fn label(attachment: &Attachment) -> String {
    let name = attachment.name.as_deref().unwrap_or("attachment");
    match attachment.file {
        Some(Presence::OnlyInIcloud) => format!("{name} (only in iCloud)"),
        Some(Presence::Missing) => format!("{name} (not in the backup)"),
        _ => name.to_owned(),
    }
}

/// Returns true if browsers and readers of Markdown show a file as a picture.
fn is_picture(path: &str) -> bool {
    const PICTURES: [&str; 6] = ["png", "jpg", "jpeg", "gif", "webp", "bmp"];
    let extension = path.rsplit_once('.').map(|(_, extension)| extension);
    let extension = extension.unwrap_or_default().to_ascii_lowercase();
    PICTURES.contains(&extension.as_str())
}

/// Notes as JSON Lines.
struct Jsonl(RecordFile);

#[derive(Serialize)]
struct Record<'a> {
    version: u32,
    #[serde(flatten)]
    note: &'a Note,
}

impl Jsonl {
    /// The version of the records.
    const VERSION: u32 = 1;

    fn create(target: &mut Target) -> Result<Jsonl, Error> {
        let file = RecordFile::create(target, &["notes.jsonl".to_owned()])?;
        Ok(Jsonl(file))
    }
}

impl Writer for Jsonl {
    fn note(&mut self, _: &mut Target, note: &Note, _: &Place) -> Result<(), Error> {
        let version = Jsonl::VERSION;
        self.0.json_line(&Record { version, note })
    }

    fn finish(self: Box<Self>, _: &mut Target) -> Result<(), Error> {
        self.0.finish()
    }
}
