//! Compares the size of a file on the disk with the size in the phone's list.

use std::ops::RangeInclusive;

/// A file whose size differs from the one in the phone's list.
#[derive(Clone, Copy)]
pub(crate) struct OtherSize {
    /// Size on the disk, in bytes.
    pub on_disk: u64,
    /// Size in the list, in bytes.
    pub listed: u64,
    /// The file lacks bytes.
    pub is_short: bool,
}

impl OtherSize {
    /// Returns the difference if the size does not match the list. Encrypted files are padded;
    /// `is_padded` is `None` if it is unknown whether the file is encrypted.
    pub(crate) fn of(on_disk: u64, listed: u64, is_padded: Option<bool>) -> Option<OtherSize> {
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

    /// Returns true if bytes are surely missing, whatever the contents: the file is empty, or it is
    /// encrypted and ends within a block.
    pub(crate) fn is_surely_cut(self, is_padded: Option<bool>) -> bool {
        let is_broken_off = is_padded == Some(true) && !self.on_disk.is_multiple_of(BLOCK);
        self.is_short && (self.on_disk == 0 || is_broken_off)
    }

    /// Describes the difference in words.
    pub(crate) fn words(self) -> String {
        let size = crate::base::units::size;
        let (has, listed) = match (size(self.on_disk), size(self.listed)) {
            // The rounded sizes are equal, so give exact ones.
            (has, listed) if has == listed => (
                crate::base::units::counted(self.on_disk, "byte"),
                crate::base::units::count(self.listed),
            ),
            both => both,
        };
        format!("it has {has}, but the phone's list says {listed}")
    }
}

/// Block size of AES, in bytes.
const BLOCK: u64 = 16;

/// Returns the possible sizes of an encrypted file on the disk: filled up to a whole block, or with
/// one more block (PKCS#7).
fn padded(size: u64) -> RangeInclusive<u64> {
    let filled = size.div_ceil(BLOCK).saturating_mul(BLOCK);
    filled..=(size / BLOCK + 1).saturating_mul(BLOCK)
}
