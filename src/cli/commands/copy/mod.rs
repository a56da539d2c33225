//! `idev-backup copy`

mod all;

use std::path::{Path, PathBuf};

use clap::Args;
use idev_backup::history::change::{self, Chosen};
use idev_backup::history::{self, adopt};
use idev_backup::store::Store;

use crate::cli::args::device::OfPhoneArgs;
use crate::cli::args::folders;
use crate::cli::args::output::OutputArgs;
use crate::cli::args::store::{self, StoreArgs, path_parser};
use crate::cli::ctrl_c;
use crate::cli::failure::Failure;
use crate::cli::render::progress::Watch;
use crate::cli::render::taken::{CONTINUES, reported};

/// Copy a backup, or the backups of all phones, into a store on another disk
///
/// Example:  idev-backup copy latest /media/disk/backups
///           idev-backup copy --all --snapshots /media/disk/backups
///
/// Each file is compared with the hash that it had when it was received, and read again once all
/// files are copied. Files that an interrupted run has copied are not copied again.
#[derive(Args)]
#[command(allow_missing_positional = true, verbatim_doc_comment)]
pub struct Copy {
    /// The backup: its time or the beginning of it, its tag, `latest`, a phone, or its folder
    /// [default: the current backup, if the store has one phone]
    #[arg(conflicts_with = "all")]
    snapshot: Option<String>,
    /// The store to copy it into
    #[arg(value_parser = path_parser())]
    target: PathBuf,
    /// Copy the newest backup of every phone in the store
    #[arg(long, conflicts_with = "device")]
    all: bool,
    /// With --all, copy the older backups too
    #[arg(long, requires = "all")]
    snapshots: bool,
    /// Create the target store if it does not exist [default: only in a terminal]
    #[arg(long)]
    new_store: bool,
    #[command(flatten)]
    phone: OfPhoneArgs,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl Copy {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        ctrl_c::afterwards(CONTINUES);
        if self.all {
            return self.run_all();
        }
        reported("copied", self.output.style(), |watch| {
            let name = self.snapshot.as_deref();
            let from: Chosen =
                change::find_of::<Failure>(self.store.open(), name, self.phone.of())?;
            let target = self.target_for(&from.store, watch)?;
            let came = adopt::copy(&from, &target, watch);
            let came = came.map_err(|e| of_copy(e, &target))?;
            folders::remember_contents(&target);
            Ok(came)
        })
    }

    /// Opens the target, which must be apart from the store that holds the backups.
    fn target_for(&self, source: &Store, watch: &Watch<'_>) -> Result<Store, Failure> {
        let target = store::whole(&self.target)?;
        apart(&target, source)?;
        let target = store::open(&target, self.new_store, true).map_err(|e| match e {
            Failure::Store(e) => Failure::CopyTarget(e),
            e => e,
        })?;
        target.make(watch).map_err(Failure::CopyTarget)?;
        // The target of `..` is certain only now that the whole path exists.
        apart(target.root(), source)?;
        Ok(target)
    }
}

/// Returns the failure of a copy. If the target causes it, another target may help.
fn of_copy(error: history::Error, target: &Store) -> Failure {
    match error {
        history::Error::Store(e) if e.is_full() || is_below(&e, target.root()) => {
            Failure::CopyTarget(e)
        }
        e => e.into(),
    }
}

fn is_below(error: &idev_backup::store::Error, folder: &Path) -> bool {
    matches!(error, idev_backup::store::Error::Io { path, .. } if path.starts_with(folder))
}

fn apart(target: &Path, source: &Store) -> Result<(), Failure> {
    if within(target, source.root()) || within(source.root(), target) {
        Err(Failure::Command {
            what: format!(
                "{} is inside the store that holds the backup, or contains it",
                target.display()
            ),
            hint: "name a folder on another disk".to_owned(),
        })
    } else {
        Ok(())
    }
}

/// Returns true if `folder`, which need not exist yet, is equal to `other` or inside it.
fn within(folder: &Path, other: &Path) -> bool {
    let real = folder.ancestors().find_map(|part| {
        let rest = folder.strip_prefix(part).ok()?;
        Some(part.canonicalize().ok()?.join(rest))
    });
    real.is_some_and(|real| {
        other
            .canonicalize()
            .is_ok_and(|other| real.starts_with(other))
    })
}
