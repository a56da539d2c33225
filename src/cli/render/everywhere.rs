//! Shows all backups of this computer, by the place where they are.

use idev_backup::base::time;
use idev_backup::base::units::size;
use idev_backup::history::everywhere::{OURS, Place, State};
use idev_backup::history::known_stores::KnownPhone;
use idev_backup::history::list::Backup;
use serde::Serialize;

use super::typed::quoted;
use crate::cli::render::{list, output, table};

/// A place, with the commands that check and adopt its backups.
#[derive(Serialize)]
pub struct Shown<'a> {
    program: &'static str,
    path: &'a str,
    current: bool,
    state: State,
    why: Option<&'a str>,
    seen: Option<&'a str>,
    phones: &'a [KnownPhone],
    backups: Vec<ShownBackup<'a>>,
    /// Advice on what to do if the place cannot be read.
    hint: Option<&'static str>,
}

#[derive(Serialize)]
struct ShownBackup<'a> {
    #[serde(flatten)]
    backup: &'a Backup,
    /// Command that checks the backup.
    verify: String,
    /// Command that copies the backup into the store; null if it is in a store.
    adopt: Option<String>,
}

impl Shown<'_> {
    /// Adds the commands to a place.
    pub fn of(place: &Place) -> Shown<'_> {
        let shown = |backup| ShownBackup {
            backup,
            verify: format!("idev-backup verify {}", quoted(&backup.path)),
            adopt: adopts(place, backup)
                .then(|| format!("idev-backup adopt {}", quoted(&backup.path))),
        };
        Shown {
            program: place.program,
            path: &place.path,
            current: place.current,
            state: place.state,
            why: place.why.as_deref(),
            seen: place.seen.as_deref(),
            phones: &place.phones,
            backups: place.backups.iter().map(shown).collect(),
            hint: hint(place.state),
        }
    }
}

/// Returns true if a backup of another program can be copied into the store.
fn adopts(place: &Place, backup: &Backup) -> bool {
    place.program != OURS && backup.complete && !backup.refused
}

/// Prints the places. A place that cannot be read is a problem, and one that is away is not.
pub fn show(places: &[Place]) {
    if places.is_empty() {
        output::finding("No backups were found on this computer.");
        return;
    }
    for (number, place) in places.iter().enumerate() {
        if number > 0 {
            output::line("");
        }
        let mark = if place.current { " (in use)" } else { "" };
        output::finding(&format!("{}: {}{mark}", place.program, place.path));
        match place.state {
            State::Here => here(place),
            State::Offline => offline(place),
            State::Silent => problem(&format!("{} does not answer", place.path), place.state),
            state => problem(place.why.as_deref().unwrap_or_default(), state),
        }
    }
}

fn here(place: &Place) {
    if place.backups.is_empty() {
        output::line("  No backups yet.");
        return;
    }
    let heads = ["NAME", "WHEN", "STATE", "ENCRYPTED", "SIZE", "ID"].map(str::to_owned);
    let mut rows = vec![heads.to_vec()];
    rows.extend(place.backups.iter().map(row));
    table::grouped(&rows)
        .iter()
        .filter(|line| !line.is_empty())
        .for_each(|line| line.split('\n').for_each(output::finding));
    if place.program == OURS {
        let store = if place.current {
            String::new()
        } else {
            format!(" --store {}", quoted(&place.path))
        };
        output::line(&format!("  Check them: `idev-backup verify --all{store}`"));
        return;
    }
    for backup in &place.backups {
        let word = if adopts(place, backup) {
            "adopt"
        } else {
            "verify"
        };
        output::line(&format!("  `idev-backup {word} {}`", quoted(&backup.path)));
    }
}

fn row(backup: &Backup) -> Vec<String> {
    let or_unknown = |text: &Option<String>| text.clone().unwrap_or_else(|| "?".to_owned());
    let date = backup.date.as_deref();
    let encrypted = backup
        .encrypted
        .map_or("?", |e| if e { "yes" } else { "no" });
    // Other programs do not number their backups; the UDID tells two phones of one name apart.
    let id = backup.stamp.clone().unwrap_or_else(|| backup.udid.clone());
    vec![
        or_unknown(&backup.name),
        date.map_or_else(|| "?".to_owned(), time::when_briefly),
        list::state(backup).to_owned(),
        encrypted.to_owned(),
        backup.bytes.map_or_else(|| "?".to_owned(), size),
        id,
    ]
}

fn offline(place: &Place) {
    let since = place.seen.as_deref().map(time::when);
    let since = since.map_or_else(String::new, |since| format!(" since {since}"));
    let why = place.why.as_deref().unwrap_or_default();
    output::finding(&format!("  offline{since}: {why}"));
    for phone in &place.phones {
        let name = phone.name.as_deref().unwrap_or(&phone.udid);
        let newest = match phone.newest.as_deref().map(time::when) {
            Some(when) => format!("newest backup {when}"),
            None => "no backup with a date".to_owned(),
        };
        output::finding(&output::one_line(&format!("  {name}: {newest}")));
    }
}

fn problem(text: &str, state: State) {
    output::tell(&format!("problem: {text}"));
    if let Some(hint) = hint(state) {
        output::tell(&format!("  hint: {hint}"));
    }
}

fn hint(state: State) -> Option<&'static str> {
    match state {
        State::NoAccess if cfg!(target_os = "macos") => Some(
            "give the terminal Full Disk Access (System Settings > Privacy & Security > Full Disk \
            Access), and run this again",
        ),
        State::NoAccess => Some("run this as the user who owns the folder"),
        State::Silent => Some("check the disk or the network, and run this again"),
        State::Unreadable => Some("check the disk and how it is connected"),
        State::Here | State::Offline => None,
    }
}
