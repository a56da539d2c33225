//! An entry on the phone: its names, its record in the manifest, and its contents, which are
//! generated when they are read.

use std::io::{self, Read};
use std::sync::Arc;

use sha1::{Digest, Sha1};

use crate::backup_format::record::{FileRecord, MODE_DIR, MODE_FILE, MODE_LINK};

/// Base of all modification times: 2024-01-01.
const EPOCH: i64 = 1_704_067_200;
/// Largest file with a digest, in bytes: computing one costs a pass over the contents.
const DIGEST_BYTES_MAX: u64 = 64 << 10;

/// An entry of a backup: a file, a folder or a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Domain, for example "CameraRollDomain".
    pub domain: String,
    /// Path inside the domain; empty for the domain's own folder.
    pub path: String,
    /// Type of the entry, and its contents.
    pub kind: Kind,
    /// Number of times that the contents have changed.
    pub version: u32,
    /// Inode number on the phone.
    pub inode: u64,
}

/// Type of an [`Entry`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A file with generated contents.
    File {
        /// Length in bytes.
        size: u64,
        /// Seed of the contents.
        key: u64,
    },
    /// A file with exactly these contents.
    Made(Arc<[u8]>),
    /// A folder, which has no contents.
    Folder,
    /// A symbolic link and its target.
    Link(String),
}

impl Entry {
    /// Returns the file name under which a backup stores the entry.
    pub fn file_id(&self) -> String {
        hex(&self.id())
    }

    /// Returns the length in bytes; 0 for folders and links.
    pub fn size(&self) -> u64 {
        match &self.kind {
            Kind::File { size, .. } => *size,
            Kind::Made(bytes) => bytes.len() as u64,
            _ => 0,
        }
    }

    /// Returns true if the backup stores contents for the entry.
    pub fn is_file(&self) -> bool {
        matches!(self.kind, Kind::File { .. } | Kind::Made(_))
    }

    /// Returns a reader of the contents.
    pub fn bytes(&self) -> Bytes {
        let (key, made) = match &self.kind {
            Kind::File { key, .. } => (*key, None),
            Kind::Made(bytes) => (0, Some(bytes.clone())),
            _ => (0, None),
        };
        Bytes {
            key,
            made,
            at: 0,
            size: self.size(),
        }
    }

    /// Returns the path on the phone, as sent in an upload.
    pub(super) fn device_path(&self) -> String {
        let root = match self.domain.split_once('-') {
            Some((_, bundle)) => format!("/var/mobile/Containers/Data/{bundle}"),
            None => "/var/mobile".to_owned(),
        };
        format!("{root}/{}", self.path)
    }

    /// Returns the SHA-1 of domain, "-" and path.
    pub(super) fn id(&self) -> [u8; 20] {
        let mut hash = Sha1::new();
        hash.update(&self.domain);
        hash.update("-");
        hash.update(&self.path);
        hash.finalize().into()
    }

    /// Returns the `flags` of the entry's row in Manifest.db.
    pub(super) fn flags(&self) -> i64 {
        match self.kind {
            Kind::File { .. } | Kind::Made(_) => 1,
            Kind::Folder => 2,
            Kind::Link(_) => 4,
        }
    }

    /// Returns the entry's record in Manifest.db.
    pub(super) fn record(&self) -> FileRecord {
        let changed = EPOCH + i64::from(self.version) * 86_400 + (self.inode % 86_400) as i64;
        let (mode, target) = match &self.kind {
            Kind::File { .. } | Kind::Made(_) => (MODE_FILE | 0o644, None),
            Kind::Folder => (MODE_DIR | 0o755, None),
            Kind::Link(target) => (MODE_LINK | 0o755, Some(target.clone())),
        };
        // Phones record digests in system domains only.
        let system = !self.domain.starts_with("App")
            && !matches!(self.domain.as_str(), "MediaDomain" | "CameraRollDomain");
        FileRecord {
            relative_path: self.path.clone(),
            size: self.size(),
            lacks_size: false,
            mode,
            last_modified: changed,
            last_status_change: changed,
            birth: EPOCH,
            inode: self.inode,
            user_id: if self.inode % 500 == 7 { -2 } else { 501 },
            group_id: 501,
            protection_class: self.protection_class(),
            digest: (system && self.is_file() && self.size() <= DIGEST_BYTES_MAX)
                .then(|| self.digest()),
            target,
            encryption_key: None,
        }
    }

