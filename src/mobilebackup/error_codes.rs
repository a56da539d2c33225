//! Explains the phone's verdict: cause, evidence and next step for every MBErrorDomain code.

use std::fmt;

use crate::base::failure_kind::FailureKind;
use crate::base::units::size;
use crate::mobilebackup::Verdict;

/// Space that the phone requests beyond what it needs to proceed (protocol.md, "Free space").
pub(crate) const ASKED_BEYOND_NEED_BYTES: u64 = 2 << 30;

/// The phone's refusal of a request, explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The phone's code, from its MBErrorDomain.
    pub code: i64,
    /// The cause, in our words.
    pub cause: String,
    /// The phone's own message.
    pub evidence: String,
    /// Advice for the user.
    pub hint: Option<String>,
    /// The kind of failure, which determines the exit code.
    pub kind: FailureKind,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)?;
        if self.evidence.is_empty() {
            write!(f, " (the phone's code: {})", self.code)
        } else {
            write!(f, "\n  the phone says: {}", self.evidence)
        }
    }
}

/// Maximum number of characters of the phone's message that are shown.
const WORDS_MAX: usize = 500;

/// Makes the phone's message fit to be shown: one line of limited length, so that it cannot pass
/// for output of ours.
fn quoted(words: &str) -> String {
    let plain = |letter: char| if letter.is_control() { ' ' } else { letter };
    let mut letters = words.chars();
    let mut text: String = letters.by_ref().take(WORDS_MAX).map(plain).collect();
    if letters.next().is_some() {
        text.push('…');
    }
    text
}

/// A phone's request for more space on the computer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortage {
    /// The amount in the phone's PurgeDiskSpace request.
    pub asked_bytes: u64,
    /// The free space that we reported to the phone.
    pub free_bytes: u64,
}

impl Shortage {
    /// Returns the bytes that must be free for the phone to proceed.
    pub fn required_bytes(self) -> u64 {
        (self.asked_bytes.saturating_add(self.free_bytes)).saturating_sub(ASKED_BEYOND_NEED_BYTES)
    }

    /// Returns the bytes that must still be freed.
    pub fn missing_bytes(self) -> u64 {
        self.required_bytes().saturating_sub(self.free_bytes)
    }
}

/// Explains a verdict other than 0. `capacity_bytes` is the phone's capacity, and `place` names the
/// store's disk.
pub fn explain(
    verdict: &Verdict,
    shortage: Option<Shortage>,
    capacity_bytes: Option<u64>,
    place: &str,
) -> Refusal {
    let words = words(actual_code(verdict.code, &verdict.description));
    let mut refusal = refusal(verdict, words);
    if let (105, Some(shortage)) = (verdict.code, shortage) {
        let (need, free) = (shortage.required_bytes(), shortage.free_bytes);
        refusal.cause = format!(
            "the backup needs {}, and {place} has {} free",
            size(need),
            size(free)
        );
        refusal.hint = Some(match capacity_bytes {
            Some(capacity) if need > capacity.saturating_mul(2) => format!(
                "restart the phone and try again: its estimate exceeds its own capacity ({})",
                size(capacity)
            ),
            _ => format!(
                "free {}, or use another disk with --store",
                size(shortage.missing_bytes())
            ),
        });
    }
    refusal
}

/// Returns the code that fits the phone's message, where the message of an old phone is more
/// precise than its code.
pub fn actual_code(code: i64, description: &str) -> i64 {
    match code {
        // Sent by a locked phone (limd#12, iOS 6.1.2).
        1 if description.contains("copying keychain") => 13,
        1 if description.contains("MDM setting present") => 22,
        105 if description.contains("on device") => 106,
        code => code,
    }
}

