//! `idev-backup repository pull`

use clap::Args;
use idev_backup::history::adopt::Came;
use idev_backup::repository::{self, choose, list};

use crate::cli::args::device::OfPhoneArgs;
use crate::cli::args::folders;
use crate::cli::args::output::OutputArgs;
use crate::cli::args::repository::RepositoryArgs;
use crate::cli::args::store::{self, StoreArgs};
use crate::cli::ctrl_c;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::render::output;
use crate::cli::render::progress::{Show, Watch};
use crate::cli::render::taken::came;

/// Pull a backup from the repository into a store
///
/// Example:  idev-backup repository pull latest --store /media/disk/backups
///
/// Every byte is compared with the hashes in the backup's own list. A snapshot that restic made of
/// a store works too; it may hold several backups. Running backups are not disturbed.
#[derive(Args)]
pub struct Pull {
    /// The backup: its id or the beginning of it, its time or the beginning of it, `latest`, or a
    /// phone
    #[arg(value_name = "SNAPSHOT")]
    snapshot: String,
    /// Create the store if it does not exist [default: only in a terminal]
    #[arg(long)]
    new_store: bool,
    #[command(flatten)]
    phone: OfPhoneArgs,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    repository: RepositoryArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl Pull {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        ctrl_c::afterwards("the store is unchanged; run the same command again");
        let style = self.output.style();
        let show = Show::new(style);
        let watch = show.watch(None, None);
        let pulled = self.pull(&watch);
        watch.finish();
        match pulled {
            Err(e) => output::failure(&e, None, self.output.json),
            Ok(all) => {
                let codes = all.iter().map(|one| came("pulled", one, &watch, style));
                exit::worst(&codes.collect::<Vec<_>>())
            }
        }
    }

    fn pull(&self, watch: &Watch<'_>) -> Result<Vec<Came>, Failure> {
        let target = store::open(&self.store.path()?, self.new_store, true)?;
        let restic = self.repository.open()?;
        let choice = choose(
            &list(&restic)?,
            &self.snapshot,
            self.phone.device.as_deref(),
        )?;
        let came = repository::pull(&restic, &choice, &target, watch)?;
        folders::remember_contents(&target);
        Ok(came)
    }
}
