//! Compares the size of a file on the disk with the size in the phone's list.

use std::ops::RangeInclusive;

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
    /// Where a size is not what the list says. Encrypted files are padded; of some nobody knows
    /// whether they are.
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

    /// Returns true if bytes are missing, whatever the file holds: nothing is left of it, or an
    /// encrypted file ends inside of a block.
    pub fn is_surely_cut(self, is_padded: Option<bool>) -> bool {
        let is_broken_off = is_padded == Some(true) && !self.on_disk.is_multiple_of(BLOCK);
        self.is_short && (self.on_disk == 0 || is_broken_off)
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

/// Bytes that AES encrypts at a time.
const BLOCK: u64 = 16;

/// Sizes on the disk of an encrypted file: filled up to a whole block, or by one more (PKCS#7).
fn padded(size: u64) -> RangeInclusive<u64> {
    let filled = size.div_ceil(BLOCK).saturating_mul(BLOCK);
    filled..=(size / BLOCK + 1).saturating_mul(BLOCK)
}
