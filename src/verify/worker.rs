//! Reads the files of a backup on several threads: compares hashes, decrypts, and opens databases
//! and property lists.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};

use sha1::{Digest, Sha1};

use super::finding::{Finding, Wrong};
use super::size::OtherSize;
use crate::backup_format::content_match::{Database, Judgement, Seen, judge, page_bytes};
use crate::backup_format::keybag::{Ending, Keys};
use crate::base::cancel::CancelToken;
use crate::base::meter::Meter;
use crate::base::plain_file;
use crate::base::sha256::Sha256;
use crate::reader::manifest_feed::Sealed;
use crate::store;
use crate::store::sums::Hash;
use crate::verify::content_checks::{self, Form, Inside, Look};

/// Number of bytes to read at a time.
const BUFFER: usize = 128 << 10;
/// Largest number of databases that are checked a second time, together with their log files.
const SUSPECTS_MAX: usize = 1000;

/// A file that is to be read.
pub(crate) struct Task {
    /// Path of the file in the backup's folder.
    pub path: String,
    /// Size on the disk, in bytes.
    pub on_disk: u64,
    /// Expected hash, if it is known.
    pub hash: Option<Hash>,
    /// Domain and path of the file on the phone.
    pub name: Option<(String, String)>,
    /// Difference between the file's size and the phone's list. The bytes decide what it means.
    pub other_size: Option<OtherSize>,
    /// Facts from the phone's list, if the bytes are to be compared with them.
    pub noted: Option<Noted>,
}

/// Facts that the phone noted about a file.
pub(crate) struct Noted {
    /// Size in bytes.
    pub size: u64,
    /// Key and digest; `None` if they were not read.
    pub sealed: Option<Sealed>,
    /// A database or property list is to be opened too.
    pub looks_inside: bool,
}

impl Noted {
    /// Returns a hasher for the digest, if there is a digest to compare with.
    fn digest(&self) -> Option<Sha1> {
        self.wanted_digest().map(|_| Sha1::new())
    }

    fn wanted_digest(&self) -> Option<&[u8]> {
        self.sealed.as_ref()?.digest.as_deref()
    }
}

/// State that the threads share.
pub(crate) struct Bench<'a> {
    /// Folder of the backup.
    pub folder: &'a Path,
    /// Keys of an encrypted backup.
    pub keys: Option<&'a Keys>,
    /// The files are encrypted.
    pub encrypted: bool,
    /// The hashes were made from the bytes that arrived, not from the files on the disk.
    pub hashes_prove: bool,
    /// Cancellation token. Once it is cancelled, findings about files no longer count.
    pub token: Option<Arc<CancelToken>>,
    /// Combined results of all threads.
    pub yield_: Mutex<Yield>,
    /// Counts what was read.
    pub meter: &'a Meter<'a>,
    /// The files that are read are counted, and not those that the walk finds.
    pub counts_files: bool,
}

/// Results of reading files.
#[derive(Default)]
pub(crate) struct Yield {
    /// Findings about these files.
    pub findings: Vec<Finding>,
    /// Number of databases and property lists that were opened.
    pub inside: Inside,
    /// Number of files whose plaintext was read to its end.
    pub opened: u64,
    /// Number of digests of the phone that were compared.
    pub digests: u64,
    /// Number of these digests that match the bytes on the disk.
    pub digests_right: u64,
    /// Number of right digests among files that have no hash.
    pub proved_by_digest: u64,
    /// Encrypted files whose digest differs, and which no hash proves. No public backup shows which
    /// bytes a phone makes such a digest from, so a difference means something only if another
    /// digest of the same backup is right.
    pub other_digests: Vec<Finding>,
    /// Databases that are broken when opened without their log files.
    pub suspects: Vec<Finding>,
    /// First error for lack of permission: then nothing is known about the backup.
    pub refused: Option<store::Error>,
}

