//! The files of a backup that are not in its folder, such as those in a repository.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fs::File;
use std::io::{self, Read};

use crate::base::failure_kind::FailureKind;

/// The stored bytes of a file, as they come.
pub type Stream = Box<dyn Read + Send>;

/// A place that holds the files of a backup.
pub trait Source: Send + Sync {
    /// Returns the name of the backup in this place, for messages.
    fn name(&self) -> String;

    /// Opens a file by its path in the backup, such as `00/00a1…`. Fails with
    /// [`io::ErrorKind::NotFound`] if the backup lacks it, and with [`Broken`] if no file can be
    /// read any more; so do the streams.
    fn open(&self, path: &str) -> io::Result<Stream>;

    /// Announces that many files of a folder will be opened in the order of their names. An empty
    /// name means the whole backup.
    fn expect(&self, folder: &str);
}

/// The reason that no file of a source can be read any more.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub struct Broken {
    /// The kind of failure.
    pub kind: FailureKind,
    /// The error of the source.
    #[source]
    pub cause: Box<dyn StdError + Send + Sync>,
}

/// The stored bytes of a file: a file, or a stream.
pub enum Stored {
    /// A file in the backup's folder.
    File(File),
    /// A file from elsewhere.
    Stream(Stream),
}

impl Read for Stored {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Stored::File(file) => file.read(out),
            Stored::Stream(stream) => stream.read(out),
        }
    }
}

#[cfg(feature = "web")]
impl io::Seek for Stored {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        match self {
            Stored::File(file) => file.seek(to),
            Stored::Stream(_) => Err(io::ErrorKind::NotSeekable.into()),
        }
    }
}

/// Number of bytes that a source can pass on in the time that it needs to open one file: about a
/// second at the rate of a good internet connection.
const OPENING: u64 = 16 << 20;

/// The shares of the folders of a backup that a job needs.
#[derive(Debug, Default)]
pub(super) struct Needs(BTreeMap<String, Need>);

#[derive(Debug, Default)]
struct Need {
    files: u64,
    bytes: u64,
    all_bytes: u64,
}

impl Needs {
    /// Adds a file of a folder.
    pub(super) fn add(&mut self, folder: &str, size: u64, is_wanted: bool) {
        if !self.0.contains_key(folder) {
            self.0.insert(folder.to_owned(), Need::default());
        }
        if let Some(need) = self.0.get_mut(folder) {
            need.all_bytes = need.all_bytes.saturating_add(size);
            if is_wanted {
                need.files += 1;
                need.bytes = need.bytes.saturating_add(size);
            }
        }
    }

    /// Returns the folders that are read faster as a whole than file by file.
    pub(super) fn whole_folders(&self) -> Vec<&str> {
        let (mut whole, mut total, mut all_bytes) = (Vec::new(), 0_u64, 0_u64);
        for (folder, need) in &self.0 {
            all_bytes = all_bytes.saturating_add(need.all_bytes);
            let one_by_one = need
                .files
                .saturating_mul(OPENING)
                .saturating_add(need.bytes);
            let as_a_whole = need.all_bytes.saturating_add(OPENING);
            if need.files > 1 && as_a_whole <= one_by_one {
                whole.push(folder.as_str());
            }
            total = total.saturating_add(one_by_one.min(as_a_whole));
        }
        let files: u64 = self.0.values().map(|need| need.files).sum();
        if files > 1 && all_bytes.saturating_add(OPENING) <= total {
            return vec![""];
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cheapest_way_to_read_is_chosen() {
        const MIB: u64 = 1 << 20;
        let whole = |files: &[(&str, u64, bool)]| -> Vec<String> {
            let mut needs = Needs::default();
            for (folder, size, is_wanted) in files {
                needs.add(folder, *size, *is_wanted);
            }
            needs
                .whole_folders()
                .iter()
                .map(|f| (*f).to_owned())
                .collect()
        };
        // One small file beside large ones is opened by itself.
        assert!(whole(&[("00", MIB, true), ("00", 900 * MIB, false)]).is_empty());
        assert!(whole(&[("00", MIB, true)]).is_empty());
        // Several files of a folder come together, without the other folders.
        let large = [("01", 900 * MIB, false)];
        let files = [("00", MIB, true), ("00", MIB, true), ("00", MIB, false)];
        assert_eq!(whole(&[&files[..], &large[..]].concat()), ["00"]);
        // A small backup comes as a whole.
        assert_eq!(whole(&[("00", MIB, true), ("01", MIB, true)]), [""]);
        // Two files in a large folder are opened one by one.
        assert!(whole(&[("00", 1, true), ("00", 1, true), ("00", 900 * MIB, false)]).is_empty());
        // Everything of a large backup comes as a whole.
        assert_eq!(
            whole(&[("00", 900 * MIB, true), ("01", 900 * MIB, true)]),
            [""]
        );
    }
}
