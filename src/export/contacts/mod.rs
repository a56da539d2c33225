//! Exports contacts to a folder: cards for other address books, and records for programs.
//!
//! ```text
//! DIR/contacts.vcf      vCard 4, with pictures
//! DIR/contacts.html     a page to read
//! DIR/contacts.jsonl    records
//! DIR/contacts.csv      a table
//! DIR/pictures/NAME.jpg the pictures, except in cards
//! ```

mod csv;
mod html;
mod vcard;

#[cfg(feature = "web")]
pub(crate) use self::html::card;

use std::path::Path;
use std::sync::atomic::AtomicBool;

use serde::Serialize;

use crate::backup_format::unreadable_rows::Unread;
use crate::base::progress::{Monitor, Phase};
use crate::content::contacts::{Contacts, Person, Picture};
use crate::export::destination::{Into, Target};
use crate::export::mark::Mark;
use crate::export::outcome::Tally;
use crate::export::record_file::{self, RecordFile};
use crate::export::{Error, Exported};
use crate::reader::backup::Backup;

/// The formats of an export of contacts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// vCard 4.
    Vcard,
    /// A page to read.
    Html,
    /// JSON Lines: a record for each person.
    Jsonl,
    /// CSV: a table for spreadsheets.
    Csv,
}

/// Options for an export of contacts.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Options for filling the target folder.
    pub into: Into,
    /// The formats; each once.
    pub formats: Vec<Format>,
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
    /// Number of people and organisations.
    pub people: u64,
    /// Number of them with a picture.
    pub pictures: u64,
    /// The reason that pictures are missing, if some cannot be read.
    pub no_pictures: Option<String>,
    /// The parts of the backup's list that could not be read.
    pub unread: Unread,
}

/// Writes people in one format.
trait Writer {
    /// Writes a person. `picture` has the path of its file below the target folder.
    fn person(&mut self, person: &Person, picture: Option<&(Picture, String)>)
    -> Result<(), Error>;
    fn finish(self: Box<Self>) -> Result<(), Error>;
}

/// Exports the contacts of a backup into a folder.
pub fn export(
    backup: &Backup,
    to: &Path,
    options: &Options,
    interrupt: &AtomicBool,
    monitor: &dyn Monitor,
) -> Result<Exported<Report>, Error> {
    let contacts = Contacts::open(backup)?;
    let mark = Mark::new(backup, "contacts", &options.formats);
    let mut target = Target::open(to, backup.folder(), options.into)?;
    let mut report = Report {
        to: to.display().to_string(),
        dry_run: options.into.dry_run,
        resumed: mark.admits(&target)?,
        ..Report::default()
    };
    if !report.dry_run {
        mark.write(&target)?;
        monitor.phase(Phase::Extracting);
    }
    let total = contacts.people().len() as u64;
    let tally = Tally::new(total, total, monitor, interrupt);
    if let Err(e) = write(&contacts, &mut target, options, &tally, &mut report) {
        tally.stop(e);
    }
    let lists = tally.into_lists(backup);
    report.unread = backup.unread();
    report.complete = lists.stopped.is_none();
    Ok(Exported {
        report,
        stopped: lists.stopped,
    })
}

fn write(
    contacts: &Contacts,
    target: &mut Target,
    options: &Options,
    tally: &Tally<'_>,
    report: &mut Report,
) -> Result<(), Error> {
    let mut writers: Vec<Box<dyn Writer>> = Vec::new();
    if !report.dry_run {
        for format in &options.formats {
            writers.push(match format {
                Format::Vcard => Box::new(vcard::Vcard::create(target)?),
                Format::Jsonl => Box::new(Jsonl::create(target)?),
                Format::Html => Box::new(html::Html::create(target)?),
                Format::Csv => Box::new(csv::Csv::create(target)?),
            });
        }
    }
    // Cards hold their pictures; the other formats name files.
    let has_files = options
        .formats
        .iter()
        .any(|format| *format != Format::Vcard);
    for person in contacts.people() {
        if tally.is_over() {
            // Files of an export that stopped are dropped, so that none of them is incomplete.
            return Ok(());
        }
        report.people += 1;
        let picture = contacts.picture(person).unwrap_or_else(|e| {
            report.no_pictures.get_or_insert(e.to_string());
            None
        });
        report.pictures += u64::from(picture.is_some());
        let picture = match picture {
            Some(picture) if has_files && !report.dry_run => {
                let path = file(target, person, &picture)?;
                Some((picture, path))
            }
            picture => picture.map(|picture| (picture, String::new())),
        };
        for writer in &mut writers {
            writer.person(person, picture.as_ref())?;
        }
        tally.wrote(0);
        tally.moved(1);
    }
    for writer in writers {
        writer.finish()?;
    }
    Ok(())
}

/// Writes the file of a picture, and returns its path below the target folder.
fn file(target: &mut Target, person: &Person, picture: &Picture) -> Result<String, Error> {
    let name = record_file::name_of(&person.name);
    let name = format!("{name}.{}", picture.extension);
    let Some(mut place) = target.rules().below(["pictures", &name].into_iter()) else {
        return Ok(String::new());
    };
    target.take(&mut place);
    let mut file = RecordFile::create(target, &place.parts)?;
    file.bytes(&picture.bytes)?;
    file.finish()?;
    Ok(place.path())
}

/// Contacts as JSON Lines.
struct Jsonl(RecordFile);

#[derive(Serialize)]
struct Line<'a> {
    version: u32,
    #[serde(flatten)]
    person: &'a Person,
    #[serde(skip_serializing_if = "Option::is_none")]
    picture: Option<&'a str>,
}

impl Jsonl {
    /// The version of the records.
    const VERSION: u32 = 1;

    fn create(target: &mut Target) -> Result<Jsonl, Error> {
        Ok(Jsonl(RecordFile::create(
            target,
            &["contacts.jsonl".to_owned()],
        )?))
    }
}

impl Writer for Jsonl {
    fn person(
        &mut self,
        person: &Person,
        picture: Option<&(Picture, String)>,
    ) -> Result<(), Error> {
        self.0.json_line(&Line {
            version: Jsonl::VERSION,
            person,
            picture: picture.map(|(_, path)| path.as_str()),
        })
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        self.0.finish()
    }
}
