//! Finds the names that complete a word: phones, backups, domains and paths. Asks no phone and for
//! no password, and reads no contents of files.

use std::collections::BTreeMap;

use clap_complete::engine::CompletionCandidate;
use idev_backup::base::time;
use idev_backup::base::udid::Udid;
use idev_backup::history::list::{self, Of};
use idev_backup::reader::backup::Backup;
use idev_backup::reader::browse;
use idev_backup::reader::passwords::NoPasswords;
use idev_backup::store::{Snapshot, Store};

use super::context::Context;
use crate::cli::args::reading::domain_and_path;

/// Largest number of paths that are offered at once.
const PATHS_MAX: usize = 1000;

/// A possible end of a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The whole word.
    pub value: String,
    /// A short description; may be empty.
    pub help: String,
}

impl Candidate {
    /// Takes a candidate from clap.
    pub fn of(candidate: &CompletionCandidate) -> Candidate {
        let help = candidate.get_help().map(ToString::to_string);
        let help = help.unwrap_or_default();
        Candidate {
            value: candidate.get_value().to_string_lossy().into_owned(),
            help: help.lines().next().unwrap_or_default().replace('\t', " "),
        }
    }
}

impl From<Candidate> for CompletionCandidate {
    fn from(candidate: Candidate) -> CompletionCandidate {
        let help = Some(candidate.help).filter(|help| !help.is_empty());
        CompletionCandidate::new(candidate.value).help(help.map(Into::into))
    }
}

/// Kinds of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    Phones,
    Backups,
    /// A backup, or a path in the current one.
    BackupsAndPaths,
    Paths,
    Domains,
}

/// Returns the names of a kind that begin with `current`.
pub fn of(context: &Context, wanted: Wanted, current: &str) -> Vec<Candidate> {
    let Some(store) = &context.store else {
        return match wanted {
            Wanted::Paths | Wanted::Domains => in_backup(context, wanted, current),
            _ => Vec::new(),
        };
    };
    match wanted {
        Wanted::Phones => phones(store, current),
        Wanted::Backups => backups(store, current),
        Wanted::BackupsAndPaths => {
            let mut found = backups(store, current);
            if !current.is_empty() && !current.contains('@') {
                found.extend(in_backup(context, Wanted::Paths, current));
            }
            found
        }
        Wanted::Paths | Wanted::Domains => in_backup(context, wanted, current),
    }
}

/// A phone of the store.
struct Phone {
    /// Name of the phone, or its UDID if the name is unknown or that of another phone too.
    name: String,
    snapshots: Vec<Snapshot>,
}

fn phones_of(store: &Store) -> Vec<Phone> {
    let mut by_udid: BTreeMap<Udid, Vec<Snapshot>> = BTreeMap::new();
    for snapshot in store.snapshots().unwrap_or_default() {
        let of_phone = by_udid.entry(snapshot.udid().clone()).or_default();
        of_phone.push(snapshot);
    }
    let named: Vec<(Udid, Option<String>, Vec<Snapshot>)> = by_udid
        .into_iter()
        .map(|(udid, snapshots)| {
            let name = list::phone_name(store, &udid);
            (udid, name, snapshots)
        })
        .collect();
    let count = |name: &str| {
        let same = |other: &Option<String>| other.as_deref() == Some(name);
        named.iter().filter(|(_, other, _)| same(other)).count()
    };
    let is_clear = |name: &String| count(name) == 1 && !name.trim().is_empty();
    let names: Vec<String> = named
        .iter()
        .map(|(udid, name, _)| match name.clone().filter(&is_clear) {
            Some(name) => name,
            None => udid.to_string(),
        })
        .collect();
    let phones = named.into_iter().zip(names);
    phones
        .map(|((_, _, snapshots), name)| Phone { name, snapshots })
        .collect()
}

fn phones(store: &Store, current: &str) -> Vec<Candidate> {
    let fitting = |phone: &Phone| phone.name.starts_with(current);
    let of = |phone: Phone| Candidate {
        help: last_backup(&phone),
        value: phone.name,
    };
    let phones = phones_of(store).into_iter();
    phones.filter(fitting).map(of).collect()
}

fn last_backup(phone: &Phone) -> String {
    let current = phone.snapshots.iter().find(|s| s.is_current());
    let date = current.and_then(|current| list::describe(current).date);
    date.map(|date| format!("last backup {}", time::when(&date)))
        .unwrap_or_default()
}

