//! Shows the backups of a store as a table that fits a terminal of 80 columns.

use std::collections::BTreeMap;
use std::path::Path;

use idev_backup::base::phone_names;
use idev_backup::base::time;
use idev_backup::base::units::{count, counted, size};
use idev_backup::history::elsewhere::Elsewhere;
use idev_backup::history::list::{Backup, Overview, Phone};

use crate::cli::render::{output, table, typed};

/// Longest names of phones in a table on a terminal, in characters: the longest that fits is used.
const NAMES_MAX: [usize; 4] = [15, 12, 10, 8];

/// Prints a line for each backup and each phone. `wide` adds more columns.
pub fn show(overview: &Overview, store: &Path, wide: bool) {
    let place = store.display();
    if overview.backups.is_empty() {
        output::line(&format!(
            "{place} holds no backups yet. Connect a phone and run `idev-backup create`."
        ));
        return;
    }
    let with_sizes = overview.backups.iter().any(|b| b.frees_bytes.is_some());
    let names = Names::of(overview);
    let is_terminal = output::is_terminal();
    let mut columns = Columns {
        wide,
        with_sizes,
        with_kept: wide || !is_terminal || overview.backups.iter().any(|b| kept(b) != "-"),
        name_max: None,
        names: &names,
    };
    let rows_of = |columns: &Columns<'_>| {
        let rows = overview.backups.iter().map(|backup| columns.row(backup));
        std::iter::once(columns.heads()).chain(rows).collect()
    };
    let whole: Vec<Vec<String>> = rows_of(&columns);
    let mut rows = whole.clone();
    for name_max in NAMES_MAX {
        if wide || table::fits(&rows) {
            break;
        }
        columns.name_max = Some(name_max);
        rows = rows_of(&columns);
    }
    if !table::fits(&rows) || !columns.tell_phones_apart(&overview.backups) {
        rows = whole;
    }
    table::grouped(&rows)
        .iter()
        .filter(|line| !line.is_empty())
        .for_each(|line| output::lines(line));
    for phone in &overview.phones {
        total(phone, &names);
    }
    if let Some(trouble) = &overview.copies_trouble {
        output::finding(&format!(
            "problem: the notes about copies elsewhere cannot be read: {trouble}"
        ));
    }
    if let Some(free) = overview.free_bytes {
        output::line(&format!("{place} has {} free.", size(free)));
    }
    for udid in &overview.drafts {
        let (name, create) = (names.of_phone(udid), names.command("create", udid));
        let draft = store.join(".idev-backup").join(udid);
        output::line(&format!(
            "{name}: a backup is running or was interrupted; {create} continues it ({})",
            draft.display()
        ));
    }
    for udid in &overview.imports {
        let name = names.of_phone(udid);
        let import = store.join(".idev-backup").join(udid).join("import");
        output::line(&format!(
            "{name}: `adopt` or `copy` is running or was interrupted; run it again to finish it ({})",
            import.display()
        ));
    }
}

/// The names of the phones of a store, by UDID: the phone's own name, and one that no other phone
/// of the store has.
struct Names(BTreeMap<String, (String, String)>);

impl Names {
    fn of(overview: &Overview) -> Names {
        let phones = overview.phones.iter();
        let phones: Vec<_> = phones
            .map(|phone| (phone.udid.as_str(), phone.name.as_deref()))
            .collect();
        let distinct = phone_names::distinct(&phones);
        let named = phones.iter().zip(distinct).map(|((udid, name), distinct)| {
            let name = name.unwrap_or_default().to_owned();
            ((*udid).to_owned(), (name, distinct))
        });
        Names(named.collect())
    }

    /// Returns the name of a phone, or its UDID if the store does not know the name.
    fn of_phone(&self, udid: &str) -> String {
        let name = self.0.get(udid).map(|(_, distinct)| distinct.as_str());
        output::one_line(name.unwrap_or(udid))
    }

    /// Returns the end that a phone's name needs to differ from those of other phones.
    fn tail(&self, udid: &str) -> &str {
        let names = self.0.get(udid);
        names.map_or("", |(name, distinct)| {
            distinct.strip_prefix(name.as_str()).unwrap_or_default()
        })
    }

    /// Returns a command for this phone, which it names if the store has others.
    fn command(&self, command: &str, udid: &str) -> String {
        let command = format!("`idev-backup {command}`");
        if self.0.len() < 2 && self.0.contains_key(udid) {
            return command;
        }
        let phones: Vec<_> = self
            .0
            .iter()
            .map(|(udid, (name, _))| (udid.as_str(), Some(name.as_str()).filter(|n| !n.is_empty())))
            .collect();
        typed::for_phone(&command, &phone_names::selector(&phones, udid))
    }
}

/// The columns of the table.
struct Columns<'a> {
    wide: bool,
    with_sizes: bool,
    /// Show why backups are kept. A terminal gets this column only if there is a reason.
    with_kept: bool,
    /// Longest name of a phone, in characters.
    name_max: Option<usize>,
    names: &'a Names,
}

