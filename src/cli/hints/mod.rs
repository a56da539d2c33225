//! Advice for each failure: what the user does next, in terms of this program's commands and flags.

mod backups;
mod concerns;
mod explained;
mod phone;
mod problems;
pub mod refusals;
mod repository;
mod runs;
mod schedule;
mod store;

use idev_backup::automation::policy::Described;
use idev_backup::backup::Error as BackupError;
use idev_backup::base::failure_kind::FailureKind;

use self::backups::target;
pub use self::backups::{export, history, read, verify};
pub use self::concerns::{before_restore, concern};
pub use self::explained::explained;
pub use self::phone::{device, listed};
pub use self::problems::problem;
pub use self::repository::repository;
pub use self::runs::{backup, encryption, restore};
pub use self::schedule::job;
pub use self::store::store;
use super::failure::{Failure, PushFailed};
use super::{afterwards, exit};

const NEWER: &str = "use a newer idev-backup";
const PASSWORD_SOURCES: &str = "run it in a terminal to be asked for it, or use --password-file, \
    --password-command, --password-keyring or the variable IDEV_BACKUP_PASSWORD";

/// Describes a failure for the user's hooks and for reports.
pub fn describe(failure: &Failure) -> Described {
    Described {
        text: failure.to_string(),
        exit_code: exit::code(failure.kind()),
        hint: of(failure),
    }
}

/// Describes a failure before a backup, for which `--all` may be the answer.
pub fn describe_before_backup(failure: &Failure) -> Described {
    let mut described = describe(failure);
    if let Failure::Device(idev_backup::device::Error::WhichDevice { .. }) = failure {
        described.hint = described
            .hint
            .map(|hint| format!("{hint}, or back up all of them with --all"));
    }
    described
}

/// Returns the advice for the target of a copy, which no option names.
fn copy_target(error: &idev_backup::store::Error) -> Option<String> {
    if let idev_backup::store::Error::NoStore { .. } = error {
        let hint = "check the path, and that its disk is connected; --new-store makes a new store";
        return Some(format!("{hint} there"));
    }
    store(error).map(|hint| hint.replace("with --store", "as the target"))
}

/// Describes a failed backup for the user's hooks.
pub fn describe_backup(error: &BackupError) -> Described {
    Described {
        text: error.to_string(),
        exit_code: exit::code(error.kind()),
        hint: backup(error),
    }
}

/// Returns the advice for a failure, if there is any.
pub fn of(failure: &Failure) -> Option<String> {
    let is_interrupted = failure.kind() == FailureKind::Interrupted;
    let afterwards = || afterwards::get().filter(|_| is_interrupted);
    by_cause(failure).or_else(|| afterwards().map(str::to_owned))
}

fn by_cause(failure: &Failure) -> Option<String> {
    match failure {
        Failure::Device(e) => device(e),
        Failure::Read(e) => read(e),
        Failure::Export(e) => export(e),
        Failure::Store(e) => store(e).map(str::to_owned),
        Failure::CopyTarget(e) => copy_target(e),
        Failure::Verify(e) => verify(e),
        Failure::History(e) => history(e),
        Failure::Backup(e) => backup(e),
        Failure::Encryption(e) => encryption(e),
        Failure::Restore(e) => restore(e),
        Failure::Repository(e) => repository(e),
        Failure::Schedule(e) => job(e).map(str::to_owned),
        Failure::Output { cause, .. } => Some(target(cause).to_owned()),
        Failure::NoPassword { .. } => Some(PASSWORD_SOURCES.to_owned()),
        Failure::NoRepositoryPassword { .. } => Some(
            "run it in a terminal to be asked for it, or use --repository-password-file, \
            --repository-password-command or --repository-password-keyring"
                .to_owned(),
        ),
        Failure::Mistyped { .. } => Some(
            "run it again and type the same password twice, or use --password-file or \
            --password-command"
                .to_owned(),
        ),
        Failure::Command { hint, .. } => Some(hint.clone()),
        Failure::NoStoreYet { has_others, .. } => Some(
            if *has_others {
                "`idev-backup list --everywhere` shows the stores that you used before; name one \
                with --store"
            } else {
                "`idev-backup setup` asks where to keep backups, and makes the first one"
            }
            .to_owned(),
        ),
        Failure::NoStoreMade { .. } => {
            Some("`idev-backup create --new-store` makes it and the first backup in it".to_owned())
        }
        Failure::Declined(_) | Failure::Interrupted => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use idev_backup::base::failure_kind::FailureKind;
    use idev_backup::restore::Error;

    use super::*;

    #[test]
    fn full_disk_hint_names_tmpdir() {
        let full = Error::NoPlaceForRehearsal {
            place: "/tmp".into(),
            cause: ErrorKind::StorageFull.into(),
        };
        let full = Failure::from(full);
        assert_eq!(full.kind(), FailureKind::NoSpace);
        assert!(of(&full).is_some_and(|hint| hint.contains("TMPDIR")));
    }
}
