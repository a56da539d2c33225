//! `idev-backup repository push`

use std::num::NonZeroU32;

use clap::Args;
use idev_backup::history::change;
use idev_backup::repository::{self, After, Push as How, PushReport};
use idev_backup::store::Snapshot;

use crate::cli::args::device::OfPhoneArgs;
use crate::cli::args::output::OutputArgs;
use crate::cli::args::push_after::READ_BACK;
use crate::cli::args::repository::RepositoryArgs;
use crate::cli::args::store::StoreArgs;
use crate::cli::ctrl_c;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::render::output::{self, Style};
use crate::cli::render::progress::{Show, Watch};
use crate::cli::render::repository::pushed;

/// Push backups that are not in the repository yet
///
/// Example:  idev-backup repository push
///
/// Files that the repository has are not sent again. Backups that a check found damaged are left
/// out. Afterwards the repository is checked, and a part of its data is read back.
#[derive(Args)]
pub struct Push {
    /// The backups: their times or the beginnings of them, tags, `latest`, or folders [default: all
    /// of the store]
    #[arg(value_name = "BACKUP")]
    backups: Vec<String>,
    /// Show what would be pushed
    #[arg(long, short = 'n')]
    dry_run: bool,
    /// After the push, read back one of N parts of the data: the next part each time
    #[arg(
        long,
        value_name = "N",
        env = "IDEV_BACKUP_REPOSITORY_READ_BACK",
        default_value = READ_BACK
    )]
    read_back: NonZeroU32,
    /// Do not check the repository after the push
    #[arg(long)]
    no_check: bool,
    /// Record this name as that of the computer [default: the computer's own name]
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    #[command(flatten)]
    phone: OfPhoneArgs,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    repository: RepositoryArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl Push {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        ctrl_c::afterwards("run the same command again: it sends only what is not there yet");
        let style = self.output.style();
        let show = Show::new(style);
        let watch = show.watch(None, None);
        let done = self.push(&watch);
        watch.finish();
        match done {
            Err(e) => output::failure(&e, None, self.output.json),
            Ok(report) => {
                match style {
                    Style::Json => output::object("pushed", None, &report),
                    Style::Quiet => {}
                    Style::People => pushed(&report),
                }
                match watch.problems() {
                    0 => exit::DONE,
                    _ => exit::DONE_WITH_PROBLEMS,
                }
            }
        }
    }

    fn push(&self, watch: &Watch<'_>) -> Result<PushReport, Failure> {
        let store = self.store.open()?;
        let how = How {
            chosen: self.chosen()?,
            host: self.host.clone(),
            after: if self.no_check {
                After::Nothing
            } else {
                After::Share(self.read_back)
            },
            dry_run: self.dry_run,
        };
        let restic = self.repository.open()?;
        Ok(repository::push(&store, &restic, &how, watch)?)
    }

    /// Returns the backups that the user named, or all of the phone that was named.
    fn chosen(&self) -> Result<Option<Vec<Snapshot>>, Failure> {
        if self.backups.is_empty() {
            let Some(phone) = &self.phone.device else {
                return Ok(None);
            };
            let store = self.store.open()?;
            let udid = change::phone(&store, phone)?;
            let mut of_phone = store.snapshots()?;
            of_phone.retain(|snapshot| *snapshot.udid() == udid);
            return Ok(Some(of_phone));
        }
        let find = |name: &String| {
            let found = change::find_of::<Failure>(self.store.open(), Some(name), self.phone.of());
            found.map(|chosen| chosen.snapshot)
        };
        self.backups
            .iter()
            .map(find)
            .collect::<Result<_, _>>()
            .map(Some)
    }
}
