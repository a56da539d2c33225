//! The place of a repository, and the means to reach it.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::base::cancel::CancelToken;
use crate::base::secret::Secret;

/// The place of a repository, in restic's form: a folder, `sftp:user@host:/path`, `rest:https://…`,
/// `s3:…`, `b2:…`, `azure:…`, `gs:…`, `swift:…` or `rclone:…`. It may hold a password, which is not
/// printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Location(OsString);

impl Location {
    /// Takes a location as the user wrote it.
    pub fn new(text: impl Into<OsString>) -> Location {
        Location(text.into())
    }

    /// Returns the text with its secrets, for restic alone.
    pub(super) fn expose(&self) -> &OsStr {
        &self.0
    }

    /// Returns the kind of storage, such as "sftp" or "s3"; `None` for a folder.
    pub fn scheme(&self) -> Option<&str> {
        if self.folder().is_some() {
            return None;
        }
        let text = self.0.to_str()?;
        text.split_once(':').map(|(scheme, _)| scheme)
    }

    /// Returns the folder, if the repository is one on a disk of this computer.
    pub fn folder(&self) -> Option<PathBuf> {
        const REMOTE: [&str; 8] = [
            "sftp:", "rest:", "s3:", "b2:", "azure:", "gs:", "swift:", "rclone:",
        ];
        let text = self.0.to_string_lossy();
        if REMOTE.iter().any(|scheme| text.starts_with(scheme)) {
            return None;
        }
        Some(match text.strip_prefix("local:") {
            Some(path) => PathBuf::from(path),
            None => PathBuf::from(&self.0),
        })
    }
}

/// Prints the location without a password.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string_lossy();
        // rest:https://user:password@host/path
        let cut = |text: &str| {
            let (scheme, rest) = text.split_once("://")?;
            let end = rest.find('/').unwrap_or(rest.len());
            let (login, host) = rest[..end].rsplit_once('@')?;
            let user = login.split_once(':').map(|(user, _)| user)?;
            Some(format!("{scheme}://{user}:***@{host}{}", &rest[end..]))
        };
        match cut(&text) {
            Some(clean) => f.write_str(&clean),
            None => f.write_str(&text),
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The limits on waiting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waits {
    /// Longest time without any sign of progress, where restic reports progress. Then it is ended.
    pub silence_max: Duration,
    /// Longest time to wait while another program holds the repository's lock.
    pub lock_max: Duration,
    /// Number of further attempts after a lost connection.
    pub retries: u32,
    /// Wait before the first of these attempts. Each later wait is twice as long.
    pub retry_wait: Duration,
}

impl Default for Waits {
    /// Returns limits that suit a slow storage: restic itself repeats a failed request for up to 15
    /// minutes.
    fn default() -> Waits {
        Waits {
            silence_max: Duration::from_secs(31 * 60),
            lock_max: Duration::from_secs(10 * 60),
            retries: 3,
            retry_wait: Duration::from_secs(20),
        }
    }
}

/// Everything that is needed to use a repository.
#[derive(Clone)]
pub struct Access {
    /// The place of the repository.
    pub location: Location,
    /// The password of the repository.
    pub password: Secret,
    /// The program, by its path or by a name that is looked up as the system does.
    pub program: OsString,
    /// Options of restic's storages, each as `name=value`.
    pub options: Vec<String>,
    /// Limit on the rate of uploads in KiB/s.
    pub limit_upload: Option<u32>,
    /// Limit on the rate of downloads in KiB/s.
    pub limit_download: Option<u32>,
    /// The limits on waiting.
    pub waits: Waits,
    /// Ends the work at the next safe point.
    pub cancel: Arc<CancelToken>,
}

impl Access {
    /// Returns access with the defaults: the program `restic`, no limits on the rate.
    pub fn new(location: Location, password: Secret, cancel: Arc<CancelToken>) -> Access {
        Access {
            location,
            password,
            program: "restic".into(),
            options: Vec::new(),
            limit_upload: None,
            limit_download: None,
            waits: Waits::default(),
            cancel,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_printed_without_passwords() {
        for (text, shown, is_folder) in [
            ("/mnt/nas/repo", "/mnt/nas/repo", true),
            ("local:/mnt/nas/repo", "local:/mnt/nas/repo", true),
            (
                "rest:https://mira:pass:w@rd@nas:8000/mira/",
                "rest:https://mira:***@nas:8000/mira/",
                false,
            ),
            (
                "rest:https://nas:8000/a@b",
                "rest:https://nas:8000/a@b",
                false,
            ),
            ("s3:https://host/bucket", "s3:https://host/bucket", false),
            ("sftp:mira@nas:/srv/repo", "sftp:mira@nas:/srv/repo", false),
        ] {
            let location = Location::new(text);
            assert_eq!(location.to_string(), shown);
            assert_eq!(format!("{location:?}"), shown);
            assert_eq!(location.folder().is_some(), is_folder, "{text}");
        }
    }
}
