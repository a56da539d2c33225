//! Exports messages to a folder: pages to read, and records for programs.
//!
//! ```text
//! DIR/index.html, chats/NAME.html, search/1.js    pages
//! DIR/messages.jsonl, chats.jsonl                 records
//! DIR/messages.csv                                a table
//! DIR/text/NAME.txt                               plain text
//! DIR/attachments/NAME/FILE                       the files
//! ```

mod csv;
mod html;
mod jsonl;
mod search;
mod source;
mod text;
mod words;

#[cfg(feature = "web")]
pub(crate) use self::html::{article, day};
#[cfg(feature = "web")]
pub(crate) use self::words::title;

use std::path::Path;
use std::sync::atomic::AtomicBool;

use serde::Serialize;

use self::source::Source;
use crate::backup_format::unreadable_rows::Unread;
use crate::base::progress::{Monitor, Phase};
use crate::content::Time;
use crate::content::contacts::Contacts;
use crate::content::messages::{Chat, Message, Messages, Period, Which};
pub use crate::export::attachments::{Attachments, Counts};
use crate::export::attachments::{Files, Wanted};
use crate::export::destination::{Into, Target};
use crate::export::mark::Mark;
use crate::export::outcome::{Listing, Problem, Renamed, Tally};
use crate::export::workers::{self, Manner};
use crate::export::{Error, Exported};
use crate::reader::backup::Backup;

/// The formats of an export of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Pages to read, with an index and a search.
    Html,
    /// JSON Lines: a record for each message.
    Jsonl,
    /// CSV: a table for spreadsheets.
    Csv,
    /// Plain text: a file for each conversation.
    Text,
}

/// Options for an export of messages.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Options for filling the target folder.
    pub into: Into,
    /// The formats; each once.
    pub formats: Vec<Format>,
    /// The period.
    pub period: Period,
    /// Only conversations that fit one of these: a part of the title or of a member's name, or an
    /// address. All if empty.
    pub chats: Vec<String>,
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
    /// The reason that names are not known, if the contacts cannot be read.
    pub no_names: Option<String>,
    /// Number of conversations with messages.
    pub chats: u64,
    /// Number of messages and events. Reactions are part of their messages.
    pub messages: u64,
    /// Number of recently deleted messages among them.
    pub deleted: u64,
    /// Number of messages whose body or row cannot be decoded. They are marked as such.
    pub undecodable: u64,
    /// Counts of attachments.
    pub attachments: Counts,
    /// The parts of the database that cannot be read, so that messages are missing.
    pub damage: Listing<Damage>,
    /// The exported messages whose date cannot be right.
    pub doubtful: Listing<Damage>,
    /// The problems with single files.
    pub problems: Listing<Problem>,
    /// The files that got a number or another name because their own was taken or the disk cannot
    /// hold it.
    pub renamed: Listing<Renamed>,
    /// The parts of the backup's list that could not be read.
    pub unread: Unread,
}

/// A part of the database that cannot be read, or that cannot be right.
#[derive(Debug, Clone, Serialize)]
pub struct Damage {
    /// The title of the conversation that is not complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chat: Option<String>,
    /// The reason.
    pub why: String,
}

/// A conversation that is being exported.
struct Talk<'a> {
    /// The conversation; `None` for messages that belong to none.
    chat: Option<&'a Chat>,
    /// Title for people.
    title: String,
    /// The name of its files and folders, without an extension.
    file_name: String,
}

