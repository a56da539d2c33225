//! Compares two backups by what the phone noted of each file, without reading any file.
//!
//! Two threads read the lists in the order of file ids, and this module merges them. Neither list
//! is held in memory.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::atomic::{self, AtomicBool};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use plist::Value;
use serde::Serialize;

use crate::backup_format::categories::Kind;
use crate::backup_format::manifest_db::{Filter, Kind as Is};
use crate::backup_format::plists::{self, Info, ManifestPlist, Status};
use crate::backup_format::unreadable_rows::Unread;
use crate::base::time::rfc3339;
use crate::reader::Error;
use crate::reader::backup::{Backup, Item};

/// Number of items in a batch that a thread hands over.
const HANDFUL: usize = 64;
/// Number of batches that wait at most.
const WAITING: usize = 4;

/// Kind of change to a file or link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Only the second backup has it.
    Added,
    /// Only the first backup has it.
    Removed,
    /// Both have it, and the phone noted another size, time, hash or target.
    Changed,
}

/// A file or link that differs between the two backups.
#[derive(Debug, Clone, Serialize)]
pub struct Difference {
    /// Kind of the change.
    pub change: Change,
    /// Domain of the file on the phone.
    pub domain: String,
    /// Path of the file in its domain.
    pub relative_path: String,
    /// State in the first backup; `None` if the file was added.
    pub before: Option<Noted>,
    /// State in the second backup; `None` if the file was removed.
    pub after: Option<Noted>,
}

/// State of a file or link, as the phone noted it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Noted {
    /// Size in bytes.
    pub bytes: u64,
    /// Time of the last change to the contents, in seconds since 1970.
    pub modified: i64,
    /// Target of a link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    #[serde(skip)]
    digest: Option<Vec<u8>>,
    #[serde(skip)]
    is_readable: bool,
}

/// Number and size of files. The size of a changed file is the one in the second backup.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Amount {
    /// Number of files and links.
    pub files: u64,
    /// Size of these files in bytes.
    pub bytes: u64,
}

/// Amounts by change, for all files or for one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Amounts {
    /// Files that only the second backup has.
    pub added: Amount,
    /// Files that only the first backup has.
    pub removed: Amount,
    /// Files that both backups have, and that differ.
    pub changed: Amount,
}

/// Amounts for one kind of files.
#[derive(Debug, Clone, Serialize)]
pub struct OfKind {
    /// The kind that the amounts are for.
    pub kind: Kind,
    /// Amounts of this kind.
    #[serde(flatten)]
    pub amounts: Amounts,
}

/// A side of the comparison: one of the two backups.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Side {
    /// Folder of the backup.
    pub path: String,
    /// The phone's name.
    pub name: Option<String>,
    /// Version of iOS on the phone.
    pub ios: Option<String>,
    /// Time at which the backup was made, RFC 3339.
    pub date: Option<String>,
    /// The files of the backup are encrypted.
    pub encrypted: bool,
    /// Parts of the backup's list that could not be read.
    pub unread: Unread,
    #[serde(skip)]
    apps: BTreeSet<String>,
}

/// Result of a comparison.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The first backup.
    pub before: Side,
    /// The second backup.
    pub after: Side,
    /// Amounts for all kinds together.
    #[serde(flatten)]
    pub amounts: Amounts,
    /// Number of files and links that are the same in both.
    pub unchanged: u64,
    /// Amounts for each kind that has changes.
    pub kinds: Vec<OfKind>,
    /// Apps that only the second backup knows.
    pub apps_added: Vec<String>,
    /// Apps that only the first backup knows.
    pub apps_removed: Vec<String>,
}

