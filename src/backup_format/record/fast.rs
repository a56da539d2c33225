//! Reads an archived record, or some of its numbers, in place.
//!
//! A check needs the record of every file, and a phone can have a million of them: decoding each
//! archive into values takes a large part of the time for a small file. A binary property list can
//! be read without decoding:
//!
//! ```text
//! bplist00  objects...  offset table  trailer
//! trailer   [6 bytes][offset size u8][reference size u8][objects u64][top u64][table at u64]
//! ```
//! (CoreFoundation's CFBinaryPList.c; all numbers big-endian.) This module handles only archives
//! that look exactly like a phone's own; all others are left to the slower
//! [`FileRecord::decode_as_values`].

use crate::backup_format::record::FileRecord;

/// Returns the `Size` of the file that the archive describes. `None` means that the archive needs
/// full decoding, not that it has no size.
pub(crate) fn size(archive: &[u8]) -> Option<u64> {
    let plist = Plist::open(archive)?;
    plist.integer(plist.fields()?.get("Size")?)
}

/// Fields of a record that a listing shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// The size in bytes.
    pub size: u64,
    /// `st_mode`: type and permissions.
    pub mode: u32,
    /// The time of the last change of the contents, in seconds since 1970.
    pub modified: i64,
}

/// Returns the fields that a listing shows. `None` means that the archive needs full decoding.
pub(crate) fn facts(archive: &[u8]) -> Option<Facts> {
    let plist = Plist::open(archive)?;
    let fields = plist.fields()?;
    let number = |key| plist.integer(fields.get(key)?);
    Some(Facts {
        size: number("Size")?,
        mode: number("Mode")?.try_into().ok()?,
        modified: number("LastModified")?.try_into().ok()?,
    })
}

/// Returns the whole record, or `None` if any part of the archive, even one that is not needed,
/// differs from the form that a phone writes.
pub(crate) fn record(archive: &[u8]) -> Option<FileRecord> {
    let plist = Plist::open(archive)?;
    plist.is_sound()?;
    let top = plist.dictionary(plist.top)?;
    let objects = top.get("$objects")?;
    let root = plist.uid(plist.dictionary(top.get("$top")?)?.get("root")?)?;
    let mut record = FileRecord {
        lacks_size: true,
        ..FileRecord::default()
    };
    for (key, value) in plist.dictionary(plist.element(objects, root)?)?.entries() {
        let (ASCII, count, name) = plist.object(key)? else {
            return None;
        };
        let number = || plist.integer(value);
        // Values other than numbers are references into the array of objects.
        let object = || match plist.uid(value) {
            Some(index) => plist.element(objects, index),
            None => Some(value),
        };
        match name.get(..count)? {
            b"RelativePath" => record.relative_path = plist.text(object()?)?,
            b"Target" => record.target = Some(plist.text(object()?)?),
            b"Digest" => record.digest = Some(plist.data(object()?)?),
            b"EncryptionKey" => record.encryption_key = Some(plist.data(object()?)?),
            b"Size" => (record.size, record.lacks_size) = (number()?, false),
            b"Mode" => record.mode = number()?.try_into().ok()?,
            b"LastModified" => record.last_modified = number()?.try_into().ok()?,
            b"LastStatusChange" => record.last_status_change = number()?.try_into().ok()?,
            b"Birth" => record.birth = number()?.try_into().ok()?,
            b"InodeNumber" => record.inode = number()?,
            b"UserID" => record.user_id = number()?.try_into().ok()?,
            b"GroupID" => record.group_id = number()?.try_into().ok()?,
            b"ProtectionClass" => record.protection_class = number()?.try_into().ok()?,
            _ => {}
        }
    }
    Some(record)
}

/// A binary property list, read in place with bounds checks.
struct Plist<'a> {
    /// The bytes before the offset table.
    bytes: &'a [u8],
    /// The length of each entry of the offset table, in bytes.
    offset_size: usize,
    /// The length of each reference to an object, in bytes.
    reference_size: usize,
    objects: usize,
    top: usize,
    table: &'a [u8],
}

/// The references to keys and values of a dictionary.
struct Dictionary<'p, 'a> {
    plist: &'p Plist<'a>,
    keys: &'a [u8],
    values: &'a [u8],
}

/// Most objects of an archive that we read in place; a phone's archives have about twenty.
const OBJECTS_MAX: usize = 128;
/// Longest archive that we read in place, and the limit of its size with all references expanded,
/// in bytes.
const BYTES_MAX: usize = 64 << 10;
const UNFOLDED_MAX: usize = 1 << 20;
/// Deepest nesting of arrays and dictionaries; a phone's archives have three levels.
const DEPTH_MAX: usize = 16;

