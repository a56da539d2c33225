//! Explains error codes and messages: the phone's, lockdown's and the daemon's, also in the form in
//! which other programs print them.

use serde::Serialize;

use crate::device::lockdown_codes;
use crate::doctor::messages;
use crate::mobilebackup::error_codes;
use crate::transport;

/// The explanation of one code or message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The code or message that was recognised: "MBErrorDomain 105", "lockdown's
    /// PasswordProtected".
    pub of: String,
    /// The meaning of the code or message.
    pub means: String,
    /// The failure behind it, by which a program gives advice.
    #[serde(skip)]
    pub failure: Failure,
}

/// A failure that a code or a message stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// A verdict of the phone, by its code; 0 is success.
    Verdict(i64),
    /// A refusal of lockdown, by its code.
    Lockdown(&'static str),
    /// A refusal of usbmuxd, by its number.
    Usbmuxd(u64),
    /// The failure of a file that always fails.
    FileProvider,
    /// The phone was silent for longer than the program waits.
    Silence,
    /// The phone was disconnected, or its connection broke.
    ConnectionLost,
    /// The phone no longer trusts this computer.
    TrustLost,
    /// The secure connection was ended.
    TlsEnded,
    /// usbmuxd could not connect to the phone.
    NoConnection,
    /// The phone sent no message.
    NoMessage,
    /// No phone is connected.
    NoDevice,
    /// usbmuxd is not running.
    NoUsbmuxd,
    /// The USB device may not be opened.
    UsbRefused,
    /// Phone and program have no version of the protocol in common.
    NoCommonVersion,
    /// The phone's backup service did not agree on a version.
    NoVersionExchange,
    /// The phone ended the backup, and the program gives no reason.
    Ended,
    /// The phone did not begin a backup.
    NotBegun,
    /// A backup failed, and the program gives no reason.
    BackupFailed,
    /// A restore failed, and the program gives no reason.
    RestoreFailed,
    /// The phone waited too long for the computer.
    TimedOut,
    /// The phone is locked.
    PhoneLocked,
    /// The phone's administrator requires encryption.
    EncryptionRequired,
    /// The backup password is wrong.
    WrongPassword,
    /// The backup is damaged.
    Damaged,
    /// Status.plist of the backup is missing or cannot be read.
    NoStatus,
    /// Files of an earlier backup are in the folder Snapshot.
    SnapshotLeft,
    /// A folder is not a backup of the phone.
    NotABackup,
    /// The phone lacks free space.
    PhoneFull,
    /// The computer lacks free space.
    ComputerFull,
    /// The computer could not write the backup.
    NotWritten,
    /// A file on the computer is locked or may not be used.
    FileLocked,
}

/// Explains every known code and message in `text`. The list is empty if nothing in it is known.
pub fn explain(text: &str) -> Vec<Explanation> {
    let text = text.trim();
    let mut found = Found(Vec::new());
    if let Ok(number) = text.parse() {
        bare_number(number, &mut found);
        return found.0;
    }
    // If a line is known by its wording, that explanation is more precise than the one of its code.
    let mut others = Vec::new();
    for line in text.lines() {
        match messages::explained(line) {
            Some((words, means, failure)) => found.add(&format!("{words:?}"), means, failure),
            None => others.push(line),
        }
    }
    let text = others.join("\n");
    let text = text.as_str();
    for code in phone_codes(text) {
        found.verdict(error_codes::actual_code(code, text));
    }
    for word in &lockdown_codes::WORDS {
        // Also matches inside a longer name, such as kAMDPasswordProtectedError.
        if text.contains(word.code) {
            found.lockdown(word.code);
        }
    }
    for (number, name) in MOBILE_DEVICE {
        if text.to_ascii_lowercase().contains(&format!("{number:#x}")) {
            found.lockdown(name);
        }
    }
    from_libimobiledevice(text, &mut found);
    from_the_daemon(text, &mut found);
    if text.contains("backup_manifest.db") {
        found.add(
            "FileProvider's backup_manifest.db",
            "on iOS 17 this one file always fails; it holds none of your data",
            Failure::FileProvider,
        );
    }
    if found.0.is_empty() {
        by_phrase(text, &mut found);
    }
    found.0
}