impl Bench<'_> {
    /// Reads files until no more come.
    pub(crate) fn work(&self, waiting: &Mutex<Receiver<Task>>) {
        // Take a few files at a time: a small file is read faster than a lock changes hands.
        let mut batch = VecDeque::new();
        let mut buffer = vec![0; BUFFER];
        loop {
            if batch.is_empty() {
                let waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
                let Ok(first) = waiting.recv() else { return };
                batch.push_back(first);
                batch.extend(waiting.try_iter().take(15));
            }
            if let Some(task) = batch.pop_front() {
                self.read(task, &mut buffer);
            }
        }
    }

    fn read(&self, task: Task, buffer: &mut [u8]) {
        let mut reading = Reading::default();
        let mut counted = 0;
        let passed = self.pass(&task, &mut reading, buffer, &mut counted);
        // Of some files, only the beginning is needed.
        self.meter.add_bytes(task.on_disk.saturating_sub(counted));
        if self.counts_files {
            self.meter.add_file();
        }
        if let Err((wrong, detail)) = passed {
            reading.found.push((wrong, detail, None));
            reading.shows_on_phone = true;
        }
        let shows_on_phone = reading.shows_on_phone;
        let mut all = self.yield_.lock().unwrap_or_else(PoisonError::into_inner);
        all.refused = all.refused.take().or(reading.refused);
        all.opened += u64::from(reading.opened);
        all.digests += u64::from(reading.digest);
        all.digests_right += u64::from(reading.has_its_digest);
        all.proved_by_digest += u64::from(reading.has_its_digest && task.hash.is_none());
        match &reading.look {
            Some((Form::Database, Look::Fine)) => all.inside.databases += 1,
            Some((_, Look::Fine)) => all.inside.property_lists += 1,
            Some((_, Look::Unknown)) => all.inside.unknown += 1,
            _ => {}
        }
        let finding = |(wrong, detail, hash)| {
            let (domain, relative_path) = task.name.clone().unzip();
            Finding {
                wrong,
                domain,
                relative_path,
                file: task.path.clone(),
                detail,
                hash,
                shows_on_phone,
            }
        };
        if let Some((form, Look::Broken(why))) = &reading.look {
            let what = match form {
                Form::Database => "the database",
                _ => "the property list",
            };
            let (wrong, whose) = if self.is_proven(&task) || reading.has_its_digest {
                (Wrong::Inside, AS_SENT)
            } else {
                (Wrong::Corrupt, "")
            };
            let found = finding((
                wrong,
                format!("{what} inside cannot be used: {why}{whose}"),
                None,
            ));
            // The database may be whole together with its log files. A second check follows when
            // the list is free again.
            if *form == Form::Database && all.suspects.len() < SUSPECTS_MAX {
                all.suspects.push(found);
            } else {
                all.findings.push(found);
            }
        }
        let is_doubtful = self.encrypted && reading.digest && !reading.has_its_digest;
        let findings = reading.found.into_iter().map(finding);
        for finding in findings {
            if finding.wrong == Wrong::Altered && task.hash.is_none() && is_doubtful {
                all.other_digests.push(finding)
            } else {
                all.findings.push(finding)
            }
        }
    }

    /// Returns true if the file's hash proves that the phone sent these bytes, provided that it was
    /// found right.
    fn is_proven(&self, task: &Task) -> bool {
        task.hash.is_some() && self.hashes_prove
    }

    /// Reads the file once, and gets all results from that one pass.
    fn pass(
        &self,
        task: &Task,
        reading: &mut Reading,
        buffer: &mut [u8],
        counted: &mut u64,
    ) -> Result<(), (Wrong, String)> {
        let path = self.folder.join(&task.path);
        let unreadable = |e: io::Error| (Wrong::Unreadable, format!("it cannot be read: {e}"));
        let file = match plain_file::open(&path).map_err(|e| store::Error::io("read", &path, e)) {
            Ok(file) => file,
            Err(e) if e.is_refused() => {
                reading.refused = Some(e);
                return Ok(());
            }
            Err(e) => return Err((Wrong::Unreadable, e.to_string())),
        };
        let mut raw = Hashed {
            token: self.token.as_deref(),
            meter: self.meter,
            counted,
            from: file,
            hash: task.hash.map(|_| Sha256::new()),
            digest: task
                .noted
                .as_ref()
                .filter(|_| self.encrypted)
                .and_then(Noted::digest),
        };
        let opened = match &task.noted {
            Some(noted) => self.open(task, noted, &mut raw, reading, buffer),
            None => Ok(()),
        };
        // Read the rest, if opening the file did not get that far.
        if raw.hash.is_some() {
            drain(&mut raw, buffer).map_err(unreadable)?;
        }
        if let (Some(wanted), Some(hash)) = (task.hash, raw.hash) {
            let found = hash.finalize();
            if found != wanted {
                // The bytes are not those that arrived, so results about their contents mean
                // nothing.
                *reading = Reading::default();
                let (wrong, detail) = match task.other_size {
                    _ if task.on_disk == 0 => (Wrong::Truncated, "it is empty".to_owned()),
                    Some(size) if size.is_short => (Wrong::Truncated, size.words()),
                    _ => (
                        Wrong::Altered,
                        "its contents have changed since they were received".to_owned(),
                    ),
                };
                // All empty files have the same bytes, so the hash cannot show that two were
                // swapped.
                let found = (task.on_disk > 0).then_some(found);
                reading.found.push((wrong, detail, found));
                reading.shows_on_phone = opened.is_err() || task.other_size.is_some();
                return Ok(());
            }
        }
        opened
    }

    fn open(
        &self,
        task: &Task,
        noted: &Noted,
        raw: &mut Hashed<'_>,
        reading: &mut Reading,
        buffer: &mut [u8],
    ) -> Result<(), (Wrong, String)> {
        let path = self.folder.join(&task.path);
        let cut = |e: io::Error| (Wrong::Truncated, e.to_string());
        let key = noted.sealed.as_ref().and_then(|sealed| sealed.key.as_ref());
        if !self.encrypted || (task.on_disk == 0 && key.is_none()) {
            let mut plain = Digested::new(raw, noted);
            let at = noted.looks_inside.then_some(Place::Disk(&path));
            let looked = look(&mut plain, task.on_disk, at).map_err(cut)?;
            // Without a digest to compute, the beginning and the length are enough.
            let reads_all = noted.looks_inside || plain.digest.is_some();
            if reads_all {
                drain(&mut plain, buffer).map_err(cut)?;
            }
            let length = if reads_all {
                plain.length
            } else {
                task.on_disk
            };
            let digests = [plain.digest, None];
            return self.judge(task, noted, looked, digests, length, reading);
        }
        let (Some(keys), Some(sealed)) = (self.keys, &noted.sealed) else {
            return self.judge_closed(task);
        };
        let no_key = |why: String| (Wrong::NoKey, format!("{why}: it cannot be decrypted"));
        let wrapped = sealed.key.as_ref();
        let wrapped =
            wrapped.ok_or_else(|| no_key("the phone's list has no key for it".to_owned()))?;
        let key = keys.open(wrapped).map_err(|why| no_key(why.to_string()))?;
        let mut plain = Digested::new(key.decrypt(&mut *raw, Some(noted.size)), noted);
        let at = noted.looks_inside.then_some(Place::Stream);
        let looked = look(&mut plain, task.on_disk, at).map_err(cut)?;
        drain(&mut plain, buffer).map_err(cut)?;
        // A database that has exactly the pages that its header counts is whole even without
        // padding, whatever size the list gives.
        let is_exact =
            || Database::of(&looked.head).is_some_and(|found| found.is_exactly(plain.length));
        if plain.from.ending() == Some(Ending::Wrong) && !is_exact() {
            if let Some(size) = task.other_size.filter(|size| size.is_short) {
                return Err((Wrong::Truncated, size.words()));
            }
            let detail = "it does not decrypt: the padding of its last block is invalid";
            return Err((Wrong::Altered, detail.to_owned()));
        }
        let (digest, length) = (plain.digest.take(), plain.length);
        drop(plain);
        // Public sources do not say from which bytes a phone makes this digest: from the plaintext,
        // or from the bytes that it sends. So compute both.
        let digests = [digest, raw.digest.take()];
        self.judge(task, noted, looked, digests, length, reading)
    }

    /// Judges an encrypted file that cannot be opened, by its size alone.
    fn judge_closed(&self, task: &Task) -> Result<(), (Wrong, String)> {
        match task.other_size {
            Some(size) if size.is_short && !self.is_proven(task) => Err((
                Wrong::Unchecked,
                format!(
                    "{}; only a check with the password shows whether bytes are missing",
                    size.words()
                ),
            )),
            Some(size) if !self.is_proven(task) => Err((Wrong::OtherSize, size.words())),
            _ => Ok(()),
        }
    }

    /// Compares the plaintext with what the phone noted.
    fn judge(
        &self,
        task: &Task,
        noted: &Noted,
        looked: Looked,
        digests: [Option<Sha1>; 2],
        length: u64,
        reading: &mut Reading,
    ) -> Result<(), (Wrong, String)> {
        reading.opened = noted.looks_inside;
        let is_proven = self.is_proven(task);
        let has_digest = noted.wanted_digest().map(|wanted| {
            let mut found = digests.into_iter().flatten();
            found.any(|digest| *digest.finalize() == *wanted)
        });
        reading.digest = has_digest.is_some();
        reading.has_its_digest = has_digest == Some(true);
        let judged = judge(
            noted.size,
            Seen {
                length,
                head: &looked.head,
                // For an encrypted file, a single digest proves something only if it is right.
                has_digest: has_digest.filter(|is_right| *is_right || !self.encrypted),
            },
        );
        let size = OtherSize {
            on_disk: length,
            listed: noted.size,
            is_short: length < noted.size,
        };
        match judged {
            Judgement::Short => {
                let words = match Database::of(&looked.head) {
                    Some(_) => format!("it is a database, but pages are missing: {}", size.words()),
                    None => size.words(),
                };
                return Err(if is_proven {
                    (Wrong::Short, format!("{words}{AS_SENT}"))
                } else {
                    (Wrong::Truncated, words)
                });
            }
            _ if has_digest == Some(false) => {
                reading.look = looked.inside;
                return Err(if is_proven {
                    let detail = "the phone's list has a different digest of it";
                    (Wrong::OtherDigest, detail.to_owned())
                } else {
                    let detail = "its contents do not match the digest in the phone's list";
                    (Wrong::Altered, detail.to_owned())
                });
            }
            _ => {}
        }
        let page_bytes = match looked.inside {
            Some((Form::Database, _)) => page_bytes(&looked.head),
            _ => None,
        };
        if page_bytes.is_some_and(|page| !length.is_multiple_of(page)) {
            let detail = "it is a database, but its last page is incomplete";
            return Err(if is_proven || reading.has_its_digest {
                (Wrong::Inside, format!("{detail}{AS_SENT}"))
            } else {
                (Wrong::Truncated, detail.to_owned())
            });
        }
        reading.look = looked.inside;
        if judged == Judgement::OtherSize && !is_proven {
            return Err((Wrong::OtherSize, size.words()));
        }
        Ok(())
    }
}

