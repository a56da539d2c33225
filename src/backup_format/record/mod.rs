//! The record of one file in Manifest.db: an `MBFile` in an `NSKeyedArchiver` archive.
//!
//! ```text
//! $archiver NSKeyedArchiver, $version 100000, $top {root: UID 1}
//! $objects [ "$null", {Size, Mode, ..., RelativePath: UID, $class: UID}, path, digest?, target?,
//!            {$classname MBFile} ]
//! ```
//! Tools other than Apple's also write the fields as a plain dictionary; this module reads both.

pub mod fast;

use plist::{Dictionary, Uid, Value};
use sha1::{Digest, Sha1};

use crate::backup_format::kind::Kind;
use crate::base::bounded_plist;

/// The phone's metadata of one file. Times are seconds since 1970, as in the archive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileRecord {
    /// The path inside its domain; empty for the domain's own folder.
    pub relative_path: String,
    /// The size in bytes; 0 for folders and links. SQLite files may be stored smaller than this
    /// value.
    pub size: u64,
    /// True if the record has no size. Then `size` is meaningless, and only the file itself shows
    /// its size.
    pub lacks_size: bool,
    /// `st_mode`: type and permissions.
    pub mode: u32,
    /// The time of the last change of the contents.
    pub last_modified: i64,
    /// The time of the last change of the inode.
    pub last_status_change: i64,
    /// The time of creation.
    pub birth: i64,
    /// The inode number on the phone.
    pub inode: u64,
    /// The numeric user id of the owner; -2 is "nobody".
    pub user_id: i64,
    /// The numeric group id.
    pub group_id: i64,
    /// The data protection class, 0 for none.
    pub protection_class: u8,
    /// The SHA-1 of the contents; only system domains have one.
    pub digest: Option<Vec<u8>>,
    /// The target of a symbolic link.
    pub target: Option<String>,
    /// The wrapped file key of an encrypted backup: class as u32 LE, then the RFC 3394 wrapped key.
    pub encryption_key: Option<Vec<u8>>,
}

/// Reason why a record cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRecord(pub &'static str);

impl std::fmt::Display for BadRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for BadRecord {}

/// `st_mode` of a regular file.
pub const MODE_FILE: u32 = 0o100_000;
/// `st_mode` of a folder.
pub const MODE_DIR: u32 = 0o040_000;
/// `st_mode` of a symbolic link.
pub const MODE_LINK: u32 = 0o120_000;
/// Bits of a mode that hold the type.
const MODE_TYPE: u32 = 0o170_000;

/// Returns the type of an item with this mode.
pub(crate) fn kind_of_mode(mode: u32) -> Kind {
    match mode & MODE_TYPE {
        MODE_FILE => Kind::File,
        MODE_DIR => Kind::Directory,
        MODE_LINK => Kind::Link,
        _ => Kind::Other,
    }
}

/// Returns the name under which a backup stores a file: SHA-1 of `domain-relativePath`, 40 hex
/// digits.
pub fn file_id(domain: &str, relative_path: &str) -> String {
    let digest = file_digest(domain, relative_path);
    digest.iter().map(|b| format!("{b:02x}")).collect()
}

/// Returns the SHA-1 from which [`file_id`] makes a name.
pub(crate) fn file_digest(domain: &str, relative_path: &str) -> [u8; 20] {
    let mut hash = Sha1::new();
    hash.update(domain);
    hash.update("-");
    hash.update(relative_path);
    hash.finalize().into()
}

impl FileRecord {
    /// Encodes the record as a phone does, as a binary property list.
    pub fn encode(&self) -> Vec<u8> {
        let mut objects = vec![Value::String("$null".into()), Value::Boolean(false)];
        let mut fields = Dictionary::new();
        let mut add = |value: Value| {
            objects.push(value);
            Value::Uid(Uid::new(objects.len() as u64 - 1))
        };
        fields.insert(
            "RelativePath".into(),
            add(self.relative_path.clone().into()),
        );
        if let Some(digest) = &self.digest {
            fields.insert("Digest".into(), add(Value::Data(digest.clone())));
        }
        if let Some(target) = &self.target {
            fields.insert("Target".into(), add(target.clone().into()));
        }
        if let Some(key) = &self.encryption_key {
            let class = add(class_of(&["NSMutableData", "NSData", "NSObject"]));
            let mut data = Dictionary::new();
            data.insert("NS.data".into(), Value::Data(key.clone()));
            data.insert("$class".into(), class);
            fields.insert("EncryptionKey".into(), add(Value::Dictionary(data)));
        }
        fields.insert("$class".into(), add(class_of(&["MBFile", "NSObject"])));
        fields.insert("Flags".into(), Value::Integer(0.into()));
        if !self.lacks_size {
            fields.insert("Size".into(), Value::Integer(self.size.into()));
        }
        fields.insert("Mode".into(), Value::Integer(self.mode.into()));
        fields.insert(
            "LastModified".into(),
            Value::Integer(self.last_modified.into()),
        );
        fields.insert(
            "LastStatusChange".into(),
            Value::Integer(self.last_status_change.into()),
        );
        fields.insert("Birth".into(), Value::Integer(self.birth.into()));
        fields.insert("InodeNumber".into(), Value::Integer(self.inode.into()));
        fields.insert("UserID".into(), Value::Integer(self.user_id.into()));
        fields.insert("GroupID".into(), Value::Integer(self.group_id.into()));
        fields.insert(
            "ProtectionClass".into(),
            Value::Integer(self.protection_class.into()),
        );
        objects[1] = Value::Dictionary(fields);

        let mut top = Dictionary::new();
        top.insert("root".into(), Value::Uid(Uid::new(1)));
        let mut archive = Dictionary::new();
        archive.insert("$version".into(), Value::Integer(100_000.into()));
        archive.insert("$archiver".into(), "NSKeyedArchiver".into());
        archive.insert("$top".into(), Value::Dictionary(top));
        archive.insert("$objects".into(), Value::Array(objects));
        let mut bytes = Vec::with_capacity(512);
        // Writing a small value to memory cannot fail.
        if Value::Dictionary(archive)
            .to_writer_binary(&mut bytes)
            .is_err()
        {
            bytes.clear();
        }
        bytes
    }