/// Explains why the phone did not change its backup password. `is_required` is true if its
/// administrator requires encryption.
pub fn explain_password(verdict: &Verdict, is_required: bool, has_old: bool) -> Refusal {
    let code = actual_code(verdict.code, &verdict.description);
    let (kind, cause, hint) = words(code);
    let (cause, hint) = match code {
        22 => (
            "the phone's administrator (a configuration profile) requires encrypted backups",
            hint,
        ),
        207 if is_required => (
            "the phone refused: the backup password is wrong, or its administrator requires a \
             different one",
            Some("ask the phone's administrator"),
        ),
        207 if has_old => (
            "the backup password is wrong",
            Some(
                "use the password that was set when encryption was switched on, on this or \
                 another computer. If it is forgotten, Settings > General > Transfer or Reset > \
                 Reset > Reset All Settings on the phone removes it; this keeps your data and \
                 resets settings",
            ),
        ),
        207 => (
            "the phone does not accept this password, or already has one",
            Some("run `idev-backup encryption status` to see whether it has one"),
        ),
        208 => (
            "the phone is locked, or its passcode was not entered in time",
            Some("unlock it, try again, and enter the passcode when the phone asks for it"),
        ),
        13 => (cause, hint),
        1 => ("the phone could not change the backup password", None),
        14 => (cause, hint),
        _ => (cause, Some("restart the phone and try again")),
    };
    refusal(verdict, (kind, cause, hint))
}

/// The space that a restore needs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Need {
    /// Total bytes of the backup.
    pub backup_bytes: u64,
    /// Free space in bytes that the phone reported beforehand.
    pub free_bytes: Option<u64>,
}

fn refusal(verdict: &Verdict, (kind, cause, hint): (FailureKind, &str, Option<&str>)) -> Refusal {
    Refusal {
        code: verdict.code,
        cause: cause.to_owned(),
        evidence: quoted(&verdict.description),
        hint: hint.map(str::to_owned),
        kind,
    }
}

/// Explains why the phone refused to restore a backup.
pub fn explain_restore(verdict: &Verdict, need: Need) -> Refusal {
    let mut refusal = refusal(verdict, restore_words(verdict.code));
    // The computer already has the backup, so both codes concern space on the phone.
    if matches!(verdict.code, 105 | 106) {
        let backup = need.backup_bytes;
        let had = need.free_bytes.map_or_else(String::new, |free| {
            format!(", the phone had {} free", size(free))
        });
        refusal.cause = format!(
            "the phone lacks free space: the backup has {}{had}, and until it restarts it stores \
             the backup in addition to its own data",
            size(backup)
        );
        let missing = need.free_bytes.map(|free| backup.saturating_sub(free));
        if let Some(missing) = missing.filter(|missing| *missing > 0) {
            refusal.hint = Some(format!(
                "free at least {} on the phone (Settings > General > Storage) or erase it in its \
                 settings, and run the same command again",
                size(missing)
            ));
        }
    }
    if verdict.code == 1 && verdict.description.contains("not allowed") {
        refusal.cause = "the phone may not be restored from a backup".to_owned();
        refusal.hint = Some(
            "ask the phone's administrator, or remove the profile that forbids it (Settings > \
             General > VPN & Device Management)"
                .to_owned(),
        );
    }
    refusal
}

