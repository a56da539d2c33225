//! Reading the files of a backup: hashes, decryption, and what is inside. A thread's part of a
//! check.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};

use sha1::{Digest, Sha1};

use super::finding::{Finding, Wrong};
use super::inside::{self, Form, Inside, Look};
use super::size::OtherSize;
use crate::jobs::listed::Sealed;
use crate::keybag::{Ending, Keys};
use crate::manifest::judgement::{Database, Judgement, Seen, judge, page_bytes};
use crate::plain_file;
use crate::sha256::Sha256;
use crate::store;
use crate::store::sums::Hash;
use crate::transport::Calm;

/// Bytes that are read at a time.
const BUFFER: usize = 128 << 10;
/// Databases that are looked at once more, together with what lies beside them.
const SUSPECTS_MAX: usize = 1000;

/// A file that is to be read.
pub struct Task {
    /// Where it lies in the folder.
    pub path: String,
    /// Its bytes on the disk.
    pub on_disk: u64,
    /// What its bytes must give, where that is known.
    pub hash: Option<Hash>,
    /// The phone's name of it: domain and path.
    pub name: Option<(String, String)>,
    /// Its size differs from the phone's list, and its bytes are to decide.
    pub other_size: Option<OtherSize>,
    /// The phone's notes on it, where its bytes are to be compared with them.
    pub noted: Option<Noted>,
}

/// What the phone noted of a file.
pub struct Noted {
    /// Its length.
    pub size: u64,
    /// Key and digest; `None` where they were not read.
    pub sealed: Option<Sealed>,
    /// A database or property list inside is to be opened too.
    pub looks_inside: bool,
}

impl Noted {
    /// Returns what computes the digest, where there is one to compare with.
    fn digest(&self) -> Option<Sha1> {
        self.wanted_digest().map(|_| Sha1::new())
    }

    fn wanted_digest(&self) -> Option<&[u8]> {
        self.sealed.as_ref()?.digest.as_deref()
    }
}

/// What the threads know together.
pub struct Bench<'a> {
    /// The backup's folder.
    pub folder: &'a Path,
    /// The keys of an encrypted backup.
    pub keys: Option<&'a Keys>,
    /// Its files are encrypted.
    pub encrypted: bool,
    /// The hashes were made of what came, not of what lies there.
    pub hashes_prove: bool,
    /// Says when to stop: then nothing that is said of a file counts any more.
    pub calm: Option<Arc<Calm>>,
    /// What came of it.
    pub yield_: Mutex<Yield>,
}

/// What came of reading.
#[derive(Default)]
pub struct Yield {
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// What was looked into.
    pub inside: Inside,
    /// Files whose plain bytes were read to their end.
    pub opened: u64,
    /// Digests of the phone that were compared.
    pub digests: u64,
    /// Those that are of the bytes that lie there.
    pub digests_right: u64,
    /// The number of right digests of files that have no hash.
    pub proved_by_digest: u64,
    /// Encrypted files with another digest, which nothing else proves. Of which bytes a phone makes
    /// it is known from no public backup: it means something once one of the same backup is right.
    pub other_digests: Vec<Finding>,
    /// Databases that are broken without what lies beside them.
    pub suspects: Vec<Finding>,
    /// A file that we may not read: then nothing is known.
    pub refused: Option<store::Error>,
}

