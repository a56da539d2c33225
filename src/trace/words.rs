//! What is known to be harmless, and what a text looks like: the tables and shapes by which
//! [`super::redact`] decides.

use crate::udid::Udid;

/// Keys whose texts are words of the protocol.
#[rustfmt::skip]
pub(super) const PROTOCOL: [&str; 9] = [
    "Command", "DLFileType", "Domain", "Key", "MessageName", "MessageType", "Request", "Service", "command",
];

/// Keys whose texts are Apple's or a program's own constants, unless they are somebody's name.
#[rustfmt::skip]
pub(super) const CONSTANT: [&str; 30] = [
    "ActivationState", "ApplicationType", "BuildVersion", "BundleID", "CPUArchitecture", "ClientVersionString",
    "ConnectionType", "DeviceClass", "DeviceColor", "DeviceEnclosureColor", "Error", "HardwareModel",
    "HardwarePlatform", "HumanReadableProductVersionString", "Label", "MinITunesVersion",
    "MobileDeviceMinimumVersion", "ProductName", "ProductType", "ProductVersion", "ProgName", "ProtocolVersion",
    "RecordType", "ReturnAttributes", "Status", "Type", "UIRequestsProhibited", "Version", "formatVersion",
    "iTunesMinVersion",
];

/// Those of them that have several words.
#[rustfmt::skip]
pub(super) const WITH_BLANKS: [&str; 3] = [
    "ClientVersionString", "HumanReadableProductVersionString", "ProductName",
];

/// Keys whose texts are sentences: paths, names and numbers in them are replaced.
#[rustfmt::skip]
pub(super) const PROSE: [&str; 4] = [
    "DLFileErrorString", "ErrorDescription", "ErrorString", "ExtendedResponse",
];

/// Keys of UDIDs in their old forms, which look like hashes.
#[rustfmt::skip]
pub(super) const UDIDS: [&str; 7] = [
    "PairRecordID", "SerialNumber", "SourceIdentifier", "TargetIdentifier", "UDID", "USBSerialNumber",
    "UniqueDeviceID",
];

/// Numbers above this may be somebody's: a chip's, a telephone's.
pub(super) const INTEGER_MAX: i128 = 9_999_999;
/// ... but these are not.
#[rustfmt::skip]
pub(super) const AMOUNTS: [&str; 8] = [
    "AmountDataAvailable", "AmountDataReserved", "ConnectionSpeed", "LocationID", "TotalDataAvailable",
    "TotalDataCapacity", "TotalDiskCapacity", "TotalSystemCapacity",
];

/// Names that DeviceLink's dictionaries have.
#[rustfmt::skip]
pub(super) const DEVICE_LINK: [&str; 26] = [
    "BackupComputerBasePath", "CloudBackupState", "DLDeviceIOCallbacks", "DLFileErrorCode", "DLFileErrorString",
    "DLFileIsEncrypted", "DLFileModificationDate", "DLFileSize", "DLFileType", "ErrorCode", "ErrorDescription",
    "ForceFullBackup", "MessageName", "NewPassword", "OldPassword", "Options", "ProtocolVersion",
    "RemoveItemsNotRestored", "RestoreDontCopyBackup", "RestorePreserveSettings",
    "RestoreShouldReboot", "RestoreSystemFiles", "SourceIdentifier", "SupportedProtocolVersions", "TargetIdentifier", "loglevel",
];

/// Keys of one word. Others are known by the capitals inside of them.
#[rustfmt::skip]
pub(super) const WORDS: [&str; 17] = [
    "BUID", "Command", "Domain", "Error", "Key", "Label", "Name", "Number", "Options", "Port", "Properties",
    "Request", "Service", "Total", "Type", "UDID", "Value",
];

/// Names that every backup and every phone's media folder have.
#[rustfmt::skip]
pub(super) const FILES: [&str; 34] = [
    ".b", "ApertureAlbumPrefs", "Books", "DCIM", "IC-Info.sidb", "IC-Info.sidv", "Info.plist", "Manifest.db",
    "Manifest.db-shm", "Manifest.db-wal", "Manifest.mbdb", "Manifest.mbdx", "Manifest.plist", "Photos",
    "PhotosFolderAlbums", "PhotosFolderName", "PhotosFolderPrefs", "Snapshot", "Status.plist", "VoiceMemos.plist",
    "com.apple.itunes.lock_sync", "iBooksData2.plist", "iPhotoAlbumPrefs", "iTunes", "iTunesApplicationIDs",
    "iTunesPrefs", "iTunesPrefs.plist", "iTunes_Control", "private", "root", "tmp", "var", "mobile", "Media",
];

