//! Translates the words and exit codes of restic into errors.

use std::process::ExitStatus;

use super::process::{Call, Ended};
use crate::repository::{Access, Error};

/// Longest quotation of restic's words, in characters.
const SAID_MAX: usize = 300;

/// Kinds of failure, each with words by which restic or a storage names it. The first row with a
/// matching word decides, so the more particular kinds come first.
///
/// The words of restic are from its source, versions 0.14 to 0.18; those of S3 from Amazon's list
/// "Error responses" in the API reference, which other storages of that kind follow.
const WORDS: &[(Kind, &[&str])] = &[
    (
        Kind::WrongPassword,
        &[
            "wrong password or no key found",
            "an empty password is not allowed",
        ],
    ),
    (
        Kind::Exists,
        &[
            "config file already exists",
            "config already exists",
            "config already initialized",
        ],
    ),
    (
        Kind::NewerForm,
        &[
            "unsupported repository version",
            "feature flag is not supported",
        ],
    ),
    (
        Kind::Locked,
        &[
            "repository is already locked",
            "unable to create lock in backend: repository",
        ],
    ),
    (
        Kind::Clock,
        &[
            "requesttimetooskewed",
            "difference between the request time",
            "requestexpired",
        ],
    ),
    (
        Kind::NoBucket,
        &[
            "nosuchbucket",
            "specified bucket does not exist",
            "bucket not found",
            "bucket doesn't exist",
            "containernotfound",
            "specified container does not exist",
        ],
    ),
    (
        Kind::Full,
        &[
            "no space left on device",
            "disk quota exceeded",
            "not enough space on the disk",
            "insufficient storage",
            "(507)",
            "quotaexceeded",
            "storagequotaexceeded",
            "storage cap exceeded",
            "storage_cap_exceeded",
            "sftp: \"failure\" (ssh_fx_failure)",
        ],
    ),
    (
        Kind::AppendOnly,
        &["blob not removed, server response: 403"],
    ),
    (
        Kind::Refused,
        &[
            "invalidaccesskeyid",
            "signaturedoesnotmatch",
            "access key id you provided does not exist",
            "expiredtoken",
            "token has expired",
            "tokenrefreshrequired",
            "invalidtoken",
            "accessdenied",
            "access denied",
            "authenticationfailed",
            "bad_auth_token",
            "expired_auth_token",
            "invalid_grant",
            "unauthorized",
            "(401)",
            "(403)",
            "403 forbidden",
            "permission denied (publickey",
            "host key verification failed",
            "too many authentication failures",
        ],
    ),
    (
        Kind::Lost,
        &[
            "connection refused",
            "connection reset",
            "connection timed out",
            "connection closed",
            "connection lost",
            "no such host",
            "could not resolve hostname",
            "temporary failure in name resolution",
            "server misbehaving",
            "network is unreachable",
            "host is down",
            "no route to host",
            "i/o timeout",
            "tls handshake timeout",
            "client.timeout exceeded",
            "context deadline exceeded",
            "broken pipe",
            "ssh command exited",
            "unable to start the sftp session",
            "bad gateway",
            "service unavailable",
            "(502)",
            "(503)",
            "(504)",
            "slowdown",
            "target machine actively refused",
        ],
    ),
    (
        Kind::Damaged,
        &[
            "ciphertext verification failed",
            "repository contains errors",
            "invalid data returned",
            "hash does not match",
            "does not match id",
            "unable to load index",
            "tree is not known",
            "not found in index",
            "pack does not exist",
            "missing from the repository",
            "unexpected pack size",
            "config cannot be loaded",
            "loadindex returned errors",
        ],
    ),
    // A pack that was cut off ends early too, but then the program also says what is damaged.
    (Kind::Lost, &["unexpected eof"]),
    (
        Kind::NoRepository,
        &[
            "is there a repository at the following location",
            "unable to open config file",
            "repository does not exist",
        ],
    ),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    WrongPassword,
    Exists,
    NewerForm,
    Locked,
    Clock,
    NoBucket,
    Full,
    AppendOnly,
    Refused,
    Lost,
    Damaged,
    NoRepository,
}

