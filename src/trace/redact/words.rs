//! Tables of harmless texts, and functions that recognize texts by their form; [`super`]
//! decides by them.

use crate::base::udid::Udid;

/// Keys with words of the protocol as their texts.
#[rustfmt::skip]
pub(crate) const PROTOCOL: [&str; 11] = [
    "AssertionTypeKey", "Command", "CommandKey", "DLFileType", "Domain", "Key", "MessageName", "MessageType", "Request",
    "Service", "command",
];

/// Keys with constants of Apple or of a program as their texts, unless the text looks like a
/// person's name.
#[rustfmt::skip]
pub(crate) const CONSTANT: [&str; 31] = [
    "ActivationState", "ApplicationType", "AssertionNameKey", "BuildVersion", "BundleID", "CPUArchitecture", "ClientVersionString",
    "ConnectionType", "DeviceClass", "DeviceColor", "DeviceEnclosureColor", "Error", "HardwareModel",
    "HardwarePlatform", "HumanReadableProductVersionString", "Label", "MinITunesVersion",
    "MobileDeviceMinimumVersion", "ProductName", "ProductType", "ProductVersion", "ProgName", "ProtocolVersion",
    "RecordType", "ReturnAttributes", "Status", "Type", "UIRequestsProhibited", "Version", "formatVersion",
    "iTunesMinVersion",
];

/// Keys in `CONSTANT` whose texts may consist of several words.
#[rustfmt::skip]
pub(crate) const WITH_BLANKS: [&str; 3] = [
    "ClientVersionString", "HumanReadableProductVersionString", "ProductName",
];

/// Keys with sentences as their texts: paths, names and numbers in them are replaced.
#[rustfmt::skip]
pub(crate) const PROSE: [&str; 4] = [
    "DLFileErrorString", "ErrorDescription", "ErrorString", "ExtendedResponse",
];

/// Keys with UDIDs in their old forms, which look like hashes.
#[rustfmt::skip]
pub(crate) const UDIDS: [&str; 7] = [
    "PairRecordID", "SerialNumber", "SourceIdentifier", "TargetIdentifier", "UDID", "USBSerialNumber",
    "UniqueDeviceID",
];

/// Largest number that cannot identify a person. Larger ones may be chip IDs or phone numbers.
pub(crate) const INTEGER_MAX: i128 = 9_999_999;
/// Keys of larger numbers that are harmless nevertheless.
#[rustfmt::skip]
pub(crate) const AMOUNTS: [&str; 8] = [
    "AmountDataAvailable", "AmountDataReserved", "ConnectionSpeed", "LocationID", "TotalDataAvailable",
    "TotalDataCapacity", "TotalDiskCapacity", "TotalSystemCapacity",
];

/// Keys in DeviceLink's dictionaries.
#[rustfmt::skip]
pub(crate) const DEVICE_LINK: [&str; 26] = [
    "BackupComputerBasePath", "CloudBackupState", "DLDeviceIOCallbacks", "DLFileErrorCode", "DLFileErrorString",
    "DLFileIsEncrypted", "DLFileModificationDate", "DLFileSize", "DLFileType", "ErrorCode", "ErrorDescription",
    "ForceFullBackup", "MessageName", "NewPassword", "OldPassword", "Options", "ProtocolVersion",
    "RemoveItemsNotRestored", "RestoreDontCopyBackup", "RestorePreserveSettings",
    "RestoreShouldReboot", "RestoreSystemFiles", "SourceIdentifier", "SupportedProtocolVersions", "TargetIdentifier", "loglevel",
];

/// Keys that consist of one word. Other keys are recognized by their inner capitals.
#[rustfmt::skip]
pub(crate) const WORDS: [&str; 18] = [
    "BUID", "Command", "Domain", "Error", "Interval", "Key", "Label", "Name", "Number", "Options", "Port", "Properties",
    "Request", "Service", "Total", "Type", "UDID", "Value",
];

