//! Some numbers out of an archived record, without building the rest of it.
//!
//! A check needs the `Size` of every file, and a phone can have a million of them: building each archive to take one
//! number from it costs more than all else that the check does. A binary property list can be read in place:
//!
//! ```text
//! bplist00  objects...  offset table  [6 bytes][offset size u8][reference size u8][objects u64][top u64][table at u64]
//! ```
//! (CoreFoundation's CFBinaryPList.c; all numbers big-endian.) Whatever does not look exactly like a phone's own archive
//! is left to [`super::record::FileRecord::decode`].

/// `Size` of the file that the archive describes; `None` means "read it the long way", not "there is none".
pub fn size(archive: &[u8]) -> Option<u64> {
    let plist = Plist::open(archive)?;
    plist.integer(plist.fields()?.get("Size")?)
}

/// What a listing shows of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Bytes.
    pub size: u64,
    /// `st_mode`: type and permissions.
    pub mode: u32,
    /// Last change of the contents, seconds since 1970.
    pub modified: i64,
}

/// The same for what a listing shows.
pub fn facts(archive: &[u8]) -> Option<Facts> {
    let plist = Plist::open(archive)?;
    let fields = plist.fields()?;
    let number = |key| plist.integer(fields.get(key)?);
    Some(Facts {
        size: number("Size")?,
        mode: number("Mode")?.try_into().ok()?,
        modified: number("LastModified")?.try_into().ok()?,
    })
}

/// A binary property list, read in place; every access is checked.
struct Plist<'a> {
    bytes: &'a [u8],
    /// Bytes of each entry of the offset table.
    offset_size: usize,
    /// Bytes of each reference to an object.
    reference_size: usize,
    objects: usize,
    top: usize,
    table: &'a [u8],
}

/// A dictionary's references, keys and values.
struct Dictionary<'p, 'a> {
    plist: &'p Plist<'a>,
    keys: &'a [u8],
    values: &'a [u8],
}

const ASCII: u8 = 0x50;
const UID: u8 = 0x80;
const ARRAY: u8 = 0xa0;
const DICTIONARY: u8 = 0xd0;

impl<'a> Plist<'a> {
    fn open(bytes: &'a [u8]) -> Option<Plist<'a>> {
        const TRAILER: usize = 32;
        let body = bytes.strip_prefix(b"bplist00")?;
        let trailer = body.get(body.len().checked_sub(TRAILER)?..)?;
        let number = |at: usize| usize::try_from(big_endian(trailer.get(at..at + 8)?)?).ok();
        let plist = Plist {
            bytes,
            offset_size: trailer[6].into(),
            reference_size: trailer[7].into(),
            objects: number(8)?,
            top: number(16)?,
            table: bytes.get(number(24)?..bytes.len() - TRAILER)?,
        };
        let sizes = 1..=8;
        let fits = plist.objects.checked_mul(plist.offset_size)? <= plist.table.len();
        (fits && sizes.contains(&plist.offset_size) && sizes.contains(&plist.reference_size))
            .then_some(plist)
    }

    /// The fields of the archive's root object.
    fn fields(&self) -> Option<Dictionary<'_, 'a>> {
        let top = self.dictionary(self.top)?;
        let root = self.uid(self.dictionary(top.get("$top")?)?.get("root")?)?;
        self.dictionary(self.element(top.get("$objects")?, root)?)
    }

    /// An object's type, its count, and the bytes behind them.
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

    /// A number that is not negative: one of eight bytes has a sign, shorter ones have none.
    fn integer(&self, number: usize) -> Option<u64> {
        match self.object(number)? {
            (0x10, count @ 0..=3, rest) => {
                big_endian(rest.get(..1 << count)?).filter(|n| i64::try_from(*n).is_ok())
            }
            _ => None,
        }
    }
}

impl Dictionary<'_, '_> {
    fn get(&self, key: &str) -> Option<usize> {
        let size = self.plist.reference_size;
        // Of two equal keys the last one counts, as it does the long way.
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

fn big_endian(bytes: &[u8]) -> Option<u64> {
    (bytes.len() <= 8).then(|| bytes.iter().fold(0, |n, b| n << 8 | u64::from(*b)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::record::FileRecord;

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
    fn it_is_the_size_that_the_whole_record_has() {
        for wanted in [0, 1, 255, 256, 65_536, 1 << 32, i64::MAX as u64] {
            assert_eq!(size(&archive(wanted)), Some(wanted));
        }
    }

    #[test]
    fn what_is_damaged_never_panics_and_never_lies() {
        let whole = archive(70_000);
        for cut in 0..whole.len() {
            assert_eq!(size(&whole[..cut]), None, "cut at {cut}");
        }
        for at in 0..whole.len() {
            for flip in [0x01, 0x0f, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] ^= flip;
                let long_way = FileRecord::decode(&bytes).map(|r| r.size);
                if let (Some(short), Ok(long)) = (size(&bytes), long_way) {
                    assert_eq!(short, long, "byte {at} ^ {flip:#x}");
                }
            }
        }
    }

    #[test]
    fn what_a_listing_shows_is_what_the_whole_record_has() {
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
        // What is before 1970 has a sign, and is read the long way.
        let before = FileRecord {
            last_modified: -5,
            ..record
        };
        assert_eq!(facts(&before.encode()), None);
    }

    #[test]
    fn other_property_lists_are_left_to_others() {
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
