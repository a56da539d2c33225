//! The journal of a draft: records what happened to its files, so that each file's hash is known at
//! the end without reading the file again.
//!
//! The journal has one line per event. The lines are spread over 17 files by the first digit of the
//! file's name, so that the events of a million files are never in memory at once. Fields are
//! separated by tabs, which no path here can contain:
//!
//! ```text
//! K  <sha256> <size> <path>    file received completely
//! ?  <path>                    contents unknown
//! M  <from> <to>              file moved     MD <from> <to>   folder moved
//! C  <from> <to>              file copied    CD <from> <to>   folder copied
//! R  <path>                    file removed   RD <path>        folder removed
//! ```

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::base::backup_path::BackupPath;
use crate::base::plain_file;
use crate::store::sums::{Hash, hex, unhex};
use crate::store::{Error, disk};

/// The number of buckets: one for each hex digit, and one for names that are not file ids.
pub(crate) const BUCKETS: usize = 17;

/// Returns the bucket of a path.
pub(crate) fn bucket(path: &str) -> usize {
    let name = path.rsplit('/').next().unwrap_or(path);
    let is_id = name.len() == 40 && name.bytes().all(|b| b.is_ascii_hexdigit());
    let digit = name.chars().next().and_then(|c| c.to_digit(16));
    digit.filter(|_| is_id).map_or(BUCKETS - 1, |d| d as usize)
}

/// Returns true if the journal in `folder` records a file whose name is a file id.
pub(crate) fn holds_files(folder: &Path) -> bool {
    let has_lines = |bucket| fs::metadata(file(folder, bucket)).is_ok_and(|meta| meta.len() > 0);
    (0..BUCKETS - 1).any(has_lines)
}

/// Returns the number and the size of the files that the journal in `folder` records as received,
/// without the lists. A file that was received twice counts once. What cannot be read counts as
/// nothing.
pub fn received(folder: &Path) -> (u64, u64) {
    let mut sum = (0, 0);
    for bucket in 0..BUCKETS - 1 {
        let Ok(opened) = File::open(file(folder, bucket)) else {
            continue;
        };
        let mut sizes = HashMap::new();
        for line in BufReader::new(opened).lines().map_while(Result::ok) {
            let mut fields = line.split('\t');
            if let (Some("K"), Some(_), Some(size), Some(path)) =
                (fields.next(), fields.next(), fields.next(), fields.next())
                && let Ok(size) = size.parse::<u64>()
            {
                sizes.insert(path.to_owned(), size);
            }
        }
        sum.0 += sizes.len() as u64;
        sum.1 += sizes.values().sum::<u64>();
    }
    sum
}

/// The writing side of a journal.
#[derive(Debug)]
pub(crate) struct Journal {
    folder: PathBuf,
    files: Vec<BufWriter<File>>,
}