struct Found(Vec<Explanation>);

impl Found {
    fn add(&mut self, of: &str, means: &str, failure: Failure) {
        let explanation = Explanation {
            of: of.to_owned(),
            means: means.to_owned(),
            failure,
        };
        if !self.0.contains(&explanation) {
            self.0.push(explanation);
        }
    }

    fn verdict(&mut self, code: i64) {
        let of = format!("MBErrorDomain {code}");
        match error_codes::described(code) {
            Some(refusal) => self.add(&of, &refusal.cause, Failure::Verdict(code)),
            None if code == 0 => self.add(&of, "it ended without an error", Failure::Verdict(0)),
            None => {}
        }
    }

    fn lockdown(&mut self, name: &str) {
        if let Some(word) = lockdown_codes::WORDS.iter().find(|word| word.code == name) {
            let of = format!("lockdown's {name}");
            self.add(&of, word.meaning, Failure::Lockdown(word.code));
        }
    }

    fn daemon(&mut self, number: u64) {
        let refused = transport::Error::Refused {
            doing: "carry out the request",
            number,
        };
        if DAEMON.contains(&number) {
            let of = format!("usbmuxd's result {number}");
            self.add(&of, &refused.to_string(), Failure::Usbmuxd(number));
        }
    }
}

/// The result numbers with which usbmuxd refuses a request (protocol.md, section 1).
const DAEMON: [u64; 4] = [1, 2, 3, 6];

/// Explains a number without any text. The number alone does not identify its source, so each
/// source that uses it is explained.
fn bare_number(number: i64, found: &mut Found) {
    found.verdict(number);
    if number < 0 {
        // Some programs print the phone's codes as negative numbers.
        found.verdict(number.saturating_neg());
        libimobiledevice_lockdown(number, found);
    }
    if let Ok(number) = u64::try_from(number) {
        found.daemon(number);
    }
    if found.0.is_empty() {
        exit_status(number, found);
    }
}

/// Explains an exit status of idevicebackup2. The program exits with the negated code of the phone,
/// which the system shows as 256 - code (dialogs/error-codes).
fn exit_status(number: i64, found: &mut Found) {
    if (1..256).contains(&number) {
        found.verdict(256 - number);
        for explanation in &mut found.0 {
            explanation.of = format!("idevicebackup2's exit status {number}, {}", explanation.of);
        }
    }
}

/// Finds the phone's codes in `text`, in the notations of the phone and of other programs.
fn phone_codes(text: &str) -> Vec<i64> {
    const BEFORE: [&str; 6] = [
        "mberrordomain/",
        "mberrordomain:",
        "mberrordomain code=",
        "mberrordomain ",
        "errorcode ",
        "error code ",
    ];
    let lower = text.to_ascii_lowercase();
    let mut codes = Vec::new();
    for before in BEFORE {
        for (at, _) in lower.match_indices(before) {
            // libimobiledevice prints lockdown's codes in the same form: "connect to lockdownd,
            // error code -17". They are negative.
            let number = number_at(&lower[at + before.len()..]).filter(|n| *n >= 0);
            codes.extend(number.filter(|code| !codes.contains(code)));
        }
    }
    codes
}

/// Parses the number at the beginning of a text.
fn number_at(text: &str) -> Option<i64> {
    let text = text.trim_start_matches([' ', '(', ':', '=']);
    let digits = text.strip_prefix('-').unwrap_or(text);
    let end = digits
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(digits.len());
    let number: i64 = digits[..end].parse().ok()?;
    Some(if text.starts_with('-') {
        -number
    } else {
        number
    })
}

