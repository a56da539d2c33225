//! An import: a backup from another folder is copied into a folder of its own, proved, and sealed
//! in the same way as a draft.
//!
//! ```text
//! import/import.json   identifies what is being copied
//! import/root/<UDID>/  the copy: each file is complete or absent
//! import/beside/       our own files that will accompany the sealed backup
//! import/seal.json     once this exists, the copy is put in its place, even after a crash
//! ```
//! The copy shares no file with its source, because other programs change their files in place. At
//! most it shares blocks (clones made by the file system).

use std::fs;
use std::io::{self, Read, Write};
use std::iter::Peekable;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::disk::CloneKind;
use super::notes::Note;
use super::record::{Record, Sealing};
use super::sums::{Hash, Line, Lines, Sums, hash_file, hex};
use super::trash::throw_away;
use super::walk::{Walk, order as walk_order};
use super::{Error, Lock, RECORDED, REPORT, SUMS, Store, layout, order, snapshot};
use crate::base::plain_file;
use crate::base::sha256::Sha256;
use crate::base::udid::Udid;
use crate::store::free_names::{archive_name, free_name};
use crate::store::hash_sources::{Listing, Lists, Source, Sources};
use crate::store::seal::{Intent, finish, has_its_copies};
use crate::store::tally::Tally;
use crate::store::{disk, trash, walk};

/// The identity of the backup being imported. An interrupted import of a different one is not
/// resumed.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
struct Origin {
    /// SHA-256 of the Status.plist.
    status: String,
    /// SHA-256 of the list of hashes that the copy must match.
    sums: Option<String>,
}

/// A backup that is being copied into a store.
pub struct Import {
    store: Store,
    udid: Udid,
    folder: PathBuf,
    from: PathBuf,
    expected: Option<Expected>,
    listing: Option<Listing>,
    tally: Tally,
    doubts: Vec<String>,
    /// True if the files are moved, because the source is a folder of ours.
    moves: bool,
    _lock: Lock,
}

/// The list of hashes that a copy must match.
#[derive(Debug, Clone)]
pub struct Expected {
    /// The path of SHA256SUMS.
    pub sums: PathBuf,
    /// The list of sources, if it passes its own check.
    pub sources: Option<PathBuf>,
    /// True if this is the list that was sealed. Otherwise it is used as far as possible, but does
    /// not prove any file.
    pub is_proven: bool,
}

/// The name and time under which a copy is sealed.
#[derive(Debug, Clone)]
pub(crate) struct Placing {
    /// The preferred name, used if it is free: local time, `YYYYMMDD-HHMMSS`.
    pub stamp: String,
    /// The date of the backup if its Status.plist has none.
    pub date: Timestamp,
    /// The moment of sealing.
    pub now: Timestamp,
    /// True if the copy becomes the phone's current backup.
    pub as_current: bool,
}

/// The most doubts about a copy that are recorded.
const DOUBTS_MAX: usize = 100;

/// The numbers of files by the way in which they were brought in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Copied {
    /// Files copied, or cloned by the file system.
    pub copied: u64,
    /// Files already present from an interrupted run.
    pub there: u64,
    /// Files taken from another snapshot of the store that has the same ones.
    pub shared: u64,
    /// Bytes of all files together.
    pub bytes: u64,
    /// Links and other things that are not part of a backup and were left out.
    pub left_out: u64,
}

impl Import {
    /// Begins an import, or resumes an earlier one from the same source. With `expected`, a file
    /// that does not match a proven list is an error.
    pub fn begin(
        store: &Store,
        udid: &Udid,
        lock: Lock,
        from: &Path,
        expected: Option<&Expected>,
    ) -> Result<Import, Error> {
        let folder = store.import_of(udid);
        let source = Origin {
            status: hex(&hash_file(&from.join("Status.plist"))?.0),
            sums: expected
                .map(|list| hash_file(&list.sums).map(|(hash, _)| hex(&hash)))
                .transpose()?,
        };
        let note = folder.join("import.json");
        let left = plain_file::read(&note).ok();
        let left: Option<Origin> = left.and_then(|text| serde_json::from_slice(&text).ok());
        // Without expected hashes nothing proves the files that an earlier run left.
        if expected.is_none() || left.as_ref() != Some(&source) {
            throw_away(&store.own_of(udid), &folder, &mut || ())?;
            disk::make_private_dirs(&folder.join("root").join(udid.as_str()))?;
            let text = serde_json::to_vec(&source)
                .map_err(|e| Error::io("write", &note, io::Error::other(e)))?;
            disk::write_whole(&note, &text)?;
        }
        Ok(Import {
            store: store.clone(),
            udid: udid.clone(),
            folder,
            from: from.to_path_buf(),
            expected: expected.cloned(),
            listing: None,
            tally: Tally::default(),
            doubts: Vec::new(),
            moves: false,
            _lock: lock,
        })
    }