/// Compares two backups. Hands each difference to `each` as it is found, in the order of file ids.
pub fn diff(
    before: Backup,
    after: Backup,
    interrupt: &AtomicBool,
    mut each: impl FnMut(Difference),
) -> Result<Report, Error> {
    let mut sides = [Side::of(&before), Side::of(&after)];
    let mut sum = Sum::default();
    std::thread::scope(|scope| {
        let (sender, one) = sync_channel(WAITING);
        let first = scope.spawn(move || send(&before, &sender).map(|()| before.unread()));
        let (sender, other) = sync_channel(WAITING);
        let second = scope.spawn(move || send(&after, &sender).map(|()| after.unread()));
        let merged = merge(Items::new(one), Items::new(other), |one, other| {
            if let Some(difference) = sum.add(one, other) {
                each(difference);
            }
            !interrupt.load(atomic::Ordering::Relaxed)
        });
        // The receivers are gone by now, so a thread that still sends ends at its next batch.
        for (side, thread) in sides.iter_mut().zip([first, second]) {
            match thread.join() {
                Ok(sent) => side.unread = sent?,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        if merged {
            Ok(())
        } else {
            Err(Error::Interrupted)
        }
    })?;
    let [before, after] = sides;
    Ok(Report {
        apps_added: after.apps.difference(&before.apps).cloned().collect(),
        apps_removed: before.apps.difference(&after.apps).cloned().collect(),
        before,
        after,
        amounts: sum.all,
        unchanged: sum.unchanged,
        kinds: Kind::ALL
            .into_iter()
            .zip(sum.kinds)
            .filter(|(_, amounts)| *amounts != Amounts::default())
            .map(|(kind, amounts)| OfKind { kind, amounts })
            .collect(),
    })
}

impl Side {
    fn of(backup: &Backup) -> Side {
        let folder = backup.folder();
        // Each of these files may be absent or damaged; `verify` reports that.
        let manifest = ManifestPlist::read(folder).ok();
        let info = Info::read(folder).unwrap_or_default();
        let date = Status::read(folder)
            .ok()
            .and_then(|status| status.date)
            .or(manifest.as_ref().and_then(|manifest| manifest.date))
            .or(info.last_backup);
        Side {
            path: folder.display().to_string(),
            name: info
                .device_name
                .or(manifest.as_ref().and_then(|m| m.device_name.clone())),
            ios: info
                .product_version
                .or(manifest.and_then(|manifest| manifest.product_version)),
            date: date.map(rfc3339),
            encrypted: backup.is_encrypted(),
            unread: Unread::default(),
            apps: apps(folder),
        }
    }
}

fn apps(folder: &std::path::Path) -> BTreeSet<String> {
    let installed = plists::read(folder, "Info.plist").ok();
    let installed = installed
        .as_ref()
        .and_then(|info| info.get("Installed Applications")?.as_array());
    if let Some(installed) = installed {
        let names = installed.iter().filter_map(Value::as_string);
        return names.map(str::to_owned).collect();
    }
    let manifest = plists::read(folder, "Manifest.plist").ok();
    let applications = manifest
        .as_ref()
        .and_then(|manifest| manifest.get("Applications")?.as_dictionary());
    let names = applications.map(|apps| apps.keys().cloned().collect());
    names.unwrap_or_default()
}

fn send(backup: &Backup, to: &SyncSender<Vec<Item>>) -> Result<(), Error> {
    let filter = Filter {
        by_id: true,
        ..Filter::default()
    };
    let mut handful = Vec::with_capacity(HANDFUL);
    backup.each(&filter, |item| {
        if item.kind == Is::Directory {
            return true;
        }
        if let Err(why) = item.facts() {
            backup.note_record(&item, &why);
        }
        handful.push(item);
        handful.len() < HANDFUL || to.send(std::mem::take(&mut handful)).is_ok()
    })?;
    // If the receiver is gone, it has its reasons, and nothing is left to do here.
    drop(to.send(handful));
    Ok(())
}

/// Items that a thread sends, one after the other.
struct Items {
    from: Receiver<Vec<Item>>,
    handful: std::vec::IntoIter<Item>,
    next: Option<Item>,
}

impl Items {
    fn new(from: Receiver<Vec<Item>>) -> Items {
        let mut items = Items {
            from,
            handful: Vec::new().into_iter(),
            next: None,
        };
        items.take();
        items
    }

    /// Returns the next item, and reads the one behind it into `next`.
    fn take(&mut self) -> Option<Item> {
        loop {
            if let Some(item) = self.handful.next() {
                return self.next.replace(item);
            }
            match self.from.recv() {
                Ok(handful) => self.handful = handful.into_iter(),
                Err(_) => return self.next.take(),
            }
        }
    }
}

/// Calls `each` with every item of either list, paired if both lists have it, until `each` returns
/// false. Returns true if it never did.
fn merge(
    mut one: Items,
    mut other: Items,
    mut each: impl FnMut(Option<Item>, Option<Item>) -> bool,
) -> bool {
    loop {
        let order = match (&one.next, &other.next) {
            (None, None) => return true,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(one), Some(other)) => one.file_id.cmp(&other.file_id),
        };
        let goes_on = match order {
            Ordering::Less => each(one.take(), None),
            Ordering::Greater => each(None, other.take()),
            Ordering::Equal => each(one.take(), other.take()),
        };
        if !goes_on {
            return false;
        }
    }
}

#[derive(Default)]
struct Sum {
    all: Amounts,
    kinds: [Amounts; Kind::ALL.len()],
    unchanged: u64,
}

impl Sum {
    fn add(&mut self, before: Option<Item>, after: Option<Item>) -> Option<Difference> {
        if let (Some(before), Some(after)) = (&before, &after)
            && before.kind == after.kind
            && (before.is_noted_as(after) || is_same(&noted(before), &noted(after)))
        {
            self.unchanged += 1;
            return None;
        }
        let (was, is) = (before.as_ref().map(noted), after.as_ref().map(noted));
        let bytes = is.as_ref().or(was.as_ref()).map_or(0, |noted| noted.bytes);
        let change = match (&was, &is) {
            (None, _) => Change::Added,
            (_, None) => Change::Removed,
            _ => Change::Changed,
        };
        let item = after.or(before)?;
        let kind = Kind::of(&item.domain, &item.relative_path);
        for amounts in [&mut self.all, &mut self.kinds[kind as usize]] {
            let amount = match change {
                Change::Added => &mut amounts.added,
                Change::Removed => &mut amounts.removed,
                Change::Changed => &mut amounts.changed,
            };
            amount.files += 1;
            amount.bytes = amount.bytes.saturating_add(bytes);
        }
        Some(Difference {
            change,
            domain: item.domain,
            relative_path: item.relative_path,
            before: was,
            after: is,
        })
    }
}

fn noted(item: &Item) -> Noted {
    let record = item.record();
    let is_readable = record.is_ok();
    let record = record.unwrap_or_default();
    Noted {
        // If the record has no size, use that of the file itself.
        bytes: item.size().unwrap_or(record.size),
        modified: record.last_modified,
        target: record.target,
        digest: record.digest,
        is_readable,
    }
}

/// Returns true if the noted facts are equal. Keys, inodes and the like change with every restore
/// and say nothing about a file's contents, so they do not count.
fn is_same(before: &Noted, after: &Noted) -> bool {
    let same_digest = match (&before.digest, &after.digest) {
        (Some(before), Some(after)) => before == after,
        // Some iOS versions write a digest for fewer files than others do.
        _ => true,
    };
    before.is_readable
        && after.is_readable
        && same_digest
        && before.bytes == after.bytes
        && before.modified == after.modified
        && before.target == after.target
}