/// Writes conversations in one format. A conversation begins with its first message.
trait Writer {
    fn begin(&mut self, target: &mut Target, talk: &Talk<'_>) -> Result<(), Error>;
    fn message(
        &mut self,
        target: &mut Target,
        talk: &Talk<'_>,
        message: &Message,
    ) -> Result<(), Error>;
    fn end(&mut self, target: &mut Target, talk: &Talk<'_>) -> Result<(), Error>;
    fn finish(self: Box<Self>, target: &mut Target) -> Result<(), Error>;
}

/// Exports the messages of a backup into a folder.
pub fn export(
    backup: &Backup,
    to: &Path,
    options: &Options,
    interrupt: &AtomicBool,
    monitor: &dyn Monitor,
) -> Result<Exported<Report>, Error> {
    check(backup, options)?;
    let mut messages = Messages::open(backup)?;
    let job = Job {
        no_names: name_people(&mut messages, backup),
        source: &messages,
    };
    job.export(backup, to, options, (interrupt, monitor))
}

/// Refuses options that this backup cannot have.
pub(crate) fn check(backup: &Backup, options: &Options) -> Result<(), Error> {
    if options.attachments == Attachments::Link && backup.is_encrypted() {
        return Err(Error::LinksToEncrypted);
    }
    Ok(())
}

/// An export of the conversations of an application.
pub(crate) struct Job<'a> {
    pub(crate) source: &'a dyn Source,
    /// The reason that names are not known.
    pub(crate) no_names: Option<String>,
}

impl Job<'_> {
    /// Exports the conversations into a folder.
    pub(crate) fn export(
        self,
        backup: &Backup,
        to: &Path,
        options: &Options,
        (interrupt, monitor): (&AtomicBool, &dyn Monitor),
    ) -> Result<Exported<Report>, Error> {
        let source = self.source;
        let all = source.chats()?;
        let chats = chosen(&all, &options.chats)?;
        let mark = Mark::new(backup, source.kind(), &Described::of(options));
        let mut target = Target::open(to, backup.folder(), options.into)?;
        let resumed = mark.admits(&target)?;
        let dry_run = options.into.dry_run;
        if !dry_run {
            mark.write(&target)?;
            monitor.phase(Phase::Extracting);
        }
        // Each message counts as some bytes, so that the progress shows them beside the
        // attachments.
        let (count, bytes) = source.amount();
        let expected = bytes + count * MESSAGE_BYTES;
        let tally = Tally::new(0, expected, monitor, interrupt);
        let mut report = Report {
            to: to.display().to_string(),
            dry_run,
            resumed,
            no_names: self.no_names,
            ..Report::default()
        };
        for e in source.damage() {
            let (chat, why) = (None, e.to_string());
            report.damage.add(Damage { chat, why });
        }
        let manner = Manner {
            overwrite: options.into.overwrite || resumed,
            all_modes: false,
            holds_files: target.holds_files(),
            dry_run,
        };
        let root = target.root().to_path_buf();
        let written = workers::fill(backup.reader(), &root, manner, &tally, |give| {
            let mut run = Run {
                source,
                options,
                files: Files::new(backup, options.attachments, dry_run, &tally, give),
                tally: &tally,
                target: &mut target,
                report: &mut report,
            };
            run.all(&chats)
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
}

/// Names the people by the contacts of the backup. Returns the reason if that is not possible.
pub(crate) fn name_people(messages: &mut Messages, backup: &Backup) -> Option<String> {
    match Contacts::open(backup) {
        Ok(contacts) => {
            let directory = contacts.directory(messages.home());
            messages.name_people(|handle| {
                let name = directory.name(&handle.address, handle.country.as_deref());
                name.map(str::to_owned)
            });
            None
        }
        Err(e) => Some(e.to_string()),
    }
}

/// The title of messages that belong to no conversation.
const NO_CHAT: &str = "No conversation";
/// The weight of a message in the progress, in bytes.
const MESSAGE_BYTES: u64 = 256;

/// The options that decide what an export writes.
#[derive(Serialize)]
struct Described<'a> {
    formats: &'a [Format],
    since: Option<String>,
    until: Option<String>,
    chats: &'a [String],
    attachments: Attachments,
}

impl Described<'_> {
    fn of(options: &Options) -> Described<'_> {
        Described {
            formats: &options.formats,
            since: options.period.since.map(|time| time.to_string()),
            until: options.period.until.map(|time| time.to_string()),
            chats: &options.chats,
            attachments: options.attachments,
        }
    }
}

/// Returns the conversations that fit one of the wishes.
fn chosen<'a>(chats: &'a [Chat], wishes: &[String]) -> Result<Vec<&'a Chat>, Error> {
    for wish in wishes {
        if !chats.iter().any(|chat| words::fits(chat, wish)) {
            return Err(Error::NoChat(wish.clone()));
        }
    }
    let fits =
        |chat: &&Chat| wishes.is_empty() || wishes.iter().any(|wish| words::fits(chat, wish));
    Ok(chats.iter().filter(fits).collect())
}

