//! Shows the backups of a store as a table.

use idev_backup::base::time;
use idev_backup::base::units::{count, counted, size};
use idev_backup::history::list::{Backup, Overview, Phone};

use crate::cli::render::{output, table};

/// Prints a line for each backup and each phone.
pub fn show(overview: &Overview, store: &str) {
    if overview.backups.is_empty() {
        output::line(&format!(
            "{store} holds no backups yet. Connect a phone and run `idev-backup create`."
        ));
        return;
    }
    let with_sizes = overview.backups.iter().any(|b| b.frees_bytes.is_some());
    let mut heads = vec![
        "NAME",
        "MODEL",
        "IOS",
        "MADE",
        "STATE",
        "ENCRYPTED",
        "FILES",
        "SIZE",
    ];
    heads.extend(with_sizes.then_some("FREES"));
    heads.extend(["VERIFIED", "KEPT", "FOLDER"]);
    let mut rows = vec![heads.into_iter().map(str::to_owned).collect::<Vec<_>>()];
    rows.extend(overview.backups.iter().map(|b| row(b, with_sizes)));
    table::table(&rows)
        .iter()
        .filter(|line| !line.is_empty())
        .for_each(|line| output::lines(line));
    for phone in &overview.phones {
        total(phone);
    }
    if let Some(free) = overview.free_bytes {
        output::line(&format!("{store} has {} free.", size(free)));
    }
}

fn row(backup: &Backup, with_sizes: bool) -> Vec<String> {
    let or_unknown = |text: &Option<String>| text.clone().unwrap_or_else(|| "?".to_owned());
    let state = match (backup.complete, backup.current, backup.ours) {
        _ if backup.damaged.is_some() => "DAMAGED",
        _ if backup.refused => "no permission",
        (false, ..) => "unfinished",
        (true, true, true) => "current",
        (true, true, false) => "current, of another program",
        (true, false, true) => "snapshot",
        (true, false, false) => "snapshot, of another program",
    };
    let folder = backup
        .path
        .rsplit(['/', '\\'])
        .next()
        .unwrap_or(&backup.path);
    let verified = backup.verified.as_ref().map_or_else(
        || "-".to_owned(),
        |v| {
            let when = time::when(&v.time);
            output::one_line(&format!("{when}, {}", v.how))
        },
    );
    let pin = match backup.pinned {
        Some(true) => Some("pinned"),
        Some(false) => None,
        None => Some("?"),
    };
    let kept = pin.into_iter().map(str::to_owned);
    let kept: Vec<String> = kept.chain(backup.tags.iter().cloned()).collect();
    let mut cells = vec![
        or_unknown(&backup.name),
        or_unknown(&backup.model),
        or_unknown(&backup.ios),
        backup
            .date
            .as_deref()
            .map_or_else(|| "?".to_owned(), time::when),
        state.to_owned(),
        backup
            .encrypted
            .map_or("?", |e| if e { "yes" } else { "no" })
            .to_owned(),
        backup.files.map_or_else(|| "?".to_owned(), count),
        backup.bytes.map_or_else(|| "?".to_owned(), size),
    ];
    cells.extend(with_sizes.then(|| backup.frees_bytes.map_or_else(|| "?".to_owned(), size)));
    cells.push(verified);
    cells.push(if kept.is_empty() {
        "-".to_owned()
    } else {
        kept.join(", ")
    });
    cells.push(folder.to_owned());
    cells
}

/// Prints the total size of a phone's backups.
fn total(phone: &Phone) {
    let name = phone.name.as_deref().unwrap_or("a phone without a name");
    let disk = phone.disk_bytes.map_or_else(String::new, |bytes| {
        format!(", {} on the disk", size(bytes))
    });
    output::line(&format!(
        "{} ({}): {}, {} as they are seen{disk}.",
        output::one_line(name),
        phone.udid,
        counted(phone.snapshots, "backup"),
        size(phone.bytes)
    ));
    if let Some(since) = &phone.retired {
        let since = time::when(since);
        output::line(&format!(
            "  Retired since {since}: no other backup is expected."
        ));
    }
    if phone.overdue {
        let last = match phone.last_good.as_deref().map(time::when) {
            Some(when) => format!("the last good backup is of {when}"),
            None => "there is no good backup".to_owned(),
        };
        output::line(&format!("  OVERDUE: {last}. Run `idev-backup create`."));
    }
    if let Some(trouble) = &phone.trouble {
        output::line(&format!(
            "  problem: what is pinned, named or verified is not known, so nothing is dropped: {trouble}"
        ));
    }
}
