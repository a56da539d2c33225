//! Advice for each failure: what the user does next, in terms of this program's commands and flags.

mod concerns;
mod explained;
mod phone;
mod problems;
mod refusals;
mod schedule;
mod store;

use std::io::ErrorKind;

use idev_backup::automation::policy::Described;
use idev_backup::restore::Left;
use idev_backup::restore::partial::NoPart;
use idev_backup::transport::plist_stream::FrameError;
use idev_backup::{backup, encryption, export, history, mobilebackup, reader, restore, verify};

use self::concerns::repaired;
pub use self::concerns::{before_restore, concern};
pub use self::explained::explained;
use self::phone::dialog;
pub use self::phone::{device, listed};
pub use self::problems::problem;
pub use self::refusals::refusal;
pub use self::schedule::job;
pub use self::store::store;
use super::exit;
use super::failure::Failure;

const LIST: &str = "`idev-backup list` shows what the store holds";
const NEWER: &str = "use a newer idev-backup";
const PASSWORD_SOURCES: &str = "run it in a terminal to be asked for it, or use --password-file, \
    --password-command, --password-keyring or the variable IDEV_BACKUP_PASSWORD";
const ELSEWHERE: &str = "free space there, or name another folder for temporary files in the \
    variable TMPDIR (Windows: TMP)";
const WHOLE: &str = "restore the whole backup, or extract single files with `idev-backup extract` \
    or `idev-backup export photos`";
const BROKEN_BACKUP: &str =
    "run `idev-backup verify` to see what else is damaged, and which older snapshots are intact";

/// Describes a failure for the user's hooks and for reports.
pub fn describe(failure: &Failure) -> Described {
    Described {
        text: failure.to_string(),
        exit_code: exit::code(failure.kind()),
        hint: of(failure),
    }
}

/// Describes a failed backup for the user's hooks.
pub fn describe_backup(error: &backup::Error) -> Described {
    Described {
        text: error.to_string(),
        exit_code: exit::code(error.kind()),
        hint: backup(error),
    }
}

/// Returns the advice for a failure, if there is any.
pub fn of(failure: &Failure) -> Option<String> {
    match failure {
        Failure::Device(e) => device(e),
        Failure::Read(e) => read(e),
        Failure::Export(e) => export(e),
        Failure::Store(e) => store(e).map(str::to_owned),
        Failure::Verify(e) => verify(e),
        Failure::History(e) => history(e),
        Failure::Backup(e) => backup(e),
        Failure::Encryption(e) => encryption(e),
        Failure::Restore(e) => restore(e),
        Failure::Schedule(e) => job(e).map(str::to_owned),
        Failure::Output { cause, .. } => Some(target(cause).to_owned()),
        Failure::NoPassword { .. } => Some(PASSWORD_SOURCES.to_owned()),
        Failure::Mistyped { .. } => Some(
            "run it again and type the same password twice, or use --password-file or \
            --password-command"
                .to_owned(),
        ),
        Failure::Command { hint, .. } => Some(hint.clone()),
        Failure::NoStoreYet { .. } => {
            Some("connect a phone and run `idev-backup create`, which makes it".to_owned())
        }
        Failure::Interrupted => None,
    }
}

/// Returns the advice for a backup that cannot be read, if there is any.
pub fn read(error: &reader::Error) -> Option<String> {
    use reader::Error;
    let hint = match error {
        Error::NoBackup(_) => {
            "name the folder that holds Manifest.db; `idev-backup list` shows the backups of the store"
        }
        Error::NoFolder(_) => "`idev-backup list` shows the backups of the store",
        Error::Metadata { .. } | Error::File { .. } => BROKEN_BACKUP,
        Error::IsFolder(name) => {
            return Some(format!(
                "`idev-backup ls BACKUP '{name}'` shows what is in it"
            ));
        }
        Error::NoFile(_) => {
            "write the domain and the whole path, as in HomeDomain/Library/SMS/sms.db"
        }
        Error::NoDomain(_) => "`idev-backup ls BACKUP` shows its domains",
        Error::NoPath { domain, .. } => {
            return Some(format!(
                "`idev-backup ls BACKUP {domain}` shows what is there; `idev-backup find` looks everywhere"
            ));
        }
        Error::NoDomainNamed(_) => {
            "begin with the domain, without a slash before it, as in HomeDomain/Library; \
            `idev-backup ls BACKUP` shows the domains"
        }
        Error::Pattern(_) => {
            "write patterns as in a shell: *.HEIC, CameraRollDomain/**, Library/{SMS,Notes}/*"
        }
        Error::TreeTooLarge => {
            "name a folder, or draw fewer levels with --depth; `idev-backup find` lists everything"
        }
        Error::Replaced(_) => "run the same command again; no damage is known in either of them",
        Error::Removed(_) => "`idev-backup list` shows what is there",
        Error::WrongPassword { .. } => {
            "use the password that the phone had when this backup was made; `idev-backup \
            encryption check` tries another one"
        }
        Error::NoPassword { .. } => PASSWORD_SOURCES,
        Error::PasswordSource(source) => {
            return source.downcast_ref::<Failure>().and_then(of);
        }
        Error::Store(e) => return store(e).map(str::to_owned),
        _ => return None,
    };
    Some(hint.to_owned())
}

