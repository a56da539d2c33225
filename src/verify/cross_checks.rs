//! Holds the parts of a check that run after the walk, or once for all files.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::Path;

use super::finding::{Finding, Wrong};
use crate::backup_format::keybag::Keys;
use crate::backup_format::plists::ManifestPlist;
use crate::backup_format::temp_db;
use crate::base::private_dir::PrivateDir;
use crate::reader::backup::{Backup, Item};
use crate::reader::manifest_feed::List;
use crate::store::disk;
use crate::store::sums::{Hash, Line, Lines};
use crate::store::walk::Found;
use crate::verify::Error;
use crate::verify::content_checks::{self, Inside, Look};
use crate::verify::worker::Yield;

/// Returns the encrypted files whose digest differs from the phone's list. They count as altered
/// only if another digest of this backup is right, which shows that digests are made from such
/// bytes.
pub(crate) fn other_digests(all: &mut Yield) -> Vec<Finding> {
    let mut found = std::mem::take(&mut all.other_digests);
    if all.digests_right == 0 {
        for finding in &mut found {
            finding.wrong = Wrong::OtherDigest;
            finding.detail = "the phone's list has a different digest of it, but none of the \
                digests in this backup match the bytes on the disk"
                .to_owned();
        }
    }
    found
}

/// Marks files that have the bytes of another file: nothing is lost, the bytes are only in the
/// wrong place.
pub(crate) fn name_swapped(found: &mut [Finding], sums: Option<&Path>) -> Result<(), Error> {
    let mut strange: HashMap<Hash, Vec<usize>> = HashMap::new();
    for (place, finding) in found.iter().enumerate() {
        if let Some(hash) = finding.hash {
            strange.entry(hash).or_default().push(place);
        }
    }
    let Some(sums) = sums.filter(|_| !strange.is_empty()) else {
        return Ok(());
    };
    for line in Lines::open(sums)? {
        let Line::Good(path, hash) = line? else {
            continue;
        };
        for place in strange.remove(&hash).unwrap_or_default() {
            found[place].wrong = Wrong::Swapped;
            found[place].detail = format!("it has the bytes of {path}");
        }
    }
    Ok(())
}

/// Checks databases that are broken on their own once more, together with their logs: the missing
/// pages may be in a log and not yet written back. Returns those that are still broken.
pub(crate) fn look_again(
    folder: &Path,
    suspects: Vec<Finding>,
    list: Option<List>,
    keys: Option<Keys>,
    inside: &mut Inside,
) -> Vec<Finding> {
    let Some(list) = list.filter(|_| !suspects.is_empty()) else {
        return suspects;
    };
    let opened = Backup::of(folder, list, keys);
    let mut is_broken = |finding: &Finding| match with_logs(&opened, finding) {
        Some(Look::Fine) => {
            inside.databases += 1;
            false
        }
        Some(Look::Unknown) => {
            inside.unknown += 1;
            false
        }
        Some(Look::Broken(_)) | None => true,
    };
    suspects
        .into_iter()
        .filter(|finding| is_broken(finding))
        .collect()
}

/// Size limit in bytes: larger databases are not copied to be checked with their logs.
const COPIED_BYTES_MAX: u64 = 1 << 30;

/// Checks a database together with its write-ahead log. Returns `None` if it has no log.
fn with_logs(opened: &Backup, finding: &Finding) -> Option<Look> {
    let (domain, path) = (finding.domain.as_ref()?, finding.relative_path.as_ref()?);
    let beside = |suffix: &str| {
        let item = opened.find(domain, &format!("{path}{suffix}")).ok()??;
        (item.size().ok()? > 0).then_some(item)
    };
    // A rollback journal can name any file of this computer, and SQLite would remove that file. So
    // SQLite never gets a journal.
    if beside("-journal").is_some() {
        return Some(Look::Unknown);
    }
    let (main, log) = (beside("")?, beside("-wal")?);
    // Decrypted data is never written to a disk under a name.
    let on_disk = |item| Some(opened.path_of(item).ok()?.metadata().ok()?.len());
    let bytes = on_disk(&main)?.saturating_add(on_disk(&log)?);
    if opened.is_encrypted() || bytes > COPIED_BYTES_MAX {
        return Some(Look::Unknown);
    }
    // A computer that lacks space for the copies says nothing about the database.
    Some(check_copies(opened, &main, &log).unwrap_or(Look::Unknown))
}

/// Copies a database and its log, and checks the copies. Returns `None` if they cannot be copied.
fn check_copies(opened: &Backup, main: &Item, log: &Item) -> Option<Look> {
    let place = PrivateDir::new("idev-backup-").ok()?;
    for (item, name) in [(main, "database"), (log, "database-wal")] {
        let mut to = disk::create_private(&place.path().join(name)).ok()?;
        io::copy(&mut opened.bytes(item).ok()?, &mut to).ok()?;
    }
    let connection = rusqlite::Connection::open(place.path().join("database")).ok()?;
    // A database that SQLite cannot even open is broken.
    if let Err(e) = temp_db::bound(&connection) {
        return Some(content_checks::judged(&e));
    }
    Some(content_checks::quick_check(&connection))
}

