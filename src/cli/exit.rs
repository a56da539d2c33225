//! Exit codes. They are stable: scripts depend on them, and docs/guide/scripts.md lists them.

use idev_backup::base::failure_kind::FailureKind;

/// Success, or nothing to do.
pub const DONE: u8 = 0;
/// Failure of any kind that has no code of its own.
pub const FAILED: u8 = 1;
/// Wrong usage, for which clap uses the same code; here a config file with a mistake.
pub const USAGE: u8 = 2;
/// Success, but with problems that were reported.
pub const DONE_WITH_PROBLEMS: u8 = 3;
/// Interrupted by the user.
pub const INTERRUPTED: u8 = 130;

/// Returns the exit code of a kind of failure; `kind()` of each error type tells its kind. Code 2
/// (usage) belongs to clap.
pub fn code(kind: FailureKind) -> u8 {
    match kind {
        FailureKind::NoDevice => 4,
        FailureKind::Locked => 5,
        FailureKind::WrongPassword => 6,
        FailureKind::NoSpace => 7,
        FailureKind::Lost => 8,
        FailureKind::Interrupted => INTERRUPTED,
        _ => FAILED,
    }
}

/// Returns the most severe of several phones' codes: any failure before problems before success.
pub fn worst(codes: &[u8]) -> u8 {
    let rank = |code: &&u8| match **code {
        DONE => 0,
        DONE_WITH_PROBLEMS => 1,
        INTERRUPTED => 3,
        _ => 2,
    };
    codes.iter().max_by_key(rank).copied().unwrap_or(DONE)
}

/// Describes a code in a few words.
pub fn words(code: u8) -> &'static str {
    match code {
        DONE => "done, or nothing to do",
        USAGE => "wrong usage",
        DONE_WITH_PROBLEMS => "done, with problems",
        4 => "no device",
        5 => "locked, not trusted, or no passcode",
        6 => "wrong backup password",
        7 => "no space",
        8 => "connection lost",
        INTERRUPTED => "interrupted",
        _ => "failed",
    }
}
