//! Explains messages of phones and programs by their wording: those without a code, and those whose
//! code is misleading.

use super::explain::Failure;

/// A known message: the words that a line must all contain, in lower case, and the explanation.
struct Saying {
    words: &'static [&'static str],
    means: &'static str,
    failure: Failure,
}

const fn saying(words: &'static [&'static str], means: &'static str, failure: Failure) -> Saying {
    Saying {
        words,
        means,
        failure,
    }
}

/// The known messages, quoted from public threads. The first that matches a line explains it.
#[rustfmt::skip]
const SAYINGS: &[Saying] = &[
    saying(&["error removing snapshot directory"],
        "the folder Snapshot of the backup on the computer still holds files of an earlier \
         backup, and the phone could not remove them. The phone itself is fine",
        Failure::SnapshotLeft),
    saying(&["cannot parse a null or zero-length data"],
        "a property list of the backup on the computer is empty, usually Manifest.plist: that \
         backup is damaged",
        Failure::Damaged),
    saying(&["mdm setting present"],
        "the phone's administrator (a configuration profile) requires encrypted backups, so \
         encryption cannot be switched off",
        Failure::EncryptionRequired),
    saying(&["could not perform backup protocol version exchange"],
        "the phone's backup service did not answer as the program expects: the program is too old for this iOS, or the connection was lost",
        Failure::NoVersionExchange),
    saying(&["could not read filename"],
        "the connection to the phone was lost during the transfer",
        Failure::ConnectionLost),
    saying(&["too large filename length"],
        "the program lost its position in the data from the phone, usually after a lost connection",
        Failure::ConnectionLost),
    saying(&["/itunesrestore"],
        "the connection to the phone was lost during a restore, while the phone's list of apps was written",
        Failure::ConnectionLost),
    saying(&["insufficient free disk space on device"],
        "the phone does not have enough free space for the restore",
        Failure::PhoneFull),
    saying(&["references files not in backup"],
        "files that the backup's list names are missing from the backup: it is damaged",
        Failure::Damaged),
    saying(&["multiple errors downloading files"],
        "the phone did not receive files of the backup: they are missing or damaged",
        Failure::Damaged),
    saying(&["error reading status", "status.plist"],
        "Status.plist of the backup on the computer is missing or cannot be read",
        Failure::NoStatus),
    saying(&["backup could not be saved on the computer"],
        "the computer could not write the backup: its disk is full, or the backup folder is not \
         writable",
        Failure::NotWritten),
    saying(&["requested it time out"],
        "the phone waited too long for the computer: it was locked, or the connection was too slow or lost",
        Failure::TimedOut),
    saying(&["reading from or writing to the"],
        "the connection to the phone was lost, or the phone could not read its storage",
        Failure::ConnectionLost),
    saying(&["(-54)"],
        "a file on the computer is locked, or may not be read or written",
        Failure::FileLocked),
    saying(&["back up", "because an error occurred"],
        "the program does not give the cause: disk space on the computer, a damaged older backup, \
         the connection, or the phone",
        Failure::BackupFailed),
    saying(&["password was incorrect"],
        "the backup password is wrong",
        Failure::WrongPassword),
    saying(&["enough free space", "available on this computer"],
        "there is not enough disk space for the backup on the computer",
        Failure::ComputerFull),
    saying(&["not restore", "enough free space"],
        "the phone does not have enough free space for the restore",
        Failure::PhoneFull),
    saying(&["could not be restored", "internal error"],
        "the program does not give the cause: the phone could not complete the restore",
        Failure::RestoreFailed),
    saying(&["connectionterminatederror"],
        "the connection to the phone was lost",
        Failure::ConnectionLost),
    saying(&["notenoughdiskspaceerror"],
        "the disk of the computer is full",
        Failure::ComputerFull),
    saying(&["ssleoferror"],
        "the other side ended the secure connection: the connection was lost, or the pairing has \
         become invalid",
        Failure::TlsEnded),
    saying(&["lockdownd, error code -8"],
        "usbmuxd could not connect to the phone: a bad cable, a phone that is restarting, or Windows without Apple's service",
        Failure::NoConnection),
    saying(&["device is not ready yet"],
        "the phone sent no message: the connection was lost, or the phone was locked or ended the backup",
        Failure::NoMessage),
    saying(&["no info.plist found for udid"],
        "the given folder is not a backup of this phone, or its Info.plist is missing: such \
         programs usually expect the folder above it",
        Failure::NotABackup),
    saying(&["libusb_error_access"],
        "the USB device may not be opened: a udev rule is missing (Linux), or another driver has it",
        Failure::UsbRefused),
    saying(&["usbmuxd_get_device_list", "opening socket"],
        "usbmuxd is not running, so programs do not see the phone",
        Failure::NoUsbmuxd),
    saying(&["0xe8000084"],
        "the phone was disconnected",
        Failure::ConnectionLost),
    saying(&["0xe80000e2"],
        "the phone is locked",
        Failure::PhoneLocked),
];

