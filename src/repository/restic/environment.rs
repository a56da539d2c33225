//! The environment variables that restic gets from ours: an allow-list, because a storage needs
//! its login and nothing else.

/// Variables that pass, by name.
///
/// The system's own: where programs, the user's files, temporary files and certificates are, which
/// proxy leads out, and the agent that holds the user's SSH keys. restic's: its cache, the login of
/// a REST server, and settings of its storage format. Passwords of repositories do not pass: restic
/// gets the one that it needs by a pipe.
const NAMES: &[&str] = &[
    "ALL_PROXY",
    "APPDATA",
    "COMSPEC",
    "HOME",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "LOCALAPPDATA",
    "LOGNAME",
    "NO_PROXY",
    "NUMBER_OF_PROCESSORS",
    "PATH",
    "PATHEXT",
    "PROGRAMDATA",
    "RESTIC_CACERT",
    "RESTIC_CACHE_DIR",
    "RESTIC_COMPRESSION",
    "RESTIC_KEY_HINT",
    "RESTIC_PACK_SIZE",
    "RESTIC_READ_CONCURRENCY",
    "RESTIC_REST_PASSWORD",
    "RESTIC_REST_USERNAME",
    "RESTIC_TLS_CLIENT_CERT",
    "SSH_AUTH_SOCK",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "SYSTEMDRIVE",
    "SYSTEMROOT",
    "TEMP",
    "TMP",
    "TMPDIR",
    "USER",
    "USERNAME",
    "USERPROFILE",
    "WINDIR",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_RUNTIME_DIR",
];

/// Beginnings of the variables with logins of storages, as restic's manual lists them under
/// "Environment Variables": S3, Backblaze B2, Azure, Google, rclone, Swift (`OS_`, `ST_`).
const BEGINNINGS: &[&str] = &["AWS_", "AZURE_", "B2_", "GOOGLE_", "OS_", "RCLONE_", "ST_"];

/// Returns true if the variable passes. Windows does not distinguish case, and proxies are often
/// named in lower case.
pub(super) fn passes(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    NAMES.contains(&upper.as_str()) || BEGINNINGS.iter().any(|start| upper.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_logins_of_storages_pass() {
        for name in [
            "PATH",
            "https_proxy",
            "AWS_ACCESS_KEY_ID",
            "B2_ACCOUNT_KEY",
            "Path",
        ] {
            assert!(passes(name), "{name}");
        }
        for name in [
            "RESTIC_PASSWORD",
            "RESTIC_PASSWORD_COMMAND",
            "RESTIC_REPOSITORY",
            "IDEV_BACKUP_PASSWORD",
            "LD_PRELOAD",
            "GITHUB_TOKEN",
            "",
        ] {
            assert!(!passes(name), "{name}");
        }
    }
}
