//! Advice for failures of the store.

use std::io::ErrorKind;

use idev_backup::store::{Absence, Error, FORMAT, MARK, NOTES, SetAside};

/// Returns the advice for a failure of the store, if there is any.
pub fn store(error: &Error) -> Option<&'static str> {
    Some(match error {
        e if e.is_full() => "free space on that disk, or choose another with --store",
        Error::Io { cause, doing, .. } => io(cause.kind(), doing),
        Error::Busy { .. } => {
            "wait for the other run to end, or stop it; the lock of a killed run is released"
        }
        Error::InTheWay { .. } => {
            "find out what created it and remove it; removing a link does not remove its target"
        }
        Error::Linked { .. } => {
            "name the folder that contains the target with --store, or replace the link with the \
            target folder"
        }
        Error::NotYours { .. } => {
            "run the command above, or run idev-backup as the owner of the folder"
        }
        Error::AsRoot { .. } => "run this without sudo, as the owner of the store",
        Error::Pinned { .. } => {
            "remove the pin or the name first: `idev-backup unpin`, `tag --remove`"
        }
        Error::Stuck { .. } => {
            "close programs that have it open; for an immutable file, run `sudo chattr -i` \
            (Linux) or `chflags nouchg` (macOS). It is harmless, and each run tries again"
        }
        Error::NoStore { cause, .. } => match cause {
            Absence::NotMounted(_) | Absence::Empty(_) | Absence::DeadLink { .. } => {
                "connect and mount the disk, and run the same command again; only \
                `idev-backup create --new-store` makes a new store there"
            }
            Absence::Missing(_) | Absence::NoMark => {
                "check the path, and that its disk is connected; only \
                `idev-backup create --new-store` makes a new store there"
            }
        },
        Error::NotAStore { .. } => {
            "choose an empty folder or a store of idev-backup with --store; this folder is left \
            unchanged"
        }
        Error::OtherFormat { format, .. } if *format < FORMAT => {
            "choose a new folder with --store, and copy the backups of the old store into it with \
            `idev-backup adopt`"
        }
        Error::OtherFormat { .. } => "use the version of idev-backup that made it, or a newer one",
        Error::Moved { .. } => {
            "check the backups with `idev-backup list`, then run the command again"
        }
        Error::Damaged { path, .. } if path.ends_with(NOTES) => {
            "check that file; if it is deleted, all pins, names and check results are lost"
        }
        Error::Damaged { path, .. } if path.ends_with(MARK) => {
            "remove that one file and run `idev-backup create --new-store`, which makes it again \
            and changes nothing else"
        }
        Error::Damaged { .. } => {
            "check the disk, and run `idev-backup create --full`, which reuses no existing files"
        }
        _ => return None,
    })
}

/// Returns the advice for an operation that the operating system refused.
fn io(kind: ErrorKind, doing: &str) -> &'static str {
    match kind {
        ErrorKind::PermissionDenied if cfg!(target_os = "macos") => {
            "give the terminal Full Disk Access (System Settings > Privacy & Security), or choose \
            another folder with --store"
        }
        ErrorKind::PermissionDenied if ["read", "list", "look at"].contains(&doing) => {
            "run this as the user who made the backup, or ask its owner for permission to read it"
        }
        ErrorKind::PermissionDenied => "choose a folder that you may write to, with --store",
        ErrorKind::ReadOnlyFilesystem => {
            "the disk is read-only: mount it for writing, or choose another with --store"
        }
        ErrorKind::NotFound => "check that the disk is connected, or choose another with --store",
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
            "choose another folder with --store, because this one exists in another form"
        }
        ErrorKind::FileTooLarge => {
            "the disk cannot hold files over 4 GB (FAT32?): format it as exFAT, APFS, NTFS or \
            ext4, or choose another with --store"
        }
        _ => "check the disk and how it is connected, or choose another with --store",
    }
}

/// Returns the advice for a folder of an interrupted run that was set aside.
pub fn set_aside(aside: &SetAside) -> String {
    match &aside.backup {
        Some(backup) => format!(
            "that folder may contain a backup: if `idev-backup verify` finds it complete, adopt \
            it with `idev-backup adopt {}`. The folder is not used otherwise and can be removed",
            backup.display()
        ),
        None => "that folder is not used and can be removed".to_owned(),
    }
}
