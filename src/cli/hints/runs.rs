//! Advice for failed backups, changes of the encryption, and restores.

use idev_backup::restore::Left;
use idev_backup::restore::partial::NoPart;
use idev_backup::transport::plist_stream::FrameError;
use idev_backup::{backup, encryption, mobilebackup, restore, verify};

use super::backups::{self, history, read};
use super::concerns::{before_restore, repaired};
use super::phone::{device, dialog};
use super::refusals::refusal;
use super::{NEWER, PASSWORD_SOURCES, store};

const ELSEWHERE: &str = "free space there, or name another folder for temporary files in the \
    variable TMPDIR (Windows: TMP)";
const WHOLE: &str = "restore the whole backup, or extract single files with `idev-backup extract` \
    or `idev-backup export photos`";

/// Returns the advice for a failed backup, if there is any.
pub fn backup(error: &backup::Error) -> Option<String> {
    use backup::Error;
    let hint = match error {
        Error::Device(e) => return device(e),
        Error::Dialog(e) => dialog(e)?,
        Error::Store(e) | Error::Keeping(e) => store(e)?,
        Error::History(e) => return history(e),
        Error::Read(e) => return read(e),
        Error::Verify(e) => return backups::verify(e),
        Error::Refused(e) => return refusal(e),
        Error::CheckFailed(_) => {
            "run `idev-backup create --full`; if it happens again, check the disk"
        }
        Error::NoPasscode { .. } => {
            "since iOS 16.1, a phone asks for its passcode at each backup. Run it when you can \
            enter the passcode on the phone, or wait longer with --passcode-wait"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

/// Returns the advice for a failed change of the encryption, if there is any.
pub fn encryption(error: &encryption::Error) -> Option<String> {
    use encryption::Error;
    let hint = match error {
        Error::Device(e) => return device(e),
        Error::Dialog(e) => dialog(e)?,
        Error::PasswordDialog(mobilebackup::Error::NoCommonVersion) => NEWER,
        Error::PasswordDialog(_) => {
            "connect the phone again and run `idev-backup encryption status`. If encryption is \
            on, try both passwords: `idev-backup encryption change` accepts only the right one"
        }
        Error::Refused(e) => return refusal(e),
        Error::AlreadyOn => "`idev-backup encryption change` sets another password",
        Error::NotOn => "turn it on with `idev-backup encryption on`",
        Error::Required => "ask the administrator of the phone",
        Error::BadPassword(_) => PASSWORD_SOURCES,
        Error::Store(e) => store(e)?,
        Error::History(e) => return history(e),
        _ => return None,
    };
    Some(hint.to_owned())
}

/// Returns the advice for a failed restore, if there is any.
pub fn restore(error: &restore::Error) -> Option<String> {
    use restore::Error;
    let hint = match error {
        Error::Device(e) => return device(e),
        Error::Store(e) => store(e)?,
        Error::Read(e) => return read(e),
        Error::Verify(e) => return backups::verify(e),
        Error::NotReady(lines) => {
            let concerns = lines.iter().filter_map(|line| line.concern.as_ref());
            let hints: Vec<String> = concerns.filter_map(before_restore).collect();
            return Some(hints.join("; "));
        }
        Error::Altered { report, .. } => return Some(repair(report, false)),
        Error::SourceDamaged(report) => return Some(repair(report, true)),
        Error::Dialog { cause, left } => match cause {
            mobilebackup::Error::Hostile(_) => {
                "do not trust this phone, or the device between it and this computer. Its request \
                was refused, and nothing outside the backup was read"
            }
            mobilebackup::Error::NoCommonVersion => NEWER,
            cause => left_after(*left, cause),
        },
        Error::Refused { refusal: e, .. } => return refusal(e),
        Error::NothingTaken { .. } => {
            "restart the phone and run the same command again; `idev-backup verify --deep` shows \
            what is wrong with the backup"
        }
        Error::NoPart(NoPart::RemoveOthers) => "leave --remove-others out",
        Error::NoPart(NoPart::Untried) => {
            "use `idev-backup extract` instead, or make a whole backup of the phone first and add \
            --partial-at-my-own-risk"
        }
        Error::NoPart(_) => WHOLE,
        Error::NoDomain(_) => "`idev-backup ls` shows the domains of a backup",
        Error::NoPlaceForList { .. }
        | Error::NoPlaceForRehearsal { .. }
        | Error::NoSpaceForRehearsal { .. } => ELSEWHERE,
        Error::SimulatedPhone(e) if matches!(**e, Error::Refused { .. }) => {
            "run `idev-backup verify --deep`; if the backup is whole, please report this"
        }
        Error::SimulatedPhone(_) | Error::NoLedger => {
            "please report this, with the output of `--json`"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

/// Returns advice on getting an undamaged backup. `may_force` is true before a restore, which
/// `--force` begins although the backup is damaged.
fn repair(report: &verify::Report, may_force: bool) -> String {
    let repair = repaired(&report.path, restore::preflight::can_be_repaired(report));
    if may_force && restore::tolerated(report) {
        format!(
            "{repair}. The phone has no digests of the altered files, so `--force` restores them \
            as they are"
        )
    } else {
        repair
    }
}

/// Returns the advice for a restore whose dialog ended with this error.
fn left_after(left: Left, cause: &mobilebackup::Error) -> &'static str {
    use mobilebackup::Error::{Cancelled, HungUp, Wire};
    match (left, cause) {
        (Left::AsItWas, Cancelled) => "run the same command again at any time",
        (Left::AsItWas, HungUp { .. }) => {
            "look at the phone's screen, because it ended the restore itself. Restart it and run \
            the same command again"
        }
        (
            Left::AsItWas,
            Wire {
                cause: FrameError::Io(_),
                ..
            },
        ) => "check the cable, unlock the phone, and run the same command again",
        (Left::AsItWas, _) => {
            "unplug the phone, restart it and run the same command again; if it happens again, \
            please report it"
        }
        (Left::Partly { .. }, _) => {
            "restart the phone, which discards the received files, and run the same command \
            again; the backup is untouched"
        }
        (Left::All { reboots: true }, _) => {
            "wait until the phone has restarted and look at it: if the backup's data is missing, \
            run the same command again"
        }
        (Left::All { reboots: false }, _) => {
            "restart the phone and look at it: if the backup's data is missing, run the same \
            command again"
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    /// Checks that the hint names the cable only after a connection error that the cable may have
    /// caused.
    #[test]
    fn cable_hint_only_for_wire_errors() {
        let broken = std::io::Error::from(ErrorKind::ConnectionReset);
        let wire = |cause| mobilebackup::Error::Wire {
            doing: "read files",
            cause,
        };
        let strange = mobilebackup::Error::Strange {
            doing: "read files",
            why: "odd".into(),
        };
        let hung_up = mobilebackup::Error::HungUp {
            reason: String::new(),
        };
        for (cause, is_cable) in [
            (wire(FrameError::Io(broken)), true),
            (mobilebackup::Error::Cancelled, false),
            (strange, false),
            (hung_up, false),
        ] {
            let hint = left_after(Left::AsItWas, &cause);
            assert_eq!(hint.contains("cable"), is_cable, "{cause}: {hint}");
            let hint = left_after(Left::Partly { files: 1 }, &cause);
            assert!(hint.contains("discards"), "{cause}: {hint}");
        }
    }
}
