//! Verifies a backup in a repository without pulling it: reads all of it as one stream, and
//! compares every file with the backup's own list of hashes. Only that list is on this computer
//! meanwhile.

use std::io::{self, Write};
use std::iter::Peekable;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::Error;
use super::copy::Copy;
use super::engine::Engine;
use super::tar::{Entries, Untar};
use crate::base::progress::{Event, Monitor, Phase};
use crate::base::sha256::Sha256;
use crate::store::OWN;
use crate::store::sums::{Hash, Sums};
use crate::store::walk;

/// Number of findings that are listed; the others are counted.
const FINDINGS_MAX: usize = 1_000;

/// Time between two reports of progress.
const TELL_EVERY: Duration = Duration::from_millis(200);

/// Kinds of damage to a file of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wrong {
    /// The bytes differ from those that the phone sent.
    Different,
    /// The list names it, and it is not there.
    Missing,
    /// The list does not name the file.
    Unlisted,
}

/// A file that is not as the list says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CopyFinding {
    /// The kind of damage.
    pub wrong: Wrong,
    /// The path in the backup.
    pub file: String,
}

/// The result of verifying a copy.
#[derive(Debug, Clone, Serialize)]
pub struct Proof {
    /// The copy that was read.
    #[serde(flatten)]
    pub copy: Copy,
    /// Number of files that were read.
    pub read_files: u64,
    /// Number of bytes in them.
    pub read_bytes: u64,
    /// Number of files that are not as the list says.
    pub damage: u64,
    /// The first thousand of them.
    pub findings: Vec<CopyFinding>,
    /// Duration of everything.
    pub seconds: f64,
}

/// Reads a backup in a repository and compares every file with its hash.
pub fn prove(engine: &dyn Engine, copy: &Copy, monitor: &dyn Monitor) -> Result<Proof, Error> {
    let start = Instant::now();
    monitor.phase(Phase::Checking);
    let id = &copy.snapshot;
    let mut list = None;
    engine.files(id, &format!("/{OWN}/{}", copy.udid), true, &mut |node| {
        if node.path.ends_with("/SHA256SUMS") {
            list = Some(node.path);
        }
        Ok(())
    })?;
    let list = list.ok_or_else(|| Error::NoBackup(id.clone()))?;
    let failed = |cause| Error::Io {
        doing: "keep the list of hashes in a temporary file",
        cause,
    };
    // Only its owner may read it.
    let mut file = tempfile::NamedTempFile::new().map_err(failed)?;
    engine.dump(id, &list, &mut file)?;
    file.flush().map_err(failed)?;
    let mut compare = Compare {
        sums: Sums::open(file.path())?.peekable(),
        hasher: None,
        proof: Proof {
            copy: copy.clone(),
            read_files: 0,
            read_bytes: 0,
            damage: 0,
            findings: Vec::new(),
            seconds: 0.0,
        },
        monitor: Some(monitor),
        told: start,
    };
    let mut untar = Untar::new(&mut compare);
    engine.dump(id, "/", &mut untar)?;
    untar.finish().map_err(|cause| Error::Io {
        doing: "read the files of the backup",
        cause,
    })?;
    compare.rest()?;
    let mut proof = compare.proof;
    proof.seconds = start.elapsed().as_secs_f64();
    Ok(proof)
}

/// Compares files, which come in the order of the list, with the list.
struct Compare<'a, I: Iterator> {
    sums: Peekable<I>,
    hasher: Option<Sha256>,
    proof: Proof,
    monitor: Option<&'a dyn Monitor>,
    told: Instant,
}