/// Returns kind, cause and next step of a code at the end of a restore, where many codes mean
/// something else than at the end of a backup.
fn restore_words(code: i64) -> (FailureKind, &'static str, Option<&'static str>) {
    use FailureKind::{Failed, Interrupted, Locked, NoSpace, WrongPassword};
    const AGAIN: Option<&str> = Some("restart the phone and run the same command again");
    const VERIFY: Option<&str> = Some(
        "run `idev-backup verify --deep`, which finds damage in the backup; `idev-backup list` \
         shows other backups",
    );
    match code {
        1 => (Failed, "the phone could not restore the backup", AGAIN),
        4 => (
            Failed,
            "the phone did not find a file that it needs",
            VERIFY,
        ),
        11 => (
            Failed,
            "the phone cannot read the property lists of the backup",
            VERIFY,
        ),
        25 => (
            Failed,
            "the phone is being restored from iCloud",
            Some(
                "wait until Settings > [name] > iCloud > iCloud Backup no longer shows a restore, or stop it there",
            ),
        ),
        101 | 103 => (Failed, "the phone could not read the backup", VERIFY),
        102 => (
            Failed,
            "the phone could not write its own files, usually because an earlier restore was not \
             followed by a restart",
            AGAIN,
        ),
        105 | 106 => (
            NoSpace,
            "the phone lacks free space",
            Some(
                "free space on the phone (Settings > General > Storage) or erase it in its \
                 settings, and run the same command again",
            ),
        ),
        202 => (Interrupted, "the restore was cancelled on the phone", AGAIN),
        203 => (
            Failed,
            "the backup was made with an iOS version that the phone does not accept, usually a \
             newer one",
            Some("update the phone and run the same command again"),
        ),
        204 => (Failed, "the backup is empty or was never finished", VERIFY),
        205 => (
            Failed,
            "the phone found the backup damaged: files that its list names are missing, contents \
             do not match, or its keys are missing",
            VERIFY,
        ),
        207 => (
            WrongPassword,
            "the backup password is wrong",
            Some(
                "use the password that the phone had when the backup was made; `idev-backup \
                 encryption check` tries one",
            ),
        ),
        208 => (
            Locked,
            "the phone is locked, or its passcode was not entered in time",
            Some(
                "run the same command again, unlock the phone, and enter the passcode when it asks for it",
            ),
        ),
        209 => (
            Failed,
            "the key of a file is missing, so the file cannot be decrypted",
            VERIFY,
        ),
        211 => (
            Failed,
            "Find My is switched on",
            Some(
                "switch off Settings > [name] > Find My > Find My iPhone, run the same command \
                 again, and switch it on again afterwards",
            ),
        ),
        212 => (
            Failed,
            "the phone has not been set up yet",
            Some(
                "finish its setup (\"Hello\") without restoring anything there, and run the same command again",
            ),
        ),
        13 => {
            let (kind, cause, _) = words(code);
            (
                kind,
                cause,
                Some("unlock the phone, keep it unlocked, and run the same command again"),
            )
        }
        14 => {
            let (kind, cause, _) = words(code);
            (
                kind,
                cause,
                Some("wait for it to end or restart the phone, and run the same command again"),
            )
        }
        code => {
            let (kind, cause, _) = words(code);
            (kind, cause, AGAIN)
        }
    }
}

/// Explains a code without its context; `None` if its meaning is not known.
pub fn described(code: i64) -> Option<Refusal> {
    let (kind, cause, hint) = words(code);
    let at_restore = match code {
        105 => "; at the end of a restore, the phone lacks free space",
        _ => "",
    };
    (cause != NOT_DESCRIBED).then(|| Refusal {
        code,
        cause: format!("{cause}{at_restore}"),
        evidence: String::new(),
        hint: hint.map(str::to_owned),
        kind,
    })
}

/// The cause given for a code whose meaning is not documented anywhere.
const NOT_DESCRIBED: &str = "the phone gave up, with an undocumented code";