/// Returns what a phone would refuse, or leave out, in a restore.
pub(crate) fn not_restored(manifest: &ManifestPlist, apps: &BTreeSet<String>) -> Vec<String> {
    let mut told = apps_not_restored(manifest, apps);
    if manifest.product_version.is_none() {
        told.push("it does not name the iOS version: a phone would refuse it".to_owned());
    }
    told
}

fn apps_not_restored(manifest: &ManifestPlist, apps: &BTreeSet<String>) -> Vec<String> {
    // Backups of other programs, and of iOS 4, list no applications at all.
    if manifest.application_ids.is_empty() {
        return match apps.len() {
            0 => Vec::new(),
            count => vec![format!(
                "it does not list applications, but the backup has data of {}: a phone would not \
                 restore that data",
                crate::base::units::counted(count as u64, "application")
            )],
        };
    }
    let unknown =
        |app: &&String| !manifest.application_ids.contains(*app) && !app.starts_with("com.apple.");
    let detail = |app: &String| {
        format!(
            "it does not list the application {app}, whose data is in the backup: a phone would \
             not restore that data"
        )
    };
    apps.iter().filter(unknown).map(detail).collect()
}

/// Counts files that users other than the owner can get at. Snapshots share files by hard links, so
/// a change to a file changes it in all of them.
pub(crate) struct Shared {
    #[cfg_attr(
        not(unix),
        allow(dead_code, reason = "only Unix systems have owners and modes")
    )]
    owner: Option<u32>,
    #[cfg_attr(
        not(unix),
        allow(dead_code, reason = "only Unix systems have owners and modes")
    )]
    private: bool,
    foreign: (u64, Option<String>),
    open: (u64, Option<String>),
}

/// Permission bits of all but the owner.
#[cfg(unix)]
const OTHERS: u32 = 0o077;

impl Shared {
    /// Starts the count for a backup's folder. Only backups that we made are expected to be
    /// private.
    pub(crate) fn of(folder: &Path, is_ours: bool) -> Shared {
        #[cfg(unix)]
        let (owner, private) = {
            use std::os::unix::fs::MetadataExt;
            let meta = std::fs::metadata(folder).ok();
            // A disk that stores no modes shows the same mode for everything.
            let keeps_modes = meta.as_ref().is_some_and(|meta| meta.mode() & OTHERS == 0);
            (meta.map(|meta| meta.uid()), is_ours && keeps_modes)
        };
        #[cfg(not(unix))]
        let (owner, private) = {
            let _ = (folder, is_ours);
            (None, false)
        };
        Shared {
            owner,
            private,
            foreign: (0, None),
            open: (0, None),
        }
    }

    /// Examines one file.
    #[cfg(unix)]
    pub(crate) fn look(&mut self, found: &Found) {
        use std::os::unix::fs::MetadataExt;
        let note = |(count, first): &mut (u64, Option<String>)| {
            *count += 1;
            first.get_or_insert_with(|| found.path.clone());
        };
        if self.owner.is_some_and(|owner| owner != found.meta.uid()) {
            note(&mut self.foreign);
        }
        if self.private && found.meta.mode() & OTHERS != 0 {
            note(&mut self.open);
        }
    }

    /// Examines one file.
    #[cfg(not(unix))]
    pub(crate) fn look(&mut self, _: &Found) {}

    /// Returns the findings: for each kind the first file, and a detail with the number of files.
    pub(crate) fn told(&mut self) -> Vec<(String, String)> {
        let counted = |count| crate::base::units::counted(count, "file");
        let mut told = Vec::new();
        if let (count, Some(first)) = &mut self.foreign {
            let detail = format!(
                "{} owned by a different user, who can change files that snapshots share by hard links",
                counted(*count)
            );
            told.push((std::mem::take(first), detail));
        }
        if let (count, Some(first)) = &mut self.open {
            let detail = format!(
                "{} that other users of this computer can read or change: run `chmod -R go= \
                 FOLDER`",
                counted(*count)
            );
            told.push((std::mem::take(first), detail));
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks that differing digests count as damage only if at least one digest of the backup
    /// matches.
    #[test]
    fn digest_mismatch_counts_after_one_match() {
        let finding = Finding {
            wrong: Wrong::Altered,
            domain: None,
            relative_path: None,
            file: "ab/ab".to_owned(),
            detail: String::new(),
            hash: None,
            shows_on_phone: true,
        };
        for (digests_right, wrong) in [(0, Wrong::OtherDigest), (1, Wrong::Altered)] {
            let mut all = Yield {
                digests_right,
                other_digests: vec![finding.clone()],
                ..Yield::default()
            };
            assert_eq!(other_digests(&mut all)[0].wrong, wrong);
            assert!(all.other_digests.is_empty());
        }
    }
}
