//! Contents of the phone: generated from a seed when they are read, so that nothing is stored.
//!
//! A phone holds *fixed* files (odd names, an empty file, links), *bulk* files (few, large, never
//! changing) and *small* files. From one generation to the next, some small files change, appear
//! and disappear. A generation is the state of the phone at one backup.

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::contents::Plan;
use super::entry::{Entry, Kind, mix};
use super::files;
use super::keys::{Encrypted, Fill, Keys};
use crate::backup_format::record::FileRecord;
use crate::simulator::keys;

/// Number of small files in one folder.
const FOLDER: u64 = 256;
const BULK: u32 = 0xe000_0000;
const FIXED: u32 = 0xf000_0000;

/// Amount and type of data on the phone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Seed from which all contents are generated.
    pub seed: u64,
    /// Number of small files.
    pub small: u32,
    /// Range of their sizes in bytes.
    pub small_size: RangeInclusive<u64>,
    /// Number of large files.
    pub bulk: u32,
    /// Size of each large file in bytes.
    pub bulk_size: u64,
    /// Number of small files that differ between two backups: three quarters have new contents, one
    /// eighth is new, one eighth is gone.
    pub changes: u32,
    /// Number of messages, including some 70 of unusual kinds that every phone has.
    pub messages: u32,
}

impl Default for Content {
    fn default() -> Self {
        Content {
            seed: 1,
            small: 2000,
            small_size: 2 << 10..=20 << 10,
            bulk: 3,
            bulk_size: 5 << 20,
            changes: 20,
            messages: 150,
        }
    }
}

/// Locations of small files: domain, folder, extension, share of folders.
const PLACES: [(&str, &str, &str, u64); 14] = [
    ("CameraRollDomain", "Media/DCIM", "HEIC", 36),
    (
        "CameraRollDomain",
        "Media/PhotoData/Thumbnails/V2",
        "JPG",
        10,
    ),
    ("MediaDomain", "Library/SMS/Attachments", "jpeg", 8),
    ("MediaDomain", "Media/Recordings", "m4a", 2),
    (
        "AppDomain-net.whatsapp.WhatsApp",
        "Library/Caches/Media",
        "opus",
        8,
    ),
    (
        "AppDomainGroup-group.net.whatsapp.WhatsApp.shared",
        "Message/Media",
        "mp4",
        10,
    ),
    (
        "AppDomain-com.example.notes",
        "Documents/Größe & Maß/Überblick",
        "bin",
        5,
    ),
    ("AppDomain-org.videolan.vlc-ios", "Documents", "dat", 5),
    (
        "AppDomainPlugin-com.example.notes.widget",
        "Library/State",
        "bin",
        2,
    ),
    (
        "HomeDomain",
        "Library/Caches/com.apple.keyboards/写真",
        "cache",
        7,
    ),
    ("HomeDomain", "Library/SpringBoard/Snapshots", "ktx", 3),
    ("WirelessDomain", "Library/Logs/CellularUsage", "log", 2),
    ("DatabaseDomain", "timed/Blobs", "tdb", 1),
    (
        "SystemPreferencesDomain",
        "SystemConfiguration/Cache",
        "bin",
        1,
    ),
];

/// Compact entry for a file of one generation: a phone with a million files keeps a list of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Item {
    pub(super) id: [u8; 20],
    entry: u32,
    pub(super) version: u32,
}

/// Everything on the phone in one generation.
#[derive(Debug, Clone)]
pub(super) struct Scan {
    content: Content,
    /// Files in the order of the phone.
    pub(super) files: Vec<Item>,
    /// Folders and links.
    pub(super) others: Vec<Entry>,
    fixed: Vec<Entry>,
    /// Keys that encrypt the backup, if it has a password.
    pub(super) keys: Option<Arc<Keys>>,
}

impl Scan {
    pub(super) fn entry(&self, item: &Item) -> Entry {
        match item.entry {
            n if n >= FIXED => self.fixed[(n - FIXED) as usize].clone(),
            n if n >= BULK => self.content.bulk_file(n - BULK),
            n => self.content.small_file(n, item.version),
        }
    }

    /// Returns the entry's record, including the wrapped key of an encrypted file.
    pub(super) fn record(&self, entry: &Entry) -> FileRecord {
        FileRecord {
            encryption_key: (self.keys.as_ref())
                .filter(|_| entry.is_file())
                .and_then(|keys| keys.wrapped_for(entry)),
            ..entry.record()
        }
    }

    /// Returns the number of bytes that the phone sends for an entry.
    pub(super) fn sent_size(&self, entry: &Entry) -> u64 {
        match self.keys {
            Some(_) => keys::encrypted_size(entry.size()),
            None => entry.size(),
        }
    }

