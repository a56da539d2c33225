//! The error codes of lockdown, with our explanations.

/// Error code of lockdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    /// The code in the phone's answer.
    pub code: &'static str,
    /// The meaning, as a clause for error messages.
    pub meaning: &'static str,
}

const fn word(code: &'static str, meaning: &'static str) -> Word {
    Word { code, meaning }
}

/// Since iOS 11, a phone forgets a computer after 30 days without contact (Apple Platform Security,
/// "Pairing model security for iPhone and iPad").
const FORGOTTEN: &str = "the phone has forgotten this computer, as it does after 30 days without \
    contact";

/// Lockdown's error codes, with our explanations.
pub const WORDS: [Word; 15] = [
    word("PasswordProtected", "the phone is locked"),
    word("DeviceLocked", "the phone is locked"),
    // Since iOS 18.1 a phone restarts after 72 hours locked (naehrdine.blogspot.com, 2024).
    word(
        "EscrowLocked",
        "the phone has not been unlocked since it was switched on, or since it restarted because \
        it was locked for 72 hours",
    ),
    word(
        "UserDeniedPairing",
        "\"Don't Trust\" was tapped on the phone",
    ),
    word(
        "PairingDialogResponsePending",
        "the phone waits for Trust to be tapped",
    ),
    word("InvalidHostID", FORGOTTEN),
    word("MissingHostID", FORGOTTEN),
    word(
        "MCChallengeRequired",
        "the phone is managed by an organisation that restricts pairing",
    ),
    word(
        "MCProtected",
        "the phone is managed by an organisation that restricts pairing",
    ),
    word(
        "PairingProhibitedOverThisConnection",
        "the phone can only be paired by cable",
    ),
    word("ServiceLimit", "too many programs are using the phone"),
    // A phone reports this also during an update, or if its backup agent has died.
    word(
        "InvalidService",
        "this iOS version does not have the service",
    ),
    word("InvalidConnection", "the phone closed the session"),
    word("SessionInactive", "the phone closed the session"),
    word("SavePairRecordFailed", "the phone cannot save the pairing"),
];

fn known(code: &str) -> Option<&'static Word> {
    WORDS.iter().find(|word| word.code == code)
}

/// Returns the meaning of an error code.
pub(super) fn meaning(code: &str) -> Option<&'static str> {
    known(code).map(|word| word.meaning)
}