/// Returns the names of backups: `latest`, tags and phones, and the dates of a phone as soon as the
/// word can mean only that phone.
fn backups(store: &Store, current: &str) -> Vec<Candidate> {
    let phones = phones_of(store);
    let mut found = Vec::new();
    let latest = "latest".to_owned();
    if phones.len() == 1 && latest.starts_with(current) {
        found.push(Candidate {
            value: latest,
            help: last_backup(&phones[0]),
        });
    }
    let fitting = |phone: &&Phone| {
        let name = &phone.name;
        name.starts_with(current) || current.starts_with(&format!("{name}@"))
    };
    let meant: Vec<&Phone> = phones.iter().filter(fitting).collect();
    for phone in &meant {
        if phone.name.starts_with(current) {
            found.push(Candidate {
                value: phone.name.clone(),
                help: last_backup(phone),
            });
        }
    }
    if let [phone] = meant[..]
        && !current.is_empty()
    {
        let dated = dated(phone).into_iter();
        found.extend(dated.filter(|one| one.value.starts_with(current)));
    }
    for phone in &phones {
        let tags = tags(store, phone).into_iter();
        found.extend(tags.filter(|one| one.value.starts_with(current) && !current.is_empty()));
    }
    found
}

/// Returns the backups of a phone as PHONE@DATE, with the time where a day has several.
fn dated(phone: &Phone) -> Vec<Candidate> {
    let stamps: Vec<(String, &Snapshot)> = phone
        .snapshots
        .iter()
        .filter_map(|snapshot| Some((snapshot.stamp()?, snapshot)))
        .filter(|(stamp, _)| stamp.len() == "20261127-221405".len() && stamp.is_ascii())
        .collect();
    let with_head = |head: &str| {
        stamps
            .iter()
            .filter(|(stamp, _)| stamp.starts_with(head))
            .count()
    };
    stamps
        .iter()
        .map(|(stamp, snapshot)| {
            let date = format!("{}-{}-{}", &stamp[..4], &stamp[4..6], &stamp[6..8]);
            let (hour, minute, second) = (&stamp[9..11], &stamp[11..13], &stamp[13..]);
            let when = if with_head(&stamp[..8]) == 1 {
                date
            } else if with_head(&stamp[..13]) == 1 {
                format!("{date}T{hour}:{minute}")
            } else {
                format!("{date}T{hour}:{minute}:{second}")
            };
            Candidate {
                value: format!("{}@{when}", phone.name),
                help: if snapshot.is_current() { "current" } else { "" }.to_owned(),
            }
        })
        .collect()
}

fn tags(store: &Store, phone: &Phone) -> Vec<Candidate> {
    let Some(first) = phone.snapshots.first() else {
        return Vec::new();
    };
    let Ok(notes) = store.notes(first.udid()) else {
        return Vec::new();
    };
    let tags = phone.snapshots.iter().flat_map(|s| notes.of(s).tags);
    tags.map(|tag| Candidate {
        value: tag,
        help: format!("a backup of {}", phone.name),
    })
    .collect()
}

/// Returns domains or paths of the backup that the words name, else of the current one. An
/// encrypted backup gives none.
fn in_backup(context: &Context, wanted: Wanted, current: &str) -> Vec<Candidate> {
    let folder = |name: Option<&str>| {
        let store = context
            .store
            .clone()
            .ok_or(idev_backup::history::Error::NoBackups);
        let of = context.phone.as_deref().map_or(Of::Any, Of::Preferably);
        let named = list::resolve_of(store, name, of).ok();
        named.map(|named| named.folder)
    };
    let named = context
        .backup
        .as_deref()
        .and_then(|name| folder(Some(name)));
    let Some(folder) = named.or_else(|| folder(None)) else {
        return Vec::new();
    };
    let Ok(backup) = Backup::open(&folder, &NoPasswords) else {
        return Vec::new();
    };
    let plain = |value: String| Candidate {
        value,
        help: String::new(),
    };
    if wanted == Wanted::Domains || !current.contains('/') {
        let domains = backup.domain_names().unwrap_or_default().into_iter();
        let fitting = domains.filter(|domain| domain.starts_with(current));
        let end = if wanted == Wanted::Domains { "" } else { "/" };
        return fitting
            .map(|domain| plain(format!("{domain}{end}")))
            .collect();
    }
    let (above, begun) = current.rsplit_once('/').unwrap_or(("", current));
    let (domain, path) = domain_and_path(above);
    let mut found = Vec::new();
    // A folder that does not exist has no names.
    let listed = browse::list(&backup, domain, path, false, |entry| {
        let name = entry.path.rsplit('/').next().unwrap_or_default();
        if name.starts_with(begun) {
            let end = if entry.kind == "folder" { "/" } else { "" };
            found.push(plain(format!("{above}/{name}{end}")));
        }
        found.len() < PATHS_MAX
    });
    match listed {
        Ok(_) => found,
        Err(_) => Vec::new(),
    }
}
