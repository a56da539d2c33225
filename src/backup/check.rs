//! Our own check of a finished backup before it is sealed.

use std::path::Path;

use super::error::Error;
use super::host::Course;
use super::problem::Problem;
use crate::backup_format::categories::Amount;
use crate::base::progress::Monitor;
use crate::base::udid::Udid;
use crate::base::units::counted;
use crate::mobilebackup;
use crate::reader::Backup;
use crate::reader::missing::{self, Gap};
use crate::reader::passwords::Known;
use crate::reader::passwords::{NoPasswords, Passwords};
use crate::reader::shrink::{self, Shrunk};
use crate::reader::{self, password_check};
use crate::store::Store;
use crate::store::draft::Complete;
use crate::store::snapshot::read_report;
use crate::verify::{self, Complaint, Outcome, Wrong};

/// Returns the files that the phone could not read, by their paths in the backup.
pub(super) fn complaints(course: &Course) -> Vec<Complaint> {
    let complaint = |fault: &mobilebackup::DeviceFault| {
        let below = fault
            .path
            .components()
            .skip(1)
            .filter(|part| *part != "Snapshot");
        Complaint {
            file: below.collect::<Vec<_>>().join("/"),
            device_path: fault.device_path.clone(),
            code: fault.code,
            text: fault.text.clone(),
        }
    };
    course.device_faults.iter().map(complaint).collect()
}

/// Checks the backup before it is sealed. Damage is an error, so the backup is not sealed.
pub(super) fn check(
    complete: &Complete,
    how: &verify::Options,
    will_encrypt: Option<bool>,
    monitor: &dyn Monitor,
) -> Result<verify::Report, Error> {
    let report = verify::look_through(complete.backup(), how, monitor)?;
    if report.outcome == Outcome::Damaged {
        return Err(Error::CheckFailed(Box::new(report)));
    }
    if will_encrypt.is_some_and(|will| will != report.encrypted) {
        let is_encrypted = report.encrypted;
        monitor.problem(Problem::OtherEncryption { is_encrypted }.into());
    }
    let unlisted = report.findings.iter();
    let unlisted = unlisted.filter(|f| f.wrong == Wrong::Orphaned).count();
    if unlisted > 0 {
        monitor.note(format!(
            "The phone's list does not name {} in the backup; they use disk space but are \
             harmless.",
            counted(unlisted as u64, "file")
        ));
    }
    for finding in report.findings.iter().filter(|f| !f.wrong.is_damage()) {
        match finding.wrong {
            Wrong::OtherSize | Wrong::Orphaned => {}
            Wrong::Short => monitor.problem(
                Problem::ShortFile {
                    file: finding.name(),
                    detail: finding.detail.clone(),
                }
                .into(),
            ),
            _ => monitor.note(format!("{}: {}", finding.name(), finding.detail)),
        }
    }
    Ok(report)
}

/// Tries the password on the backup. A wrong password is reported as a problem and does not fail
/// the run: the backup holds what the phone sent.
pub(super) fn prove(
    complete: &Complete,
    password: Option<&Known>,
    monitor: &dyn Monitor,
) -> Option<bool> {
    let why = match password_check::check(complete.backup(), password?) {
        Ok(proof) if !proof.encrypted => {
            monitor.note("The password was not needed: this backup is not encrypted.".to_owned());
            return None;
        }
        Ok(proof) if proof.closed_classes.is_empty() => return Some(true),
        Ok(proof) => format!(
            "it does not open the keys of the classes {:?}",
            proof.closed_classes
        ),
        Err(reader::Error::WrongPassword { .. }) => {
            monitor.problem(Problem::OtherPassword.into());
            return Some(false);
        }
        // The draft's path no longer exists by the time that the user reads this.
        Err(reader::Error::Metadata { path, why }) => {
            format!("{}: {why}", path.file_name().unwrap_or_default().display())
        }
        Err(e) => e.to_string(),
    };
    monitor.problem(Problem::NotOpened { why }.into());
    Some(false)
}

/// Finds what the new backup lacks. Nothing is known about an encrypted one without its password.
pub(super) fn missing(folder: &Path, is_encrypted: bool, password: Option<&Known>) -> Vec<Gap> {
    let passwords: &dyn Passwords = match password {
        Some(known) => known,
        None if is_encrypted => return Vec::new(),
        None => &NoPasswords,
    };
    let found = Backup::open(folder, passwords).and_then(|backup| missing::missing(&backup));
    found.unwrap_or_else(|e| {
        let (name, why) = ("the list of files".to_owned(), e.to_string());
        vec![Gap::Unreadable { name, why }]
    })
}

/// Compares the contents with those of the phone's current backup, by the report of its run.
pub(super) fn shrunk(store: &Store, udid: &Udid, now: &[Amount]) -> Vec<Shrunk> {
    let before = || -> Option<Vec<Amount>> {
        let report = store.current(udid).ok()??.report()?;
        let mut report = read_report(&report)?;
        serde_json::from_value(report.get_mut("contents")?.take()).ok()
    };
    match before() {
        Some(before) if !now.is_empty() => shrink::shrunk(&before, now),
        _ => Vec::new(),
    }
}