/// A running export.
struct Run<'a, 'b> {
    source: &'a dyn Source,
    options: &'a Options,
    files: Files<'a>,
    tally: &'a Tally<'b>,
    target: &'a mut Target,
    report: &'a mut Report,
}

impl Run<'_, '_> {
    fn all(&mut self, chats: &[&Chat]) -> Result<(), Error> {
        let mut writers: Vec<Box<dyn Writer>> = Vec::new();
        if !self.report.dry_run {
            for format in &self.options.formats {
                writers.push(match format {
                    Format::Html => Box::new(html::Html::create(self.target, self.source.title())?),
                    Format::Jsonl => Box::new(jsonl::Jsonl::create(self.target)?),
                    Format::Csv => Box::new(csv::Csv::create(self.target)?),
                    Format::Text => Box::new(text::Text::default()),
                });
            }
        }
        for chat in chats {
            self.one(Some(chat), Which::Of(chat), &mut writers)?;
        }
        if self.options.chats.is_empty() {
            self.one(None, Which::WithoutChat, &mut writers)?;
        }
        // Files of an export that stopped are dropped, so that none of them is incomplete.
        if !self.tally.is_over() {
            for writer in writers {
                writer.finish(self.target)?;
            }
        }
        Ok(())
    }

    /// Exports a conversation.
    fn one(
        &mut self,
        chat: Option<&Chat>,
        which: Which<'_>,
        writers: &mut [Box<dyn Writer>],
    ) -> Result<(), Error> {
        if self.tally.is_over() {
            return Ok(());
        }
        let mut talk: Option<Talk<'_>> = None;
        let mut failed = None;
        let source = self.source;
        let read = source.each(which, &self.options.period, &mut |mut message| {
            let goes_on = (|| {
                if talk.is_none() {
                    let begun = self.begin(chat);
                    for writer in writers.iter_mut() {
                        writer.begin(self.target, &begun)?;
                    }
                    talk = Some(begun);
                }
                if let Some(talk) = &talk {
                    self.message(talk, &mut message, writers)?;
                }
                Ok::<(), Error>(())
            })();
            failed = goes_on.err();
            failed.is_none() && !self.tally.is_over()
        });
        if let Some(e) = failed {
            return Err(e);
        }
        if let Some(talk) = &talk
            && !self.tally.is_over()
        {
            for writer in writers {
                writer.end(self.target, talk)?;
            }
        }
        // The other conversations may be whole.
        if let Err(e) = read {
            let chat = Some(chat.map_or_else(|| NO_CHAT.to_owned(), words::title));
            let why = e.to_string();
            self.report.damage.add(Damage { chat, why });
        }
        Ok(())
    }

    fn begin<'c>(&mut self, chat: Option<&'c Chat>) -> Talk<'c> {
        let title = chat.map_or_else(|| NO_CHAT.to_owned(), words::title);
        self.report.chats += 1;
        let file_name = self.files.name_of(self.target, &title);
        Talk {
            chat,
            title,
            file_name,
        }
    }

    fn message(
        &mut self,
        talk: &Talk<'_>,
        message: &mut Message,
        writers: &mut [Box<dyn Writer>],
    ) -> Result<(), Error> {
        self.report.messages += 1;
        self.report.deleted += u64::from(message.deleted);
        self.report.undecodable += u64::from(message.undecodable.is_some());
        let year = message.time.map(Time::year);
        if let Some(year) = year.filter(|year| !self.source.years().contains(year)) {
            let chat = Some(talk.title.clone());
            let why = format!("the date of a message is in the year {year}");
            self.report.doubtful.add(Damage { chat, why });
        }
        for attachment in message.attachments_mut() {
            let wanted = Wanted {
                domain: self.source.domain(),
                path: attachment.path.as_deref(),
                name: attachment.name.as_deref(),
                file: attachment.file,
                folder: &talk.file_name,
            };
            let counts = &mut self.report.attachments;
            attachment.exported = self.files.export(&wanted, self.target, counts)?;
        }
        self.tally.moved(MESSAGE_BYTES);
        for writer in writers {
            writer.message(self.target, talk, message)?;
        }
        Ok(())
    }
}
