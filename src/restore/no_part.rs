//! The reasons that a part of a backup is not restored.

/// The reasons that a part of a backup is not restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoPart {
    /// The phone has iOS 27 or later.
    #[error(
        "since iOS 27, a partial restore removes all other settings, messages and photos from the \
         phone, so partial restores to it are refused"
    )]
    Ios27,
    /// The phone does not report its version of iOS.
    #[error(
        "the phone does not report its iOS version, and partial restores remove data since iOS 27"
    )]
    UnknownIos,
    /// The list of files is Manifest.mbdb.
    #[error(
        "partial restores of backups of iOS 9 and earlier are not supported: their list is \
         Manifest.mbdb, which cannot be shortened"
    )]
    OldList,
    /// The backup is encrypted, and so is its list of files.
    #[error(
        "partial restores of encrypted backups are not supported: the phone's list of files would \
         have to be encrypted again"
    )]
    Encrypted,
    /// The phone was to remove everything that the part does not contain.
    #[error(
        "a partial restore that removes what the backup does not have would remove everything \
         else from the phone"
    )]
    RemoveOthers,
    /// The user has not accepted the risk.
    #[error(
        "Apple's programs do not offer partial restores, and this one has not been tested with a \
         real phone: the phone may have to be erased afterwards"
    )]
    Untried,
}