    /// Decodes an archive or a plain dictionary.
    pub fn decode(bytes: &[u8]) -> Result<FileRecord, BadRecord> {
        // Archives in the form that phones write are read in place, without decoding them into
        // values.
        fast::record(bytes).map_or_else(|| FileRecord::decode_as_values(bytes), Ok)
    }

    /// Decodes the record from any property list, by parsing it into values.
    pub fn decode_as_values(bytes: &[u8]) -> Result<FileRecord, BadRecord> {
        let value = bounded_plist::parse(bytes).map_err(|_| BadRecord("not a property list"))?;
        let plist = value.as_dictionary().ok_or(BadRecord("not a dictionary"))?;
        let no_objects = Vec::new();
        let (fields, objects) = match plist.get("$objects").and_then(Value::as_array) {
            None => (plist, &no_objects),
            Some(objects) => {
                let top = plist
                    .get("$top")
                    .and_then(Value::as_dictionary)
                    .ok_or(BadRecord("$top is missing"))?;
                let root = top
                    .get("root")
                    .and_then(Value::as_uid)
                    .ok_or(BadRecord("the root is missing"))?;
                let fields = object(objects, *root).and_then(Value::as_dictionary);
                (
                    fields.ok_or(BadRecord("the root is not a dictionary"))?,
                    objects,
                )
            }
        };
        let find = |key: &str| match fields.get(key) {
            Some(Value::Uid(uid)) => object(objects, *uid),
            other => other,
        };
        let number = |key: &str| find(key).and_then(Value::as_signed_integer).unwrap_or(0);
        let text = |key: &str| {
            find(key)
                .and_then(Value::as_string)
                .filter(|t| *t != "$null")
        };
        let data = |key: &str| match find(key) {
            Some(Value::Data(bytes)) => Some(bytes.clone()),
            Some(Value::Dictionary(d)) => d
                .get("NS.data")
                .and_then(Value::as_data)
                .map(<[u8]>::to_vec),
            _ => None,
        };
        let size = match find("Size") {
            None => 0,
            Some(size) => size
                .as_unsigned_integer()
                .ok_or(BadRecord("its Size is not a length"))?,
        };
        Ok(FileRecord {
            relative_path: text("RelativePath").unwrap_or_default().to_owned(),
            size,
            lacks_size: find("Size").is_none(),
            mode: u32::try_from(number("Mode")).map_err(|_| BadRecord("its Mode is not a mode"))?,
            last_modified: number("LastModified"),
            last_status_change: number("LastStatusChange"),
            birth: number("Birth"),
            inode: number("InodeNumber") as u64,
            user_id: number("UserID"),
            group_id: number("GroupID"),
            protection_class: u8::try_from(number("ProtectionClass")).unwrap_or(0),
            digest: data("Digest"),
            target: text("Target").map(str::to_owned),
            encryption_key: data("EncryptionKey"),
        })
    }
}

fn class_of(names: &[&str]) -> Value {
    let mut class = Dictionary::new();
    class.insert("$classname".into(), names[0].into());
    class.insert(
        "$classes".into(),
        Value::Array(
            names
                .iter()
                .map(|n| Value::String((*n).to_owned()))
                .collect(),
        ),
    );
    Value::Dictionary(class)
}

fn object(objects: &[Value], uid: Uid) -> Option<&Value> {
    objects.get(usize::try_from(uid.get()).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_record_round_trips() {
        let record = FileRecord {
            relative_path: "Library/SMS/sms.db".into(),
            size: 5_000_000_000,
            mode: MODE_FILE | 0o644,
            last_modified: 1_700_000_000,
            inode: 77,
            user_id: -2,
            group_id: 501,
            protection_class: 3,
            digest: Some(vec![7; 20]),
            encryption_key: Some(vec![9; 44]),
            target: Some("/var/x".into()),
            ..FileRecord::default()
        };
        assert_eq!(FileRecord::decode(&record.encode()).unwrap(), record);
    }

    /// Checks that a file ID equals the SHA-1 under which other backup tools look up the file.
    #[test]
    fn file_id_matches_known_sha1() {
        // In every backup, sms.db has this name.
        assert_eq!(
            file_id("HomeDomain", "Library/SMS/sms.db"),
            "3d0d7e5fb2ce288813306e4d4636395e047a3d28"
        );
    }

    #[test]
    fn malformed_records_are_errors() {
        for bytes in [&b""[..], b"bplist00", b"hello", &[0xff; 64]] {
            assert!(FileRecord::decode(bytes).is_err());
        }
    }
}
