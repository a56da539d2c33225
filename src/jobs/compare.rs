//! Reading files of a backup and comparing their bytes with the list of hashes: a thread's part of a check.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::mpsc::Receiver;
use std::sync::{Mutex, PoisonError};

use super::finding::{Finding, Wrong};
use crate::store::sums::{self, Hash};

/// A file whose bytes are to be compared.
pub struct Compare {
    /// Where it lies in the folder.
    pub path: String,
    /// What its bytes must give.
    pub hash: Hash,
    /// The phone's name of it: domain and path.
    pub name: Option<(String, String)>,
    /// Its size differs from the phone's list.
    pub other_size: Option<OtherSize>,
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
    /// In words.
    pub fn words(self) -> String {
        let size = crate::units::size;
        format!(
            "it has {}, the phone's list says {}",
            size(self.on_disk),
            size(self.listed)
        )
    }
}

/// Compares files until no more come, and notes those that differ.
pub fn compare(folder: &Path, waiting: &Mutex<Receiver<Compare>>, different: &Mutex<Vec<Finding>>) {
    // A few at a time: small files are compared faster than a lock changes hands.
    let mut batch = VecDeque::new();
    loop {
        if batch.is_empty() {
            let waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let Ok(first) = waiting.recv() else { return };
            batch.push_back(first);
            batch.extend(waiting.try_iter().take(15));
        }
        let Some(compare) = batch.pop_front() else {
            continue;
        };
        let (wrong, detail) = match (
            sums::hash_file(&folder.join(&compare.path)),
            compare.other_size,
        ) {
            (Ok((found, _)), _) if found == compare.hash => continue,
            (Ok(_), Some(size)) if size.is_short => (Wrong::Truncated, size.words()),
            (Ok(_), _) => (
                Wrong::Altered,
                "its bytes are not those that were received".to_owned(),
            ),
            (Err(e), _) => (Wrong::Unreadable, e.to_string()),
        };
        let (domain, relative_path) = compare.name.unzip();
        different
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Finding {
                wrong,
                domain,
                relative_path,
                file: compare.path,
                detail,
            });
    }
}
