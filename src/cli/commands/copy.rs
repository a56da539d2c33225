//! `idev-backup copy`

use std::path::{Path, PathBuf};

use clap::Args;
use idev_backup::history::adopt;
use idev_backup::history::change::{self, Chosen};
use idev_backup::store::Store;

use crate::cli::args::output::OutputArgs;
use crate::cli::args::store::{self, StoreArgs, path_parser};
use crate::cli::failure::Failure;
use crate::cli::render::taken::reported;

/// Copy a snapshot into a store on another disk
///
/// Example:  idev-backup copy latest /media/disk/backups
///
/// Each file is compared with the hash that it had when it was received, and read again once all
/// files are copied. Files that an interrupted run has copied are not copied again.
#[derive(Args)]
pub struct Copy {
    /// The snapshot: its time or the beginning of it, its tag, `latest`, a phone, or its folder
    snapshot: String,
    /// The store to copy it into
    #[arg(value_parser = path_parser())]
    target: PathBuf,
    /// Create the target store if it does not exist [default: only in a terminal]
    #[arg(long)]
    new_store: bool,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl Copy {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        reported("copied", self.output.style(), |watch| {
            let from: Chosen = change::find::<Failure>(self.store.open(), &self.snapshot)?;
            let source = &from.store;
            let target = store::whole(&self.target)?;
            apart(&target, source)?;
            let target = store::open(&target, self.new_store, true)?;
            target.make(watch)?;
            // The target of `..` is certain only now that the whole path exists.
            apart(target.root(), source)?;
            Ok(adopt::copy(&from, &target, watch)?)
        })
    }
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