/// Results of the AMDevice calls of macOS and iTunes (0xE8000000 + n), from two public lists of
/// kAMD names.
const MOBILE_DEVICE: [(u32, &str); 8] = [
    (0xe800_001a, "PasswordProtected"),
    (0xe800_001b, "MissingHostID"),
    (0xe800_001c, "InvalidHostID"),
    (0xe800_001e, "SessionInactive"),
    (0xe800_0022, "InvalidService"),
    (0xe800_005b, "ServiceLimit"),
    (0xe800_0095, "UserDeniedPairing"),
    (0xe800_0096, "PairingDialogResponsePending"),
];

/// Values of lockdownd_error_t since libimobiledevice 1.2 (2014), from its lockdown.h.
const LOCKDOWND: [(i64, &str); 13] = [
    (-17, "PasswordProtected"),
    (-18, "UserDeniedPairing"),
    (-19, "PairingDialogResponsePending"),
    (-20, "MissingHostID"),
    (-21, "InvalidHostID"),
    (-23, "SessionInactive"),
    (-27, "InvalidService"),
    (-28, "ServiceLimit"),
    (-30, "SavePairRecordFailed"),
    (-35, "EscrowLocked"),
    (-36, "PairingProhibitedOverThisConnection"),
    (-38, "MCProtected"),
    (-39, "MCChallengeRequired"),
];

fn libimobiledevice_lockdown(number: i64, found: &mut Found) {
    if let Some((_, name)) = LOCKDOWND.iter().find(|(code, _)| *code == number) {
        let at = found.0.len();
        found.lockdown(name);
        for explanation in &mut found.0[at..] {
            explanation.of = format!("libimobiledevice's {number}, {}", explanation.of);
        }
    }
}

/// Explains messages of idevicebackup2 and other programs that use libimobiledevice.
fn from_libimobiledevice(text: &str, found: &mut Found) {
    const LOST: &str = "the connection to the phone was lost, or the phone sent nothing for so \
        long that the program gave up";
    if let Some(at) = text.find("lockdownd") {
        let rest = &text[at..];
        if let Some(number) = rest.find('-').and_then(|at| number_at(&rest[at..])) {
            libimobiledevice_lockdown(number, found);
            if number == -5 {
                found.add(
                    "libimobiledevice's lockdown error -5 (SSL)",
                    "the connection to the phone could not be secured: the phone no longer trusts \
                     this computer, in most cases",
                    Failure::TrustLost,
                );
            }
        }
    }
    // The numbers are values of mobilebackup2_error_t, from libimobiledevice's mobilebackup2.h.
    if let Some(at) = text.find("from mobilebackup2") {
        match number_at(&text[at + "from mobilebackup2".len()..]) {
            Some(number @ (-5..=-3 | -256)) => {
                let of = format!("libimobiledevice's mobilebackup2 error {number}");
                found.add(&of, LOST, Failure::Silence);
            }
            Some(-8) => found.add(
                "libimobiledevice's mobilebackup2 error -8",
                "the phone and the program do not support a common version of the backup protocol",
                Failure::NoCommonVersion,
            ),
            _ => {}
        }
    }
    if text.contains("No device found") || text.contains("NoDeviceConnected") {
        found.add(
            "no device found",
            "no phone is connected, or usbmuxd does not see it",
            Failure::NoDevice,
        );
    }
    for (at, _) in text.match_indices("exit") {
        let rest = text[at..].trim_start_matches(|c: char| !c.is_ascii_digit() && c != '\n');
        if let Some(status) = number_at(rest).filter(|n| *n > 0)
            && text.contains("idevicebackup2")
        {
            exit_status(status, found);
        }
    }
}

/// Explains usbmuxd's result numbers: "usbmuxd answers 3", "ResultNumber 2",
/// "<key>Number</key><integer>6</integer>".
fn from_the_daemon(text: &str, found: &mut Found) {
    let lower = text.to_ascii_lowercase();
    let names = ["usbmux", "resultnumber", "result number", "number</key>"];
    let Some(at) = names.iter().find_map(|name| lower.find(name)) else {
        return;
    };
    // Only a number after one of these words is a result; the ones in "usbmuxd 1.1.1" are not.
    const BEFORE: [&str; 7] = [
        "answers",
        "result",
        "resultnumber",
        "number",
        "integer",
        "error",
        "code",
    ];
    let words = lower[at..].split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let matching = words
        .windows(2)
        .filter(|pair| BEFORE.contains(&pair[0]))
        .find_map(|pair| pair[1].parse().ok());
    if let Some(number) = matching {
        found.daemon(number);
    }
}