impl Columns<'_> {
    fn heads(&self) -> Vec<String> {
        let mut heads = vec!["NAME"];
        if self.wide {
            heads.extend(["MODEL", "IOS"]);
        }
        heads.extend(["WHEN", "STATE"]);
        if self.wide {
            heads.extend(["ENCRYPTED", "FILES"]);
        }
        heads.push("SIZE");
        heads.extend(self.with_sizes.then_some("FREES"));
        heads.push("VERIFIED");
        heads.extend(self.with_kept.then_some("KEPT"));
        heads.push("ID");
        heads.extend(self.wide.then_some("FOLDER"));
        heads.into_iter().map(str::to_owned).collect()
    }

    fn row(&self, backup: &Backup) -> Vec<String> {
        let or_unknown = |text: &Option<String>| text.clone().unwrap_or_else(|| "?".to_owned());
        let mut cells = vec![self.name(backup)];
        if self.wide {
            cells.extend([or_unknown(&backup.model), or_unknown(&backup.ios)]);
        }
        let date = backup.date.as_deref();
        cells.push(date.map_or_else(|| "?".to_owned(), time::when_briefly));
        cells.push(state(backup).to_owned());
        if self.wide {
            let encrypted = backup
                .encrypted
                .map_or("?", |e| if e { "yes" } else { "no" });
            cells.push(encrypted.to_owned());
            cells.push(backup.files.map_or_else(|| "?".to_owned(), count));
        }
        cells.push(backup.bytes.map_or_else(|| "?".to_owned(), size));
        let frees = || backup.frees_bytes.map_or_else(|| "?".to_owned(), size);
        cells.extend(self.with_sizes.then(frees));
        cells.push(self.verified(backup));
        cells.extend(self.with_kept.then(|| kept(backup)));
        cells.push(or_unknown(&backup.stamp));
        if self.wide {
            let folder = backup.path.rsplit(['/', '\\']).next();
            cells.push(folder.unwrap_or(&backup.path).to_owned());
        }
        cells
    }

    /// Returns true if no two phones have the same name in the table.
    fn tell_phones_apart(&self, backups: &[Backup]) -> bool {
        let mut phones = BTreeMap::new();
        backups
            .iter()
            .all(|backup| *phones.entry(self.name(backup)).or_insert(&backup.udid) == &backup.udid)
    }

    fn name(&self, backup: &Backup) -> String {
        let name = backup.name.clone().unwrap_or_else(|| "?".to_owned());
        let tail = self.names.tail(&backup.udid);
        let max = self.name_max.unwrap_or(usize::MAX);
        let max = max.saturating_sub(tail.chars().count()).max(2);
        if name.chars().count() <= max {
            return name + tail;
        }
        let cut = if output::speaks_utf8() { '…' } else { '.' };
        let head = name.chars().take(max - 1).chain([cut]);
        head.chain(tail.chars()).collect()
    }

    fn verified(&self, backup: &Backup) -> String {
        let Some(verified) = &backup.verified else {
            return "-".to_owned();
        };
        if self.wide {
            let when = time::when(&verified.time);
            output::one_line(&format!("{when}, {}", verified.how))
        } else {
            time::day(&verified.time)
        }
    }
}

/// Returns the state of a backup in a word.
pub(super) fn state(backup: &Backup) -> &'static str {
    match (backup.complete, backup.current, backup.ours) {
        _ if backup.damaged.is_some() => "DAMAGED",
        _ if backup.refused => "no access",
        (false, ..) => "unfinished",
        (true, true, true) => "current",
        (true, true, false) => "current*",
        (true, false, true) => "snapshot",
        (true, false, false) => "snapshot*",
    }
}

fn kept(backup: &Backup) -> String {
    let pin = match backup.pinned {
        Some(true) => Some("pinned"),
        Some(false) => None,
        None => Some("?"),
    };
    let kept = pin.into_iter().map(str::to_owned);
    let kept: Vec<String> = kept.chain(backup.tags.iter().cloned()).collect();
    if kept.is_empty() {
        "-".to_owned()
    } else {
        kept.join(", ")
    }
}

/// Prints the total size of a phone's backups.
fn total(phone: &Phone, names: &Names) {
    let name = names.of_phone(&phone.udid);
    // Snapshots share the files that did not change, which only `--sizes` measures.
    let disk = match phone.disk_bytes {
        Some(bytes) => format!(" ({} on the disk)", size(bytes)),
        None if phone.snapshots > 1 => " before sharing".to_owned(),
        None => String::new(),
    };
    output::line(&format!(
        "{name}: {}, {}{disk}.",
        counted(phone.snapshots, "backup"),
        size(phone.bytes)
    ));
    if let Some(since) = &phone.retired {
        let since = time::when(since);
        output::line(&format!(
            "  Retired since {since}: no more backups are expected."
        ));
    }
    if phone.overdue {
        let last = match phone.last_good.as_deref().map(time::when) {
            Some(when) => format!("the last good backup was made {when}"),
            None => "no good backup exists".to_owned(),
        };
        let create = names.command("create", &phone.udid);
        finding(&name, &format!("OVERDUE: {last}. Run {create}."));
    }
    for copy in &phone.copies {
        elsewhere(&name, copy, phone.copy_overdue);
    }
    if let Some(trouble) = &phone.trouble {
        let text = format!(
            "problem: the notes about pins, names and checks cannot be read, so no backup is \
            dropped: {trouble}"
        );
        finding(&name, &text);
    }
}

/// Prints what is known about the copies of a phone in a repository.
fn elsewhere(name: &str, copy: &Elsewhere, is_overdue: bool) {
    let text = output::one_line(&format!("Elsewhere: {}.", copy.words()));
    let push = "Run `idev-backup repository push`.";
    match &copy.failed {
        Some(failed) => finding(
            name,
            &format!(
                "{text} The push failed {}: {}.",
                time::when(&failed.time),
                failed.why
            ),
        ),
        None if is_overdue && copy.waits_since.is_some() => {
            finding(name, &format!("OVERDUE: {text} {push}"));
        }
        None => output::line(&format!("  {text}")),
    }
}

/// Prints a line below the total of a phone. `--quiet` prints no total, so the line names
/// the phone.
fn finding(name: &str, text: &str) {
    if output::is_quiet() {
        output::finding(&format!("{name}: {text}"));
    } else {
        output::finding(&format!("  {text}"));
    }
}