/// Explains a line by its wording. Returns the words that matched, the meaning and the failure.
pub(super) fn explained(line: &str) -> Option<(&'static str, &'static str, Failure)> {
    let line = line.to_ascii_lowercase().replace('\u{2019}', "'");
    let fits = |saying: &&Saying| saying.words.iter().all(|words| line.contains(words));
    let saying = SAYINGS.iter().find(fits)?;
    Some((saying.words.last()?, saying.means, saying.failure))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::explain::explain;

    /// Messages as people quote them, each with words from the right explanation.
    #[rustfmt::skip]
    const QUOTED: [(&str, &str); 37] = [
        ("ErrorCode 104: Error removing snapshot directory (MBErrorDomain/104). Underlying error: Directory not empty (MBErrorDomain/100).", "folder Snapshot of the backup on the computer"),
        ("ErrorCode 205: Error reading backup properties (MBErrorDomain/205). Underlying error: Error deserializing properties: Cannot parse a NULL or zero-length data (MBErrorDomain/11).", "is empty, usually Manifest.plist"),
        ("Error setting WillEncrypt value in lockdown (MBErrorDomain/1). Underlying error: Cannot remove iTunes Backup Encryption - Encrypted Backup MDM setting present on device (MBErrorDomain/22).", "administrator"),
        ("Could not perform backup protocol version exchange, error code -1", "too old for this iOS"),
        ("ERROR: mb2_receive_filename: could not read filename", "connection to the phone was lost"),
        ("mb2_receive_filename: too large filename length", "lost its position"),
        ("Error creating directory /iTunesRestore, error code 30", "lost during a restore"),
        ("Insufficient free disk space on device to restore (44526002176 < 51895967372) (MBErrorDomain/105)", "the phone does not have enough free space"),
        ("ErrorCode 105: Insufficient free disk space on device to restore (44526002176 < 51895967372) (MBErrorDomain/105)", "the phone does not have enough free space"),
        ("Manifest references files not in backup (MBErrorDomain/205)", "missing from the backup"),
        ("ErrorCode 205: Multiple errors downloading files (MBErrorDomain/205)", "missing or damaged"),
        ("ErrorCode 207: Invalid password when restoring encrypted backup (MBErrorDomain/207). Underlying error: MKBKeyBagUnlock error (-3) (MBErrorDomain/207).", "password is wrong"),
        ("Error reading status (MBErrorDomain/103). Underlying error: Multi status at path \"0a9f/Status.plist\" (MBErrorDomain/1).", "Status.plist of the backup on the computer"),
        ("Finder could not back up the iPhone because the backup could not be saved on the computer.", "its disk is full"),
        ("iTunes could not back up the iPhone because the iPhone requested it time out", "waited too long"),
        ("Finder couldn\u{2019}t back up the iPhone because an error occurred.", "does not give the cause"),
        ("could not back up because the iPhone disconnected", "connection to the phone was lost"),
        ("iTunes could not restore the iPhone because the password was incorrect", "password is wrong"),
        ("An error occurred while backing up this iPhone (-54)", "locked"),
        ("iTunes could not back up the iPhone because an error occurred reading from or writing to the iPhone", "connection to the phone was lost"),
        ("iTunes could not restore the iPhone because there isn't enough free space available on the iPhone", "the phone does not have enough free space"),
        ("iTunes could not restore the iPhone because there isn't enough free space on iPhone", "the phone does not have enough free space"),
        ("The iPhone could not be restored. An internal error occurred.", "does not give the cause"),
        ("pymobiledevice3.exceptions.ConnectionTerminatedError", "connection to the phone was lost"),
        ("pymobiledevice3.exceptions.NotEnoughDiskSpaceError", "disk of the computer is full"),
        ("ssl.SSLEOFError: EOF occurred in violation of protocol (_ssl.c:2406)", "pairing has become invalid"),
        ("ERROR: Could not connect to lockdownd, error code -8", "usbmuxd could not connect"),
        ("Device is not ready yet. Going to try again in 2 seconds...", "sent no message"),
        ("Failed to fully upload: 00008030-001A2B3C4D5E6F71/Snapshot/49/4912. Device file name: /var/mobile/Library/Application Support/FileProvider/backup/backup_manifest.db. Reason: Input/output error (5)", "always fails"),
        ("ERROR: Backup directory \"00008030-001A2B3C4D5E6F71/\" is invalid. No Info.plist found for UDID 00008030-001A2B3C4D5E6F71.", "not a backup of this phone"),
        ("No device found.", "no phone is connected"),
        ("LIBUSB_ERROR_ACCESS", "udev rule is missing"),
        ("usbmuxd_get_device_list: error opening socket!", "usbmuxd is not running"),
        ("0xE8000084", "disconnected"),
        ("0xe80000e2", "locked"),
        ("session failed", "does not give the reason"),
        ("There is not enough free space available on this computer.", "on the computer"),
    ];

    #[test]
    fn quoted_messages_get_their_cause() {
        for (text, cause) in QUOTED {
            let explained = explain(text);
            assert_eq!(explained.len(), 1, "{text}: {explained:?}");
            assert!(explained[0].means.contains(cause), "{text}: {explained:?}");
        }
    }

    #[test]
    fn other_lines_keep_their_codes() {
        let log =
            "Error removing snapshot directory (MBErrorDomain/104)\nErrorCode 208: Device locked";
        let explained = explain(log);
        assert_eq!(explained.len(), 2, "{explained:?}");
        assert_eq!(explained[1].of, "MBErrorDomain 208");
    }

    #[test]
    fn search_words_are_lower_case() {
        for words in SAYINGS.iter().flat_map(|saying| saying.words) {
            assert_eq!(*words, words.to_ascii_lowercase());
        }
    }
}