impl Journal {
    /// Opens the journal in `folder` and continues it.
    pub(crate) fn open(folder: &Path) -> Result<Journal, Error> {
        disk::make_private_dirs(folder)?;
        let mut files = Vec::with_capacity(BUCKETS);
        for bucket in 0..BUCKETS {
            let path = file(folder, bucket);
            drop_torn_line(&path).map_err(|e| Error::io("mend", &path, e))?;
            let mut options = OpenOptions::new();
            options.append(true).create(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let opened = plain_file::open_with(&mut options, &path)
                .map_err(|e| Error::io("open", &path, e))?;
            files.push(BufWriter::with_capacity(16 << 10, opened));
        }
        Ok(Journal {
            folder: folder.to_path_buf(),
            files,
        })
    }

    /// Records that a file was received completely.
    pub(crate) fn kept(&mut self, path: &BackupPath, hash: &Hash, size: u64) -> Result<(), Error> {
        let line = format!("K\t{}\t{size}\t{path}\n", hex(hash));
        self.write(bucket(path.as_str()), &line)
    }

    /// Records that a file or folder is about to be moved.
    pub(crate) fn moved(
        &mut self,
        from: &BackupPath,
        to: &BackupPath,
        is_dir: bool,
    ) -> Result<(), Error> {
        let (source, target) = (bucket(from.as_str()), bucket(to.as_str()));
        if is_dir {
            self.write_all(&format!("MD\t{from}\t{to}\n"))
        } else if source == target {
            self.write(source, &format!("M\t{from}\t{to}\n"))
        } else {
            self.write(source, &format!("R\t{from}\n"))?;
            self.write(target, &format!("?\t{to}\n"))
        }
    }

    /// Records that a file or folder was copied.
    pub(crate) fn copied(
        &mut self,
        from: &BackupPath,
        to: &BackupPath,
        is_dir: bool,
    ) -> Result<(), Error> {
        let (source, target) = (bucket(from.as_str()), bucket(to.as_str()));
        if is_dir {
            self.write_all(&format!("CD\t{from}\t{to}\n"))
        } else if source == target {
            self.write(source, &format!("C\t{from}\t{to}\n"))
        } else {
            self.write(target, &format!("?\t{to}\n"))
        }
    }

    /// Records that a file or folder was removed.
    pub(crate) fn removed(&mut self, path: &BackupPath, is_dir: bool) -> Result<(), Error> {
        if is_dir {
            self.write_all(&format!("RD\t{path}\n"))
        } else {
            self.write(bucket(path.as_str()), &format!("R\t{path}\n"))
        }
    }

    /// Hands all buffered lines to the operating system. This happens before the phone is answered,
    /// so that after a killed run the journal covers everything that was confirmed.
    pub(crate) fn flush(&mut self) -> Result<(), Error> {
        let flushed = self.files.iter_mut().try_for_each(BufWriter::flush);
        flushed.map_err(|e| Error::io("write", &self.folder, e))
    }

    fn write(&mut self, bucket: usize, line: &str) -> Result<(), Error> {
        let written = self.files[bucket].write_all(line.as_bytes());
        written.map_err(|e| Error::io("write", &self.folder, e))
    }

    fn write_all(&mut self, line: &str) -> Result<(), Error> {
        (0..BUCKETS).try_for_each(|bucket| self.write(bucket, line))
    }
}

/// Removes an incomplete last line, which a run that died or met a full disk may have left.
/// Otherwise the next line would be appended to it.
fn drop_torn_line(path: &Path) -> io::Result<()> {
    const TAIL: u64 = 8 << 10;
    let mut options = OpenOptions::new();
    let mut file = match plain_file::open_with(options.read(true).write(true), path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    let length = file.metadata()?.len();
    let start = length.saturating_sub(TAIL);
    file.seek(SeekFrom::Start(start))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let whole = tail
        .iter()
        .rposition(|b| *b == b'\n')
        .map_or(0, |at| at + 1);
    if whole < tail.len() {
        file.set_len(start + whole as u64)?;
    }
    Ok(())
}

fn file(folder: &Path, bucket: usize) -> PathBuf {
    folder.join(format!("{bucket:02}"))
}

/// The state of a file according to the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The file is unchanged from the previous backup.
    Untouched,
    /// The file was received, with this hash and size.
    Received(Hash, u64),
    /// The file was changed, but its hash is not known.
    Unknown,
}

/// The replayed events of one bucket of a journal.
#[derive(Debug, Default)]
pub struct Replay {
    fates: HashMap<String, Option<(Hash, u64)>>,
    /// Folders that got their contents when a folder was moved or copied.
    unknown_below: Vec<String>,
}

impl Replay {
    /// Replays one bucket. An incomplete last line is ignored.
    pub fn load(folder: &Path, bucket: usize) -> Result<Replay, Error> {
        let path = file(folder, bucket);
        let mut replay = Replay::default();
        let mut lines = match plain_file::open(&path) {
            Ok(file) => BufReader::new(file),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(replay),
            Err(e) => return Err(Error::io("read", &path, e)),
        };
        let mut line = String::new();
        loop {
            line.clear();
            lines
                .read_line(&mut line)
                .map_err(|e| Error::unreadable(&path, e))?;
            let Some(whole) = line.strip_suffix('\n') else {
                return Ok(replay);
            };
            if replay.step(whole).is_none() {
                return Err(Error::Damaged {
                    path,
                    why: "a line is no event".to_owned(),
                });
            }
        }
    }

    /// Returns the state of a file.
    pub fn fate(&self, path: &str) -> Fate {
        match self.fates.get(path) {
            Some(Some((hash, size))) => Fate::Received(*hash, *size),
            Some(None) => Fate::Unknown,
            None if self
                .unknown_below
                .iter()
                .any(|folder| is_below(path, folder)) =>
            {
                Fate::Unknown
            }
            None => Fate::Untouched,
        }
    }