/// Returns kind, cause and next step of a code. Sources: messages that devices sent in public
/// threads (shared dialogs, error-codes), and the strings of the phone's backup agent.
fn words(code: i64) -> (FailureKind, &'static str, Option<&'static str>) {
    use FailureKind::{Failed, Locked, Lost, NoSpace, WrongPassword};
    const AGAIN: Option<&str> = Some("restart the phone and run `idev-backup create` again");
    const FULL: Option<&str> = Some("run `idev-backup create --full`");
    match code {
        1 => (Failed, "the phone could not make the backup", AGAIN),
        2 => (Failed, "several things went wrong on the phone", AGAIN),
        3 => (
            Failed,
            "the phone could not make its snapshot, because one of an earlier run still exists",
            Some(
                "restart the phone, which removes the old snapshot, then run `idev-backup create` \
                 again",
            ),
        ),
        4 => (Failed, "the phone did not find a file that it needs", FULL),
        5..=7 => (
            Failed,
            "the phone found a folder instead of a file, or a file instead of a folder",
            FULL,
        ),
        9 | 100 => (
            Failed,
            "the phone had an input/output error",
            Some(
                "restart the phone and try again; if the error stays, run `idev-backup create \
                 --full`",
            ),
        ),
        11 => (
            Failed,
            "the phone cannot read the property lists of the backup",
            FULL,
        ),
        13 => (
            Locked,
            "the phone is locked",
            Some("unlock it and try again"),
        ),
        14 => (
            Failed,
            "the phone is busy",
            Some("wait until it has finished what it is doing and try again"),
        ),
        17 => (
            Failed,
            "the phone asks to try again later",
            Some("try again in a few minutes"),
        ),
        22 => (
            Failed,
            "the phone's administrator (a configuration profile) does not allow it, or requires \
             encrypted backups",
            Some(
                "ask the phone's administrator; Settings > General > VPN & Device Management \
                 shows the profile",
            ),
        ),
        24 => (Failed, "the phone was not permitted to do something", AGAIN),
        25 => (
            Failed,
            "the phone is being restored from iCloud and does not make backups meanwhile",
            Some("wait until Settings > [name] > iCloud > iCloud Backup no longer shows a restore"),
        ),
        26 => (
            Failed,
            "the phone could not move a file across its volumes",
            AGAIN,
        ),
        101 => (Failed, "the phone could not read its own files", AGAIN),
        102 => (
            Failed,
            "the phone could not write its own files, often because an earlier restore was not \
             followed by a restart",
            AGAIN,
        ),
        103 => (
            Failed,
            "the phone could not read the status of the backup",
            // A locked phone reports this code too (limd#125).
            Some(
                "unlock the phone and try again; if the error stays, run `idev-backup create \
                 --full`",
            ),
        ),
        104 => (
            Failed,
            "some files could not be sent",
            Some(
                "unlock the phone, keep its screen on, and try again; files that fail each time are named above",
            ),
        ),
        105 => (
            NoSpace,
            "there is not enough disk space for the backup",
            Some("free space, or use another disk with --store"),
        ),
        106 => (
            NoSpace,
            "the phone itself lacks free space",
            Some("free some space on the phone (Settings > General > Storage)"),
        ),
        202 => (
            FailureKind::Interrupted,
            "the backup was cancelled on the phone",
            Some("run `idev-backup create` again"),
        ),
        203 => (
            Failed,
            "the backup in the store was made with an iOS version that the phone does not accept",
            FULL,
        ),
        204 => (
            Failed,
            "the backup in the store is empty or was never finished",
            FULL,
        ),
        205 => (
            Failed,
            "the phone found the backup damaged: files that its list names are missing, or \
             contents do not match",
            Some(
                "run `idev-backup verify` to see the damage, and `idev-backup create --full` for \
                 a new backup",
            ),
        ),
        207 => (
            WrongPassword,
            "the backup password is wrong, or the phone's administrator requires one",
            Some("use the password that was set when encryption was switched on"),
        ),
        208 => (
            Locked,
            "the passcode was not entered on the phone in time",
            Some(
                "run `idev-backup create` again and enter the passcode when the phone asks for it",
            ),
        ),
        209 => (Failed, "the phone lacks the key of a file", AGAIN),
        210 => (Failed, "the phone has no iCloud account", None),
        211 => (
            Failed,
            "Find My is switched on",
            Some(
                "switch off Settings > [name] > Find My > Find My iPhone, and switch it on again \
                 afterwards",
            ),
        ),
        212 => (
            Failed,
            "the phone has not been set up yet",
            Some("finish its setup (\"Hello\") and try again"),
        ),
        217..=220 | 223 => (
            Failed,
            "the phone postponed the backup",
            Some("try again in a few minutes"),
        ),
        300..=310 => (
            Lost,
            "the phone could not reach iCloud",
            Some("check the phone's network and try again"),
        ),
        _ => (Failed, NOT_DESCRIBED, AGAIN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortage_names_the_required_space() {
        // From limd#1071: 10,000,000 bytes free, and the phone asked for 26,418,026,591.
        let shortage = Shortage {
            asked_bytes: 26_418_026_591,
            free_bytes: 10_000_000,
        };
        assert_eq!(shortage.required_bytes(), 26_428_026_591 - (2 << 30));
        assert_eq!(
            shortage.missing_bytes(),
            shortage.required_bytes() - 10_000_000
        );
        let verdict = Verdict {
            code: 105,
            description: "Insufficient free disk space".to_owned(),
        };
        let refusal = explain(&verdict, Some(shortage), None, "/srv");
        assert!(refusal.to_string().contains("needs 24.3 GB"), "{refusal}");
        assert_eq!(refusal.kind, FailureKind::NoSpace);
    }

    #[test]
    fn old_locked_message_is_recognised() {
        let verdict = Verdict {
            code: 1,
            description: "Error copying keychain data (MBErrorDomain/1)".to_owned(),
        };
        assert_eq!(
            explain(&verdict, None, None, "/srv").kind,
            FailureKind::Locked
        );
    }

    #[test]
    fn phone_message_stays_on_one_line() {
        let verdict = Verdict {
            code: 205,
            description: format!("bad\nDone. All is well.\r\u{1b}[2K{}", "x".repeat(5000)),
        };
        for refusal in [
            explain(&verdict, None, None, "/srv"),
            explain_restore(&verdict, Need::default()),
            explain_password(&verdict, false, true),
        ] {
            assert!(refusal.evidence.starts_with("bad Done."), "{refusal}");
            assert!(!refusal.evidence.contains(char::is_control), "{refusal}");
            assert_eq!(refusal.evidence.chars().count(), WORDS_MAX + 1);
        }
    }

    #[test]
    fn implausible_estimate_is_attributed_to_phone() {
        // From pmd3#1879: a 256 GB phone claimed to need 969 GB.
        let shortage = Shortage {
            asked_bytes: 667_490_157_139,
            free_bytes: 302_044_200_960,
        };
        let verdict = Verdict {
            code: 105,
            description: String::new(),
        };
        let refusal = explain(&verdict, Some(shortage), Some(247_983_448_064), "/srv");
        assert!(refusal.hint.unwrap().contains("its estimate"));
    }

    #[test]
    fn refused_restore_gets_fitting_hint() {
        for code in [
            1, 4, 11, 13, 14, 25, 100, 101, 102, 103, 105, 106, 202, 203, 204, 205, 207, 208, 209,
            211, 212, -99,
        ] {
            let verdict = Verdict {
                code,
                description: String::new(),
            };
            let need = Need {
                backup_bytes: 61_300_000_000,
                free_bytes: Some(12_000_000_000),
            };
            let refusal = explain_restore(&verdict, need);
            let hint = refusal.hint.clone().unwrap_or_default();
            assert!(
                !hint.is_empty() && !hint.contains("create"),
                "{code}: {hint}"
            );
            assert!(
                !refusal.cause.contains("make the backup"),
                "{code}: {refusal}"
            );
            if matches!(code, 105 | 106) {
                let told = refusal.to_string();
                assert!(told.contains("61.3 GB, the phone had 12.0 GB"), "{told}");
                assert!(hint.contains("at least 49.3 GB"), "{hint}");
            }
        }
    }

    #[test]
    fn every_known_code_has_a_cause() {
        assert_eq!(described(-99), None);
        for code in [
            1, 2, 3, 4, 11, 13, 24, 25, 100, 101, 102, 103, 104, 105, 106, 202, 203, 204, 205, 207,
            208, 209, 211, 212,
        ] {
            assert!(described(code).is_some(), "{code}");
        }
    }
}
