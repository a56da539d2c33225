//! Advice for the phone's refusals, by the code of its MBErrorDomain.

use idev_backup::base::units::size;
use idev_backup::mobilebackup::error_codes::{During, Lack, Refusal};

use super::phone::PROTECTED;

const AGAIN: &str = "restart the phone and run `idev-backup create` again";
const FULL: &str = "run `idev-backup create --full`";
const SAME_AGAIN: &str = "restart the phone and run the same command again";
const VERIFY: &str = "run `idev-backup verify --deep`, which finds damage in the backup; \
    `idev-backup list` shows other backups";

/// Returns the advice for a request that the phone refused, if there is any.
pub fn refusal(refusal: &Refusal) -> Option<String> {
    let hint = match refusal.during {
        During::Backup { lack: Some(lack) } => return Some(free_space(lack)),
        During::Backup { lack: None } => backup(refusal.meaning),
        During::PasswordChange {
            is_required,
            has_old,
        } => password(refusal.meaning, is_required, has_old),
        During::Restore {
            missing_bytes: Some(missing),
            ..
        } if matches!(refusal.code, 105 | 106) => {
            return Some(format!(
                "free at least {} on the phone (Settings > General > Storage) or erase it in its \
                settings, and run the same command again",
                size(missing)
            ));
        }
        During::Restore { is_forbidden, .. } => restore(refusal.meaning, is_forbidden),
    };
    let is_protected = match refusal.during {
        During::PasswordChange { has_old, .. } => has_old && refusal.meaning == 207,
        During::Restore { .. } => refusal.meaning == 211,
        During::Backup { .. } => false,
    };
    hint.map(|hint| {
        if is_protected {
            format!("{hint}; {PROTECTED}")
        } else {
            hint.to_owned()
        }
    })
}

fn free_space(lack: Lack) -> String {
    match lack {
        Lack::Implausible(capacity) => format!(
            "restart the phone and try again: its estimate exceeds its own capacity ({})",
            size(capacity)
        ),
        Lack::Bytes(missing) => {
            format!("free {}, or use another disk with --store", size(missing))
        }
    }
}

/// Returns the advice for a code at the end of a backup.
fn backup(code: i64) -> Option<&'static str> {
    Some(match code {
        3 => {
            "restart the phone, which removes the old snapshot, then run `idev-backup create` again"
        }
        4..=7 | 11 | 203 | 204 => FULL,
        9 | 100 => {
            "restart the phone and try again; if the error stays, run `idev-backup create --full`"
        }
        13 => "unlock it and try again",
        14 => "wait until it has finished what it is doing and try again",
        17 | 217..=220 | 223 => "try again in a few minutes",
        22 => {
            "ask the phone's administrator; Settings > General > VPN & Device Management shows \
            the profile"
        }
        25 => "wait until Settings > [name] > iCloud > iCloud Backup no longer shows a restore",
        // A locked phone reports this code too (limd#125).
        103 => {
            "unlock the phone and try again; if the error stays, run `idev-backup create --full`"
        }
        104 => {
            "unlock the phone, keep its screen on, and try again; files that fail each time are \
            named above"
        }
        105 => "free space, or use another disk with --store",
        106 => "free some space on the phone (Settings > General > Storage)",
        202 => "run `idev-backup create` again",
        205 => {
            "run `idev-backup verify` to see the damage, and `idev-backup create --full` for a \
            new backup"
        }
        207 => "use the password that was set when encryption was switched on",
        208 => "run `idev-backup create` again and enter the passcode when the phone asks for it",
        210 => return None,
        211 => {
            "switch off Settings > [name] > Find My > Find My iPhone, and switch it on again \
            afterwards"
        }
        212 => "finish its setup (\"Hello\") and try again",
        300..=310 => "check the phone's network and try again",
        _ => AGAIN,
    })
}

/// Returns the advice for a code after a change of the backup password.
fn password(code: i64, is_required: bool, has_old: bool) -> Option<&'static str> {
    Some(match code {
        1 => return None,
        13 | 14 | 22 => return backup(code),
        207 if is_required => "ask the phone's administrator",
        207 if has_old => {
            "use the password that was set when encryption was switched on, on this or another \
            computer. If it is forgotten, Settings > General > Transfer or Reset > Reset > Reset \
            All Settings on the phone removes it; this keeps your data and resets settings"
        }
        207 => "run `idev-backup encryption status` to see whether it has one",
        208 => "unlock it, try again, and enter the passcode when the phone asks for it",
        _ => "restart the phone and try again",
    })
}

/// Returns the advice for a code at the end of a restore.
fn restore(code: i64, is_forbidden: bool) -> Option<&'static str> {
    Some(match code {
        1 if is_forbidden => {
            "ask the phone's administrator, or remove the profile that forbids it (Settings > \
            General > VPN & Device Management)"
        }
        4 | 11 | 101 | 103 | 204 | 205 | 209 => VERIFY,
        13 => "unlock the phone, keep it unlocked, and run the same command again",
        14 => "wait for it to end or restart the phone, and run the same command again",
        25 => {
            "wait until Settings > [name] > iCloud > iCloud Backup no longer shows a restore, or \
            stop it there"
        }
        105 | 106 => {
            "free space on the phone (Settings > General > Storage) or erase it in its settings, \
            and run the same command again"
        }
        203 => "update the phone and run the same command again",
        207 => {
            "use the password that the phone had when the backup was made; `idev-backup \
            encryption check` tries one"
        }
        208 => {
            "run the same command again, unlock the phone, and enter the passcode when it asks \
            for it"
        }
        211 => {
            "switch off Settings > [name] > Find My > Find My iPhone, run the same command again, \
            and switch it on again afterwards"
        }
        212 => {
            "finish its setup (\"Hello\") without restoring anything there, and run the same \
            command again"
        }
        _ => SAME_AGAIN,
    })
}

#[cfg(test)]
mod tests {
    use idev_backup::mobilebackup::Verdict;
    use idev_backup::mobilebackup::error_codes::{self, Need, Shortage};

    use super::*;

    fn verdict(code: i64) -> Verdict {
        Verdict {
            code,
            description: String::new(),
        }
    }

    #[test]
    fn implausible_estimate_is_attributed_to_phone() {
        // From pmd3#1879: a 256 GB phone claimed to need 969 GB.
        let shortage = Shortage {
            asked_bytes: 667_490_157_139,
            free_bytes: 302_044_200_960,
        };
        let capacity = Some(247_983_448_064);
        let refused = error_codes::explain(&verdict(105), Some(shortage), capacity, "/srv");
        assert!(refusal(&refused).unwrap().contains("its estimate"));
    }

    #[test]
    fn refused_restore_gets_fitting_hint() {
        for code in [
            1, 4, 11, 13, 14, 25, 100, 101, 102, 103, 105, 106, 202, 203, 204, 205, 207, 208, 209,
            211, 212, -99,
        ] {
            let need = Need {
                backup_bytes: 61_300_000_000,
                free_bytes: Some(12_000_000_000),
            };
            let refused = error_codes::explain_restore(&verdict(code), need);
            let hint = refusal(&refused).unwrap_or_default();
            assert!(
                !hint.is_empty() && !hint.contains("create"),
                "{code}: {hint}"
            );
            if matches!(code, 105 | 106) {
                assert!(hint.contains("at least 49.3 GB"), "{hint}");
            }
        }
    }
}