/// The explanation of a message without a code: the code that belongs to it, or a text of ours.
enum Phrase {
    Code(i64),
    Words(&'static str, Failure),
}

/// Messages of phones (from public threads and the strings of the backup agent), of Finder and of
/// iTunes. The first that matches applies.
const PHRASES: [(&str, Phrase); 23] = [
    ("copying keychain data", Phrase::Code(13)),
    ("failed to create snapshot", Phrase::Code(3)),
    ("until setup is finished", Phrase::Code(212)),
    ("find my iphone must be", Phrase::Code(211)),
    ("icloud restore is in progress", Phrase::Code(25)),
    ("insufficient free disk space", Phrase::Code(105)),
    ("multiple errors uploading files", Phrase::Code(104)),
    ("no keybag in manifest", Phrase::Code(205)),
    ("digest didn't match", Phrase::Code(205)),
    ("no backup password set", Phrase::Code(207)),
    ("invalid password", Phrase::Code(207)),
    ("device locked", Phrase::Code(208)),
    ("incompatible os version", Phrase::Code(203)),
    ("backup is in old format", Phrase::Code(203)),
    ("backup state is empty", Phrase::Code(204)),
    ("no status exists in backup", Phrase::Code(204)),
    ("reading backup properties", Phrase::Code(103)),
    // Messages of Finder, Apple Devices and iTunes: "could not back up the iPhone because ..."
    ("enough free space", Phrase::Code(105)),
    ("was corrupt or not compatible", Phrase::Code(205)),
    ("password you entered", Phrase::Code(207)),
    (
        "disconnected",
        Phrase::Words(
            "the connection to the phone was lost",
            Failure::ConnectionLost,
        ),
    ),
    (
        "session failed",
        Phrase::Words(
            "the phone ended the backup, and the program does not give the reason",
            Failure::Ended,
        ),
    ),
    (
        "session could not be started",
        Phrase::Words(
            "the phone did not begin a backup: it is locked or busy, or another program is using \
             it",
            Failure::NotBegun,
        ),
    ),
];

fn by_phrase(text: &str, found: &mut Found) {
    let lower = text.to_ascii_lowercase().replace('\u{2019}', "'");
    let Some((phrase, meaning)) = PHRASES.iter().find(|(phrase, _)| lower.contains(phrase)) else {
        return;
    };
    match meaning {
        Phrase::Code(code) => found.verdict(*code),
        Phrase::Words(means, failure) => found.add(&format!("{phrase:?}"), means, *failure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recognised(text: &str) -> Vec<String> {
        explain(text).into_iter().map(|e| e.of).collect()
    }

    #[test]
    fn error_codes_are_found_in_text() {
        let table = [
            ("105", "MBErrorDomain 105"),
            (" 105\n", "MBErrorDomain 105"),
            (
                "Multiple errors uploading files (MBErrorDomain/104)",
                "MBErrorDomain 104",
            ),
            ("<NSError (MBErrorDomain:100) - {x}>", "MBErrorDomain 100"),
            (
                "Error Domain=MBErrorDomain Code=208 \"Device locked\"",
                "MBErrorDomain 208",
            ),
            (
                "ErrorCode 3: Failed to create snapshot: File exists (17)",
                "MBErrorDomain 3",
            ),
            ("Backup Failed (Error Code 104).", "MBErrorDomain 104"),
            (
                "ErrorCode 1: Error copying keychain data (MBErrorDomain/1)",
                "MBErrorDomain 13",
            ),
            (
                "exit code of idevicebackup2: exit 151",
                "idevicebackup2's exit status 151, MBErrorDomain 105",
            ),
            ("151", "idevicebackup2's exit status 151, MBErrorDomain 105"),
            ("-211", "MBErrorDomain 211"),
            ("-21", "libimobiledevice's -21, lockdown's InvalidHostID"),
            (
                "ERROR: Could not connect to lockdownd, error code -17",
                "libimobiledevice's -17, lockdown's PasswordProtected",
            ),
            (
                "Could not connect to lockdownd: -19",
                "libimobiledevice's -19, lockdown's PairingDialogResponsePending",
            ),
            (
                "ERROR: Could not receive from mobilebackup2 (-4)",
                "libimobiledevice's mobilebackup2 error -4",
            ),
            ("PasswordProtected", "lockdown's PasswordProtected"),
            ("kAMDInvalidHostIDError", "lockdown's InvalidHostID"),
            ("(0xE8000095)", "lockdown's UserDeniedPairing"),
            (
                "usbmuxd answers 3 (connection refused)",
                "usbmuxd's result 3",
            ),
            (
                "<key>Number</key><integer>2</integer>",
                "usbmuxd's result 2",
            ),
            (
                "iTunes could not back up the iPhone \"Mira\" because the backup was corrupt or not compatible with the \
                 iPhone.",
                "MBErrorDomain 205",
            ),
            (
                "There is not enough free space available on this computer.",
                "\"available on this computer\"",
            ),
            (
                "iTunes could not back up the iPhone because the backup session failed.",
                "\"session failed\"",
            ),
            (
                "could not back up the iPhone because the iPhone disconnected",
                "\"disconnected\"",
            ),
            (
                "Unable to backup until Setup is finished",
                "MBErrorDomain 212",
            ),
            (
                "Failed to upload .../FileProvider/backup/backup_manifest.db",
                "FileProvider's backup_manifest.db",
            ),
            ("No device found with udid 0000.", "no device found"),
        ];
        for (text, of) in table {
            assert_eq!(recognised(text), [of], "{text}");
        }
    }

    #[test]
    fn ambiguous_codes_get_both_explanations() {
        assert_eq!(recognised("3"), ["MBErrorDomain 3", "usbmuxd's result 3"]);
        let chain = "Invalid password (MBErrorDomain/207). Underlying error: Input/output error (MBErrorDomain/100)";
        assert_eq!(
            recognised(chain),
            ["MBErrorDomain 207", "MBErrorDomain 100"]
        );
    }

    #[test]
    fn unknown_codes_are_not_explained() {
        for text in [
            "",
            "hello",
            "99999",
            "-99999",
            "ErrorCode",
            "lockdownd",
            "é",
            "MBErrorDomain/",
            "MBErrorDomain/987",
            "usbmuxd 1.1.1 and libusbmuxd 2.0.2 are running",
            "-",
        ] {
            assert_eq!(recognised(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn listed_names_have_explanations() {
        let names = MOBILE_DEVICE.map(|(_, name)| name);
        for name in names.into_iter().chain(LOCKDOWND.map(|(_, name)| name)) {
            assert!(
                lockdown_codes::WORDS.iter().any(|word| word.code == name),
                "{name}"
            );
        }
        for (phrase, meaning) in &PHRASES {
            assert_eq!(*phrase, phrase.to_ascii_lowercase());
            if let Phrase::Code(code) = meaning {
                assert!(error_codes::described(*code).is_some(), "{phrase}");
            }
        }
    }

    #[test]
    fn guide_codes_are_all_explained() {
        let guide = include_str!("../../docs/guide/troubleshooting.md");
        let table = guide.split("(MBErrorDomain)").nth(1).unwrap();
        let mut codes = 0;
        for row in table.lines().skip_while(|line| !line.starts_with("| 1")) {
            let Some(cell) = row.strip_prefix("| ").and_then(|r| r.split(" |").next()) else {
                break;
            };
            for range in cell.split(", ") {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                for code in first.parse::<i64>().unwrap()..=last.parse().unwrap() {
                    let of = format!("MBErrorDomain {code}");
                    assert!(recognised(&code.to_string()).contains(&of), "{code}");
                    codes += 1;
                }
            }
        }
        assert!(codes > 40, "{codes}");
    }
}
