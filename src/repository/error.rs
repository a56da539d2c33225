//! The error type of repositories.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use crate::base::failure_kind::FailureKind;
use crate::{history, store};

/// The reasons that a repository cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The history of a phone cannot be read or changed.
    #[error(transparent)]
    History(#[from] history::Error),
    /// The program is not installed.
    #[error("{} is not installed, and repositories need it", .program.display())]
    NoProgram {
        /// The program that was looked for.
        program: OsString,
    },
    /// The program cannot be started.
    #[error("cannot start {}: {cause}", .program.display())]
    NotStarted {
        /// The path or name of the program.
        program: OsString,
        /// The error of the operating system.
        #[source]
        cause: io::Error,
    },
    /// The program is too old.
    #[error("{} is restic {found}, and {wanted} or newer is needed", .program.display())]
    TooOld {
        /// The path or name of the program.
        program: OsString,
        /// The version that was found.
        found: String,
        /// The oldest version that works.
        wanted: String,
    },
    /// The program does not answer as restic does.
    #[error("{} does not say which version of restic it is: {said:?}", .program.display())]
    NotRestic {
        /// The path or name of the program.
        program: OsString,
        /// The beginning of its answer.
        said: String,
    },
    /// No key of the repository has the password.
    #[error("the password does not open the repository {location}")]
    WrongPassword {
        /// The address of the repository.
        location: String,
    },
    /// The place holds no repository.
    #[error("there is no repository at {location}")]
    NoRepository {
        /// The address of the repository.
        location: String,
        /// The program's words.
        said: String,
    },
    /// There is a repository already.
    #[error("there is a repository at {location} already")]
    Exists {
        /// The address of the repository.
        location: String,
    },
    /// The storage has no such bucket or container.
    #[error("{location}: the storage has no such bucket: {said}")]
    NoBucket {
        /// The address of the repository.
        location: String,
        /// The program's words.
        said: String,
    },
    /// The storage refuses the login, or the login has expired.
    #[error("{location}: the storage refuses the login: {said}")]
    Refused {
        /// The address of the repository.
        location: String,
        /// The program's words.
        said: String,
    },
    /// The storage compares its clock with ours, and they differ too much.
    #[error("{location}: the clock of this computer is wrong, says the storage: {said}")]
    Clock {
        /// The address of the repository.
        location: String,
        /// The program's words.
        said: String,
    },
    /// The storage is full.
    #[error("{location}: the storage is full: {said}")]
    Full {
        /// The address of the repository.
        location: String,
        /// The program's words.
        said: String,
    },
    /// The connection was lost, or could not be made.
    #[error("{location}: the connection failed: {said}")]
    Lost {
        /// The address of the repository.
        location: String,
        /// The program's words.
        said: String,
    },
    /// Another program made the repository in a newer form.
    #[error("{location}: this version of restic cannot read the repository: {said}")]
    NewerForm {
        /// The address of the repository.
        location: String,
        /// The program's words.
        said: String,
    },
    /// Another program holds the lock, or one that was killed has left it.
    #[error("the repository {location} is locked: {said}")]
    Locked {
        /// The address of the repository.
        location: String,
        /// The program's words, which name the owner of the lock.
        said: String,
    },
    /// The storage accepts new data only.
    #[error("{location}: the storage only accepts new data and removes none: {said}")]
    AppendOnly {
        /// The address of the repository.
        location: String,
        /// The program's words.
        said: String,
    },
    /// Data of the repository is missing or altered.
    #[error("the repository {location} is damaged: {said}")]
    Damaged {
        /// The address of the repository.
        location: String,
        /// The program's words.
        said: String,
    },
    /// Files could not be read while they were pushed.
    #[error("{} of the backup could not be read while it was pushed: {first}", .files)]
    Incomplete {
        /// The number of files, in words.
        files: String,
        /// The first of them, with the reason.
        first: String,
        /// The snapshot that the program made of the others; it may be shortened.
        snapshot: Option<String>,
    },
    /// The backup was renamed or removed at this moment.
    #[error("the backup has left {}", .0.display())]
    Moved(PathBuf),
    /// The repository holds no backups, so none is the latest.
    #[error("the repository {location} holds no backups yet")]
    Empty {
        /// The address of the repository.
        location: String,
    },
    /// No snapshot has the name.
    #[error("the repository has no snapshot {0:?}")]
    NoSnapshot(String),
    /// Another program made the snapshot, so nothing says how its files were.
    #[error("this program did not push snapshot {0}, so the hashes of its files are not known")]
    NotPushed(String),
    /// The name fits several snapshots.
    #[error("{name:?} matches {} snapshots: {}", .candidates.len(), .candidates.join(", "))]
    Ambiguous {
        /// The name that was given.
        name: String,
        /// The snapshots that match.
        candidates: Vec<String>,
    },
    /// The disk of the store lacks the space for a backup.
    #[error("the backup takes {needed}, and {} has only {free} free", .store.display())]
    NoSpace {
        /// The folder of the store.
        store: PathBuf,
        /// The space that the backup takes, in words.
        needed: String,
        /// The free space, in words.
        free: String,
    },
    /// The snapshot has no such file.
    #[error("the snapshot has no {0}")]
    NoFile(String),
    /// The snapshot holds no backup of a phone.
    #[error("snapshot {0} holds no backup of a phone")]
    NoBackup(String),
    /// The program showed no progress for too long.
    #[error("restic showed no progress for {limit} ({doing})")]
    Silent {
        /// The work under way.
        doing: &'static str,
        /// The limit, in words.
        limit: String,
    },
    /// The program printed something else than it should.
    #[error("cannot {doing}: the answer of restic is not understood: {line:?}")]
    Garbage {
        /// The work under way.
        doing: &'static str,
        /// The beginning of the line.
        line: String,
    },
    /// The program ended with an error of another kind.
    #[error("cannot {doing}: restic ended with {status}: {said}")]
    Failed {
        /// The work under way.
        doing: &'static str,
        /// The exit status of the program.
        status: String,
        /// The text that it printed.
        said: String,
    },
    /// A file or pipe on this computer failed.
    #[error("cannot {doing}: {cause}")]
    Io {
        /// The work under way.
        doing: &'static str,
        /// The error of the operating system.
        #[source]
        cause: io::Error,
    },
    /// The user interrupted the work.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// Returns the kind of failure.
    pub fn kind(&self) -> FailureKind {
        match self {
            Error::Store(e) => e.kind(),
            Error::History(e) => e.kind(),
            Error::WrongPassword { .. } => FailureKind::WrongPassword,
            Error::Full { .. } | Error::NoSpace { .. } => FailureKind::NoSpace,
            Error::Lost { .. } | Error::Silent { .. } => FailureKind::Lost,
            Error::Io { cause, .. } => FailureKind::of_disk(cause),
            Error::Interrupted => FailureKind::Interrupted,
            _ => FailureKind::Failed,
        }
    }

    /// Returns true if the error concerns one backup, so that others can still be pushed.
    pub(super) fn is_of_one(&self) -> bool {
        matches!(self, Error::Incomplete { .. } | Error::Moved(_))
    }
}