    /// Returns a function that reads the bytes that the phone sends for an entry. Each call fills
    /// the buffer as far as bytes are left. The length of the buffer must be a multiple of the
    /// block size.
    pub(super) fn sent_bytes(&self, entry: &Entry) -> Fill {
        let mut plain = entry.bytes();
        let mut fill = move |room: &mut [u8]| Ok(plain.fill(room));
        match &self.keys {
            Some(keys) => {
                let mut encrypted = Encrypted::new(keys.of_file(entry), fill);
                Box::new(move |room| encrypted.fill(room))
            }
            None => Box::new(move |room| fill(room)),
        }
    }
}

impl Content {
    /// Lists everything on the phone, as a real one does before it sends.
    pub(super) fn scan(&self, generation: u32, ios: &str, keys: Option<Arc<Keys>>) -> Scan {
        let fixed = self.fixed_files(ios, keys.is_some());
        let mut folders = Folders::default();
        let mut files = Vec::with_capacity(self.small as usize + self.bulk as usize + fixed.len());
        for (n, entry) in (FIXED..).zip(&fixed) {
            folders.hold(entry);
            files.push(Item {
                id: entry.id(),
                entry: n,
                version: 0,
            });
        }
        for n in 0..self.bulk {
            let entry = self.bulk_file(n);
            folders.hold(&entry);
            files.push(Item {
                id: entry.id(),
                entry: BULK + n,
                version: 0,
            });
        }
        let first = generation * self.replaced();
        for n in first..first + self.small {
            let version = self.version(n, generation);
            let entry = self.small_file(n, version);
            if n == first || u64::from(n) % FOLDER == 0 {
                folders.hold(&entry);
            }
            files.push(Item {
                id: entry.id(),
                entry: n,
                version,
            });
        }
        folders.found.push(Entry {
            domain: "HomeDomain".into(),
            path: "Library/Preferences/link to somewhere".into(),
            kind: Kind::Link("/private/var/mobile/Library/Somewhere".into()),
            version: 0,
            inode: 99,
        });
        Scan {
            content: self.clone(),
            files,
            others: folders.found,
            fixed,
            keys,
        }
    }

    /// Returns true if the file is on the phone in this generation.
    pub(super) fn has(&self, item: &Item, generation: u32) -> bool {
        let first = generation * self.replaced();
        item.entry >= BULK || (first..first + self.small).contains(&item.entry)
    }

    /// Returns the number of files that each generation replaces.
    fn replaced(&self) -> u32 {
        (self.changes / 8).min(self.small)
    }

    /// Counts how often the contents of small file `n` changed up to a generation.
    ///
    /// Each generation changes the next section of the small files, treated as a circle.
    fn version(&self, n: u32, generation: u32) -> u32 {
        let per = u64::from((self.changes - 2 * self.replaced()).min(self.small));
        if per == 0 || generation == 0 {
            return 0;
        }
        let circle = u64::from(self.small);
        let slot = u64::from(n) % circle;
        let end = (u64::from(generation) + 1) * per;
        if slot >= end {
            return 0;
        }
        let last = slot + (end - 1 - slot) / circle * circle;
        u32::try_from(last / per).unwrap_or(u32::MAX)
    }

    fn small_file(&self, n: u32, version: u32) -> Entry {
        let folder = u64::from(n) / FOLDER;
        let total = PLACES.iter().map(|p| p.3).sum::<u64>();
        let mut pick = mix(&[self.seed, 1, folder]) % total;
        let mut place = &PLACES[0];
        for candidate in &PLACES {
            place = candidate;
            match pick.checked_sub(candidate.3) {
                Some(rest) => pick = rest,
                None => break,
            }
        }
        let (domain, parent, extension, _) = place;
        let name = match mix(&[self.seed, 2, n.into()]) % 97 {
            0 => format!("Ünïcödé 写真 {n} 😀.{extension}"),
            1 => format!("12:30:{n}.{extension}"),
            2 => format!("{n}-{}.{extension}", "long ".repeat(30)),
            3 => format!(".{n} (copy)%20#?.{extension}"),
            _ => format!("IMG_{n:06}.{extension}"),
        };
        let (low, high) = (*self.small_size.start(), *self.small_size.end());
        let span = high.saturating_sub(low) + 1;
        let key = mix(&[self.seed, 3, n.into(), version.into()]);
        Entry {
            domain: (*domain).to_owned(),
            path: format!("{parent}/{}APPLE/{name}", 100 + folder),
            kind: Kind::File {
                size: low + key % span,
                key,
            },
            version,
            inode: 10_000 + u64::from(n),
        }
    }

    fn bulk_file(&self, n: u32) -> Entry {
        Entry {
            domain: "CameraRollDomain".into(),
            path: format!("Media/DCIM/999APPLE/IMG_{n:04}.MOV"),
            kind: Kind::File {
                size: self.bulk_size,
                key: mix(&[self.seed, 4, n.into()]),
            },
            version: 0,
            inode: 1000 + u64::from(n),
        }
    }

