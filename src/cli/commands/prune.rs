//! `idev-backup prune`

use clap::Args;
use idev_backup::history::change;
use idev_backup::history::prune::{self, Prune as How, Pruned};

use crate::cli::args::keep::KeepArgs;
use crate::cli::args::output::OutputArgs;
use crate::cli::args::store::StoreArgs;
use crate::cli::ctrl_c;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::render::output::{self, Style};
use crate::cli::render::progress::{Show, Watch};
use crate::cli::render::prune::show_fates;

/// Drop the snapshots that no rule keeps
///
/// Example:  idev-backup prune --keep-daily 7 --keep-weekly 4 --keep-monthly 12 --dry-run
///
/// Never dropped: the current backup, the newest good one, the last one that `verify` found whole,
/// those that are pinned or tagged, and those that another program made.
#[derive(Args)]
pub struct Prune {
    /// Show what would be dropped, and why the others stay
    #[arg(long, short = 'n')]
    dry_run: bool,
    /// The phone: its UDID or name, or the beginning of either [default: all phones]
    #[arg(long, short, value_name = "PHONE", value_parser = crate::cli::args::device::phone_text)]
    device: Option<String>,
    #[command(flatten)]
    pub(crate) keep: KeepArgs,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl Prune {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        ctrl_c::afterwards("the snapshots that stay are whole; run the same command again");
        let show = Show::new(self.output.style());
        let watch = show.watch(None, None);
        let pruned = self.prune(&watch);
        watch.finish();
        match pruned {
            Err(e) => output::failure(&e, None, self.output.json),
            Ok(pruned) => {
                match self.output.style() {
                    Style::Json => output::object("pruned", None, &pruned),
                    Style::Quiet => {}
                    Style::People => show_fates(&pruned),
                }
                match watch.problems() {
                    0 => exit::DONE,
                    _ => exit::DONE_WITH_PROBLEMS,
                }
            }
        }
    }

    fn prune(&self, watch: &Watch) -> Result<Pruned, Failure> {
        let store = self.store.open()?;
        let udid = match &self.device {
            None => None,
            Some(beginning) => Some(change::phone(&store, beginning)?),
        };
        let how = How {
            policy: self.keep.policy(),
            of_phones: self.keep.of_phones(),
            udid,
            dry_run: self.dry_run,
        };
        Ok(prune::prune(&store, &how, watch)?)
    }
}
