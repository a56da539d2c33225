//! Reading the files of a backup: hashes, decryption, and what is inside. A thread's part of a check.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};

use sha1::{Digest, Sha1};

use super::finding::{Finding, Wrong};
use super::inside::{self, Form, Inside, Look};
use crate::jobs::listed::Sealed;
use crate::keybag::{Ending, Keys};
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
    /// What the phone noted of it, where it is to be opened.
    pub noted: Option<Noted>,
}

/// What the phone noted of a file.
pub struct Noted {
    /// Its length; `None` where another was found already.
    pub size: Option<u64>,
    /// Its key and its digest.
    pub sealed: Sealed,
    /// It is shorter than the phone's list says, as only a database may be.
    pub is_short: bool,
}

impl Noted {
    /// What computes the digest, where there is one to compare with.
    fn digest(&self) -> Option<Sha1> {
        self.sealed.digest.as_ref().map(|_| Sha1::new())
    }
}

/// A file that has not the size that the phone's list gives it.
#[derive(Clone, Copy)]
pub struct OtherSize {
    /// Its size on the disk.
    pub on_disk: u64,
    /// Its size in the list.
    pub listed: u64,
    /// It lacks bytes.
    pub is_short: bool,
}

impl OtherSize {
    /// Where a size is not what the list says. Encrypted files are padded; of some nobody knows whether they are.
    pub fn of(on_disk: u64, listed: u64, is_padded: Option<bool>) -> Option<OtherSize> {
        let right = match is_padded {
            Some(false) => listed..=listed,
            _ => padded(listed),
        };
        let is_plain = is_padded != Some(true) && on_disk == listed;
        let is_filled = is_padded != Some(false) && on_disk.is_multiple_of(BLOCK);
        let is_right = is_plain || is_filled && right.contains(&on_disk);
        (!is_right).then(|| OtherSize {
            on_disk,
            listed,
            is_short: on_disk < *right.start(),
        })
    }

    /// In words.
    pub fn words(self) -> String {
        let size = crate::units::size;
        let (has, listed) = match (size(self.on_disk), size(self.listed)) {
            // Too small a difference for round numbers.
            (has, listed) if has == listed => (
                crate::units::counted(self.on_disk, "byte"),
                crate::units::count(self.listed),
            ),
            both => both,
        };
        format!("it has {has}, the phone's list says {listed}")
    }
}

/// What AES encrypts at a time.
const BLOCK: u64 = 16;

