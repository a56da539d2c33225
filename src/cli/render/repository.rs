//! Reports about a repository.

use idev_backup::base::time;
use idev_backup::base::units::{count, counted, size};
use idev_backup::repository::{Checked, Copy, Forgotten, Listing, OfPhone, PushReport};
use idev_backup::store::retention::Why;

use crate::cli::render::{output, table};

/// Length of the beginning of an id that is shown, as restic does.
const ID_SHOWN: usize = 8;

/// Prints which backups were pushed.
pub fn pushed(report: &PushReport) {
    for backup in &report.pushed {
        let name = output::one_line(&backup.name);
        output::line(&match &backup.pushed {
            Some(pushed) => format!(
                "{name}: {}, {}, of which {} were new to the repository.",
                counted(pushed.files, "file"),
                size(pushed.bytes),
                size(pushed.bytes_added)
            ),
            None => format!("{name} would be pushed."),
        });
    }
    for skipped in &report.skipped {
        let name = output::one_line(&skipped.name);
        output::line(&format!("{name}: not pushed, {}.", skipped.why));
    }
    let there = match report.present {
        0 => String::new(),
        number => format!("; {} there before", was(number)),
    };
    let number = counted(report.pushed.len() as u64, "backup");
    let place = &report.location;
    output::line(&if report.dry_run {
        format!("{number} would be pushed to {place}{there}. Nothing was sent.")
    } else {
        format!("{number} pushed to {place}{there}.")
    });
    if let Some(done) = &report.checked {
        output::line(&checked(done));
    }
}

fn was(number: u64) -> String {
    match number {
        1 => "1 was".to_owned(),
        number => format!("{} were", count(number)),
    }
}

/// Returns the result of a check, in words.
pub fn checked(report: &Checked) -> String {
    match report.read {
        None => "The repository is complete. Its data was not read.".to_owned(),
        Some(share) if share.of.get() == 1 => {
            "The repository is complete, and all data matches its hashes.".to_owned()
        }
        Some(share) => format!(
            "The repository is complete, and the data that was read back (part {} of {}) matches \
            its hashes.",
            share.group, share.of
        ),
    }
}

/// Prints the backups in a repository.
pub fn listed(listing: &Listing) {
    let heads = [
        "PHONE",
        "MADE",
        "iOS",
        "ENCRYPTED",
        "FILES",
        "SIZE",
        "FROM",
        "ID",
    ];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    for phone in &listing.phones {
        rows.extend(phone.copies.iter().map(|copy| row(phone, copy)));
    }
    if rows.len() > 1 {
        table::grouped(&rows)
            .iter()
            .filter(|line| !line.is_empty())
            .for_each(|line| output::lines(line));
    } else {
        output::line(&format!("{} holds no backups yet.", listing.location));
    }
    if !listing.others.is_empty() {
        let number = counted(listing.others.len() as u64, "snapshot");
        output::line(&format!("{number} there of other programs."));
    }
}

fn row(phone: &OfPhone, copy: &Copy) -> Vec<String> {
    let unknown = || "?".to_owned();
    vec![
        phone.name.clone().unwrap_or_else(|| phone.udid.clone()),
        time::when(&copy.time.to_string()),
        copy.ios.clone().unwrap_or_else(unknown),
        copy.encrypted
            .map_or_else(unknown, |is_so| if is_so { "yes" } else { "no" }.to_owned()),
        copy.files.map_or_else(unknown, count),
        copy.bytes.map_or_else(unknown, size),
        copy.host.clone(),
        copy.snapshot.chars().take(ID_SHOWN).collect(),
    ]
}

/// Prints which copies stay, and why.
pub fn forgotten(report: &Forgotten) {
    let heads = ["PHONE", "MADE", "WHAT", "ID", "WHY"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    for fate in &report.copies {
        let copy = &fate.copy;
        let words: Vec<&str> = fate.why.iter().map(Why::words).collect();
        rows.push(vec![
            copy.name.clone().unwrap_or_else(|| copy.udid.clone()),
            time::when(&copy.time.to_string()),
            if fate.keep { "keep" } else { "forget" }.to_owned(),
            copy.snapshot.chars().take(ID_SHOWN).collect(),
            if fate.keep {
                words.join(", ")
            } else {
                "no rule keeps it".to_owned()
            },
        ]);
    }
    if rows.len() > 1 {
        table::grouped(&rows)
            .iter()
            .filter(|line| !line.is_empty())
            .for_each(|line| output::lines(line));
    }
    let number = counted(report.forgotten, "backup");
    let policy = &report.policy;
    output::line(&if report.dry_run {
        format!("{number} would be forgotten ({policy}). Nothing was changed.")
    } else {
        format!("{number} forgotten ({policy}).")
    });
}