/// Words for a fault that, as a hash or digest proves, the disk did not cause.
const AS_SENT: &str = "; the phone sent it like this";

/// Results for one file.
#[derive(Default)]
struct Reading {
    found: Vec<(Wrong, String, Option<Hash>)>,
    look: Option<(Form, Look)>,
    opened: bool,
    digest: bool,
    has_its_digest: bool,
    shows_on_phone: bool,
    refused: Option<store::Error>,
}

/// Beginning of a file, and the result of opening it.
struct Looked {
    head: Vec<u8>,
    inside: Option<(Form, Look)>,
}

/// Location of a file's plaintext.
#[derive(Clone, Copy)]
enum Place<'a> {
    /// The plaintext is on the disk as it is.
    Disk(&'a Path),
    /// The plaintext exists only while it is read.
    Stream,
}

/// Reads the beginning of a file. If `at` is given and the file is a database or property list,
/// opens it too.
fn look(from: &mut impl Read, length: u64, at: Option<Place<'_>>) -> io::Result<Looked> {
    let mut head = Vec::new();
    from.by_ref()
        .take(content_checks::HEAD_BYTES as u64)
        .read_to_end(&mut head)?;
    let form = Form::of(&head);
    let mut whole = (&head[..]).chain(from);
    let inside = match (form, at) {
        (_, None) | (Form::Other, _) => None,
        (Form::Database, Some(Place::Disk(path))) => Some(content_checks::database_at(path)),
        (Form::Database, Some(Place::Stream)) => {
            Some(content_checks::database_of(&mut whole, length)?)
        }
        (Form::PropertyList, Some(_)) => Some(content_checks::property_list(&mut whole, length)?),
    };
    Ok(Looked {
        inside: inside.map(|look| (form, look)),
        head,
    })
}