/// Sizes on the disk of an encrypted file: filled up to a whole block, or by one more (PKCS#7).
fn padded(size: u64) -> RangeInclusive<u64> {
    let filled = size.div_ceil(BLOCK).saturating_mul(BLOCK);
    filled..=(size / BLOCK + 1).saturating_mul(BLOCK)
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
    /// Encrypted files with another digest, which nothing else proves. Of which bytes a phone makes it is known from no public backup:
    /// it means something once one of the same backup is right.
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
            let is_proven = task.hash.is_some() && self.hashes_prove;
            let (wrong, whose) = match is_proven {
                true => (Wrong::Inside, "; it is as the phone sent it"),
                false => (Wrong::Corrupt, ""),
            };
            let found = finding((
                wrong,
                format!("{what} inside cannot be used: {why}{whose}"),
                None,
            ));
            // With what lies beside it, it may be whole: that is found out when the list is free again.
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
        drain(&mut raw, buffer).map_err(unreadable)?;
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
        let length = noted.size.unwrap_or(task.on_disk);
        let cut = |e: io::Error| (Wrong::Truncated, e.to_string());
        if !self.encrypted || (task.on_disk == 0 && noted.sealed.key.is_none()) {
            let mut plain = Digested::new(raw, noted);
            (reading.look, reading.page_bytes) =
                look(&mut plain, length, Some(&path)).map_err(cut)?;
            drain(&mut plain, buffer).map_err(cut)?;
            let (digest, length) = (plain.digest, plain.length);
            return self.judge(task, noted, [digest, None], length, reading);
        }
        // Without a password there is nothing to open.
        let Some(keys) = self.keys else { return Ok(()) };
        let no_key = |why: String| (Wrong::NoKey, format!("{why}: it can never be decrypted"));
        let wrapped = noted.sealed.key.as_ref();
        let wrapped =
            wrapped.ok_or_else(|| no_key("the phone's list has no key for it".to_owned()))?;
        let key = keys.open(wrapped).map_err(|why| no_key(why.to_string()))?;
        let mut plain = Digested::new(key.decrypt(&mut *raw, noted.size), noted);
        (reading.look, reading.page_bytes) = look(&mut plain, length, None).map_err(cut)?;
        drain(&mut plain, buffer).map_err(cut)?;
        if plain.from.ending() == Some(Ending::Wrong) {
            reading.look = None;
            let detail = "it does not decrypt: what fills up its last block is not what it must be";
            return Err((Wrong::Altered, detail.to_owned()));
        }
        let (digest, length) = (plain.digest.take(), plain.length);
        drop(plain);
        // Nobody has described of which bytes a phone makes the digest here: of the plain ones, or of those that it sends.
        let digests = [digest, raw.digest.take()];
        self.judge(task, noted, digests, length, reading)
    }

    /// What the plain bytes say against what the phone noted.
    fn judge(
        &self,
        task: &Task,
        noted: &Noted,
        digests: [Option<Sha1>; 2],
        length: u64,
        reading: &mut Reading,
    ) -> Result<(), (Wrong, String)> {
        reading.opened = true;
        let is_proven = task.hash.is_some() && self.hashes_prove;
        let is_database = matches!(reading.look, Some((Form::Database, _)));
        if noted.is_short && !is_proven && !is_database {
            return Err((
                Wrong::Truncated,
                "it is shorter than the phone's list says, and no database".to_owned(),
            ));
        }
        if let Some(page) = reading.page_bytes
            && !length.is_multiple_of(page)
        {
            reading.look = None;
            let detail = "it is a database, and has not whole pages".to_owned();
            return Err(match is_proven {
                true => (
                    Wrong::Inside,
                    format!("{detail}; it is as the phone sent it"),
                ),
                false => (Wrong::Truncated, detail),
            });
        }
        if let Some(listed) = noted.size
            && listed != length
        {
            let size = OtherSize {
                on_disk: length,
                listed,
                is_short: length < listed,
            };
            return Err(match size.is_short && !is_proven {
                true => (Wrong::Truncated, size.words()),
                false => (Wrong::OtherSize, size.words()),
            });
        }
        let (Some(wanted), Some(_)) = (&noted.sealed.digest, noted.size) else {
            return Ok(());
        };
        reading.digest = true;
        let mut found = digests.into_iter().flatten();
        if found.any(|digest| *digest.finalize() == wanted[..]) {
            reading.has_its_digest = true;
            return Ok(());
        }
        // What fills up the last block of an encrypted file says nothing of the blocks before it.
        Err(match is_proven {
            true => (
                Wrong::OtherDigest,
                "the phone's list has another digest of it".to_owned(),
            ),
            false => (
                Wrong::Altered,
                "its bytes are not those that the phone's list has the digest of".to_owned(),
            ),
        })
    }
}

/// What was learned of one file.
#[derive(Default)]
struct Reading {
    found: Vec<(Wrong, String, Option<Hash>)>,
    look: Option<(Form, Look)>,
    /// What the length of a database is a multiple of.
    page_bytes: Option<u64>,
    opened: bool,
    digest: bool,
    has_its_digest: bool,
    shows_on_phone: bool,
    refused: Option<store::Error>,
}

/// What came of a look inside, and the length of a database's pages.
type Looked = (Option<(Form, Look)>, Option<u64>);

/// Looks inside, where there is something to look into.
fn look(from: &mut impl Read, length: u64, at: Option<&Path>) -> io::Result<Looked> {
    let mut head = [0; inside::HEAD_BYTES];
    let mut filled = 0;
    while filled < head.len() {
        match from.read(&mut head[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    let form = Form::of(&head[..filled]);
    let mut whole = head[..filled].chain(from);
    let look = match (form, at) {
        (Form::Other, _) => return Ok((None, None)),
        (Form::Database, Some(path)) => inside::database_at(path),
        (Form::Database, None) => inside::database_of(&mut whole, length)?,
        (Form::PropertyList, _) => inside::property_list(&mut whole, length)?,
    };
    let page = inside::page_bytes(&head[..filled]).filter(|_| form == Form::Database);
    Ok((Some((form, look)), page))
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
