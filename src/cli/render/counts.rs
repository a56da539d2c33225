//! Describes the numbers of messages and other content in a backup.

use idev_backup::base::units::{count, counted};
use idev_backup::content::counts::Counts;

/// Returns the numbers in a line; `None` if there is nothing to count.
pub fn counted_content(counts: &Counts) -> Option<String> {
    let numbers = counts.counts.iter().map(|one| match one.within {
        Some((within, name)) => {
            format!(
                "{} in {}",
                counted(one.count, one.one),
                counted(within, name)
            )
        }
        None => match one.locked {
            Some(locked) => format!("{} ({} locked)", counted(one.count, one.one), count(locked)),
            None => counted(one.count, one.one),
        },
    });
    let failed = counts
        .not_counted
        .iter()
        .map(|one| format!("{} that cannot be read", one.kind.word()));
    let all: Vec<String> = numbers.chain(failed).collect();
    (!all.is_empty()).then(|| all.join(", "))
}
