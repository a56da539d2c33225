//! The concerns of findings before a restore that call for an action of the user.

use std::sync::Arc;

use crate::restore::Error;

/// The concern of a finding before a restore. A program gives its advice by it.
#[derive(Debug, Clone)]
pub enum Concern {
    /// An error prevents the restore, or a part of the preflight.
    Failed(Arc<Error>),

    /// The check of the backup has remarks.
    Remarks,
    /// The check could not look at everything.
    Unchecked,
    /// The backup is damaged.
    Damaged {
        /// The folder of the backup.
        path: String,
        /// True if the store may hold undamaged copies of its files.
        can_be_repaired: bool,
        /// True if the phone does not notice the damage.
        is_tolerated: bool,
    },
    /// An earlier check found the backup damaged.
    KnownDamage,
    /// The backup is not damaged, and cannot be restored as it is.
    NotRestorable,
    /// The phone did not finish the backup.
    NotFinished,
    /// The files of the backup are elsewhere and were not checked.
    NotFetched,
    /// The store lacks the space for the backup.
    StoreFull {
        /// The bytes that must be freed.
        missing_bytes: u64,
    },
    /// The backup is encrypted, and no password is given.
    NoPassword,
    /// The backup is not encrypted.
    NotEncrypted,

    /// The phone is connected over Wi-Fi.
    OverWifi,
    /// The phone's setup is not finished.
    NotSetUp,
    /// The phone is locked.
    Locked,
    /// The phone's battery is low.
    BatteryLow,
    /// The phone has an older iOS than the backup.
    OlderIos {
        /// The iOS version of the backup.
        needed: String,
    },
    /// The phone lacks free space.
    PhoneFull {
        /// The bytes that must be freed.
        missing_bytes: u64,
    },
    /// Find My is on.
    FindMyOn,
    /// The phone does not say if Find My is on.
    FindMyUnknown,
    /// The phone must encrypt its backups, and this one is not encrypted.
    EncryptionRequired,
    /// The phone may no longer encrypt its backups afterwards.
    EncryptionMayEnd,
}