    /// Moves the files instead of copying them. The source must be a folder of ours on the same
    /// disk.
    pub(crate) fn moving(mut self) -> Import {
        self.moves = true;
        self
    }

    /// Returns the folder of the copy, in Apple's layout.
    pub(crate) fn backup(&self) -> PathBuf {
        self.folder.join("root").join(self.udid.as_str())
    }

    /// Returns the path of its SHA256SUMS.
    pub(crate) fn sums(&self) -> PathBuf {
        self.folder.join("beside").join(SUMS)
    }

    /// Copies every file and makes the list of hashes. Calls `step` with the size of each file in
    /// bytes.
    pub fn copy(&mut self, step: &mut dyn FnMut(u64)) -> Result<Copied, Error> {
        let beside = self.folder.join("beside");
        disk::remove_all(&beside).map_err(|e| Error::io("empty", &beside, e))?;
        disk::make_private_dirs(&beside)?;
        let mut lists = Lists::create(&beside)?;
        let expected = self.expected.clone();
        let is_proven = expected.as_ref().is_some_and(|expected| expected.is_proven);
        let mut merge = expected.as_ref().map(Merge::open).transpose()?;
        let mut relative = match &merge {
            Some(_) => Relative::of(&self.store, &self.udid)?,
            None => None,
        };
        let (mut copied, mut tally) = (Copied::default(), Tally::default());
        let mut kind = CloneKind::Reflink;
        // Empty folders are created too: the phone has made all 256.
        for name in walk::names(&self.from)? {
            let is_dir = fs::symlink_metadata(self.from.join(&name)).is_ok_and(|m| m.is_dir());
            if is_dir && layout::is_folder(&name) {
                disk::make_private_dirs(&self.backup().join(name))?;
            }
        }
        for found in Walk::new(&self.from)? {
            let found = match found {
                // A name that is not UTF-8 cannot be part of a backup.
                Err(Error::Damaged { .. }) => {
                    copied.left_out += 1;
                    continue;
                }
                found => found?,
            };
            let is_part = found.is_file() && !found.path.starts_with("Snapshot/");
            // A list of the received files decides, if there is one.
            if !is_part || (expected.is_none() && !layout::is_part(&found.path)) {
                copied.left_out += 1;
                continue;
            }
            let wanted = merge.as_mut().map(|merge| merge.hash_of(&found.path));
            let wanted = wanted.transpose()?.flatten();
            if wanted.is_none() && is_proven {
                // A file that the proven list does not name is not part of the backup.
                copied.left_out += 1;
                continue;
            }
            let to = self.backup().join(&found.path);
            let (hash, source) = match wanted {
                Some((wanted, source)) => {
                    if is_already(&to, found.meta.len(), &wanted) {
                        copied.there += 1;
                        (wanted, source)
                    } else if take_from(&mut relative, &found.path, &wanted, &to)? {
                        copied.shared += 1;
                        (wanted, source)
                    } else {
                        copied.copied += 1;
                        let bytes = Some(&wanted).filter(|_| is_proven);
                        let hash = self.bring(&found.path, &to, bytes, &mut kind)?;
                        if hash != wanted {
                            self.doubt(format!(
                                "{}: either this file or its line in the damaged list of hashes has changed",
                                found.path
                            ));
                        }
                        (hash, source)
                    }
                }
                None => {
                    copied.copied += 1;
                    (self.bring(&found.path, &to, None, &mut kind)?, Source::Read)
                }
            };
            lists.add(&found.path, &hash, found.meta.len(), source)?;
            tally.count(source);
            copied.bytes += found.meta.len();
            step(found.meta.len());
        }
        self.listing = Some(lists.finish()?);
        self.tally = tally;
        if let Some(mut merge) = merge {
            merge.end()?;
            for doubt in merge.doubts {
                self.doubt(doubt);
            }
        }
        for name in RECORDED {
            let (from, to) = (self.backup().join(name), beside.join(name));
            if from.exists() {
                disk::copy_file(&from, &to).map_err(|e| Error::io("copy", &from, e))?;
            }
        }
        Ok(copied)
    }

    /// Returns the doubts about the copy. There are some if the list of hashes that came with it
    /// fails its own check.
    pub(crate) fn doubts(&self) -> &[String] {
        &self.doubts
    }

    fn doubt(&mut self, what: String) {
        if self.doubts.len() < DOUBTS_MAX {
            self.doubts.push(what);
        }
    }

