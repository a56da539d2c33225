//! The reasons that a part of a backup is not restored.

/// The reasons that a part of a backup is not restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoPart {
    /// The phone has iOS 27 or later.
    #[error(
        "since iOS 27 a phone that is given a part of a backup removes the rest of settings, messages and photos, so no part is restored to it"
    )]
    Ios27,
    /// The phone does not report its version of iOS.
    #[error("the phone does not tell its iOS, and from iOS 27 on parts of a backup do harm")]
    UnknownIos,
    /// The list of files is Manifest.mbdb.
    #[error(
        "parts are not restored of backups of iOS 9 and before: their list is Manifest.mbdb, of which no shorter one is made"
    )]
    OldList,
    /// The backup is encrypted, and so is its list of files.
    #[error(
        "parts are restored only of backups that are not encrypted: the phone's list of files would have to be encrypted anew"
    )]
    Encrypted,
    /// The phone was to remove everything that the part does not contain.
    #[error("a part together with --remove-others would remove all the rest from the phone")]
    RemoveOthers,
    /// The user has not accepted the risk.
    #[error(
        "no phone maker's program restores parts of a backup, and nobody here has tried it with a real phone: it may leave the phone in need of being erased"
    )]
    Untried,
}
