//! Decides if the contents of a file match its entry in the phone's list.
//!
//! Every command that compares a file with the list uses this rule: `verify`, the check at the end
//! of `create`, `extract`, `adopt`, `restore`, and the simulated phone. So no command refuses a
//! file that another one accepts.
//!
//! If the list has a digest, the digest decides: phones compute it over the bytes that they send,
//! while the size in the list can be outdated (a real backup lists DataUsage.sqlite with 118,784
//! bytes, but stores 122,880 whose SHA-1 is the one in the list). Without a digest the size
//! decides, except for databases: phones compact some of them while sending.

/// Bytes at the beginning of a file that the decision needs: the header of a SQLite database.
pub(crate) const HEAD_BYTES: usize = 100;

/// The first bytes of every SQLite database (sqlite.org/fileformat.html).
const MAGIC: &[u8] = b"SQLite format 3\0";

/// Facts about a file's plaintext that the decision needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen<'a> {
    /// The number of bytes.
    pub length: u64,
    /// The first bytes: [`HEAD_BYTES`], or all of a shorter file.
    pub head: &'a [u8],
    /// True if the bytes have the digest in the list; `None` if the list has none, or it was not
    /// compared.
    pub has_digest: Option<bool>,
}

/// Result of comparing a file with the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// Nothing contradicts the list.
    AsListed,
    /// The size differs, but nothing shows that bytes are missing: the file is a whole database, or
    /// longer than listed.
    OtherSize,
    /// Bytes are missing at the end.
    Short,
    /// The bytes do not have the digest in the list.
    Altered,
}

impl Judgement {
    /// Returns true if a phone can restore the file as it is.
    #[cfg(feature = "simulator")]
    pub(crate) fn is_acceptable(self) -> bool {
        matches!(self, Judgement::AsListed | Judgement::OtherSize)
    }
}

/// Compares a file with its size in the list, and with its digest if that was computed.
pub(crate) fn judge(listed_bytes: u64, seen: Seen<'_>) -> Judgement {
    let is_equal = seen.length == listed_bytes;
    let is_complete = || {
        Database::of(seen.head).map_or(seen.length > listed_bytes, |database| {
            database.is_whole(seen.length)
        })
    };
    match seen.has_digest {
        Some(true) => Judgement::AsListed,
        None if is_equal => Judgement::AsListed,
        _ if !is_equal && !is_complete() => Judgement::Short,
        Some(false) => Judgement::Altered,
        None => Judgement::OtherSize,
    }
}

/// Fields of a SQLite database's header that determine the length of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Database {
    /// The length of a page, in bytes.
    pub page_bytes: u64,
    /// The number of pages; `None` if the header does not have a current number (programs before
    /// SQLite 3.7 do not update it).
    pub pages: Option<u64>,
}

impl Database {
    /// Parses the header in the first bytes of a file. Returns `None` if the file is not a
    /// database, whatever its name.
    pub(crate) fn of(head: &[u8]) -> Option<Database> {
        if !head.starts_with(MAGIC) {
            return None;
        }
        let number = |at: usize| {
            let bytes = head.get(at..at + 4)?.try_into().ok()?;
            Some(u32::from_be_bytes(bytes))
        };
        // The number of pages is valid only if the last program that changed the database updated
        // it.
        let is_counted = number(24)? == number(92)?;
        Some(Database {
            page_bytes: page_bytes(head)?,
            pages: number(28)
                .map(u64::from)
                .filter(|pages| *pages > 0 && is_counted),
        })
    }

    /// Returns true if a file of this length holds every page of the database, and ends with a
    /// whole page.
    pub(crate) fn is_whole(self, length: u64) -> bool {
        let pages = length / self.page_bytes;
        length > 0
            && length.is_multiple_of(self.page_bytes)
            && self.pages.is_none_or(|wanted| wanted <= pages)
    }

    /// Returns true if a file of this length has exactly the pages that the header counts. Such a
    /// file is known to be whole after decryption even without padding.
    pub(crate) fn is_exactly(self, length: u64) -> bool {
        self.is_whole(length) && self.pages == Some(length / self.page_bytes)
    }
}

/// Returns the length of a database's pages in bytes: a power of two, where 1 stands for 65,536.
pub(crate) fn page_bytes(head: &[u8]) -> Option<u64> {
    let bytes = u16::from_be_bytes(head.get(16..18)?.try_into().ok()?);
    match bytes {
        1 => Some(65_536),
        512.. if bytes.is_power_of_two() => Some(bytes.into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Builds a header with pages of 4,096 bytes. `written` is the change counter, `counted` the
    /// change counter for which the number of pages is valid.
    fn header(pages: u32, written: u32, counted: u32) -> Vec<u8> {
        let mut head = MAGIC.to_vec();
        head.extend(4096u16.to_be_bytes());
        head.resize(HEAD_BYTES, 0);
        head[24..28].copy_from_slice(&written.to_be_bytes());
        head[28..32].copy_from_slice(&pages.to_be_bytes());
        head[92..96].copy_from_slice(&counted.to_be_bytes());
        head
    }

    #[test]
    fn databases_are_judged_by_header() {
        const LISTED: u64 = 10 * 4096;
        use Judgement::{AsListed, OtherSize, Short};
        for (pages, length, judged) in [
            (7, 7 * 4096, OtherSize),
            (12, 12 * 4096, OtherSize),
            // The file has more pages than the header counts; SQLite ignores the rest.
            (7, 8 * 4096, OtherSize),
            // The file is cut between two pages, and inside a page.
            (10, 7 * 4096, Short),
            (7, 7 * 4096 - 1, Short),
            (12, 12 * 4096 + 5, Short),
            (10, LISTED, AsListed),
        ] {
            let head = header(pages, 5, 5);
            let seen = Seen {
                length,
                head: &head,
                has_digest: None,
            };
            assert_eq!(judge(LISTED, seen), judged, "{pages} pages in {length}");
        }
        // An outdated number of pages is ignored.
        let stale = Database::of(&header(10, 6, 5)).unwrap();
        assert!(stale.pages.is_none() && stale.is_whole(7 * 4096));
        let mut odd = header(1, 1, 1);
        odd[16..18].copy_from_slice(&1000u16.to_be_bytes());
        assert_eq!(Database::of(&odd), None);
        assert_eq!(Database::of(&header(1, 1, 1)[..60]), None);
    }

    #[test]
    fn other_files_are_judged_by_size() {
        use Judgement::{AsListed, OtherSize, Short};
        for (length, judged) in [(0, Short), (99, Short), (100, AsListed), (101, OtherSize)] {
            let seen = Seen {
                length,
                head: b"hello",
                has_digest: None,
            };
            assert_eq!(judge(100, seen), judged, "{length}");
        }
    }

    #[test]
    fn digests_outrank_sizes() {
        for length in [0, 99, 100, 101] {
            let seen = |right| Seen {
                length,
                head: b"",
                has_digest: Some(right),
            };
            assert_eq!(judge(100, seen(true)), Judgement::AsListed, "{length}");
            let wrong = if length < 100 {
                Judgement::Short
            } else {
                Judgement::Altered
            };
            assert_eq!(judge(100, seen(false)), wrong, "{length}");
        }
    }

    #[test]
    fn short_or_altered_files_are_unacceptable() {
        use Judgement::{Altered, AsListed, OtherSize, Short};
        let taken = [AsListed, OtherSize, Short, Altered].map(Judgement::is_acceptable);
        assert_eq!(taken, [true, true, false, false]);
    }
}