impl<I: Iterator<Item = Result<(String, Hash), crate::store::Error>>> Compare<'_, I> {
    fn wrong(&mut self, wrong: Wrong, file: String) {
        self.proof.damage += 1;
        if self.proof.findings.len() < FINDINGS_MAX {
            self.proof.findings.push(CopyFinding { wrong, file });
        }
    }

    fn tell(&mut self) {
        let Some(monitor) = self.monitor.filter(|_| self.told.elapsed() > TELL_EVERY) else {
            return;
        };
        self.told = Instant::now();
        monitor.event(Event::Progress {
            percent: None,
            bytes: self.proof.read_bytes,
            files: self.proof.read_files,
            files_total: self.proof.copy.files,
            bytes_total: self.proof.copy.bytes,
        });
    }

    fn judge(&mut self, path: &str, hash: Hash) -> Result<(), crate::store::Error> {
        while let Some(next) = self.sums.peek() {
            let order = match next {
                Ok((listed, _)) => walk::order(listed, path),
                Err(_) => std::cmp::Ordering::Less,
            };
            if order.is_gt() {
                break;
            }
            let Some(next) = self.sums.next() else {
                break;
            };
            let (listed, wanted) = next?;
            if order.is_lt() {
                self.wrong(Wrong::Missing, listed);
                continue;
            }
            if wanted != hash {
                self.wrong(Wrong::Different, listed);
            }
            return Ok(());
        }
        self.wrong(Wrong::Unlisted, path.to_owned());
        Ok(())
    }

    /// Reports what the list names after the last file.
    fn rest(&mut self) -> Result<(), Error> {
        while let Some(next) = self.sums.next() {
            let (listed, _) = next?;
            self.wrong(Wrong::Missing, listed);
        }
        Ok(())
    }
}

/// Returns true for a path in the folder with our records.
fn is_ours(path: &str) -> bool {
    path.strip_prefix(OWN)
        .is_some_and(|rest| rest.starts_with('/'))
}

impl<I: Iterator<Item = Result<(String, Hash), crate::store::Error>>> Entries for Compare<'_, I> {
    fn begin(&mut self, path: &str) -> io::Result<()> {
        self.hasher = (!is_ours(path)).then(Sha256::new);
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
            self.proof.read_bytes += bytes.len() as u64;
        }
        Ok(())
    }

    fn end(&mut self, path: &str) -> io::Result<()> {
        let Some(hasher) = self.hasher.take() else {
            return Ok(());
        };
        self.proof.read_files += 1;
        self.tell();
        self.judge(path, hasher.finalize())
            .map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_and_files_are_merged() {
        let hash = |byte: u8| [byte; 32];
        let listed = [("00/a", 1), ("00/b", 2), ("01/c", 3), ("Info.plist", 4)];
        let listed = listed.map(|(path, byte)| Ok((path.to_owned(), hash(byte))));
        let copy = serde_copy();
        let mut compare = Compare {
            sums: listed.into_iter().peekable(),
            hasher: None,
            proof: Proof {
                copy,
                read_files: 0,
                read_bytes: 0,
                damage: 0,
                findings: Vec::new(),
                seconds: 0.0,
            },
            monitor: None,
            told: Instant::now(),
        };
        for (path, byte) in [("00/a", 1), ("00/aa", 9), ("01/c", 8)] {
            compare.judge(path, hash(byte)).unwrap();
        }
        compare.rest().unwrap();
        let found: Vec<(Wrong, &str)> = (compare.proof.findings.iter())
            .map(|finding| (finding.wrong, finding.file.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                (Wrong::Unlisted, "00/aa"),
                (Wrong::Missing, "00/b"),
                (Wrong::Different, "01/c"),
                (Wrong::Missing, "Info.plist"),
            ]
        );
    }

    fn serde_copy() -> Copy {
        Copy {
            snapshot: "1a2b3c4d".to_owned(),
            udid: "00008030-001C195E0A88802E".to_owned(),
            name: None,
            ios: None,
            encrypted: None,
            files: None,
            bytes: None,
            backup: "0c5d".to_owned(),
            status: None,
            time: jiff::Timestamp::UNIX_EPOCH,
            host: "nas".to_owned(),
        }
    }
}
