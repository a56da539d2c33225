//! Compares a file that `extract` or `export` wrote with the phone's list.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha1::{Digest, Sha1};

use crate::backup_format::content_match::{Database, HEAD_BYTES, Judgement, Seen, judge};
use crate::backup_format::keybag::Ending;
use crate::backup_format::record::FileRecord;
use crate::export::outcome::Wrong;

/// Checks a file that was just written to `at` against the phone's list, and returns the problem,
/// if any. `ending` tells how the decryption of an encrypted file ended.
pub(crate) fn judged(
    record: &FileRecord,
    at: &Path,
    bytes: u64,
    ending: Option<Ending>,
) -> Option<(Wrong, String)> {
    if bytes == record.size && ending != Some(Ending::Wrong) {
        return None;
    }
    // A file that cannot be read again is judged by its size.
    let head = head_of(at).unwrap_or_default();
    let database = Database::of(&head);
    if ending == Some(Ending::Wrong) && !database.is_some_and(|found| found.is_exactly(bytes)) {
        let detail = "it does not decrypt: its contents or its key have changed";
        return Some((Wrong::Altered, detail.to_owned()));
    }
    let wanted = record.digest.as_ref();
    let has_digest = wanted.and_then(|wanted| Some(digest_of(at).ok()?[..] == wanted[..]));
    let seen = Seen {
        length: bytes,
        head: &head,
        // A matching digest is valid in any case. A mismatch is ignored for encrypted files,
        // because it is not known from which of their bytes phones compute the digest.
        has_digest: has_digest.filter(|is_right| *is_right || ending.is_none()),
    };
    let size = crate::base::units::size;
    let sizes = format!(
        "it has {}, but the phone's list says {}",
        size(bytes),
        size(record.size)
    );
    match judge(record.size, seen) {
        Judgement::AsListed => None,
        // A different size is normal for databases, which phones compact while sending.
        Judgement::OtherSize if database.is_some() => None,
        Judgement::OtherSize => Some((Wrong::OtherSize, sizes)),
        Judgement::Short => Some((Wrong::Truncated, sizes)),
        Judgement::Altered => Some((
            Wrong::Altered,
            "its contents do not match the digest in the phone's list".to_owned(),
        )),
    }
}

fn head_of(path: &Path) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    File::open(path)?
        .take(HEAD_BYTES as u64)
        .read_to_end(&mut head)?;
    Ok(head)
}

fn digest_of(path: &Path) -> io::Result<[u8; 20]> {
    let mut digest = Sha1::new();
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 128 << 10];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(digest.finalize().into()),
            Ok(length) => digest.update(&buffer[..length]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}