fn drain(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<()> {
    loop {
        match from.read(buffer) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// Reader of the bytes on the disk that hashes what it reads.
struct Hashed<'a> {
    token: Option<&'a CancelToken>,
    meter: &'a Meter<'a>,
    /// Number of bytes that the meter knows of.
    counted: &'a mut u64,
    from: File,
    hash: Option<Sha256>,
    digest: Option<Sha1>,
}

impl Read for Hashed<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.token.is_some_and(CancelToken::cancelled) {
            return Ok(0);
        }
        let length = self.from.read(out)?;
        *self.counted += length as u64;
        self.meter.add_bytes(length as u64);
        if let Some(hash) = &mut self.hash {
            hash.update(&out[..length]);
        }
        if let Some(digest) = &mut self.digest {
            digest.update(&out[..length]);
        }
        Ok(length)
    }
}

/// Reader of plaintext that counts and digests what it reads.
struct Digested<R> {
    from: R,
    digest: Option<Sha1>,
    length: u64,
}

impl<R: Read> Digested<R> {
    fn new(from: R, noted: &Noted) -> Digested<R> {
        Digested {
            from,
            digest: noted.digest(),
            length: 0,
        }
    }
}

impl<R: Read> Read for Digested<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let length = self.from.read(out)?;
        if let Some(digest) = &mut self.digest {
            digest.update(&out[..length]);
        }
        self.length += length as u64;
        Ok(length)
    }
}