    /// Copies one file and renames it into place once it is complete.
    fn bring(
        &self,
        path: &str,
        to: &Path,
        wanted: Option<&Hash>,
        kind: &mut CloneKind,
    ) -> Result<Hash, Error> {
        let from = self.from.join(path);
        if self.moves {
            return self.take_in(&from, to, wanted);
        }
        let incoming = self.folder.join("incoming.partial");
        let failed = |e| Error::io("copy", &from, e);
        disk::remove_if_there(&incoming).map_err(failed)?;
        let hash = clone_hashed(&from, &incoming, kind).map_err(failed)?;
        if wanted.is_some_and(|wanted| *wanted != hash) {
            return Err(Error::Damaged {
                path: from,
                why: "its bytes are not those that were received (SHA256SUMS)".to_owned(),
            });
        }
        if let Some(parent) = to.parent() {
            disk::make_private_dirs(parent)?;
        }
        fs::rename(&incoming, to).map_err(|e| Error::io("put in place", to, e))?;
        Ok(hash)
    }

    /// Moves one file into place, after its bytes were compared with their hash.
    fn take_in(&self, from: &Path, to: &Path, wanted: Option<&Hash>) -> Result<Hash, Error> {
        let (hash, _) = hash_file(from)?;
        if wanted.is_some_and(|wanted| *wanted != hash) {
            return Err(Error::Damaged {
                path: from.to_path_buf(),
                why: "its bytes are not those that were received (SHA256SUMS)".to_owned(),
            });
        }
        if let Some(parent) = to.parent() {
            disk::make_private_dirs(parent)?;
        }
        fs::rename(from, to).map_err(|e| Error::io("put in place", to, e))?;
        Ok(hash)
    }

    /// Makes the copy durable and puts it in its place: as the current backup, or under its archive
    /// name. Returns its path, and the first error of tidying up afterwards.
    pub(crate) fn seal(
        self,
        how: &Placing,
        report: &[u8],
        note: &Note,
    ) -> Result<(PathBuf, Option<Error>), Error> {
        let (store, udid) = (&self.store, &self.udid);
        let (own, beside) = (store.own_of(udid), self.folder.join("beside"));
        // The source must not have changed during the copy, and the metadata copies beside it must
        // match both the copy and the source.
        let is_as_copied = |folder: &Path| has_its_copies(&beside, folder);
        if !is_as_copied(&self.backup())? || !(self.moves || is_as_copied(&self.from)?) {
            return Err(Error::Damaged {
                path: self.from.clone(),
                why: "it has no Status.plist and Info.plist, or another program changed it while it was copied".to_owned(),
            });
        }
        let Some(listing) = self.listing.clone() else {
            return Err(Error::Damaged {
                path: self.folder.clone(),
                why: "it was not copied yet".to_owned(),
            });
        };
        disk::write_whole(&beside.join(REPORT), report)?;
        let known = snapshot::recorded(&own)?;
        let record = Record::new(Sealing {
            udid: udid.as_str(),
            sequence: if how.as_current {
                order::newest(&known)
            } else {
                order::by_date(&known, how.date)
            },
            sealed: how.now,
            date: snapshot::status_date(&self.backup()).unwrap_or(how.date),
            report,
            hashes: self.tally,
            listing,
        });
        record.write(&beside)?;
        disk::sync_tree(&self.folder)?;
        let as_current = how.as_current;
        let archived = |stamp: &str| format!("{udid}-{stamp}");
        let stamp = free_name(&how.stamp, |candidate| {
            own.join(candidate).exists() || store.root().join(archived(candidate)).exists()
        });
        let current = store.current(udid)?;
        let intent = Intent {
            archive: match (&current, as_current) {
                (Some(current), true) => Some(archive_name(store, udid, current)?),
                _ => None,
            },
            place: (!as_current).then(|| archived(&stamp)),
            stamp,
        };
        // The note is written before the snapshot becomes visible, so that no retention rule drops
        // it for lack of a note.
        if *note != Note::default() {
            let held = store.hold_notes(udid)?;
            store.note_id(&held, udid, &record.id, |noted| *noted = note.clone())?;
        }
        let text = serde_json::to_vec(&intent)
            .map_err(|e| Error::io("write", &self.folder, io::Error::other(e)))?;
        disk::write_whole(&self.folder.join("seal.json"), &text)?;
        finish(store, udid, &self.folder, &intent)?;
        let tidied = throw_away(&own, &self.folder, &mut || ()).and_then(|()| trash::sweep(&own));
        let place = match &intent.place {
            Some(name) => store.root().join(name),
            None => store.current_path(udid),
        };
        Ok((place, tidied.err()))
    }
}

fn is_already(path: &Path, length: u64, wanted: &Hash) -> bool {
    let meta = fs::symlink_metadata(path);
    let is_as_long = meta.is_ok_and(|meta| meta.is_file() && meta.len() == length);
    is_as_long && hash_file(path).is_ok_and(|(hash, _)| hash == *wanted)
}