const BOOLEAN: u8 = 0x00;
const INTEGER: u8 = 0x10;
const DATA: u8 = 0x40;
const ASCII: u8 = 0x50;
const UTF_16: u8 = 0x60;
const UID: u8 = 0x80;
const ARRAY: u8 = 0xa0;
const DICTIONARY: u8 = 0xd0;

impl<'a> Plist<'a> {
    fn open(bytes: &'a [u8]) -> Option<Plist<'a>> {
        const TRAILER: usize = 32;
        let body = bytes.strip_prefix(b"bplist00")?;
        let trailer = body.get(body.len().checked_sub(TRAILER)?..)?;
        let number = |at: usize| usize::try_from(big_endian(trailer.get(at..at + 8)?)?).ok();
        let table = number(24)?;
        let plist = Plist {
            bytes: bytes.get(..table)?,
            offset_size: trailer[6].into(),
            reference_size: trailer[7].into(),
            objects: number(8)?,
            top: number(16)?,
            table: bytes.get(table..bytes.len() - TRAILER)?,
        };
        let sizes = 1..=8;
        let fits = plist.objects.checked_mul(plist.offset_size)? <= plist.table.len();
        (fits && sizes.contains(&plist.offset_size) && sizes.contains(&plist.reference_size))
            .then_some(plist)
    }

    /// Returns the fields of the archive's root object.
    fn fields(&self) -> Option<Dictionary<'_, 'a>> {
        let top = self.dictionary(self.top)?;
        let root = self.uid(self.dictionary(top.get("$top")?)?.get("root")?)?;
        self.dictionary(self.element(top.get("$objects")?, root)?)
    }

    /// Returns `Some` if full decoding would accept the archive, too: every object can be read, and
    /// each array and dictionary is referenced at most once, by an object that precedes it.
    fn is_sound(&self) -> Option<()> {
        let is_odd = |size: usize| !size.is_power_of_two();
        let is_large = self.objects > OBJECTS_MAX || self.bytes.len() > BYTES_MAX;
        if is_large || is_odd(self.offset_size) || is_odd(self.reference_size) {
            return None;
        }
        // The nesting depth of each array and dictionary referenced so far, and the total size of
        // all references when expanded.
        let (mut depths, mut unfolded) = ([0; OBJECTS_MAX], 0);
        for number in 0..self.objects {
            let (kind, count, rest) = self.object(number)?;
            let is_fine = match kind {
                BOOLEAN => matches!(count, 8 | 9),
                INTEGER => self.integer(number).is_some(),
                DATA => count <= rest.len(),
                ASCII => rest.get(..count)?.is_ascii(),
                UTF_16 => char::decode_utf16(utf_16(rest, count)?).all(|unit| unit.is_ok()),
                UID => (count + 1).is_power_of_two() && self.uid(number).is_some(),
                ARRAY => true,
                DICTIONARY => self.dictionary(number)?.entries().all(|(key, _)| {
                    (self.object(key)).is_some_and(|(kind, ..)| matches!(kind, ASCII | UTF_16))
                }),
                _ => false,
            };
            let names = match kind {
                ARRAY => count,
                DICTIONARY => count.checked_mul(2)?,
                _ => 0,
            };
            if !is_fine {
                return None;
            }
            for place in 0..names {
                let named = reference(rest, self.reference_size, place)?;
                let (kind, count, _) = self.object(named)?;
                let depth = depths[number] + 1;
                if matches!(kind, ARRAY | DICTIONARY) {
                    let is_again = depths[named] > 0;
                    if named <= number || is_again || depth > DEPTH_MAX {
                        return None;
                    }
                    depths[named] = depth;
                }
                // The referenced object may claim any length until it is checked itself.
                unfolded = count.saturating_add(unfolded);
            }
        }
        (unfolded <= UNFOLDED_MAX).then_some(())
    }

    fn text(&self, number: usize) -> Option<String> {
        let text = match self.object(number)? {
            (ASCII, count, rest) => String::from_utf8(rest.get(..count)?.to_vec()).ok(),
            (UTF_16, count, rest) => char::decode_utf16(utf_16(rest, count)?)
                .collect::<Result<_, _>>()
                .ok(),
            _ => None,
        };
        text.filter(|text| text != "$null")
    }

    /// Returns the bytes of a data object, or of the dictionary that represents an `NSData`.
    fn data(&self, number: usize) -> Option<Vec<u8>> {
        match self.object(number)? {
            (DATA, count, rest) => Some(rest.get(..count)?.to_vec()),
            (DICTIONARY, ..) => match self.object(self.dictionary(number)?.get("NS.data")?)? {
                (DATA, count, rest) => Some(rest.get(..count)?.to_vec()),
                _ => None,
            },
            _ => None,
        }
    }

    /// Returns an object's type, its count, and the bytes that follow.
    fn object(&self, number: usize) -> Option<(u8, usize, &'a [u8])> {
        if number >= self.objects {
            return None;
        }
        let entry = reference(self.table, self.offset_size, number)?;
        let (marker, rest) = self.bytes.get(entry..)?.split_first()?;
        let (kind, count) = (marker & 0xf0, usize::from(marker & 0x0f));
        let has_long_count = kind >= 0x40 && kind != UID && count == 0x0f;
        if !has_long_count {
            return Some((kind, count, rest));
        }
        let (width, rest) = rest.split_first()?;
        let width = 1usize.checked_shl(u32::from(width & 0x0f))?;
        let count = usize::try_from(big_endian(rest.get(..width)?)?).ok()?;
        Some((kind, count, &rest[width..]))
    }

    fn dictionary(&self, number: usize) -> Option<Dictionary<'_, 'a>> {
        let (DICTIONARY, count, rest) = self.object(number)? else {
            return None;
        };
        let length = count.checked_mul(self.reference_size)?;
        Some(Dictionary {
            plist: self,
            keys: rest.get(..length)?,
            values: rest.get(length..length.checked_mul(2)?)?,
        })
    }

    fn element(&self, array: usize, index: usize) -> Option<usize> {
        match self.object(array)? {
            (ARRAY, count, rest) if index < count => reference(rest, self.reference_size, index),
            _ => None,
        }
    }

    fn uid(&self, number: usize) -> Option<usize> {
        match self.object(number)? {
            (UID, count, rest) => usize::try_from(big_endian(rest.get(..count + 1)?)?).ok(),
            _ => None,
        }
    }

    /// Returns a number that is not negative. An eight-byte number is signed, shorter ones are
    /// unsigned.
    fn integer(&self, number: usize) -> Option<u64> {
        match self.object(number)? {
            (0x10, count @ 0..=3, rest) => {
                big_endian(rest.get(..1 << count)?).filter(|n| i64::try_from(*n).is_ok())
            }
            _ => None,
        }
    }
}

impl<'p> Dictionary<'p, '_> {
    /// Returns the references to keys and values.
    fn entries(&self) -> impl Iterator<Item = (usize, usize)> + use<'p, '_> {
        let (size, keys, values) = (self.plist.reference_size, self.keys, self.values);
        (0..keys.len() / size)
            .filter_map(move |at| reference(keys, size, at).zip(reference(values, size, at)))
    }