impl Bench<'_> {
    /// Reads files until no more come.
    pub fn work(&self, waiting: &Mutex<Receiver<Task>>) {
        // A few at a time: small files are read faster than a lock changes hands.
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
        if let Err((wrong, detail)) = self.pass(&task, &mut reading, buffer) {
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
            // With what lies beside it, it may be whole: that is found out when the list is free
            // again.
            if *form == Form::Database && all.suspects.len() < SUSPECTS_MAX {
                all.suspects.push(found);
            } else {
                all.findings.push(found);
            }
        }
        let is_doubtful = self.encrypted && reading.digest && !reading.has_its_digest;
        let findings = reading.found.into_iter().map(finding);
        for finding in findings {
            match finding.wrong == Wrong::Altered && task.hash.is_none() && is_doubtful {
                true => all.other_digests.push(finding),
                false => all.findings.push(finding),
            }
        }
    }

    /// Returns true if the file's hash, once it was found right, proves that the phone sent these
    /// bytes.
    fn is_proven(&self, task: &Task) -> bool {
        task.hash.is_some() && self.hashes_prove
    }

    /// One pass over the bytes, whatever is to be learned of them.
    fn pass(
        &self,
        task: &Task,
        reading: &mut Reading,
        buffer: &mut [u8],
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
            calm: self.calm.as_deref(),
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
        // The rest, where opening did not come that far.
        if raw.hash.is_some() {
            drain(&mut raw, buffer).map_err(unreadable)?;
        }
        if let (Some(wanted), Some(hash)) = (task.hash, raw.hash) {
            let found = hash.finalize();
            if found != wanted {
                // What is inside of other bytes than those that came says nothing more.
                *reading = Reading::default();
                let (wrong, detail) = match task.other_size {
                    _ if task.on_disk == 0 => {
                        (Wrong::Truncated, "nothing is left of it".to_owned())
                    }
                    Some(size) if size.is_short => (Wrong::Truncated, size.words()),
                    _ => (
                        Wrong::Altered,
                        "its bytes are not those that were received".to_owned(),
                    ),
                };
                // Empty files have all the same bytes, and none was swapped.
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
            // The beginning and the length are enough where there is nothing to compute.
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
        let no_key = |why: String| (Wrong::NoKey, format!("{why}: it can never be decrypted"));
        let wrapped = sealed.key.as_ref();
        let wrapped =
            wrapped.ok_or_else(|| no_key("the phone's list has no key for it".to_owned()))?;
        let key = keys.open(wrapped).map_err(|why| no_key(why.to_string()))?;
        let mut plain = Digested::new(key.decrypt(&mut *raw, Some(noted.size)), noted);
        let at = noted.looks_inside.then_some(Place::Stream);
        let looked = look(&mut plain, task.on_disk, at).map_err(cut)?;
        drain(&mut plain, buffer).map_err(cut)?;
        // A whole database that nothing fills up needs no padding, whatever the list says of its
        // size.
        let is_exact =
            || Database::of(&looked.head).is_some_and(|found| found.is_exactly(plain.length));
        if plain.from.ending() == Some(Ending::Wrong) && !is_exact() {
            if let Some(size) = task.other_size.filter(|size| size.is_short) {
                return Err((Wrong::Truncated, size.words()));
            }
            let detail = "it does not decrypt: what fills up its last block is not what it must be";
            return Err((Wrong::Altered, detail.to_owned()));
        }
        let (digest, length) = (plain.digest.take(), plain.length);
        drop(plain);
        // Nobody has described of which bytes a phone makes the digest here: of the plain ones, or
        // of those that it sends.
        let digests = [digest, raw.digest.take()];
        self.judge(task, noted, looked, digests, length, reading)
    }

    /// Judges an encrypted file that cannot be opened, by its size alone.
    fn judge_closed(&self, task: &Task) -> Result<(), (Wrong, String)> {
        match task.other_size {
            Some(size) if size.is_short && !self.is_proven(task) => Err((
                Wrong::Unchecked,
                format!(
                    "{}; only with the password can be seen whether bytes are missing",
                    size.words()
                ),
            )),
            Some(size) if !self.is_proven(task) => Err((Wrong::OtherSize, size.words())),
            _ => Ok(()),
        }
    }

    /// Compares the plain bytes with what the phone noted.
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
                // Of an encrypted file only a digest that is right says something by itself.
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
                    Some(_) => format!("it is a database and lacks pages: {}", size.words()),
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
                    let detail = "the phone's list has another digest of it";
                    (Wrong::OtherDigest, detail.to_owned())
                } else {
                    let detail = "its bytes are not those that the phone's list has the digest of";
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
            let detail = "it is a database, and has not whole pages";
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

/// Words for what a hash or digest proves to be no fault of the disk.
const AS_SENT: &str = "; it is as the phone sent it";

/// What was learned of one file.
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

/// The beginning of a file, and what came of a look inside.
struct Looked {
    head: Vec<u8>,
    inside: Option<(Form, Look)>,
}

/// The place of a file's plain bytes.
#[derive(Clone, Copy)]
enum Place<'a> {
    /// They lie on the disk as they are.
    Disk(&'a Path),
    /// They exist only while they are read.
    Stream,
}

/// Reads the beginning, and looks inside where that is wanted and there is something to look into.
fn look(from: &mut impl Read, length: u64, at: Option<Place<'_>>) -> io::Result<Looked> {
    let mut head = Vec::new();
    from.by_ref()
        .take(inside::HEAD_BYTES as u64)
        .read_to_end(&mut head)?;
    let form = Form::of(&head);
    let mut whole = (&head[..]).chain(from);
    let inside = match (form, at) {
        (_, None) | (Form::Other, _) => None,
        (Form::Database, Some(Place::Disk(path))) => Some(inside::database_at(path)),
        (Form::Database, Some(Place::Stream)) => Some(inside::database_of(&mut whole, length)?),
        (Form::PropertyList, Some(_)) => Some(inside::property_list(&mut whole, length)?),
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

/// Bytes as they lie on the disk, hashed as they are read.
struct Hashed<'a> {
    calm: Option<&'a Calm>,
    from: File,
    hash: Option<Sha256>,
    digest: Option<Sha1>,
}

impl Read for Hashed<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.calm.is_some_and(Calm::cancelled) {
            return Ok(0);
        }
        let length = self.from.read(out)?;
        if let Some(hash) = &mut self.hash {
            hash.update(&out[..length]);
        }
        if let Some(digest) = &mut self.digest {
            digest.update(&out[..length]);
        }
        Ok(length)
    }
}

/// Plain bytes, counted and digested as they are read.
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
