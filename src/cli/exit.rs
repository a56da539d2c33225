//! Exit codes. Stable: scripts rest on them, and docs/guide.md lists them.

use idev_backup::jobs::Class;

/// Done.
pub const DONE: u8 = 0;
/// Failed.
pub const FAILED: u8 = 1;
/// Wrong usage, which clap ends with too: here a config file with a mistake.
pub const USAGE: u8 = 2;
/// Done, with problems that were told.
pub const DONE_WITH_PROBLEMS: u8 = 3;
/// Interrupted by the user.
pub const INTERRUPTED: u8 = 130;

/// The code of a kind of failure. 2 (usage) is clap's.
pub fn code(class: Class) -> u8 {
    class.exit_code()
}

/// Of several phones' codes the one that says most: any failure before problems before success.
pub fn worst(codes: &[u8]) -> u8 {
    let rank = |code: &&u8| match **code {
        DONE => 0,
        DONE_WITH_PROBLEMS => 1,
        INTERRUPTED => 3,
        _ => 2,
    };
    codes.iter().max_by_key(rank).copied().unwrap_or(DONE)
}

/// What a code means, in a few words.
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
