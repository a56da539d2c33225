//! The error type of restores.

use std::io;
use std::path::PathBuf;

use crate::base::failure_kind::FailureKind;
use crate::base::units::{counted, size};
use crate::mobilebackup::error_codes::Refusal;
use crate::restore::Line;
use crate::restore::left::Left;
use crate::restore::no_part::NoPart;
use crate::{device, mobilebackup, reader, store, transport, verify};

/// The reasons that a restore, or its rehearsal, fails.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The connection to the phone, or one of the phone's services, failed.
    #[error(transparent)]
    Device(#[from] device::Error),
    /// The store could not be read or written.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The backup cannot be read.
    #[error(transparent)]
    Read(#[from] reader::Error),
    /// The backup cannot be checked.
    #[error(transparent)]
    Verify(#[from] verify::Error),
    /// The preflight found problems that would make the restore fail.
    #[error("this restore would fail, so it was not started{}", lines(.0))]
    NotReady(Vec<Line>),
    /// The backup is damaged; nothing was sent.
    #[error("the backup is damaged, so nothing was sent to the phone: {}", .0.first_damage())]
    SourceDamaged(Box<verify::Report>),
    /// The contents of files were found altered while they were sent. The phone did not receive the
    /// end of its request, so it did not accept anything.
    #[error(
        "the backup is damaged, so this computer ended the restore before the phone had all files: \
         {}\n  {left}",
        .report.first_damage()
    )]
    Altered {
        /// The check before the restore, with the altered files as its findings.
        report: Box<verify::Report>,
        /// The state in which the phone was left.
        left: Left,
    },
    /// The dialog ended before the phone gave its verdict.
    #[error("{cause}\n  {left}")]
    Dialog {
        /// The error that ended the dialog.
        #[source]
        cause: mobilebackup::Error,
        /// The state in which the phone was left.
        left: Left,
    },
    /// The phone refused the restore.
    #[error("{refusal}\n  {}", after_refusal(*.left))]
    Refused {
        /// The phone's reason.
        refusal: Refusal,
        /// The state in which the phone was left.
        left: Left,
    },
    /// The phone reported success and asked for no file of the backup.
    #[error(
        "the phone reported success but did not ask for any of the {} that the backup's list \
         names: nothing was restored",
        counted(*.listed, "file")
    )]
    NothingTaken {
        /// The number of files in the list.
        listed: u64,
    },
    /// This part of a backup is not restored.
    #[error(transparent)]
    NoPart(#[from] NoPart),
    /// No domain of the backup matches the patterns.
    #[error("no domain of the backup matches {}", .0.join(", "))]
    NoDomain(Vec<String>),
    /// The list of files for a partial restore cannot be written.
    #[error("cannot write the list of files for the partial restore to {}: {cause}", std::env::temp_dir().display())]
    NoPlaceForList {
        /// The error of the operating system.
        #[source]
        cause: io::Error,
    },
    /// The folder for temporary files cannot be used by a rehearsal.
    #[error(
        "the rehearsal could not be completed: the folder for temporary files, {}, cannot be \
         used: {cause}",
        .place.display()
    )]
    NoPlaceForRehearsal {
        /// The folder for temporary files.
        place: PathBuf,
        /// The error of the operating system.
        #[source]
        cause: io::Error,
    },
    /// The folder for temporary files lacks space for a rehearsal.
    #[error(
        "the rehearsal could not be completed: its lists take up to {}, and {} has {} free",
        size(*.need_bytes), .place.display(), size(*.free_bytes)
    )]
    NoSpaceForRehearsal {
        /// The folder for temporary files.
        place: PathBuf,
        /// The space that the rehearsal may need.
        need_bytes: u64,
        /// The free space.
        free_bytes: u64,
    },
    /// The simulated phone of a rehearsal failed. No real phone was involved.
    #[error("the rehearsal could not be completed: {}", simulated(.0))]
    SimulatedPhone(Box<Error>),
    /// The simulated phone of a rehearsal kept no record of what it received.
    #[error("the rehearsal could not be completed: the simulated phone kept no record of it")]
    NoLedger,
    /// The restore was cancelled.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// Returns the kind of failure.
    pub fn kind(&self) -> FailureKind {
        match self {
            Error::Device(e) => e.kind(),
            Error::Store(e) => e.kind(),
            Error::Read(e) => e.kind(),
            Error::Verify(e) => e.kind(),
            Error::Dialog { cause, .. } => cause.kind(),
            Error::Refused { refusal, .. } => refusal.kind,
            Error::NoPlaceForRehearsal { cause, .. } => FailureKind::of_disk(cause),
            Error::SimulatedPhone(e) if e.kind() == FailureKind::WrongPassword => e.kind(),
            Error::NoSpaceForRehearsal { .. } => FailureKind::NoSpace,
            Error::Interrupted => FailureKind::Interrupted,
            _ => FailureKind::Failed,
        }
    }
}

impl From<transport::Error> for Error {
    fn from(e: transport::Error) -> Error {
        Error::Device(e.into())
    }
}

fn lines(lines: &[Line]) -> String {
    let mut text = String::new();
    for line in lines {
        text.push_str("\n  ");
        text.push_str(&line.says);
        if let Some(means) = &line.means {
            text.push_str(": ");
            text.push_str(means);
        }
    }
    text
}

fn after_refusal(left: Left) -> String {
    match left {
        Left::All { .. } => {
            "The phone had received all files but rejected them: it is unchanged.".to_owned()
        }
        left => left.to_string(),
    }
}

fn simulated(error: &Error) -> String {
    match error {
        Error::Dialog { cause, .. } => format!("the simulated phone ended it: {cause}"),
        Error::Refused { refusal, .. } => format!("the simulated phone refused: {refusal}"),
        other => format!("the simulated phone failed: {other}"),
    }
}
