//! Notices that a backup holds far less of a kind of data than the one before.

use serde::Serialize;

use crate::backup_format::categories::{Amount, Kind};

/// Amounts below this are not compared: a small database is easily rebuilt.
const LEAST_BYTES: u64 = 10 << 20;

/// A kind of data that has become much smaller since the previous backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Shrunk {
    /// The kind of data.
    pub kind: Kind,
    /// Size in the backup before, in bytes.
    pub before_bytes: u64,
    /// Size now, in bytes.
    pub now_bytes: u64,
}

/// Returns the kinds that have less than half of their previous size.
pub(crate) fn shrunk(before: &[Amount], now: &[Amount]) -> Vec<Shrunk> {
    let bytes = |amounts: &[Amount], kind| {
        let found = amounts.iter().find(|amount| amount.kind == kind);
        found.map_or(0, |amount| amount.bytes)
    };
    let compared = Kind::ALL.into_iter().map(|kind| Shrunk {
        kind,
        before_bytes: bytes(before, kind),
        now_bytes: bytes(now, kind),
    });
    compared
        .filter(|one| one.before_bytes >= LEAST_BYTES && one.now_bytes < one.before_bytes / 2)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_losses_are_found() {
        let amount = |kind, bytes| Amount {
            kind,
            files: 1,
            bytes,
        };
        let before = [
            amount(Kind::Photos, 100 << 20),
            amount(Kind::Messages, 120 << 20),
            amount(Kind::Personal, 1 << 20),
            amount(Kind::Health, 50 << 20),
        ];
        let now = [
            amount(Kind::Photos, 51 << 20),
            amount(Kind::Messages, 3 << 20),
        ];
        let kinds: Vec<Kind> = shrunk(&before, &now).iter().map(|one| one.kind).collect();
        assert_eq!(kinds, [Kind::Messages, Kind::Health]);
        assert!(shrunk(&now, &before).is_empty());
    }
}
