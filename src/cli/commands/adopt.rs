//! `idev-backup adopt` and `idev-backup copy`

use std::path::{Path, PathBuf};

use clap::Args;
use idev_backup::base::units::{counted, size};
use idev_backup::history::adopt::{self, Came, Taken};
use idev_backup::history::change::{self, Chosen};
use idev_backup::store::Store;

use super::create;
use crate::cli::args::output::OutputArgs;
use crate::cli::args::store::{self, StoreArgs, WritableStoreArgs, path_parser};
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::render::output::{self, Style};
use crate::cli::render::progress::{Show, Watch};

/// Take a backup of Finder, iTunes, iMazing or another program into the store.
///
/// Example:  idev-backup adopt ~/Library/Application\ Support/MobileSync/Backup/00008130-001A2B3C4D5E6F70
///
/// It is checked, copied (by clones of its blocks where the disk can) and checked again; what it is
/// taken from stays as it is. It becomes the phone's current backup if it is the newest, else a
/// snapshot of its own date. It is pinned: `unpin` leaves it to the rules.
#[derive(Args)]
pub struct Adopt {
    /// The backup's folder
    #[arg(value_parser = path_parser())]
    backup: PathBuf,
    /// Take it in though it is damaged
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    pub(crate) store: WritableStoreArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl Adopt {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        run("adopted", self.output, |watch| {
            let store = self.store.open_by_hand()?;
            Ok(adopt::adopt(&store, &self.backup, self.force, watch)?)
        })
    }
}

/// Copy a snapshot into a store on another disk.
///
/// Example:  idev-backup copy latest /media/disk/backups
///
/// Each file is compared with the hash that it had when it was received, and read once more when
/// all are there. What a copy that broke off has brought is not copied again.
#[derive(Args)]
pub struct Copy {
    /// The snapshot: its time or how that begins, a name that it was given, `latest`, a phone, or
    /// its folder
    snapshot: String,
    /// The store to copy it into
    #[arg(value_parser = path_parser())]
    target: PathBuf,
    /// Make a new store of the target if it is none [default: only in a terminal]
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
        run("copied", self.output, |watch| {
            let from: Chosen = change::find::<Failure>(self.store.open(), &self.snapshot)?;
            let source = &from.store;
            let target = store::whole(&self.target)?;
            apart(&target, source)?;
            let target = store::open(&target, self.new_store, true)?;
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
                "{} lies in the store that the backup is in, or around it",
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

fn run(event: &str, how: OutputArgs, job: impl FnOnce(&Watch<'_>) -> Result<Came, Failure>) -> u8 {
    let show = Show::new(how.style());
    let watch = show.watch(None, None);
    let taken = job(&watch);
    watch.finish();
    let taken = match taken {
        Err(e) => return output::failure(&e, None, how.json),
        Ok(Came::There { udid, why }) => {
            create::skipped(Some(udid.as_str()), "", &why, how.style());
            return exit::DONE;
        }
        Ok(Came::Taken(taken)) => taken,
    };
    match how.style() {
        Style::Json => output::object(event, Some(&taken.udid), &taken),
        Style::Quiet => {}
        Style::People => tell(&taken),
    }
    match (taken.damage, watch.problems()) {
        (0, 0) => exit::DONE,
        _ => exit::DONE_WITH_PROBLEMS,
    }
}

fn tell(taken: &Taken) {
    let copied = &taken.copied;
    let files = copied.copied + copied.there + copied.shared;
    let mut ways = vec![format!("{} copied", counted(copied.copied, "file"))];
    for (count, words) in [
        (copied.there, "there already"),
        (copied.shared, "shared with another snapshot there"),
        (copied.left_out, "left out that no backup holds"),
    ] {
        if count > 0 {
            ways.push(format!("{count} {words}"));
        }
    }
    output::line(&format!(
        "{}, {}: {}. Each was read again, and is what was read.",
        counted(files, "file"),
        size(copied.bytes),
        ways.join(", ")
    ));
    let what = if taken.current {
        "the phone's current backup"
    } else {
        "a snapshot of its own date"
    };
    output::line(&format!("  {} is {what}.", taken.path));
}
