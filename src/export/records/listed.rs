//! The records of a list for a page that shows some of them at a time.

use super::page::Shown;
use super::table::Record;
use crate::content::calendar::Calendar;
use crate::content::calls::Calls;
use crate::content::contacts::{Contacts, Directory, Region};
use crate::content::query::Query;
use crate::content::reminders::Reminders;
use crate::content::safari::Safari;
use crate::content::voice_memos::VoiceMemos;
use crate::content::voicemail::Voicemail;
use crate::content::{Error, Kind};
use crate::reader::backup::Backup;

/// A list of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum List {
    Calls,
    Voicemail,
    Calendar,
    Reminders,
    Bookmarks,
    SavedPages,
    History,
    VoiceMemos,
}

/// All lists, with their names in addresses and their titles.
pub(crate) const LISTS: &[(List, &str, &str)] = &[
    (List::Calls, "calls", "Calls"),
    (List::Voicemail, "voicemail", "Voicemail"),
    (List::Calendar, "calendar", "Calendar"),
    (List::Reminders, "reminders", "Reminders"),
    (List::VoiceMemos, "voice-memos", "Voice memos"),
    (List::Bookmarks, "bookmarks", "Safari: bookmarks"),
    (List::SavedPages, "reading-list", "Safari: reading list"),
    (List::History, "history", "Safari: history"),
];

/// One record of a list.
pub(crate) struct Listed {
    /// Texts that a page shows.
    pub(crate) shown: Shown,
    /// The reasons to doubt it.
    pub(crate) doubts: Vec<String>,
    /// The domain and the path of its recording.
    pub(crate) file: Option<(&'static str, String)>,
}

impl Listed {
    fn of(mut record: impl Record) -> Listed {
        let file = record
            .file()
            .and_then(|file| Some((file.domain, file.path?.to_owned())));
        Listed {
            shown: record.shown(),
            doubts: record.doubts().to_vec(),
            file,
        }
    }

    fn has(&self, query: &Query) -> bool {
        let shown = &self.shown;
        let texts = [
            Some(&shown.title),
            shown.text.as_ref(),
            Some(&shown.heading),
        ];
        let mut texts = texts.into_iter().flatten().chain(&shown.facts);
        texts.any(|text| query.find(text).is_some())
    }
}

/// A part of a list.
pub(crate) struct Window {
    pub(crate) records: Vec<Listed>,
    /// Number of records that have the words of the query.
    pub(crate) count: u64,
    /// The reason that the list is not whole.
    pub(crate) incomplete: Option<String>,
}

/// Returns `take` records after the first `skip` of those that have the words of a query: the
/// newest first, and reminders and bookmarks by their lists.
pub(crate) fn window(
    backup: &Backup,
    list: List,
    query: &Query,
    (skip, take): (u64, u64),
) -> Result<Window, Error> {
    let mut incomplete = None;
    let mut read = |each: &mut dyn FnMut(Listed)| {
        let read = visit(backup, list, &mut |record| {
            if record.has(query) {
                each(record);
            }
        });
        match read {
            Err(e @ (Error::Absent(_) | Error::OnlyInEncrypted(_))) => Err(e),
            Err(e) => {
                incomplete = Some(e.to_string());
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    };
    let mut records = Vec::new();
    let mut count = 0u64;
    if matches!(list, List::Reminders | List::Bookmarks) {
        read(&mut |record| records.push(record))?;
        count = records.len() as u64;
        records.sort_by(|a, b| a.shown.heading.cmp(&b.shown.heading));
        let first = skip.min(count) as usize;
        records.drain(..first);
        records.truncate(take as usize);
    } else {
        // The databases are read from the oldest record on. Holding the records of some years of
        // history would need more memory than reading them twice takes time.
        read(&mut |_| count += 1)?;
        let last = count.saturating_sub(skip);
        let wanted = last.saturating_sub(take)..last;
        let mut number = 0;
        read(&mut |record| {
            if wanted.contains(&number) {
                records.push(record);
            }
            number += 1;
        })?;
        records.reverse();
    }
    Ok(Window {
        records,
        count,
        incomplete,
    })
}

fn visit(backup: &Backup, list: List, each: &mut dyn FnMut(Listed)) -> Result<(), Error> {
    match list {
        List::Calls => {
            let calls = Calls::open(backup)?;
            let names = names(backup, calls.home());
            calls.each(names.as_ref(), |call| take(each, call))
        }
        List::Voicemail => {
            let voicemail = Voicemail::open(backup)?;
            let names = names(backup, voicemail.home());
            voicemail.each(names.as_ref(), |one| take(each, one))
        }
        List::Calendar => Calendar::open(backup)?.each(|event| take(each, event)),
        List::Reminders => Reminders::open(backup)?.each(|reminder| take(each, reminder)),
        List::VoiceMemos => VoiceMemos::open(backup)?.each(|memo| take(each, memo)),
        List::History => {
            let safari = Safari::open(backup)?;
            if !safari.has_history() {
                return Err(Error::Absent(Kind::Safari));
            }
            safari.visits(|visit| take(each, visit))
        }
        List::Bookmarks | List::SavedPages => {
            let safari = Safari::open(backup)?;
            if !safari.has_bookmarks() {
                return Err(Error::Absent(Kind::Safari));
            }
            let (bookmarks, saved) = safari.bookmarks()?;
            if list == List::Bookmarks {
                bookmarks.into_iter().all(|one| take(each, one));
            } else {
                saved.into_iter().all(|one| take(each, one));
            }
            Ok(())
        }
    }
}

fn take(each: &mut dyn FnMut(Listed), record: impl Record) -> bool {
    each(Listed::of(record));
    true
}

/// Returns the names of addresses; `None` if the backup has no contacts that can be read.
fn names(backup: &Backup, home: Option<Region>) -> Option<Directory> {
    let contacts = Contacts::open(backup).ok()?;
    Some(contacts.directory(home))
}
