//! Advice for problems that do not stop a job.

use idev_backup::automation::hooks;
use idev_backup::base::problem::Problem;
use idev_backup::{backup, encryption, history, repository, restore};

use super::PushFailed;
use super::phone::{PROTECTED, device};
use super::repository::problem as of_repository;
use super::store::{set_aside, store};

/// Returns the advice for a problem, if there is any.
pub fn problem(problem: &Problem) -> Option<String> {
    if let Some(problem) = problem.downcast_ref() {
        backup(problem)
    } else if let Some(problem) = problem.downcast_ref() {
        history(problem)
    } else if let Some(problem) = problem.downcast_ref() {
        restore(problem).map(str::to_owned)
    } else if let Some(problem) = problem.downcast_ref() {
        hook(problem).map(str::to_owned)
    } else if let Some(problem) = problem.downcast_ref::<repository::Problem>() {
        of_repository(problem)
    } else if let Some(PushFailed(failure)) = problem.downcast_ref() {
        super::of(failure)
    } else if let Some(aside) = problem.downcast_ref() {
        Some(set_aside(aside))
    } else if let Some(encryption::NotSeen { .. }) = problem.downcast_ref() {
        Some("run `idev-backup encryption status` after a minute".to_owned())
    } else if let Some(error) = problem.downcast_ref() {
        store(error).map(str::to_owned)
    } else {
        None
    }
}

fn backup(problem: &backup::Problem) -> Option<String> {
    use backup::Problem;
    const FULL_AGAIN: &str = "restart the phone and run `idev-backup create --full`";
    let hint = match problem {
        Problem::Damaged { .. } | Problem::DamagedList | Problem::NoCopy => {
            "check the disk, and run `idev-backup verify`, which lists other damage"
        }
        Problem::LostList => {
            "check the disk, and run `idev-backup create --full`, which reuses no existing files"
        }
        Problem::OtherEncryption { .. } => {
            "check the backup settings in Finder, iTunes or Apple Devices"
        }
        Problem::ShortFile { .. } => {
            "check whether it opens on the phone; `idev-backup create --full` asks the phone for \
            it again"
        }
        Problem::OtherPassword => {
            return Some(format!(
                "try other passwords with `idev-backup encryption check latest`; if none opens \
                it, set a new one with `idev-backup encryption change` or reset all settings on \
                the phone ({PROTECTED})"
            ));
        }
        Problem::NotOpened { .. } => FULL_AGAIN,
        Problem::NoLargeFiles => {
            "format it as exFAT, APFS, NTFS or ext4, or use another disk with --store"
        }
        Problem::NotRemoved(e) | Problem::NotTidied(e) => return store(e).map(str::to_owned),
        Problem::MaySleep(_) => "connect the phone to power, where it stays awake, or use a cable",
        Problem::NoApps(e) | Problem::NoMediaSettings(e) => return device(e),
        Problem::Unconfirmed => return None,
    };
    Some(hint.to_owned())
}

fn history(problem: &history::Problem) -> Option<String> {
    use history::Problem;
    match problem {
        Problem::PinsUnknown { cause, .. }
        | Problem::Stays { cause, .. }
        | Problem::NotTidied(cause) => store(cause).map(str::to_owned),
        Problem::AdoptedDamaged { path, .. } => Some(format!("idev-backup verify {path}")),
        Problem::Unproven => {
            Some("run `idev-backup verify`, which lists the damage, and check the disk".to_owned())
        }
        Problem::UnprovenFile(_) => None,
    }
}

fn restore(problem: &restore::Problem) -> Option<&'static str> {
    use restore::Problem;
    match problem {
        Problem::NotSent { .. } => {
            Some("run `idev-backup verify --deep`, which lists what the backup lacks")
        }
        Problem::FewerAsked { .. } => {
            Some("check whether data is missing on the phone; if so, run the same command again")
        }
        Problem::NoApps { .. } => Some("install them from the App Store; their data is restored"),
        Problem::NotBack => {
            Some("look at its screen, and run `idev-backup devices` to see whether it is back")
        }
        Problem::Damaged { .. } | Problem::KnownDamage(_) | Problem::Incomplete { .. } => None,
    }
}

fn hook(problem: &hooks::Problem) -> Option<&'static str> {
    match problem {
        hooks::Problem::Command { .. } => None,
        hooks::Problem::Notification { .. } if cfg!(any(target_os = "macos", windows)) => {
            Some("allow notifications in the system's settings, or omit --notify")
        }
        hooks::Problem::Notification { .. } => Some(
            "install notify-send (`sudo apt install libnotify-bin`), or omit --notify; a cron job \
            needs the DISPLAY and DBUS_SESSION_BUS_ADDRESS of the session that added it",
        ),
    }
}
