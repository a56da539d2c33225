//! Categories of a backup's files as their owner sees them: photos, messages, app data.

use serde::{Deserialize, Serialize};

/// Category of contents, in the order in which people look for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Photos and videos, edited ones included.
    Photos,
    /// Thumbnails of photos, and the databases of the Photos app.
    PhotoLibrary,
    /// Messages and their attachments.
    Messages,
    /// Data of apps.
    AppData,
    /// Contacts, calendars, notes, call history, voicemail.
    Personal,
    /// Music, books, recordings.
    Media,
    /// Health and Home; encrypted backups only.
    Health,
    /// The keychain: passwords and keys. Without encryption, only the same phone can read it.
    Passwords,
    /// Settings and the rest of the system.
    Settings,
}

impl Kind {
    /// All categories, in order.
    pub(crate) const ALL: [Kind; 9] = [
        Kind::Photos,
        Kind::PhotoLibrary,
        Kind::Messages,
        Kind::AppData,
        Kind::Personal,
        Kind::Media,
        Kind::Health,
        Kind::Passwords,
        Kind::Settings,
    ];

    /// Returns the category of a file with this domain and path.
    pub(crate) fn of(domain: &str, path: &str) -> Kind {
        let below = |folder: &str| {
            path.strip_prefix(folder)
                .is_some_and(|r| r.is_empty() || r.starts_with('/'))
        };
        match domain {
            // Originals that came from iCloud, and edited photos, are photos as well.
            "CameraRollDomain" | "MediaDomain"
                if below("Media/PhotoData")
                    && !below("Media/PhotoData/CPLAssets")
                    && !below("Media/PhotoData/Mutations") =>
            {
                Kind::PhotoLibrary
            }
            "CameraRollDomain" => Kind::Photos,
            "MediaDomain" if below("Media/DCIM") || below("Media/PhotoData") => Kind::Photos,
            "HomeDomain" | "MediaDomain" if below("Library/SMS") => Kind::Messages,
            "MediaDomain" | "BooksDomain" => Kind::Media,
            "HealthDomain" | "HomeKitDomain" => Kind::Health,
            "KeychainDomain" => Kind::Passwords,
            "HomeDomain"
                if [
                    "Library/AddressBook",
                    "Library/Calendar",
                    "Library/CallHistoryDB",
                    "Library/Notes",
                    "Library/Voicemail",
                    "Library/Safari",
                    "Library/Mail",
                ]
                .iter()
                .any(|folder| below(folder)) =>
            {
                Kind::Personal
            }
            "AppDomainGroup-group.com.apple.notes" => Kind::Personal,
            _ if domain.starts_with("AppDomain") => Kind::AppData,
            _ => Kind::Settings,
        }
    }

    /// Returns the name for display.
    pub fn words(self) -> &'static str {
        match self {
            Kind::Photos => "Photos and videos",
            Kind::PhotoLibrary => "Thumbnails, photo library",
            Kind::Messages => "Messages",
            Kind::AppData => "App data",
            Kind::Personal => "Contacts, calendars, notes, calls",
            Kind::Media => "Music, books, recordings",
            Kind::Health => "Health and Home",
            Kind::Passwords => "Keychain",
            Kind::Settings => "Settings and system",
        }
    }
}

/// Amount of contents in a category.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// The category of the files.
    pub kind: Kind,
    /// The number of files.
    pub files: u64,
    /// The total size in bytes, as recorded by the phone.
    pub bytes: u64,
}

/// Totals of files by category.
#[derive(Debug, Clone, Default)]
pub(crate) struct Amounts([(u64, u64); Kind::ALL.len()]);

impl Amounts {
    /// Counts one file of `bytes` bytes.
    pub(crate) fn add(&mut self, domain: &str, path: &str, bytes: u64) {
        let (files, total) = &mut self.0[Kind::of(domain, path) as usize];
        *files += 1;
        *total = total.saturating_add(bytes);
    }

    /// Returns the categories that have files.
    pub(crate) fn list(&self) -> Vec<Amount> {
        let amount = |(kind, &(files, bytes)): (Kind, &(u64, u64))| Amount { kind, files, bytes };
        Kind::ALL
            .into_iter()
            .zip(&self.0)
            .map(amount)
            .filter(|a| a.files > 0)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_kind_follows_domain_and_path() {
        for (domain, path, kind) in [
            (
                "CameraRollDomain",
                "Media/DCIM/100APPLE/IMG_0001.HEIC",
                Kind::Photos,
            ),
            (
                "CameraRollDomain",
                "Media/PhotoData/Mutations/DCIM/100APPLE/IMG_1/Adjustments/FullSizeRender.heic",
                Kind::Photos,
            ),
            (
                "CameraRollDomain",
                "Media/PhotoData/Thumbnails/V2/x.JPG",
                Kind::PhotoLibrary,
            ),
            (
                "MediaDomain",
                "Media/PhotoData/Photos.sqlite",
                Kind::PhotoLibrary,
            ),
            ("HomeDomain", "Library/SMS/sms.db", Kind::Messages),
            ("HomeDomain", "Library/SMSomething", Kind::Settings),
            ("MediaDomain", "Library/SMS/Attachments/a", Kind::Messages),
            ("AppDomainGroup-group.net.whatsapp", "x", Kind::AppData),
            ("KeychainDomain", "keychain-backup.plist", Kind::Passwords),
            ("WirelessDomain", "x", Kind::Settings),
        ] {
            assert_eq!(Kind::of(domain, path), kind, "{domain} {path}");
        }
    }
}