/// File names that occur in every backup and in every phone's media folder.
#[rustfmt::skip]
pub(crate) const FILES: [&str; 34] = [
    ".b", "ApertureAlbumPrefs", "Books", "DCIM", "IC-Info.sidb", "IC-Info.sidv", "Info.plist", "Manifest.db",
    "Manifest.db-shm", "Manifest.db-wal", "Manifest.mbdb", "Manifest.mbdx", "Manifest.plist", "Photos",
    "PhotosFolderAlbums", "PhotosFolderName", "PhotosFolderPrefs", "Snapshot", "Status.plist", "VoiceMemos.plist",
    "com.apple.itunes.lock_sync", "iBooksData2.plist", "iPhotoAlbumPrefs", "iTunes", "iTunesApplicationIDs",
    "iTunesPrefs", "iTunesPrefs.plist", "iTunes_Control", "private", "root", "tmp", "var", "mobile", "Media",
];

/// Returns the class of a placeholder: `device-name` for `device-name-1`.
pub(crate) fn class_of(stand_in: &str) -> Option<&str> {
    let (class, number) = stand_in.rsplit_once('-')?;
    let is_class = !class.is_empty() && class.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    (is_class && is_number).then_some(class)
}

/// Converts a key to kebab case: `device-name` for `DeviceName`.
pub(crate) fn kebab(key: &str) -> String {
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
    if shown.is_empty() {
        "text".to_owned()
    } else {
        shown
    }
}

/// Returns true if the text is one word of letters and digits, like a key or the name of a message.
pub(crate) fn is_word(text: &str) -> bool {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    !text.is_empty() && text.len() <= 64 && text.bytes().all(fine)
}

/// Returns true for a key in the style of Apple's programs: `TimeIntervalSince1970`,
/// `iTunesMetadata`. A person's name rarely has that form.
pub(crate) fn is_key(text: &str) -> bool {
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

pub(crate) fn is_apples(text: &str) -> bool {
    let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    text.starts_with("com.apple.") && text.len() <= 100 && text.bytes().all(fine)
}

/// Returns true for a version, a model or a program's name: one word that is not an identifier.
pub(crate) fn is_constant(text: &str) -> bool {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"_-.,()".contains(&b);
    let is_id = matches!(text.len(), 24 | 40) && text.bytes().all(|b| b.is_ascii_hexdigit());
    text.len() <= 60 && text.bytes().all(fine) && !is_id && !is_uuid(text)
}

/// Returns true for keys with secret values.
pub(crate) fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["password", "passcode", "passphrase"]
        .iter()
        .any(|word| key.contains(word))
}

/// Returns true for the name of a file in a backup: a SHA-1 in lowercase hexadecimal.
pub(crate) fn is_hash(name: &str) -> bool {
    name.len() == 40 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Returns true for the name of a folder that holds such files.
pub(crate) fn is_folder(name: &str) -> bool {
    name.len() == 2 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

pub(crate) fn is_modern_udid(text: &str) -> bool {
    text.len() == 25 && text.parse::<Udid>().is_ok()
}

pub(crate) fn is_uuid(text: &str) -> bool {
    uuid::Uuid::try_parse(text).is_ok()
}

pub(crate) fn is_mac(text: &str) -> bool {
    let mut parts = text.split(':');
    text.len() == 17 && parts.all(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Returns true for `MBErrorDomain/208`, and for "input/output", the one term with a slash in
/// system errors.
pub(crate) fn is_error_name(word: &str) -> bool {
    let is_code = word.split_once('/').is_some_and(|(domain, code)| {
        domain.ends_with("Domain")
            && domain.bytes().all(|b| b.is_ascii_alphabetic())
            && code.parse::<i64>().is_ok()
    });
    is_code || word.eq_ignore_ascii_case("input/output")
}

pub(crate) fn split_archive(name: &str) -> Option<(&str, &str)> {
    let at = name.len().checked_sub("-YYYYMMDD-HHMMSS".len())?;
    let (udid, stamp) = (name.get(..at)?, name.get(at + 1..)?);
    let digits = stamp.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    (digits && udid.parse::<Udid>().is_ok()).then_some((udid, stamp))
}
