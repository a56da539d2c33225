//! Explains the phone's verdict: cause and evidence for every MBErrorDomain code.

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
    /// The kind of failure, which determines the exit code.
    pub kind: FailureKind,
    /// The code whose meaning applies: `code`, unless the phone's message is more precise.
    pub meaning: i64,
    /// The request that was refused.
    pub during: During,
}

/// The request that a phone refused, with the facts on which the next step depends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum During {
    /// A backup.
    Backup {
        /// The space that the computer lacks, if the phone requested more.
        lack: Option<Lack>,
    },
    /// A change of the backup password.
    PasswordChange {
        /// True if the phone's administrator requires encryption.
        is_required: bool,
        /// True if the present password was sent.
        has_old: bool,
    },
    /// A restore.
    Restore {
        /// The space that must be freed on the phone, if it lacks any and the amount is known.
        missing_bytes: Option<u64>,
        /// True if the phone forbids restores.
        is_forbidden: bool,
    },
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

/// The space that the computer lacks for a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// This many bytes must be freed.
    Bytes(u64),
    /// The phone wants far more than its own capacity, which is this many bytes.
    Implausible(u64),
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
    let shortage = shortage.filter(|_| verdict.code == 105);
    let lack = shortage.map(|shortage| match capacity_bytes {
        Some(capacity) if shortage.required_bytes() > capacity.saturating_mul(2) => {
            Lack::Implausible(capacity)
        }
        _ => Lack::Bytes(shortage.missing_bytes()),
    });
    let during = During::Backup { lack };
    let meaning = actual_code(verdict.code, &verdict.description);
    let mut refusal = refusal(verdict, words(meaning), meaning, during);
    if let Some(shortage) = shortage {
        let (need, free) = (shortage.required_bytes(), shortage.free_bytes);
        refusal.cause = format!(
            "the backup needs {}, and {place} has {} free",
            size(need),
            size(free)
        );
    }
    refusal
}

/// Returns the code that fits the phone's message, where the message of an old phone is more
/// precise than its code.
pub(crate) fn actual_code(code: i64, description: &str) -> i64 {
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
    let (kind, cause) = words(code);
    let cause = match code {
        1 => "the phone could not change the backup password",
        22 => "the phone's administrator (a configuration profile) requires encrypted backups",
        207 if is_required => {
            "the phone refused: the backup password is wrong, or its administrator requires a \
             different one"
        }
        207 if has_old => "the backup password is wrong",
        207 => "the phone does not accept this password, or already has one",
        208 => "the phone is locked, or its passcode was not entered in time",
        _ => cause,
    };
    let during = During::PasswordChange {
        is_required,
        has_old,
    };
    refusal(verdict, (kind, cause), code, during)
}

/// The space that a restore needs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Need {
    /// Total bytes of the backup.
    pub backup_bytes: u64,
    /// Free space in bytes that the phone reported beforehand.
    pub free_bytes: Option<u64>,
}

fn refusal(
    verdict: &Verdict,
    (kind, cause): (FailureKind, &str),
    meaning: i64,
    during: During,
) -> Refusal {
    Refusal {
        code: verdict.code,
        cause: cause.to_owned(),
        evidence: quoted(&verdict.description),
        kind,
        meaning,
        during,
    }
}

/// Explains why the phone refused to restore a backup.
pub fn explain_restore(verdict: &Verdict, need: Need) -> Refusal {
    let missing = need
        .free_bytes
        .map(|free| need.backup_bytes.saturating_sub(free));
    let is_forbidden = verdict.code == 1 && verdict.description.contains("not allowed");
    let during = During::Restore {
        missing_bytes: missing.filter(|missing| *missing > 0),
        is_forbidden,
    };
    let words = restore_words(verdict.code);
    let mut refusal = refusal(verdict, words, verdict.code, during);
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
    }
    if is_forbidden {
        refusal.cause = "the phone may not be restored from a backup".to_owned();
    }
    refusal
}