fn target(cause: &std::io::Error) -> &'static str {
    match cause.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "free space on that disk, or name a folder on another one with --to"
        }
        _ => "name another folder with --to",
    }
}

/// Returns the advice for a failed export, if there is any.
pub fn export(error: &export::Error) -> Option<String> {
    use export::Error;
    let hint = match error {
        Error::Read(e) => return read(e),
        Error::Target { cause, .. } => target(cause),
        Error::NotEmpty(_) => {
            "name a folder that is empty or does not exist yet, or add --overwrite to fill this \
            one and replace files in it"
        }
        Error::AroundBackup { .. } | Error::InStore { .. } | Error::InBackup(_) => {
            "name another folder with --to"
        }
        Error::NothingMatches => {
            "a pattern with a `/` must match domain and path (`HomeDomain/Library/SMS/**`), one \
            without only the file name (`*.HEIC`); --ignore-case ignores upper and lower case"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

/// Returns the advice for a check that cannot be done, if there is any.
pub fn verify(error: &verify::Error) -> Option<String> {
    use verify::Error;
    match error {
        Error::Read(e) => read(e),
        Error::Store(e) => store(e).map(str::to_owned),
        Error::NotInStore(_) | Error::NoHashes(_) => {
            Some("make a new one: `idev-backup create --full`".to_owned())
        }
        _ => None,
    }
}

/// Returns the advice for a failed change of the history, if there is any.
pub fn history(error: &history::Error) -> Option<String> {
    use history::Error;
    let hint = match error {
        Error::Store(e) => return store(e).map(str::to_owned),
        Error::Verify(e) => return verify(e),
        Error::EmptyName => {
            "`idev-backup list` shows what the store holds; in a script, check where the name \
            comes from"
        }
        Error::NoBackups => "name a backup's folder, or another store with --store",
        Error::NotFound {
            name,
            is_of_files: true,
        } => {
            return Some(format!(
                "name the backup first, as in `idev-backup find latest '{name}'`; `idev-backup list` shows all of them"
            ));
        }
        Error::NotFound { .. } | Error::NoPhone(_) => LIST,
        Error::WhichPhone { .. } => {
            "add one of these names to the command, or the beginning of a phone's name"
        }
        Error::Ambiguous { .. } => "use one of these names",
        Error::AmbiguousPhone { .. } => "type more of the UDID or name",
        Error::NotInStore(_) => {
            "`idev-backup list` shows what the store holds; `idev-backup adopt` copies a backup \
            into it"
        }
        Error::NotOurs(_) => {
            "delete it with the program that made it; `idev-backup adopt` copies a backup into a \
            store"
        }
        Error::Pinned(_) => "unpin it first with `idev-backup unpin`",
        Error::BadTag(_) => "a tag has 1 to 80 characters and is not `latest`",
        Error::NoTag { .. } => "`idev-backup list` shows the tags",
        Error::SourceDamaged { .. } => {
            "`idev-backup verify` lists all damage; --force adopts the backup as it is"
        }
        Error::PresentDamaged(at) => {
            return Some(format!(
                "`idev-backup verify --repair {}` repairs files from other snapshots there; or \
                delete it there, and run this again",
                at.display()
            ));
        }
        Error::Metadata { .. } => BROKEN_BACKUP,
        Error::UnknownPhone(_) => {
            "rename the folder to the phone's UDID, because its Info.plist has no Target Identifier"
        }
        Error::CopyDamaged(_) => {
            "check the original with `idev-backup verify`; if it is whole, check the disk that it \
            was copied to"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

/// Returns the advice for a failed backup, if there is any.
pub fn backup(error: &backup::Error) -> Option<String> {
    use backup::Error;
    let hint = match error {
        Error::Device(e) => return device(e),
        Error::Dialog(e) => dialog(e)?,
        Error::Store(e) | Error::Keeping(e) => store(e)?,
        Error::History(e) => return history(e),
        Error::Read(e) => return read(e),
        Error::Verify(e) => return verify(e),
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
        Error::Verify(e) => return verify(e),
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
    use idev_backup::base::failure_kind::FailureKind;

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

    #[test]
    fn full_disk_hint_names_tmpdir() {
        let full = restore::Error::NoPlaceForRehearsal {
            place: "/tmp".into(),
            cause: ErrorKind::StorageFull.into(),
        };
        let full = Failure::from(full);
        assert_eq!(full.kind(), FailureKind::NoSpace);
        assert!(of(&full).is_some_and(|hint| hint.contains("TMPDIR")));
    }
}