/// Clones a file if the disk can, else copies it, and returns its hash. The result shares no inode
/// with the source.
fn clone_hashed(from: &Path, to: &Path, kind: &mut CloneKind) -> io::Result<Hash> {
    if *kind == CloneKind::Reflink {
        let cloned = disk::clone_file(from, to, kind, false);
        cloned?;
        return super::sums::hash(plain_file::open(to)?).map(|(hash, _)| hash);
    }
    let (mut source, mut target) = (plain_file::open(from)?, disk::create_private(to)?);
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match source.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => {
                hash.update(&buffer[..length]);
                target.write_all(&buffer[..length])?;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    if !cfg!(target_os = "linux") {
        target.sync_all()?;
    }
    Ok(hash.finalize())
}

/// A list of hashes that is read in step with a folder walk of the same order.
struct Merge {
    path: PathBuf,
    is_proven: bool,
    lines: Peekable<Lines>,
    sources: Sources,
    doubts: Vec<String>,
}

impl Merge {
    fn open(expected: &Expected) -> Result<Merge, Error> {
        Ok(Merge {
            path: expected.sums.clone(),
            is_proven: expected.is_proven,
            lines: Lines::open(&expected.sums)?.peekable(),
            sources: Sources::open(expected.sources.as_deref()),
            doubts: Vec::new(),
        })
    }

    /// Returns the hash of an existing file, and the source to record for it in the copy.
    fn hash_of(&mut self, path: &str) -> Result<Option<(Hash, Source)>, Error> {
        let is_after = |line: &Result<Line, Error>| matches!(line, Ok(Line::Good(name, _)) if walk_order(name, path).is_gt());
        while let Some(line) = self.lines.next_if(|line| !is_after(line)) {
            match line? {
                Line::Good(name, hash) if name == path => {
                    let known = self.sources.of(path).filter(|_| self.is_proven);
                    return Ok(Some((hash, known.map_or(Source::Read, Source::in_next))));
                }
                other => self.passed(other)?,
            }
        }
        Ok(None)
    }

    /// Handles a line that no file matches. If the list is proven, the named file is missing, which
    /// is an error. Otherwise records a doubt.
    fn passed(&mut self, line: Line) -> Result<(), Error> {
        let doubt = match line {
            Line::Bad(number) => format!("line {number} of the list of hashes is damaged"),
            Line::Good(name, _) if self.is_proven => {
                return Err(Error::Damaged {
                    path: self.path.clone(),
                    why: format!("it names {name}, which the backup lacks"),
                });
            }
            Line::Good(name, _) => {
                format!("{name}: the damaged list of hashes names it, and it is not there")
            }
        };
        if self.doubts.len() < DOUBTS_MAX {
            self.doubts.push(doubt);
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), Error> {
        while let Some(line) = self.lines.next() {
            self.passed(line?)?;
        }
        Ok(())
    }
}

/// Another snapshot of the same phone in the store, whose files need not be copied again.
struct Relative {
    folder: PathBuf,
    lines: Peekable<Sums>,
    kind: CloneKind,
}

impl Relative {
    /// Opens the newest snapshot that we made.
    fn of(store: &Store, udid: &Udid) -> Result<Option<Relative>, Error> {
        let all = snapshot::of(store, udid)?;
        let ours = all.iter().find_map(|s| Some((s.path(), s.sums()?)));
        let Some((folder, sums)) = ours else {
            return Ok(None);
        };
        Ok(Some(Relative {
            folder: folder.to_path_buf(),
            lines: Sums::open(&sums)?.peekable(),
            kind: CloneKind::Reflink,
        }))
    }
}

/// Takes a file from the relative. Returns false if the relative has no file with that name and
/// hash, or its bytes no longer match.
fn take_from(
    relative: &mut Option<Relative>,
    path: &str,
    wanted: &Hash,
    to: &Path,
) -> Result<bool, Error> {
    let Some(relative) = relative else {
        return Ok(false);
    };
    while let Some(Ok((name, _))) = relative.lines.peek() {
        if walk_order(name, path).is_ge() {
            break;
        }
        relative.lines.next();
    }
    let is_same =
        matches!(relative.lines.peek(), Some(Ok((name, hash))) if name == path && hash == wanted);
    let from = relative.folder.join(path);
    // The file may have been damaged since the list was written.
    if !is_same
        || relative.kind == CloneKind::Copy
        || !hash_file(&from).is_ok_and(|f| f.0 == *wanted)
    {
        return Ok(false);
    }
    if let Some(parent) = to.parent() {
        disk::make_private_dirs(parent)?;
    }
    disk::remove_if_there(to).map_err(|e| Error::io("remove", to, e))?;
    disk::clone_file(&from, to, &mut relative.kind, true)
        .map_err(|e| Error::io("clone", &from, e))?;
    Ok(true)
}