/// Returns the kind of failure, by restic's exit code or its words. Codes 10 to 12 exist since
/// restic 0.17.
fn kind(code: Option<i32>, stderr: &str) -> Option<Kind> {
    // What the program tried again says nothing about its end.
    let text: Vec<String> = stderr
        .lines()
        .map(str::to_lowercase)
        .filter(|line| !line.contains("retrying after"))
        .collect();
    let text = text.join("\n");
    let by_words = WORDS
        .iter()
        .find(|(_, words)| words.iter().any(|word| text.contains(word)));
    match (by_words, code) {
        // The storage's own reason is more precise than "no repository".
        (Some((kind, _)), _) => Some(*kind),
        (None, Some(10)) => Some(Kind::NoRepository),
        (None, Some(11)) => Some(Kind::Locked),
        (None, Some(12)) => Some(Kind::WrongPassword),
        (None, _) => None,
    }
}

/// Returns the error of a call that failed.
pub(super) fn failed(access: &Access, call: &Call<'_>, ended: &Ended) -> Error {
    let location = access.location.to_string();
    let kind = kind(ended.status.code(), &ended.stderr);
    let said = said(&ended.stderr, kind == Some(Kind::Damaged), access);
    match kind {
        Some(Kind::WrongPassword) => Error::WrongPassword { location },
        Some(Kind::Exists) => Error::Exists { location },
        Some(Kind::NewerForm) => Error::NewerForm { location, said },
        Some(Kind::Locked) => Error::Locked { location, said },
        Some(Kind::Clock) => Error::Clock { location, said },
        Some(Kind::NoBucket) => Error::NoBucket { location, said },
        Some(Kind::Full) => Error::Full { location, said },
        Some(Kind::AppendOnly) => Error::AppendOnly { location, said },
        Some(Kind::Refused) => Error::Refused { location, said },
        Some(Kind::Lost) => Error::Lost { location, said },
        Some(Kind::Damaged) => Error::Damaged { location, said },
        Some(Kind::NoRepository) => Error::NoRepository { location, said },
        None => Error::Failed {
            doing: call.doing,
            status: words(ended.status),
            said: if said.is_empty() {
                "it gave no reason".to_owned()
            } else {
                said
            },
        },
    }
}

/// Describes an exit status: "exit code 1", or "signal 9".
fn words(status: ExitStatus) -> String {
    if let Some(code) = status.code() {
        return format!("exit code {code}");
    }
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return format!("signal {signal}");
    }
    status.to_string()
}

/// Returns the part of the error output that gives the reason, without secrets of the location:
/// the final word, or for damage the first remark, which names what is damaged.
fn said(stderr: &str, is_damage: bool, access: &Access) -> String {
    let lines = || {
        let lines = stderr.lines().map(str::trim).map(reason);
        lines.filter(|line| !line.is_empty() && !is_noise(line))
    };
    let fatal = || lines().find(|line| line.starts_with("Fatal:"));
    let first = || lines().find(|line| !line.starts_with("Fatal:"));
    // "There were 3 errors" gives no reason.
    let is_damage = is_damage || fatal().is_some_and(|line| line.contains("There were"));
    let chosen = if is_damage {
        first().or_else(fatal)
    } else {
        fatal()
    };
    // Without a final word, the last line says most.
    let chosen = chosen.or_else(|| lines().next_back()).unwrap_or_default();
    let chosen = chosen.strip_prefix("Fatal: ").unwrap_or(&chosen);
    let exposed = access.location.expose().to_string_lossy();
    let shown = access.location.to_string();
    let mut clean = chosen.replace(exposed.as_ref(), &shown);
    // restic prints a URL without its own scheme.
    if let (Some((_, exposed)), Some((_, shown))) = (exposed.split_once(':'), shown.split_once(':'))
    {
        clean = clean.replace(exposed, shown);
    }
    shortened(&clean)
}

