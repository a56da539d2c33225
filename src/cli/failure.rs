//! The program's own error type: any error of the library, or a failure of the command line.

use std::io;
use std::path::PathBuf;

use idev_backup::automation::schedule::job_state;
use idev_backup::base::failure_kind::FailureKind;
use idev_backup::{
    backup, device, encryption, export, history, reader, repository, restore, store, transport,
    verify,
};

/// The reasons that a command fails.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A phone could not be reached, or one of its services failed.
    #[error(transparent)]
    Device(#[from] device::Error),
    /// A backup could not be read.
    #[error(transparent)]
    Read(#[from] reader::Error),
    /// Files could not be exported.
    #[error(transparent)]
    Export(#[from] export::Error),
    /// The store could not be used.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The store that receives a copy could not be used.
    #[error(transparent)]
    CopyTarget(store::Error),
    /// A check or a repair could not be done.
    #[error(transparent)]
    Verify(#[from] verify::Error),
    /// The history of a phone could not be read or changed.
    #[error(transparent)]
    History(#[from] history::Error),
    /// A backup run failed.
    #[error(transparent)]
    Backup(#[from] backup::Error),
    /// The encryption of a phone's backups could not be read or changed.
    #[error(transparent)]
    Encryption(#[from] encryption::Error),
    /// A restore or its rehearsal failed.
    #[error(transparent)]
    Restore(#[from] restore::Error),
    /// A repository could not be used.
    #[error(transparent)]
    Repository(#[from] repository::Error),
    /// A scheduled job could not be read, changed or run.
    #[error(transparent)]
    Schedule(#[from] job_state::Error),
    /// A file that the user named cannot be written.
    #[error("cannot write {}: {cause}", .path.display())]
    Output {
        /// The path of the file.
        path: PathBuf,
        /// The error of the operating system.
        #[source]
        cause: io::Error,
    },
    /// A password is needed, and none was given.
    #[error("{why}")]
    NoPassword {
        /// The reason, as a whole sentence.
        why: String,
    },
    /// The password of the repository is needed, and none was given.
    #[error("{why}")]
    NoRepositoryPassword {
        /// The reason, as a whole sentence.
        why: String,
    },
    /// No valid new password was typed.
    #[error("no new password was given: {why}")]
    Mistyped {
        /// The reason it was not accepted.
        why: &'static str,
    },
    /// The command line, the config file or a file that the user named is not as it must be.
    #[error("{what}")]
    Command {
        /// The message, as a whole sentence.
        what: String,
        /// Advice for the user.
        hint: String,
    },
    /// The default store does not exist, because no backup was made yet.
    #[error("there is no store yet at {}", .path.display())]
    NoStoreYet {
        /// The folder of the default store.
        path: PathBuf,
        /// True if the user has used other stores.
        has_others: bool,
    },
    /// The default store does not exist, and the command may not make it without being asked to.
    #[error("there is no store yet at {}", .path.display())]
    NoStoreMade {
        /// The folder of the default store.
        path: PathBuf,
    },
    /// The user did not agree.
    #[error("{0}")]
    Declined(&'static str),
    /// The user interrupted the command.
    #[error("interrupted")]
    Interrupted,
}

/// A push that failed, as a problem of the run that wanted it.
#[derive(Debug, thiserror::Error)]
#[error("the push to the repository failed: {0}")]
pub struct PushFailed(#[source] pub Failure);

impl Failure {
    /// Returns the kind of failure, which decides the exit code.
    pub fn kind(&self) -> FailureKind {
        match self {
            Failure::Device(e) => e.kind(),
            Failure::Read(e) => e.kind(),
            Failure::Export(e) => e.kind(),
            Failure::Store(e) | Failure::CopyTarget(e) => e.kind(),
            Failure::Verify(e) => e.kind(),
            Failure::History(e) => e.kind(),
            Failure::Backup(e) => e.kind(),
            Failure::Encryption(e) => e.kind(),
            Failure::Restore(e) => e.kind(),
            Failure::Repository(e) => e.kind(),
            Failure::Schedule(e) => e.kind(),
            Failure::Output { cause, .. } => FailureKind::of_disk(cause),
            Failure::NoPassword { .. }
            | Failure::NoRepositoryPassword { .. }
            | Failure::Mistyped { .. } => FailureKind::WrongPassword,
            Failure::Command { .. }
            | Failure::NoStoreYet { .. }
            | Failure::NoStoreMade { .. }
            | Failure::Declined(_) => FailureKind::Failed,
            Failure::Interrupted => FailureKind::Interrupted,
        }
    }
}

impl From<transport::Error> for Failure {
    fn from(e: transport::Error) -> Failure {
        Failure::Device(e.into())
    }
}
