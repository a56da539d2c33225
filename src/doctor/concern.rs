//! The concerns of findings that call for an action of the user.

use std::fmt;
use std::sync::Arc;

use crate::automation::schedule::{install, job_state};
use crate::{device, store};

/// The concern of a finding that calls for an action of the user. A program gives its advice by it.
#[derive(Debug, Clone)]
pub enum Concern {
    /// A fact could not be found out.
    Trouble(Trouble),

    /// iOS is not running on the phone: it is in recovery or DFU mode.
    NotInIos,
    /// This user may not open the phone's device node, and no daemon is used.
    NodeRefused,
    /// The device node does not exist.
    NoNode,
    /// usbmuxd does not see the phone, whose device node only its own user may open.
    NodeOfUsbmuxd,
    /// usbmuxd does not see the phone.
    NotDetected,
    /// libusb sees no interface for backups on the phone.
    NoInterface,
    /// The phone is connected at the speed of USB 1.1.
    SlowUsb,
    /// Another program that works with phones is running.
    OtherProgram,

    /// No answer to any mDNS query arrives.
    NoMulticast,
    /// Another program holds the port of mDNS.
    PortHeld,
    /// This computer has no network connection.
    NoNetwork,
    /// A phone will soon forget this computer.
    TrustEnds,

    /// The phone stopped answering.
    PhoneSilent,
    /// The phone is connected by Wi-Fi.
    OverWifi,
    /// This computer is not paired with the phone.
    NotPaired,
    /// The pair record has no escrow bag.
    NoEscrowBag,
    /// The phone is locked.
    Locked,
    /// The phone must encrypt its backups, and has no backup password.
    EncryptionRequired,
    /// The phone does not encrypt its backups.
    NotEncrypted,
    /// The phone's battery is low.
    BatteryLow,
    /// The phone lacks free space.
    PhoneFull,
    /// The clocks of phone and computer differ.
    ClocksDiffer,
    /// The phone has not been set up.
    NotSetUp,
    /// Another program is syncing the phone.
    Syncing,
    /// Another program may be syncing the phone; this is unknown.
    SyncUnknown(Trouble),
    /// The phone's iOS version cannot be read.
    IosUnknown,
    /// The phone's iOS version can end a backup at a certain file.
    IosEndsEarly,
    /// The phone's iOS version may not confirm a backup.
    IosUnconfirmed,

    /// The disk of the store does not answer.
    StoreSilent,
    /// The folder is not a store yet.
    NoStoreYet,
    /// The disk of the store can share no files between backups.
    NoSharing,
    /// The disk of the store cannot hold large files.
    NoLargeFiles,
    /// A backup was interrupted, and its draft is left.
    DraftLeft,
    /// The store has no backup of the phone.
    NoBackup,
    /// The last good backup of the phone is too old.
    Overdue,
    /// This user may not read the current backup.
    BackupRefused,
    /// The current backup was never finished.
    NotFinished,
    /// A check found the current backup damaged.
    Damaged,
    /// The current backup does not say when it was made.
    NoDate,
    /// The current backup was made in the future.
    FutureDate,
    /// No backup of the phone was verified for a long time.
    NotVerified,
    /// The store may lack space for the next backup.
    StoreFull {
        /// The bytes that must be freed.
        missing_bytes: u64,
    },

    /// No repository for copies elsewhere is set up.
    NoRepository,
    /// A backup waits too long for its push to the repository.
    NotPushed,
    /// The last push failed.
    PushFailed,
    /// Programs on this computer can delete the repository.
    CopiesCanBeWiped,
    /// Programs on this computer may be able to delete the repository.
    CopiesMayBeWiped,

    /// There are no jobs.
    NoJobs,
    /// A job failed.
    JobFailed {
        /// The name of the job.
        name: String,
    },
    /// The scheduler does not have a job.
    JobNotInstalled {
        /// The name of the job.
        name: String,
    },
    /// A job was killed.
    JobKilled {
        /// The name of the job.
        name: String,
    },
    /// A job did not run when it should.
    JobMissed {
        /// The name of the job.
        name: String,
    },
    /// A job does not end.
    JobHangs,
    /// A newer version of the program made a job.
    JobNewer,
    /// The record of a job's last run cannot be read.
    JobUnrecorded,
    /// The file of a job cannot be used.
    Job(Arc<job_state::Error>),
    /// The scheduler cannot be asked about a job.
    Scheduler(Arc<install::Error>),
}

/// A failure to find out a fact.
#[derive(Debug, Clone)]
pub enum Trouble {
    /// A phone did not give it.
    Device(Arc<device::Error>),
    /// The phones cannot be listed.
    List {
        /// The error of the connection.
        cause: Arc<device::Error>,
        /// True if usbmuxd lists them, false if they are found on USB.
        by_daemon: bool,
    },
    /// The phones cannot be listed, because usbmuxd or USB does not answer.
    NoAnswer {
        /// The address of usbmuxd; `None` if it is not used.
        address: Option<String>,
    },
    /// The store did not give it.
    Store(Arc<store::Error>),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Device(cause) | Trouble::List { cause, .. } => cause.fmt(f),
            Trouble::NoAnswer { address: Some(at) } => {
                write!(f, "usbmuxd on {at} accepts requests but does not answer")
            }
            Trouble::NoAnswer { address: None } => {
                f.write_str("this computer's USB does not answer")
            }
            Trouble::Store(cause) => cause.fmt(f),
        }
    }
}

impl From<device::Error> for Trouble {
    fn from(e: device::Error) -> Trouble {
        Trouble::Device(Arc::new(e))
    }
}

impl From<store::Error> for Trouble {
    fn from(e: store::Error) -> Trouble {
        Trouble::Store(Arc::new(e))
    }
}