/// Returns the message in a line of JSON, which later versions print, or the line itself.
fn reason(line: &str) -> String {
    let message = |json: serde_json::Value| {
        let direct = json.get("message").and_then(serde_json::Value::as_str);
        let nested = json.get("error").and_then(|error| error.get("message"));
        let nested = nested.and_then(serde_json::Value::as_str);
        Some(direct.or(nested)?.trim().to_owned())
    };
    let parsed = line
        .starts_with('{')
        .then(|| serde_json::from_str(line).ok());
    let parsed = parsed.flatten().and_then(message);
    parsed.unwrap_or_else(|| line.to_owned())
}

/// Returns true for lines that restic prints beside its reason.
fn is_noise(line: &str) -> bool {
    [
        "reading repository password from stdin",
        "Is there a repository at the following location?",
        "subprocess ",
    ]
    .iter()
    .any(|noise| line.starts_with(noise))
}

/// Returns the beginning of a text, on one line.
pub(super) fn shortened(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(SAID_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storages_words_decide_the_kind() {
        for (code, said, wanted) in [
            (
                1,
                "Fatal: wrong password or no key found",
                Some(Kind::WrongPassword),
            ),
            (12, "", Some(Kind::WrongPassword)),
            (
                1,
                "Fatal: unable to open config file: stat /mnt/x/config: no such file or directory\n\
                 Is there a repository at the following location?",
                Some(Kind::NoRepository),
            ),
            (
                1,
                "Fatal: unable to open config file: Stat: The specified bucket does not exist\n\
                 Is there a repository at the following location?",
                Some(Kind::NoBucket),
            ),
            (
                1,
                "Fatal: unable to open config file: Stat: Access Denied.\nIs there a repository at",
                Some(Kind::Refused),
            ),
            (
                10,
                "Fatal: unable to open config file: dial tcp 10.0.0.9:8000: connect: connection \
                 refused",
                Some(Kind::Lost),
            ),
            (
                1,
                "unable to create lock in backend: repository is already locked exclusively by PID \
                 79 on nas by root (UID 0, GID 0)",
                Some(Kind::Locked),
            ),
            (11, "anything", Some(Kind::Locked)),
            (
                1,
                "Load(<data/1a2b3c>, 4096, 0) returned error, retrying after 720ms: ReadFull: \
                 unexpected EOF\nPack ID does not match, want 1a2b3c, got 4d5e6f\nfailed to \
                 download: StreamPack: ReadFull: unexpected EOF\nFatal: repository contains errors",
                Some(Kind::Damaged),
            ),
            (1, "Fatal: LoadIndex returned errors", Some(Kind::Damaged)),
            (
                1,
                "Load(<data/1a2b3c>, 0, 0) returned error, retrying after 1s: connection reset by \
                 peer\nFatal: no space left on device",
                Some(Kind::Full),
            ),
            (
                1,
                "Fatal: unable to save snapshot: unexpected EOF",
                Some(Kind::Lost),
            ),
            (
                1,
                "Fatal: create key in repository at x failed: write: no space left on device",
                Some(Kind::Full),
            ),
            (1, "Fatal: repository contains errors", Some(Kind::Damaged)),
            (
                1,
                "Fatal: config cannot be loaded: unsupported repository version",
                Some(Kind::NewerForm),
            ),
            (1, "panic: runtime error", None),
            (2, "", None),
        ] {
            assert_eq!(kind(Some(code), said), wanted, "{said}");
        }
    }

    #[test]
    fn json_reasons_are_read() {
        for (line, wanted) in [
            (
                r#"{"message_type":"exit_error","code":12,"message":"Fatal: wrong password"}"#,
                "Fatal: wrong password",
            ),
            (
                r#"{"message_type":"error","error":{"message":"open a: denied"},"item":"a"}"#,
                "open a: denied",
            ),
            (r#"{"x":1}"#, r#"{"x":1}"#),
            ("plain", "plain"),
        ] {
            assert_eq!(reason(line), wanted);
        }
    }
}
