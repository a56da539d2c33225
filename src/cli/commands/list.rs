//! `idev-backup list`

use std::path::PathBuf;
use std::time::SystemTime;

use clap::Args;
use idev_backup::base::time;
use idev_backup::base::units::{count, counted, size};
use idev_backup::history::list::{self, Backup, Look, Overview, Phone};

use crate::cli::args::store::StoreArgs;
use crate::cli::args::unattended::OverdueArgs;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::render::{output, table};

/// Show the backups in the store: what each is, what it takes, what keeps it, and which phones are
/// overdue.
///
/// Example:  idev-backup list --store /srv/backups
#[derive(Args)]
pub struct List {
    /// End with 1 if a phone is overdue, if its newest backup is noted as damaged, or if there is
    /// none
    #[arg(long)]
    check: bool,
    /// Look at every file to see what removing each snapshot alone would free
    #[arg(long)]
    sizes: bool,
    /// A phone whose last good backup is older is overdue [default: --overdue-after, else 7]
    #[arg(long, value_name = "DAYS")]
    overdue_days: Option<u32>,
    #[command(flatten)]
    overdue: OverdueArgs,
    #[command(flatten)]
    store: StoreArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl List {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        match self.overview() {
            Err(e) => output::failure(&e, None, self.json),
            Ok((overview, _)) if self.json => {
                output::object("backups", None, &overview);
                self.code(&overview)
            }
            Ok((overview, path)) => {
                show(&overview, &path.display().to_string());
                for udid in &overview.drafts {
                    output::line(&format!(
                        "{udid}: a run is under way, or broke off and left a draft in {}; `idev-backup create` goes on \
                         with it",
                        path.join(".idev-backup").join(udid).display()
                    ));
                }
                for udid in &overview.imports {
                    output::line(&format!(
                        "{udid}: `adopt` or `copy` is under way, or broke off and left what it had in {}; running it again \
                         ends it",
                        path.join(".idev-backup")
                            .join(udid)
                            .join("import")
                            .display()
                    ));
                }
                self.code(&overview)
            }
        }
    }

    fn code(&self, overview: &Overview) -> u8 {
        let problems = if overview.phones.iter().any(|phone| phone.trouble.is_some()) {
            exit::DONE_WITH_PROBLEMS
        } else {
            exit::DONE
        };
        if self.check && !is_well(overview) {
            return exit::worst(&[exit::FAILED, problems]);
        }
        problems
    }

    fn overview(&self) -> Result<(Overview, PathBuf), Failure> {
        let path = self.store.path()?;
        if !self.store.is_named() && !path.exists() {
            // No backup has been made yet.
            return Ok((Overview::default(), path));
        }
        let look = Look {
            sizes: self.sizes,
            overdue: self.overdue.limit(self.overdue_days),
            now: SystemTime::now(),
        };
        Ok((list::overview(&self.store.open()?, &look)?, path))
    }
}

/// Returns true if every phone has a recent backup, and no check found its newest one damaged.
fn is_well(overview: &Overview) -> bool {
    let newest_is_damaged = |phone: &Phone| {
        let mut backups = overview.backups.iter();
        let newest = backups.find(|backup| backup.udid == phone.udid);
        newest.is_some_and(|backup| backup.damaged.is_some())
    };
    let phones = &overview.phones;
    !phones.is_empty() && phones.iter().all(|p| !p.overdue && !newest_is_damaged(p))
}

fn show(overview: &Overview, store: &str) {
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
