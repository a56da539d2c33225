//! Options of pages that act: how phones are reached, and how a backup is made.

use std::path::Path;
use std::sync::{Arc, Mutex};

use super::jobs::Job;
use super::site::locked;
use crate::automation::policy::{Described, Plan};
use crate::automation::pushing::PushConditions;
use crate::automation::schedule::When;
use crate::automation::schedule::job_state::Jobs;
use crate::backup;
use crate::base::cancel::CancelToken;
use crate::base::failure_kind::FailureKind;
use crate::base::progress::Monitor;
use crate::device::connector::Connector;
use crate::repository::PushReport;
use crate::store::Store;
use crate::{device, history, restore, store, verify};

/// Means of the pages to act on phones and backups.
pub struct Acting {
    /// Reaches phones. Called when a phone is first needed, and again if no way to phones worked.
    pub connect: Box<dyn Fn() -> Result<Connector, Described> + Send + Sync>,
    /// The options of each backup.
    pub backup: backup::Options,
    /// The waits and hooks of each backup. Its conditions should allow a backup at any time.
    pub plan: Plan,
    /// The push to a repository after each backup, if one is wanted.
    pub push: Option<Pushing>,
    /// The jobs that the system starts, if they are known.
    pub schedule: Option<Schedule>,
    /// Describes a failure, with the program's advice.
    pub describe: fn(Error) -> Described,
    /// Called after each job, since it may have changed the store.
    pub changed: fn(&Store),
    /// Returns the command that restores the backup in a folder.
    pub restore_command: fn(&Path) -> String,
}

/// Pushes what a repository does not have yet. The token cancels it.
pub type PushAll = Box<
    dyn Fn(&Store, &Arc<CancelToken>, &dyn Monitor) -> Result<PushReport, Described> + Send + Sync,
>;

/// The push of backups to a repository after each backup.
pub struct Pushing {
    /// The place of the repository without a password, if it is known.
    pub location: Option<String>,
    /// Conditions of a push.
    pub conditions: PushConditions,
    /// Pushes the backups of a store.
    pub push: PushAll,
}

/// Result of a change of the schedule.
pub type Changed = Result<(), Described>;

/// Adds a job of a name, with its times, that makes backups into a store.
pub type AddJob = Box<dyn Fn(&str, When, &Store) -> Changed + Send + Sync>;

/// The jobs that the system starts, and the means to change them.
pub struct Schedule {
    /// The jobs of this user.
    pub jobs: Jobs,
    /// Adds a job of this name that makes backups into a store.
    pub add: AddJob,
    /// Removes the job of this name.
    pub remove: Box<dyn Fn(&str) -> Changed + Send + Sync>,
}

/// The reasons that an action fails.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A phone could not be reached.
    #[error(transparent)]
    Device(#[from] device::Error),
    /// A backup run failed.
    #[error(transparent)]
    Backup(#[from] backup::Error),
    /// A check could not be done.
    #[error(transparent)]
    Verify(#[from] verify::Error),
    /// A rehearsal failed.
    #[error(transparent)]
    Restore(#[from] restore::Error),
    /// A snapshot could not be changed.
    #[error(transparent)]
    History(#[from] history::Error),
    /// The store could not be used.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Error {
    /// Returns the kind of failure.
    pub fn kind(&self) -> FailureKind {
        match self {
            Error::Device(e) => e.kind(),
            Error::Backup(e) => e.kind(),
            Error::Verify(e) => e.kind(),
            Error::Restore(e) => e.kind(),
            Error::History(e) => e.kind(),
            Error::Store(e) => e.kind(),
        }
    }
}

/// The options for acting, and the connection to phones once it was needed.
pub(super) struct Hands {
    acting: Acting,
    connector: Mutex<Option<Connector>>,
}

impl Hands {
    pub(super) fn new(acting: Acting) -> Hands {
        Hands {
            acting,
            connector: Mutex::default(),
        }
    }

    pub(super) fn options(&self) -> &Acting {
        &self.acting
    }

    /// Describes a failure, with the program's advice.
    pub(super) fn describe(&self, error: impl Into<Error>) -> Described {
        (self.acting.describe)(error.into())
    }

    /// Returns a connection to the phones whose waits `token` cancels.
    pub(super) fn connector(&self, token: &Arc<CancelToken>) -> Result<Connector, Described> {
        let mut kept = locked(&self.connector);
        if kept.is_none() {
            *kept = Some((self.acting.connect)()?);
        }
        let connector = kept.as_ref().map(|known| known.with_token(token.clone()));
        connector.ok_or_else(Job::internal_error)
    }

    /// Closes the connection, so that the next use chooses a way to the phones again.
    pub(super) fn disconnect(&self) {
        *locked(&self.connector) = None;
    }
}