    fn fixed_files(&self, ios: &str, encrypted: bool) -> Vec<Entry> {
        // 253 bytes in one name and 421 in a path are the longest seen on real phones.
        let component = "n".repeat(253);
        let long = format!(
            "Documents/{}/{}/{}",
            "d".repeat(78),
            component,
            "f".repeat(78)
        );
        let files = [
            ("HomeDomain", "Library/SpringBoard/IconState.bin", 8192),
            ("HomeDomain", "Library/Preferences/empty", 0),
            ("HomeDomain", "Library/Preferences/Case", 100),
            ("HomeDomain", "Library/Preferences/case", 101),
            (
                "HomeDomain",
                "Library/Caches/tab\there and line\nthere",
                32_768,
            ),
            ("HomeDomain", "Library/Caches/one less than a block", 32_767),
            ("HomeDomain", "Library/Caches/one more than a block", 32_769),
            (
                "CameraRollDomain",
                "Media/DCIM/100APPLE/IMG_0001.HEIC",
                40_000,
            ),
            (
                "CameraRollDomain",
                "Media/DCIM/100APPLE/IMG_0001.MOV",
                90_000,
            ),
            ("DatabaseDomain", "timed/state.bin", 65_536),
            ("AppDomain-com.example.notes", long.as_str(), 1),
            (
                "AppDomain-com.example.notes",
                "Documents/caf\u{e9} \u{1f9d1}\u{200d}\u{1f680}.txt",
                7,
            ),
            ("AppDomain-com.example.notes", "Documents/CON.txt", 12),
            ("RootDomain", "Library/Logs/trailing space ", 3),
        ];
        let made = (0u64..).zip(files).map(|(n, (domain, path, size))| Entry {
            domain: domain.to_owned(),
            path: path.to_owned(),
            kind: Kind::File {
                size,
                key: mix(&[self.seed, 5, n]),
            },
            version: 0,
            inode: 100 + n,
        });
        let private = if encrypted {
            files::in_encrypted_backups()
        } else {
            &[]
        };
        let whole = files::in_all_backups().iter().chain(private);
        let whole = (200u64..)
            .zip(whole)
            .map(|(inode, (domain, path, bytes))| Entry {
                domain: (*domain).to_owned(),
                path: (*path).to_owned(),
                kind: Kind::Made(bytes.clone()),
                version: 0,
                inode,
            });
        let contents = Plan::new(self.seed, ios, self.messages).contents();
        let of_apps = contents
            .files
            .iter()
            .filter(|file| encrypted || !file.needs_encryption);
        let of_apps = (300u64..).zip(of_apps).map(|(inode, file)| Entry {
            domain: file.domain.to_owned(),
            path: file.path.clone(),
            kind: Kind::Made(file.bytes.clone()),
            version: 0,
            inode,
        });
        made.chain(whole).chain(of_apps).collect()
    }
}

/// Collects the folders that hold files: each once, parents first.
#[derive(Default)]
struct Folders {
    seen: HashSet<(String, String)>,
    found: Vec<Entry>,
}

impl Folders {
    fn hold(&mut self, file: &Entry) {
        let mut ends: Vec<usize> = file.path.match_indices('/').map(|(at, _)| at).collect();
        ends.insert(0, 0);
        for end in ends {
            let path = &file.path[..end];
            if self.seen.insert((file.domain.clone(), path.to_owned())) {
                self.found.push(Entry {
                    domain: file.domain.clone(),
                    path: path.to_owned(),
                    kind: Kind::Folder,
                    version: 0,
                    inode: mix(&[self.found.len() as u64]) >> 24,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn generation_changes_requested_number_of_files() {
        let content = Content {
            changes: 80,
            ..Content::default()
        };
        let by_id = |generation| -> HashMap<[u8; 20], u32> {
            let scan = content.scan(generation, "18.6.2", None);
            scan.files.iter().map(|i| (i.id, i.version)).collect()
        };
        for generation in 0..60 {
            let (old, new) = (by_id(generation), by_id(generation + 1));
            let fixed = content.fixed_files("18.6.2", false).len();
            assert_eq!(
                old.len(),
                content.small as usize + 3 + fixed,
                "ids are distinct"
            );
            let added = new.keys().filter(|id| !old.contains_key(*id)).count();
            let gone = old.keys().filter(|id| !new.contains_key(*id)).count();
            let changed = new
                .iter()
                .filter(|(id, v)| old.get(*id).is_some_and(|o| o != *v));
            assert_eq!((added, gone), (10, 10));
            let changed = changed.count();
            assert!((50..=60).contains(&changed), "{changed} in {generation}");
        }
    }
}