    fn step(&mut self, line: &str) -> Option<()> {
        let fields: Vec<&str> = line.split('\t').collect();
        match fields[..] {
            ["K", digits, size, path] => {
                self.fates
                    .insert(path.to_owned(), Some((unhex(digits)?, size.parse().ok()?)));
            }
            ["?", path] => {
                self.fates.insert(path.to_owned(), None);
            }
            ["M", from, to] => {
                let fate = self.fates.remove(from).flatten();
                self.fates.insert(to.to_owned(), fate);
            }
            ["C", from, to] => {
                let fate = self.fates.get(from).copied().flatten();
                self.fates.insert(to.to_owned(), fate);
            }
            ["R", path] => {
                self.fates.remove(path);
            }
            ["RD", folder] => self.fates.retain(|path, _| !is_below(path, folder)),
            ["MD", from, to] => {
                self.fates
                    .retain(|path, _| !is_below(path, from) && !is_below(path, to));
                self.unknown_below.push(to.to_owned());
            }
            ["CD", _, to] => {
                self.fates.retain(|path, _| !is_below(path, to));
                self.unknown_below.push(to.to_owned());
            }
            _ => return None,
        }
        Some(())
    }
}

fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder)
        .is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "3d0d7e5fb2ce288813306e4d4636395e047a3d28";

    fn path(text: &str) -> BackupPath {
        text.parse().unwrap()
    }

    fn fate_after(events: impl Fn(&mut Journal), of: &str) -> Fate {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path()).unwrap();
        events(&mut journal);
        journal.flush().unwrap();
        Replay::load(dir.path(), bucket(of)).unwrap().fate(of)
    }

    #[test]
    fn moved_file_keeps_its_hash() {
        let (from, to) = (
            path(&format!("U/Snapshot/3d/{ID}")),
            path(&format!("U/3d/{ID}")),
        );
        let fate = fate_after(
            |j| {
                j.kept(&from, &[7; 32], 5).unwrap();
                j.moved(&from, &to, false).unwrap();
            },
            to.as_str(),
        );
        assert_eq!(fate, Fate::Received([7; 32], 5));
    }

    #[test]
    fn moved_unreceived_file_is_unknown() {
        let (from, to) = (path(&format!("U/3e/{ID}")), path(&format!("U/3d/{ID}")));
        assert_eq!(
            fate_after(|j| j.moved(&from, &to, false).unwrap(), to.as_str()),
            Fate::Unknown
        );
        let renamed = path("U/other");
        assert_eq!(
            fate_after(|j| j.moved(&from, &renamed, false).unwrap(), "U/other"),
            Fate::Unknown
        );
    }

    #[test]
    fn moved_folder_contents_become_unknown() {
        let inside = format!("U/new/{ID}");
        let moved = |j: &mut Journal| j.moved(&path("U/old"), &path("U/new"), true).unwrap();
        assert_eq!(fate_after(moved, &inside), Fate::Unknown);
        assert_eq!(fate_after(moved, &format!("U/newer/{ID}")), Fate::Untouched);
    }

    #[test]
    fn copied_file_keeps_its_hash() {
        let (from, to) = (path(&format!("U/a/{ID}")), path(&format!("U/b/{ID}")));
        let kept = |j: &mut Journal| j.kept(&from, &[7; 32], 5).unwrap();
        let copied = |j: &mut Journal, to| j.copied(&from, to, false).unwrap();
        let both = |j: &mut Journal| {
            kept(j);
            copied(j, &to);
        };
        for of in [&from, &to] {
            assert_eq!(fate_after(both, of.as_str()), Fate::Received([7; 32], 5));
        }
        // The hash is not known after a move to another bucket, or of a file that was not received.
        let elsewhere = path("U/other");
        let away = |j: &mut Journal| {
            kept(j);
            copied(j, &elsewhere);
        };
        assert_eq!(fate_after(away, "U/other"), Fate::Unknown);
        assert_eq!(fate_after(away, from.as_str()), Fate::Received([7; 32], 5));
        let unknown = |j: &mut Journal| copied(j, &to);
        assert_eq!(fate_after(unknown, to.as_str()), Fate::Unknown);
        assert_eq!(fate_after(unknown, from.as_str()), Fate::Untouched);
    }

    #[test]
    fn folder_changes_affect_only_contents() {
        let (inside, beside) = (format!("U/old/{ID}"), format!("U/older/{ID}"));
        let kept = |j: &mut Journal| {
            j.kept(&path(&inside), &[7; 32], 5).unwrap();
            j.kept(&path(&beside), &[8; 32], 5).unwrap();
        };
        let old = path("U/old");
        let removed = |j: &mut Journal| {
            kept(j);
            j.removed(&old, true).unwrap();
        };
        let moved = |j: &mut Journal| {
            kept(j);
            j.moved(&old, &path("U/new"), true).unwrap();
        };
        // A folder replaces what was at its new path.
        let moved_upon = |j: &mut Journal| {
            kept(j);
            j.moved(&path("U/new"), &old, true).unwrap();
        };
        let copied_upon = |j: &mut Journal| {
            kept(j);
            j.copied(&path("U/new"), &old, true).unwrap();
        };
        assert_eq!(fate_after(removed, &inside), Fate::Untouched);
        assert_eq!(fate_after(moved, &inside), Fate::Untouched);
        assert_eq!(fate_after(moved_upon, &inside), Fate::Unknown);
        assert_eq!(fate_after(copied_upon, &inside), Fate::Unknown);
        let other = Fate::Received([8; 32], 5);
        assert_eq!(fate_after(removed, &beside), other);
        assert_eq!(fate_after(moved, &beside), other);
        assert_eq!(fate_after(moved_upon, &beside), other);
        assert_eq!(fate_after(copied_upon, &beside), other);
    }

    #[test]
    fn removed_file_counts_as_unreceived() {
        for name in [format!("U/3d/{ID}"), "U/Status.plist".to_owned()] {
            let removed = |j: &mut Journal| {
                j.kept(&path(&name), &[7; 32], 5).unwrap();
                j.removed(&path(&name), false).unwrap();
            };
            assert_eq!(fate_after(removed, &name), Fate::Untouched);
        }
    }

    #[test]
    fn journal_bucket_is_first_digit() {
        let id = |digit: &str| format!("U/{digit}0/{digit}{}", &ID[1..]);
        assert_eq!(["0", "9", "a", "f"].map(|d| bucket(&id(d))), [0, 9, 10, 15]);
        for name in [
            "U/Status.plist",
            "3d",
            &ID[1..],
            &format!("U/{ID}0"),
            &format!("U/g{}", &ID[1..]),
        ] {
            assert_eq!(bucket(name), BUCKETS - 1, "{name}");
        }
    }

    #[test]
    fn journal_resumes_after_last_whole_line() {
        let torn = format!("K\t{}\t5\tU/a\nK\t{}", hex(&[1; 32]), "ab");
        // The journal is longer than the tail that is searched for an incomplete line.
        let long = format!("R\tU/{}\n", "x".repeat(40)).repeat(1000);
        for before in [
            torn.clone(),
            "K\t".to_owned(),
            String::new(),
            long.clone() + &torn,
        ] {
            let dir = tempfile::tempdir().unwrap();
            fs::write(file(dir.path(), BUCKETS - 1), &before).unwrap();
            let mut journal = Journal::open(dir.path()).unwrap();
            journal.kept(&path("U/b"), &[2; 32], 6).unwrap();
            journal.flush().unwrap();
            let replay = Replay::load(dir.path(), BUCKETS - 1).unwrap();
            assert_eq!(replay.fate("U/b"), Fate::Received([2; 32], 6));
            let first = before.contains("U/a").then_some(Fate::Received([1; 32], 5));
            assert_eq!(replay.fate("U/a"), first.unwrap_or(Fate::Untouched));
        }
        let dir = tempfile::tempdir().unwrap();
        fs::write(file(dir.path(), 0), &long).unwrap();
        drop(Journal::open(dir.path()).unwrap());
        assert_eq!(fs::read_to_string(file(dir.path(), 0)).unwrap(), long);
    }

    #[test]
    fn truncated_last_line_is_ignored() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(
            file(dir.path(), BUCKETS - 1),
            format!("K\t{}\t5\tU/a\nK\t{}", hex(&[1; 32]), "ab"),
        )
        .unwrap();
        let replay = Replay::load(dir.path(), BUCKETS - 1).unwrap();
        assert_eq!(replay.fate("U/a"), Fate::Received([1; 32], 5));
    }
}
