//! The error codes of lockdown, with our explanations.

/// Error code of lockdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    /// The code in the phone's answer.
    pub code: &'static str,
    /// The meaning, as a clause for error messages.
    pub meaning: &'static str,
    /// Advice for the user.
    pub hint: &'static str,
}

const fn word(code: &'static str, meaning: &'static str, hint: &'static str) -> Word {
    Word {
        code,
        meaning,
        hint,
    }
}

const UNLOCK: &str = "unlock the phone with its passcode and try again";

const PAIR_AGAIN: &str = "pair again: `idev-backup pair`, then tap Trust on the phone";

const ASK_THE_ADMINISTRATOR: &str = "ask the phone's administrator to allow pairing (Apple \
    Configurator: \"supervision identity\")";

const CONNECT_AGAIN: &str = "check the cable, unlock the phone, and try again";

/// Lockdown's error codes, with our explanations.
pub const WORDS: [Word; 15] = [
    word("PasswordProtected", "the phone is locked", UNLOCK),
    word("DeviceLocked", "the phone is locked", UNLOCK),
    word(
        "EscrowLocked",
        "the phone has not been unlocked since it was switched on",
        UNLOCK,
    ),
    word(
        "UserDeniedPairing",
        "\"Don't Trust\" was tapped on the phone",
        "run `idev-backup pair` again and tap Trust",
    ),
    word(
        "PairingDialogResponsePending",
        "the phone waits for Trust to be tapped",
        "unlock the phone, tap Trust and enter the passcode",
    ),
    word(
        "InvalidHostID",
        "the phone has forgotten this computer",
        PAIR_AGAIN,
    ),
    word(
        "MissingHostID",
        "the phone has forgotten this computer",
        PAIR_AGAIN,
    ),
    word(
        "MCChallengeRequired",
        "the phone is managed by an organisation that restricts pairing",
        ASK_THE_ADMINISTRATOR,
    ),
    word(
        "MCProtected",
        "the phone is managed by an organisation that restricts pairing",
        ASK_THE_ADMINISTRATOR,
    ),
    word(
        "PairingProhibitedOverThisConnection",
        "the phone can only be paired by cable",
        "connect the phone by cable once and run `idev-backup pair`",
    ),
    word(
        "ServiceLimit",
        "too many programs are using the phone",
        "close other programs that use the phone, or restart it",
    ),
    // A phone reports this also during an update, or if its backup agent has died.
    word(
        "InvalidService",
        "this iOS version does not have the service",
        "restart the phone and try again",
    ),
    word(
        "InvalidConnection",
        "the phone closed the session",
        CONNECT_AGAIN,
    ),
    word(
        "SessionInactive",
        "the phone closed the session",
        CONNECT_AGAIN,
    ),
    word(
        "SavePairRecordFailed",
        "the phone cannot save the pairing",
        "restart the phone and run `idev-backup pair` again",
    ),
];

fn known(code: &str) -> Option<&'static Word> {
    WORDS.iter().find(|word| word.code == code)
}

/// Returns the meaning of an error code.
pub(super) fn meaning(code: &str) -> Option<&'static str> {
    known(code).map(|word| word.meaning)
}

/// Returns the advice for an error code.
pub(super) fn hint(code: &str) -> Option<&'static str> {
    known(code).map(|word| word.hint)
}