    fn get(&self, key: &str) -> Option<usize> {
        let size = self.plist.reference_size;
        // Of two equal keys the last one counts, as in full decoding.
        let place = (0..self.keys.len() / size).rev().find(|&place| {
            reference(self.keys, size, place)
                .and_then(|number| self.plist.object(number))
                .is_some_and(|(kind, count, rest)| {
                    kind == ASCII && rest.get(..count) == Some(key.as_bytes())
                })
        })?;
        reference(self.values, size, place)
    }
}

fn reference(references: &[u8], size: usize, place: usize) -> Option<usize> {
    let start = place.checked_mul(size)?;
    let end = start.checked_add(size)?;
    usize::try_from(big_endian(references.get(start..end)?)?).ok()
}

/// Returns the first `count` UTF-16 code units.
fn utf_16(bytes: &[u8], count: usize) -> Option<impl Iterator<Item = u16> + '_> {
    let units = bytes.get(..count.checked_mul(2)?)?.chunks_exact(2);
    Some(units.map(|unit| u16::from_be_bytes([unit[0], unit[1]])))
}

fn big_endian(bytes: &[u8]) -> Option<u64> {
    (bytes.len() <= 8).then(|| bytes.iter().fold(0, |n, b| n << 8 | u64::from(*b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(size: u64) -> Vec<u8> {
        FileRecord {
            relative_path: "Library/Größe 写真".into(),
            size,
            mode: 0o100_644,
            digest: Some(vec![7; 20]),
            encryption_key: Some(vec![9; 44]),
            ..FileRecord::default()
        }
        .encode()
    }

    #[test]
    fn fast_path_reads_the_size() {
        for wanted in [0, 1, 255, 256, 65_536, 1 << 32, i64::MAX as u64] {
            assert_eq!(size(&archive(wanted)), Some(wanted));
        }
    }

    /// Checks with truncated and altered records that the fast path does not panic and never
    /// contradicts full decoding.
    #[test]
    fn fast_path_never_contradicts_full_decoding() {
        let whole = archive(70_000);
        for cut in 0..whole.len() {
            assert_eq!(size(&whole[..cut]), None, "cut at {cut}");
        }
        for at in 0..whole.len() {
            for flip in [0x01, 0x0f, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] ^= flip;
                let long_way = FileRecord::decode_as_values(&bytes);
                if let (Some(short), Ok(long)) = (size(&bytes), &long_way) {
                    assert_eq!(short, long.size, "byte {at} ^ {flip:#x}");
                }
                // A record read in place equals the fully decoded one, and full decoding accepts
                // the archive.
                if let Some(short) = record(&bytes) {
                    assert_eq!(Ok(short), long_way, "byte {at} ^ {flip:#x}");
                }
            }
        }
    }

    #[test]
    fn fast_path_reads_whole_record() {
        let full = FileRecord {
            relative_path: "Library/Größe 写真 😀".into(),
            size: 70_000,
            lacks_size: false,
            mode: 0o100_644,
            last_modified: 1_700_000_000,
            last_status_change: 1_700_000_001,
            birth: 1_600_000_000,
            inode: 77,
            user_id: 501,
            group_id: 502,
            protection_class: 3,
            digest: Some(vec![7; 20]),
            target: Some("/var/x".into()),
            encryption_key: Some(vec![9; 44]),
        };
        let plain = FileRecord {
            relative_path: "a".repeat(300),
            ..FileRecord::default()
        };
        for wanted in [full, plain, FileRecord::default()] {
            assert_eq!(record(&wanted.encode()), Some(wanted));
        }
    }

    /// Some of the records have arrays that contain themselves.
    #[test]
    fn fast_path_accepts_only_decodable_records() {
        let whole = archive(70_000);
        let (mut read, mut refused) = (0, 0);
        for at in 0..whole.len() - 1 {
            // Point every reference at any object.
            for to in 0..24 {
                let mut bytes = whole.clone();
                bytes[at] = to;
                let long_way = FileRecord::decode_as_values(&bytes);
                refused += u32::from(long_way.is_err());
                read += u32::from(long_way.is_ok());
                if let Some(short) = record(&bytes) {
                    assert_eq!(Ok(short), long_way, "byte {at} = {to}");
                }
            }
        }
        assert!(read > 100 && refused > 100, "{read}, {refused}");
    }

    /// Two references to data that claims the largest possible length.
    #[test]
    fn overflowing_lengths_are_refused() {
        let mut bytes = b"bplist00\xa2\x01\x01\x4f\x13".to_vec();
        bytes.extend([0xff; 8]);
        let table = bytes.len() as u8;
        bytes.extend([8, 11]);
        bytes.extend([0, 0, 0, 0, 0, 0, 1, 1]);
        for number in [2, 0, table] {
            bytes.extend(u64::from(number).to_be_bytes());
        }
        assert_eq!(record(&bytes), None);
        assert!(FileRecord::decode(&bytes).is_err());
    }

    #[test]
    fn listing_facts_match_the_record() {
        let record = FileRecord {
            size: 300,
            mode: 0o100_644,
            last_modified: 1_700_000_000,
            ..FileRecord::default()
        };
        let wanted = Facts {
            size: 300,
            mode: 0o100_644,
            modified: 1_700_000_000,
        };
        assert_eq!(facts(&record.encode()), Some(wanted));
        // A time before 1970 is negative and needs full decoding.
        let before = FileRecord {
            last_modified: -5,
            ..record
        };
        assert_eq!(facts(&before.encode()), None);
    }

    #[test]
    fn other_plists_need_full_decoding() {
        let mut plain = Vec::new();
        let mut fields = plist::Dictionary::new();
        fields.insert("Size".to_owned(), plist::Value::from(7u64));
        plist::Value::Dictionary(fields)
            .to_writer_binary(&mut plain)
            .unwrap();
        assert_eq!(size(&plain), None);
        assert_eq!(FileRecord::decode(&plain).unwrap().size, 7);
    }
}