/// Returns kind and cause of a code at the end of a restore, where many codes mean something else
/// than at the end of a backup.
fn restore_words(code: i64) -> (FailureKind, &'static str) {
    use FailureKind::{Failed, Interrupted, Locked, NoSpace, WrongPassword};
    match code {
        1 => (Failed, "the phone could not restore the backup"),
        4 => (Failed, "the phone did not find a file that it needs"),
        11 => (
            Failed,
            "the phone cannot read the property lists of the backup",
        ),
        25 => (Failed, "the phone is being restored from iCloud"),
        101 | 103 => (Failed, "the phone could not read the backup"),
        102 => (
            Failed,
            "the phone could not write its own files, usually because an earlier restore was not \
             followed by a restart",
        ),
        105 | 106 => (NoSpace, "the phone lacks free space"),
        202 => (Interrupted, "the restore was cancelled on the phone"),
        203 => (
            Failed,
            "the backup was made with an iOS version that the phone does not accept, usually a \
             newer one",
        ),
        204 => (Failed, "the backup is empty or was never finished"),
        205 => (
            Failed,
            "the phone found the backup damaged: files that its list names are missing, contents \
             do not match, or its keys are missing",
        ),
        207 => (WrongPassword, "the backup password is wrong"),
        208 => (
            Locked,
            "the phone is locked, or its passcode was not entered in time",
        ),
        209 => (
            Failed,
            "the key of a file is missing, so the file cannot be decrypted",
        ),
        211 => (Failed, "Find My is switched on"),
        212 => (Failed, "the phone has not been set up yet"),
        code => words(code),
    }
}

/// Explains a code without its context; `None` if its meaning is not known.
pub fn described(code: i64) -> Option<Refusal> {
    let (kind, cause) = words(code);
    let at_restore = match code {
        105 => "; at the end of a restore, the phone lacks free space",
        _ => "",
    };
    (cause != NOT_DESCRIBED).then(|| Refusal {
        code,
        cause: format!("{cause}{at_restore}"),
        evidence: String::new(),
        kind,
        meaning: code,
        during: During::Backup { lack: None },
    })
}

/// The cause given for a code whose meaning is not documented anywhere.
const NOT_DESCRIBED: &str = "the phone gave up, with an undocumented code";

/// Returns kind and cause of a code. Sources: messages that devices sent in public
/// threads (shared dialogs, error-codes), and the strings of the phone's backup agent.
fn words(code: i64) -> (FailureKind, &'static str) {
    use FailureKind::{Failed, Locked, Lost, NoSpace, WrongPassword};
    match code {
        1 => (Failed, "the phone could not make the backup"),
        2 => (Failed, "several things went wrong on the phone"),
        3 => (
            Failed,
            "the phone could not make its snapshot, because one of an earlier run still exists",
        ),
        4 => (Failed, "the phone did not find a file that it needs"),
        5..=7 => (
            Failed,
            "the phone found a folder instead of a file, or a file instead of a folder",
        ),
        9 | 100 => (Failed, "the phone had an input/output error"),
        11 => (
            Failed,
            "the phone cannot read the property lists of the backup",
        ),
        13 => (Locked, "the phone is locked"),
        14 => (Failed, "the phone is busy"),
        17 => (Failed, "the phone asks to try again later"),
        22 => (
            Failed,
            "the phone's administrator (a configuration profile) does not allow it, or requires \
             encrypted backups",
        ),
        24 => (Failed, "the phone was not permitted to do something"),
        25 => (
            Failed,
            "the phone is being restored from iCloud and does not make backups meanwhile",
        ),
        26 => (Failed, "the phone could not move a file across its volumes"),
        101 => (Failed, "the phone could not read its own files"),
        102 => (
            Failed,
            "the phone could not write its own files, often because an earlier restore was not \
             followed by a restart",
        ),
        103 => (Failed, "the phone could not read the status of the backup"),
        104 => (Failed, "some files could not be sent"),
        105 => (NoSpace, "there is not enough disk space for the backup"),
        106 => (NoSpace, "the phone itself lacks free space"),
        202 => (
            FailureKind::Interrupted,
            "the backup was cancelled on the phone",
        ),
        203 => (
            Failed,
            "the backup in the store was made with an iOS version that the phone does not accept",
        ),
        204 => (
            Failed,
            "the backup in the store is empty or was never finished",
        ),
        205 => (
            Failed,
            "the phone found the backup damaged: files that its list names are missing, or \
             contents do not match",
        ),
        207 => (
            WrongPassword,
            "the backup password is wrong, or the phone's administrator requires one",
        ),
        208 => (Locked, "the passcode was not entered on the phone in time"),
        209 => (Failed, "the phone lacks the key of a file"),
        210 => (Failed, "the phone has no iCloud account"),
        211 => (Failed, "Find My is switched on"),
        212 => (Failed, "the phone has not been set up yet"),
        217..=220 | 223 => (Failed, "the phone postponed the backup"),
        300..=310 => (Lost, "the phone could not reach iCloud"),
        _ => (Failed, NOT_DESCRIBED),
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
    fn refused_restore_gets_fitting_cause() {
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
            assert!(
                !refusal.cause.contains("make the backup"),
                "{code}: {refusal}"
            );
            if matches!(code, 105 | 106) {
                let told = refusal.to_string();
                assert!(told.contains("61.3 GB, the phone had 12.0 GB"), "{told}");
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
