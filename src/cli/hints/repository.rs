//! Advice for failures of repositories.

use std::fs;

use idev_backup::repository::{Error, Problem};

use super::{history, store};

/// Returns the advice for a repository that cannot be used, if there is any.
pub fn repository(error: &Error) -> Option<String> {
    let hint = match error {
        Error::Store(e) => return store(e).map(str::to_owned),
        Error::History(e) => return history(e),
        Error::NoProgram { program } if program == "restic" => return Some(install()),
        Error::NoProgram { .. } => "name the program restic with --restic",
        Error::TooOld { .. } => {
            "install a newer restic from https://restic.net, and name it with --restic"
        }
        Error::NotStarted { .. } | Error::NotRestic { .. } => {
            "name the program restic with --restic, or install it again"
        }
        Error::WrongPassword { .. } => {
            "try another password; every key of the repository has one, and any of them opens it"
        }
        Error::NoRepository { .. } => {
            "check the place, and that its disk is connected. To make a new repository there, run \
            `idev-backup repository init`"
        }
        Error::Exists { .. } => {
            "push to it with `idev-backup repository push`, or choose another place for a new one"
        }
        Error::NoBucket { .. } => {
            "create the bucket with the tools of the storage, or check its name in --repository"
        }
        Error::Refused { .. } => {
            "check the login in the variables of the storage (AWS_ACCESS_KEY_ID and others), or \
            renew it"
        }
        Error::Clock { .. } => "set the clock of this computer, and run the same command again",
        Error::Full { .. } => {
            "free space on the storage, or drop old copies with `idev-backup repository forget`"
        }
        Error::NoSpace { .. } => {
            "free space on that disk, or name a store on another one with --store"
        }
        Error::Lost { .. } | Error::Silent { .. } => {
            "check the network, and run the same command again: what was sent is not sent again"
        }
        Error::NewerForm { .. } => "install a newer restic from https://restic.net",
        Error::Locked { .. } => {
            "wait for the other program to end; if it was killed, run `idev-backup repository \
            unlock`"
        }
        Error::AppendOnly { .. } => {
            "remove old copies on the storage itself, with a login that may remove data"
        }
        Error::Damaged { .. } => {
            "keep the repository as it is, and follow https://restic.readthedocs.io, \
            \"Troubleshooting\"; your backups in the store are not affected"
        }
        Error::Incomplete { .. } => {
            "check the backup with `idev-backup verify`, and that this user may read it"
        }
        Error::Empty { .. } => "`idev-backup repository push` sends the backups of the store",
        Error::NoSnapshot(_) | Error::Ambiguous { .. } => {
            "`idev-backup repository list` shows the backups and their ids"
        }
        Error::NotPushed(_) => {
            "pull it with `idev-backup repository pull`, which checks what it holds"
        }
        Error::Garbage { .. } => "check that --restic names the program restic of restic.net",
        _ => return None,
    };
    Some(hint.to_owned())
}

/// Returns the advice for a problem that the work on a repository survived.
pub fn problem(problem: &Problem) -> Option<String> {
    match problem {
        Problem::DamagedBackup { .. } => Some(
            "`idev-backup verify` names the damage, and `verify --repair` mends what it can"
                .to_owned(),
        ),
        Problem::NotPushed { cause, .. } => repository(cause),
        Problem::IncompleteStays { snapshot, .. } => Some(format!(
            "remove it with a login that may remove data: `restic forget {snapshot}`"
        )),
        Problem::NotChecked(_) => Some("run `idev-backup repository check` later".to_owned()),
        Problem::NotNoted(e) => store(e).map(str::to_owned),
        _ => None,
    }
}

/// Returns the one line that installs restic on this system, from restic's manual, "Installation".
fn install() -> String {
    let line = if cfg!(target_os = "macos") {
        "brew install restic"
    } else if cfg!(windows) {
        "winget install --exact --id restic.restic"
    } else {
        let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        return of_linux(&release);
    };
    format!("install it: `{line}`")
}

/// Returns the line for a Linux system, by the fields `ID` and `ID_LIKE` of its os-release.
fn of_linux(release: &str) -> String {
    let fields = release.lines().filter_map(|line| line.split_once('='));
    let ids = fields.filter(|(name, _)| ["ID", "ID_LIKE"].contains(name));
    let ids: Vec<&str> = ids
        .flat_map(|(_, value)| value.trim_matches('"').split(' '))
        .collect();
    const LINES: &[(&str, &str)] = &[
        ("debian", "sudo apt install restic"),
        ("ubuntu", "sudo apt install restic"),
        ("fedora", "sudo dnf install restic"),
        ("arch", "sudo pacman -S restic"),
        ("alpine", "sudo apk add restic"),
        ("suse", "sudo zypper install restic"),
        ("opensuse", "sudo zypper install restic"),
        ("nixos", "nix-env --install restic"),
    ];
    match LINES.iter().find(|(id, _)| ids.contains(id)) {
        Some((_, line)) => format!("install it: `{line}`"),
        None => "install restic 0.14 or newer: https://restic.net".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn install_line_fits_the_system() {
        for (release, wanted) in [
            ("NAME=\"Debian GNU/Linux\"\nID=debian\n", "apt install"),
            ("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", "apt install"),
            (
                "ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\n",
                "zypper",
            ),
            ("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", "dnf"),
            ("", "https://restic.net"),
        ] {
            assert!(of_linux(release).contains(wanted), "{release}");
        }
    }
}
