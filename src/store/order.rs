//! The order of a phone's backups: by sequence number and date in UTC, never by the name of a
//! folder.

use jiff::Timestamp;

/// The place of a backup among its phone's backups. A later backup has a greater place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// The sequence number in the record. For a backup without a record, the number of the latest
    /// backup of ours that is not younger.
    pub sequence: u64,
    /// The date of the backup, UTC.
    pub date: Timestamp,
}

/// Returns the sequence number for a backup that is ordered by its date: the number of the latest
/// backup of ours that is not younger. Backups without a record share that number, and their dates
/// order them.
pub(super) fn by_date(known: &[Place], date: Timestamp) -> u64 {
    let before = known.iter().filter(|place| place.date <= date);
    before.max().map_or(0, |place| place.sequence)
}

/// Returns the sequence number for a backup that becomes the newest.
pub(super) fn newest(known: &[Place]) -> u64 {
    known.iter().map(|place| place.sequence).max().unwrap_or(0) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(sequence: u64, day: i64) -> Place {
        Place {
            sequence,
            date: Timestamp::from_second(day * 86_400).unwrap(),
        }
    }

    #[test]
    fn unnumbered_backup_sorts_by_date() {
        let ours = [place(1, 10), place(2, 20), place(3, 30)];
        for (day, sequence) in [(5, 0), (10, 1), (15, 1), (29, 2), (30, 3), (99, 3)] {
            let date = place(0, day).date;
            assert_eq!(by_date(&ours, date), sequence, "day {day}");
        }
        assert_eq!(newest(&ours), 4);
        assert_eq!((by_date(&[], place(0, 5).date), newest(&[])), (0, 1));
    }

    #[test]
    fn wrong_clock_keeps_backup_order() {
        // The second one was made while the phone's clock was years behind.
        let ours = [place(1, 1000), place(2, 10), place(3, 1010)];
        assert!(ours.is_sorted());
        assert_eq!(newest(&ours), 4);
        assert_eq!(by_date(&ours, place(0, 1005).date), 2);
    }
}
