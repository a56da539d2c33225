//! `idev-backup repository forget`

use clap::Args;
use idev_backup::repository::{self, Forget as How, Forgotten, choose};

use crate::cli::args::keep::KeepArgs;
use crate::cli::args::output::OutputArgs;
use crate::cli::args::repository::RepositoryArgs;
use crate::cli::args::store::StoreArgs;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::render::output::{self, Style};
use crate::cli::render::progress::{Show, Watch};
use crate::cli::render::repository::forgotten;

/// Forget the copies in the repository that no rule keeps, and remove their data
///
/// Example:  idev-backup repository forget --keep-weekly 8 --keep-monthly 12 --dry-run
///
/// The newest copy of each phone always stays, and so do copies of backups that are pinned or
/// tagged in this computer's store. The next push sends again what the store still has.
#[derive(Args)]
pub struct Forget {
    /// Show what would be forgotten, and why the others stay
    #[arg(long, short = 'n')]
    dry_run: bool,
    /// Leave the data there, and only forget the copies
    #[arg(long)]
    keep_data: bool,
    /// The phone: its UDID or name, or the beginning of either [default: all phones]
    #[arg(long, short, value_name = "PHONE", value_parser = crate::cli::args::device::phone_text)]
    device: Option<String>,
    #[command(flatten)]
    pub(crate) keep: KeepArgs,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    repository: RepositoryArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl Forget {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        let style = self.output.style();
        let show = Show::new(style);
        let watch = show.watch(None, None);
        let done = self.forget(&watch);
        watch.finish();
        match done {
            Err(e) => output::failure(&e, None, self.output.json),
            Ok(report) => {
                match style {
                    Style::Json => output::object("forgotten", None, &report),
                    Style::Quiet => {}
                    Style::People => forgotten(&report),
                }
                exit::DONE
            }
        }
    }

    fn forget(&self, watch: &Watch<'_>) -> Result<Forgotten, Failure> {
        let restic = self.repository.open()?;
        let udid = match &self.device {
            None => None,
            Some(phone) => match choose(&repository::list(&restic)?, "latest", Some(phone))? {
                repository::Choice::Ours(copy) => Some(copy.udid),
                repository::Choice::Other(_) => None,
            },
        };
        let how = How {
            policy: self.keep.policy(),
            of_phones: self.keep.of_phones(),
            udid,
            dry_run: self.dry_run,
            keep_data: self.keep_data,
        };
        // This computer need not have a store. One that cannot be read may hold pins.
        let store = match self.store.open() {
            Err(Failure::NoStoreYet { .. }) => None,
            store => Some(store?),
        };
        Ok(repository::forget(&restic, store.as_ref(), &how, watch)?)
    }
}
