//! Checks our own files that accompany a backup against the backup's record.
//!
//! The lists, the copies of the metadata and the report are our own bookkeeping. Damage to them is
//! not damage to the backup. A damaged list cannot prove anything about the backup's files,
//! however, so the damage has to be found and reported.

use std::io::{BufRead, BufReader};
use std::path::Path;

use super::prints::{ListPrint, Print};
use super::{Error, RECORDED, REPORT, SUMS, Snapshot, disk};
use crate::base::plain_file;
use crate::store::draft::hash_list::Proven;
use crate::store::hash_sources::SOURCES;

/// A fault in one of our own files that accompany a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The name of the file in the folder of ours.
    pub file: String,
    /// The fault, in words.
    pub why: String,
}

/// The extent of a check of our own files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Check the record, the lists and the report.
    Lists,
    /// Also check the copies of the metadata, which can have 1.5 GB.
    All,
}

/// Returns true if these faults mean that a backup of ours has no valid list of hashes.
pub(crate) fn has_damaged_list(of: &Snapshot, faults: &[Fault]) -> bool {
    of.beside().is_some()
        && (of.record().is_none() || faults.iter().any(|fault| fault.file == SUMS))
}

impl Snapshot {
    /// Checks all of our own files that accompany this backup. Finds no faults for a backup that
    /// another program made.
    pub(crate) fn audit(&self, extent: Extent) -> Result<Vec<Fault>, Error> {
        let Some(beside) = self.beside() else {
            return Ok(Vec::new());
        };
        let mut faults: Vec<Fault> = Vec::new();
        let mut fault = |file: &str, why: Option<String>| {
            faults.extend(why.map(|why| Fault {
                file: file.to_owned(),
                why,
            }));
        };
        for (name, flaw) in self.flaws() {
            fault(name, Some(format!("the record of this backup: {flaw}")));
        }
        let Some(record) = self.record() else {
            if !beside.join(SUMS).exists() {
                fault(SUMS, Some("it is missing".to_owned()));
            }
            return Ok(faults);
        };
        let lists = [(SUMS, &record.list), (SOURCES, &record.sources)];
        for (name, wanted) in lists {
            fault(name, list_fault(&beside.join(name), wanted)?);
        }
        fault(REPORT, file_fault(&beside.join(REPORT), &record.report)?);
        if extent == Extent::All {
            for name in RECORDED {
                if let Some(wanted) = record.metadata.get(name) {
                    fault(name, file_fault(&beside.join(name), wanted)?);
                }
            }
        }
        Ok(faults)
    }

    /// Returns the list of hashes if it is unchanged since it was sealed. The list of sources is
    /// included if it is unchanged too.
    pub fn proven(&self) -> Result<Option<Proven>, Error> {
        let (Some(beside), Some(record)) = (self.beside(), self.record()) else {
            return Ok(None);
        };
        let (sums, sources) = (beside.join(SUMS), beside.join(SOURCES));
        if list_fault(&sums, &record.list)?.is_some() {
            return Ok(None);
        }
        let has_sources = list_fault(&sources, &record.sources)?.is_none();
        Ok(Some(Proven {
            sums,
            sources: has_sources.then_some(sources),
        }))
    }

    /// Returns the names of this backup's metadata files that differ from what was sealed. Without
    /// a record, they are compared with the copies that accompany the backup.
    pub(crate) fn altered_metadata(&self) -> Result<Vec<&'static str>, Error> {
        let Some(beside) = self.beside() else {
            return Ok(Vec::new());
        };
        let mut altered = Vec::new();
        for name in RECORDED {
            let wanted = match self.record() {
                Some(record) => record.metadata.get(name).cloned(),
                None => print_of(&beside.join(name))?,
            };
            if wanted.is_some() && print_of(&self.path().join(name))? != wanted {
                altered.push(name);
            }
        }
        Ok(altered)
    }
}

impl Snapshot {
    /// Returns true if the copies of these metadata files are unchanged since they were sealed, so
    /// that they can replace the files.
    pub(crate) fn can_mend(&self, names: &[&str]) -> Result<bool, Error> {
        let (Some(beside), Some(record)) = (self.beside(), self.record()) else {
            return Ok(false);
        };
        for name in names {
            let copy = print_of(&beside.join(name))?;
            if copy.is_none() || copy.as_ref() != record.metadata.get(*name) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Replaces altered metadata files in a clone of this backup with their sealed copies.
    pub(super) fn mend_clone(&self, clone: &Path) -> Result<(), Error> {
        let altered = self.altered_metadata()?;
        let (Some(beside), true) = (self.beside(), self.can_mend(&altered)?) else {
            return Ok(());
        };
        for name in altered {
            let to = clone.join(name);
            // The file is never changed in place, since the clone may share it with the backup.
            let copied =
                disk::remove_if_there(&to).and_then(|()| disk::copy_file(&beside.join(name), &to));
            copied.map_err(|e| Error::io("copy", &to, e))?;
        }
        Ok(())
    }
}

/// Returns the print of a file. Returns `None` if the file cannot be read, but an error if only a
/// permission is missing.
fn print_of(path: &Path) -> Result<Option<Print>, Error> {
    match Print::of(path) {
        Err(e) if e.is_refused() => Err(e),
        print => Ok(print.ok()),
    }
}

fn file_fault(path: &Path, wanted: &Print) -> Result<Option<String>, Error> {
    match Print::of(path) {
        Ok(found) if found == *wanted => Ok(None),
        Ok(found) if found.bytes != wanted.bytes => Ok(Some(format!(
            "it has {} bytes, and had {} when the backup was sealed",
            found.bytes, wanted.bytes
        ))),
        Ok(_) => Ok(Some(
            "its bytes are not those that were written when the backup was sealed".to_owned(),
        )),
        Err(e) if e.is_refused() => Err(e),
        Err(Error::Io { cause, .. }) if cause.kind() == std::io::ErrorKind::NotFound => {
            Ok(Some("it is missing".to_owned()))
        }
        Err(e) => Ok(Some(e.to_string())),
    }
}

fn list_fault(path: &Path, wanted: &ListPrint) -> Result<Option<String>, Error> {
    let print = Print {
        sha256: wanted.sha256.clone(),
        bytes: wanted.bytes,
    };
    let fault = file_fault(path, &print)?;
    if fault.is_none() {
        return Ok(None);
    }
    // For people, the number of lines says more than a length.
    match lines_of(path) {
        Some(lines) if lines != wanted.lines => Ok(Some(format!(
            "it has {lines} lines, and had {} when the backup was sealed",
            wanted.lines
        ))),
        _ => Ok(fault),
    }
}

fn lines_of(path: &Path) -> Option<u64> {
    let mut from = BufReader::new(plain_file::open(path).ok()?);
    let mut lines = 0;
    loop {
        let buffer = from.fill_buf().ok()?;
        if buffer.is_empty() {
            return Some(lines);
        }
        lines += buffer.iter().filter(|byte| **byte == b'\n').count() as u64;
        let length = buffer.len();
        from.consume(length);
    }
}
