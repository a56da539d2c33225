//! Rewords the errors of a rehearsal: the phone is simulated, so advice about cables and restarts
//! does not apply.

use std::io;
use std::path::Path;

use crate::error::{Class, Error};

/// Advice for errors that should not happen.
pub const REPORT: &str = "please report this, with what `--json` says";
/// Advice if the folder for temporary files cannot be used.
pub const ELSEWHERE: &str = "name another folder for temporary files in the variable TMPDIR (Windows: TMP), or make room there";

/// Returns the error for a folder for temporary files, `place`, that cannot be used.
pub fn no_place(place: &Path, why: &io::Error) -> Error {
    let class = match why.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Class::NoSpace,
        _ => Class::Failed,
    };
    Error::Rehearsal {
        why: format!(
            "the folder for temporary files, {}, cannot be used: {why}",
            place.display()
        ),
        hint: ELSEWHERE.to_owned(),
        class,
    }
}

/// Rewords an error of the simulated phone, so that the user does not look for a cable.
pub fn simulated(error: Error, place: &Path) -> Error {
    const FULL_BYTES: u64 = 1 << 20;
    let class = error.class();
    if class == Class::Interrupted {
        return Error::Interrupted;
    }
    let why = match &error {
        Error::RestoreDialog { cause, .. } => {
            format!("the simulated phone broke it off: {cause}")
        }
        Error::RestoreRefused { refusal, .. } => format!("the simulated phone says no: {refusal}"),
        Error::Device(_) | Error::Dialog(_) | Error::NoDevice { .. } | Error::NoPasscode { .. } => {
            format!("the simulated phone does not do as it should: {error}")
        }
        // The error concerns the backup, its password or its disk, not the simulated phone.
        _ => return error,
    };
    let free = fs4::available_space(place);
    if free.as_ref().is_ok_and(|free| *free < FULL_BYTES) {
        return no_place(place, &io::ErrorKind::StorageFull.into());
    }
    if let Err(e) = free {
        return no_place(place, &e);
    }
    Error::Rehearsal {
        why,
        hint: match error {
            Error::RestoreRefused { .. } => "`idev-backup verify --deep` tells what is damaged; if the backup is whole, please report this",
            _ => REPORT,
        }
        .to_owned(),
        class: match class {
            Class::WrongPassword => Class::WrongPassword,
            _ => Class::Failed,
        },
    }
}
