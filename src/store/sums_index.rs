//! Looks up single hashes in the list of hashes, without holding the list in memory.
//!
//! A phone requests the files of a backup in its own order. The list of a million files has more
//! than 100 MB, so the index keeps only where the lines begin whose file names share their first
//! four hex digits, and reads those few lines again for each lookup.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::Error;
use super::sums::{Hash, Sums, unhex};
use crate::base::plain_file;

/// Length in bytes of a line that names a payload file in a folder of two digits, for the first
/// guess of how much to read.
const LINE_BYTES: usize = 64 + 2 + 2 + 1 + 40 + 1;

/// An index of a list of hashes that does not change while it is used.
pub(crate) struct SumsIndex {
    path: PathBuf,
    file: File,
    /// The byte range of the lines of each group of payload files, by the first four digits of
    /// their names.
    groups: BTreeMap<[u8; 4], (u64, u64)>,
    /// The hashes of all other files. These are the phone's lists and property lists.
    others: BTreeMap<String, Hash>,
    payload_files: u64,
}

impl SumsIndex {
    /// Reads a list once. Returns `None` if a line is damaged, or if the lines of a group are not
    /// together.
    pub(crate) fn open(path: &Path) -> Result<Option<SumsIndex>, Error> {
        let mut groups = BTreeMap::new();
        let mut others = BTreeMap::new();
        let mut payload_files = 0;
        let mut at = 0;
        let mut last = None;
        for line in Sums::open(path)? {
            let (name, hash) = match line {
                Ok(line) => line,
                Err(Error::Damaged { .. }) => return Ok(None),
                Err(e) => return Err(e),
            };
            let end = at + 64 + 2 + name.len() as u64 + 1;
            match group(&name) {
                None => {
                    others.insert(name, hash);
                    last = None;
                }
                Some(digits) => {
                    payload_files += 1;
                    if last == Some(digits) {
                        groups
                            .entry(digits)
                            .and_modify(|range: &mut (u64, u64)| range.1 = end);
                    } else if groups.insert(digits, (at, end)).is_some() {
                        return Ok(None);
                    }
                    last = Some(digits);
                }
            }
            at = end;
        }
        Ok(Some(SumsIndex {
            path: path.to_path_buf(),
            file: plain_file::open(path).map_err(|e| Error::io("read", path, e))?,
            groups,
            others,
            payload_files,
        }))
    }

    /// Returns the number of payload files that the list names: files that the phone stored, apart
    /// from its lists and property lists.
    pub(crate) fn payload_files(&self) -> u64 {
        self.payload_files
    }

    /// Returns the hashes of the phone's lists and property lists.
    pub(crate) fn others(&self) -> &BTreeMap<String, Hash> {
        &self.others
    }

    /// Returns the hash of a file, by its path below the backup's folder.
    pub(crate) fn find(&mut self, name: &str) -> Result<Option<Hash>, Error> {
        let Some(digits) = group(name) else {
            return Ok(self.others.get(name).copied());
        };
        let Some(&(start, end)) = self.groups.get(&digits) else {
            return Ok(None);
        };
        let found = find_between(&mut self.file, name, start, end);
        found.map_err(|e| Error::io("read", &self.path, e))
    }
}

fn find_between(file: &mut File, name: &str, start: u64, end: u64) -> io::Result<Option<Hash>> {
    file.seek(SeekFrom::Start(start))?;
    let length = end - start;
    let capacity = usize::try_from(length)
        .unwrap_or(usize::MAX)
        .min(64 * LINE_BYTES);
    let mut lines = BufReader::with_capacity(capacity, file.take(length));
    let mut line = String::new();
    loop {
        line.clear();
        if lines.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let parsed = line.trim_end_matches('\n').split_once("  ");
        if let Some((digits, path)) = parsed
            && path == name
        {
            return Ok(unhex(digits));
        }
    }
}

/// Returns the first four digits of the file name if the path names a payload file.
fn group(path: &str) -> Option<[u8; 4]> {
    let name = path.rsplit('/').next()?.as_bytes();
    let is_payload = name.len() == 40 && name.iter().all(u8::is_ascii_hexdigit);
    if is_payload {
        name.first_chunk().copied()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sums::hex;

    fn name(n: u32) -> String {
        let digits = format!("{:08x}{:032x}", n.wrapping_mul(0x0100_0193), n);
        format!("{}/{digits}", &digits[..2])
    }

    fn hash(n: u32) -> Hash {
        let mut hash = [7; 32];
        hash[..4].copy_from_slice(&n.to_be_bytes());
        hash
    }

    fn list(names: &[(String, Hash)]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("SHA256SUMS");
        let lines = names
            .iter()
            .map(|(name, hash)| format!("{}  {name}\n", hex(hash)));
        std::fs::write(&path, lines.collect::<String>()).unwrap();
        (dir, path)
    }

    #[test]
    fn index_finds_every_hash() {
        let mut names: Vec<_> = (0..5000).map(|n| (name(n), hash(n))).collect();
        names.push(("Manifest.db".to_owned(), hash(9999)));
        names.sort_by(|a, b| crate::store::walk::order(&a.0, &b.0));
        let (_dir, path) = list(&names);
        let mut index = SumsIndex::open(&path).unwrap().unwrap();
        assert_eq!(index.payload_files(), 5000);
        for (name, hash) in &names {
            assert_eq!(index.find(name).unwrap(), Some(*hash), "{name}");
        }
        assert_eq!(index.find(&name(5001)).unwrap(), None);
        assert_eq!(index.find("Info.plist").unwrap(), None);
    }

    /// Checks that a flat backup of iOS 9 is indexed too, and that a list whose lines are damaged
    /// or out of order has no index.
    #[test]
    fn unusable_list_has_no_index() {
        let flat = |n| (name(n)[3..].to_owned(), hash(n));
        let mut names: Vec<_> = (0..100).map(flat).collect();
        names.sort();
        let (_dir, path) = list(&names);
        let mut index = SumsIndex::open(&path).unwrap().unwrap();
        assert_eq!(index.find(&flat(7).0).unwrap(), Some(hash(7)));

        let apart = ["ab/abcd", "00/0000", "ab/abcd"].map(|start| {
            let digits = start.rsplit('/').next().unwrap_or_default();
            (format!("{start}{}", "0".repeat(40 - digits.len())), hash(1))
        });
        let (_dir, path) = list(&apart);
        assert!(SumsIndex::open(&path).unwrap().is_none());
        std::fs::write(&path, "deadbeef  x\n").unwrap();
        assert!(SumsIndex::open(&path).unwrap().is_none());
    }
}