/// `device-name-1` to `device-name`.
pub(super) fn class_of(stand_in: &str) -> Option<&str> {
    let (class, number) = stand_in.rsplit_once('-')?;
    let is_class = !class.is_empty() && class.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    (is_class && is_number).then_some(class)
}

/// `DeviceName` to `device-name`.
pub(super) fn kebab(key: &str) -> String {
    let mut shown = String::new();
    let mut after_lower = false;
    for c in key.chars().take(60) {
        match c {
            c if c.is_ascii_uppercase() => {
                if after_lower {
                    shown.push('-');
                }
                shown.push(c.to_ascii_lowercase());
                after_lower = false;
            }
            c if c.is_ascii_lowercase() => {
                shown.push(c);
                after_lower = true;
            }
            _ => after_lower = true,
        }
    }
    match shown.is_empty() {
        true => "text".to_owned(),
        false => shown,
    }
}

/// One word of letters and digits, as keys and messages are.
pub(super) fn is_word(text: &str) -> bool {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    !text.is_empty() && text.len() <= 64 && text.bytes().all(fine)
}

/// A key as Apple's programs have them: `TimeIntervalSince1970`, `iTunesMetadata`. A name of
/// somebody is hardly ever one.
pub(super) fn is_key(text: &str) -> bool {
    let letters: Vec<u8> = text.bytes().collect();
    let hump = |pair: &[u8]| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase();
    let short = |pair: &[u8]| pair[0].is_ascii_uppercase() && pair[1].is_ascii_uppercase();
    let digits = letters.iter().filter(|b| b.is_ascii_digit()).count();
    let humps = letters.windows(2).any(|pair| hump(pair) || short(pair));
    let fine = letters.iter().all(u8::is_ascii_alphanumeric);
    let is_serial = digits > 0 && !letters.iter().any(u8::is_ascii_lowercase);
    fine && humps
        && !is_serial
        && digits <= 4
        && text.len() <= 50
        && letters[0].is_ascii_alphabetic()
}

pub(super) fn is_apples(text: &str) -> bool {
    let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    text.starts_with("com.apple.") && text.len() <= 100 && text.bytes().all(fine)
}

/// A version, a model, a program's name: one word, and no identifier.
pub(super) fn is_constant(text: &str) -> bool {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"_-.,()".contains(&b);
    let is_id = matches!(text.len(), 24 | 40) && text.bytes().all(|b| b.is_ascii_hexdigit());
    text.len() <= 60 && text.bytes().all(fine) && !is_id && !is_uuid(text)
}

/// A key of what must never be seen.
pub(super) fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["password", "passcode", "passphrase"]
        .iter()
        .any(|word| key.contains(word))
}

/// A file's name in a backup: SHA-1, as phones write it.
pub(super) fn is_hash(name: &str) -> bool {
    name.len() == 40 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// A folder of such files.
pub(super) fn is_folder(name: &str) -> bool {
    name.len() == 2 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

pub(super) fn is_modern_udid(text: &str) -> bool {
    text.len() == 25 && text.parse::<Udid>().is_ok()
}

pub(super) fn is_uuid(text: &str) -> bool {
    uuid::Uuid::try_parse(text).is_ok()
}

pub(super) fn is_mac(text: &str) -> bool {
    let mut parts = text.split(':');
    text.len() == 17 && parts.all(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// `MBErrorDomain/208`, and the one slash in the words of a system's errors.
pub(super) fn is_error_name(word: &str) -> bool {
    let is_code = word.split_once('/').is_some_and(|(domain, code)| {
        domain.ends_with("Domain")
            && domain.bytes().all(|b| b.is_ascii_alphabetic())
            && code.parse::<i64>().is_ok()
    });
    is_code || word.eq_ignore_ascii_case("input/output")
}

pub(super) fn split_archive(name: &str) -> Option<(&str, &str)> {
    let at = name.len().checked_sub("-YYYYMMDD-HHMMSS".len())?;
    let (udid, stamp) = (name.get(..at)?, name.get(at + 1..)?);
    let digits = stamp.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    (digits && udid.parse::<Udid>().is_ok()).then_some((udid, stamp))
}
