//! The option that selects a snapshot.

use clap::Args;
use idev_backup::history::change::{self, Chosen, Noted};

use crate::cli::args::device::OfPhoneArgs;
use crate::cli::args::store::StoreArgs;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::render::output;

/// Options that select a snapshot.
#[derive(Args, Clone)]
pub struct SnapshotArgs {
    /// The snapshot: its time or the beginning of it, its tag, `latest`, a phone, or its folder
    snapshot: String,
    #[command(flatten)]
    phone: OfPhoneArgs,
    #[command(flatten)]
    store: StoreArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl SnapshotArgs {
    /// Finds the snapshot.
    pub fn find(&self) -> Result<Chosen, Failure> {
        change::find_of(self.store.open(), Some(&self.snapshot), self.phone.of())
    }

    /// Changes what is noted of the snapshot, and reports it with the words that `change` returns.
    /// Returns the exit code.
    pub fn note(&self, change: impl FnOnce(&Chosen) -> Result<(Noted, String), Failure>) -> u8 {
        match self.find().and_then(|of| change(&of)) {
            Err(e) => output::failure(&e, None, self.json),
            Ok((noted, _)) if self.json => {
                output::object("noted", None, &noted);
                exit::DONE
            }
            Ok((noted, words)) => {
                output::line(&format!("{} {words}.", noted.path));
                exit::DONE
            }
        }
    }
}
