//! What changed between two backups: by what the phone noted of each file, without reading a single
//! one.
//!
//! Both lists come in the order of file ids, each from a thread of its own, and are merged: nothing
//! of them is held.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::atomic::{self, AtomicBool};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use plist::Value;
use serde::Serialize;

use super::Error;
use super::list::rfc3339;
use super::opened::{Item, Opened};
use crate::manifest::db::{Filter, Kind as Is};
use crate::manifest::kinds::Kind;
use crate::manifest::plists::{self, Info, ManifestPlist, Status};
use crate::manifest::unread::Unread;

/// Items that are handed over at a time.
const HANDFUL: usize = 64;
/// How many such handfuls wait at most.
const WAITING: usize = 4;

/// What happened to a file or link.
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

/// A file or link that is not the same in both.
#[derive(Debug, Clone, Serialize)]
pub struct Difference {
    /// What happened to it.
    pub change: Change,
    /// The phone's name of it: the domain ...
    pub domain: String,
    /// ... and the path in it.
    pub relative_path: String,
    /// What it was.
    pub before: Option<Noted>,
    /// What it is.
    pub after: Option<Noted>,
}

/// What the phone noted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Noted {
    /// Bytes.
    pub bytes: u64,
    /// When its contents were changed, seconds since 1970.
    pub modified: i64,
    /// Where a link points.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    #[serde(skip)]
    digest: Option<Vec<u8>>,
    #[serde(skip)]
    is_readable: bool,
}

/// How many files, and how large they are in the backup that has them; of changed ones in the
/// second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Amount {
    /// Files and links.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What changed, of all files or of a kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Amounts {
    /// Those that only the second backup has.
    pub added: Amount,
    /// Those that only the first one has.
    pub removed: Amount,
    /// Those that both have.
    pub changed: Amount,
}

/// The same of a kind.
#[derive(Debug, Clone, Serialize)]
pub struct OfKind {
    /// Of what.
    pub kind: Kind,
    /// How much.
    #[serde(flatten)]
    pub amounts: Amounts,
}

/// One of the two backups.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Side {
    /// Its folder.
    pub path: String,
    /// The phone's name.
    pub name: Option<String>,
    /// iOS version.
    pub ios: Option<String>,
    /// When it was made, RFC 3339.
    pub date: Option<String>,
    /// Its files are encrypted.
    pub encrypted: bool,
    /// What could not be read of it.
    pub unread: Unread,
    #[serde(skip)]
    apps: BTreeSet<String>,
}

/// What changed.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The first backup.
    pub before: Side,
    /// The second one.
    pub after: Side,
    /// Of all kinds together.
    #[serde(flatten)]
    pub amounts: Amounts,
    /// Files and links that are the same in both.
    pub unchanged: u64,
    /// Of those kinds of which anything changed.
    pub kinds: Vec<OfKind>,
    /// Apps that only the second backup knows.
    pub apps_added: Vec<String>,
    /// Apps that only the first one knows.
    pub apps_removed: Vec<String>,
}

/// Compares two backups, and hands over each difference as it is found, in the order of file ids.
pub fn diff(
    before: Opened,
    after: Opened,
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
        // Whoever still sends ends, since nobody listens any more.
        for (side, thread) in sides.iter_mut().zip([first, second]) {
            match thread.join() {
                Ok(sent) => side.unread = sent?,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        match merged {
            true => Ok(()),
            false => Err(Error::Interrupted),
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
    fn of(backup: &Opened) -> Side {
        let folder = backup.folder();
        // Each of them may be absent or damaged; `verify` tells of that.
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

fn send(backup: &Opened, to: &SyncSender<Vec<Item>>) -> Result<(), Error> {
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
    // Who has stopped listening knows why.
    drop(to.send(handful));
    Ok(())
}

/// What a thread sends, one after the other.
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

    /// Takes the next one, and looks at the one behind it.
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

/// Calls `each` for what both or one of them has, until it answers false; whether it never did.
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
        // Of a record without a size the file's own.
        bytes: item.size().unwrap_or(record.size),
        modified: record.last_modified,
        target: record.target,
        digest: record.digest,
        is_readable,
    }
}

/// Keys, inodes and the like change with every restore, and say nothing of what is in a file.
fn is_same(before: &Noted, after: &Noted) -> bool {
    let same_digest = match (&before.digest, &after.digest) {
        (Some(before), Some(after)) => before == after,
        // One iOS writes it for fewer files than another.
        _ => true,
    };
    before.is_readable
        && after.is_readable
        && same_digest
        && before.bytes == after.bytes
        && before.modified == after.modified
        && before.target == after.target
}