    /// Returns the `ProtectionClass` of the record, which is also the class of the file's key.
    pub(super) fn protection_class(&self) -> u8 {
        match self.domain.as_str() {
            _ if !self.is_file() => 0,
            "HealthDomain" | "HomeKitDomain" => 1,
            "MediaDomain" => 2,
            "RootDomain" | "SystemPreferencesDomain" | "WirelessDomain" => 4,
            _ => 3,
        }
    }

    fn digest(&self) -> Vec<u8> {
        let mut bytes = self.bytes();
        let mut hash = Sha1::new();
        let mut buffer = [0; 4096];
        loop {
            match bytes.fill(&mut buffer) {
                0 => return hash.finalize().to_vec(),
                n => hash.update(&buffer[..n]),
            }
        }
    }
}

/// A reader of generated contents: each 8 bytes are a function of the file's key and their offset.
#[derive(Debug, Clone)]
pub struct Bytes {
    key: u64,
    /// Explicit contents, if they are not generated.
    made: Option<Arc<[u8]>>,
    at: u64,
    size: u64,
}

impl Bytes {
    /// Fills the buffer, or as much of it as the rest of the file needs. Returns the number of
    /// bytes.
    pub(super) fn fill(&mut self, buffer: &mut [u8]) -> usize {
        let left = usize::try_from(self.size - self.at).unwrap_or(usize::MAX);
        let length = buffer.len().min(left);
        let buffer = &mut buffer[..length];
        if let Some(made) = &self.made {
            let at = usize::try_from(self.at).unwrap_or(usize::MAX);
            buffer.copy_from_slice(&made[at..at + length]);
            self.at += length as u64;
            return length;
        }
        let mut done = 0;
        // Generate single bytes up to the next multiple of eight.
        while done < buffer.len() && !self.at.is_multiple_of(8) {
            buffer[done] = word(self.key, self.at / 8).to_le_bytes()[(self.at % 8) as usize];
            done += 1;
            self.at += 1;
        }
        let mut n = self.at / 8;
        let mut whole = buffer[done..].chunks_exact_mut(8);
        for chunk in &mut whole {
            chunk.copy_from_slice(&word(self.key, n).to_le_bytes());
            n += 1;
        }
        let rest = whole.into_remainder();
        rest.copy_from_slice(&word(self.key, n).to_le_bytes()[..rest.len()]);
        self.at += (buffer.len() - done) as u64;
        buffer.len()
    }
}

impl Read for Bytes {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let limit = buf.len().min(1 << 20);
        Ok(self.fill(&mut buf[..limit]))
    }
}

/// Computes one word of the contents. Two multiplications are fast enough to saturate a TLS stream,
/// and give different results for each offset of each file.
fn word(key: u64, n: u64) -> u64 {
    let mut z = key.wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^ (z >> 27)
}

/// Hashes several numbers into one that looks random.
pub(super) fn mix(parts: &[u64]) -> u64 {
    parts.iter().fold(0x243f_6a88_85a3_08d3, |sum, part| {
        let z = word(sum ^ part, 1).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_independent_of_read_sizes() {
        let entry = Entry {
            domain: "HomeDomain".into(),
            path: "x".into(),
            kind: Kind::File {
                size: 5 << 20,
                key: 77,
            },
            version: 0,
            inode: 1,
        };
        let mut whole = vec![0; 100_003];
        assert_eq!(entry.bytes().fill(&mut whole), 100_003);
        let mut parts = Vec::new();
        let mut bytes = entry.bytes();
        for step in [1usize, 7, 8, 9, 1000, 31].iter().cycle() {
            let mut part = vec![0; (*step).min(100_003 - parts.len())];
            bytes.fill(&mut part);
            parts.extend(part);
            if parts.len() == 100_003 {
                break;
            }
        }
        assert!(whole == parts);
    }
}
