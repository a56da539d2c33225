//! `idev-backup repository unlock`

use clap::Args;
use idev_backup::repository::Engine;

use crate::cli::args::output::OutputArgs;
use crate::cli::args::repository::RepositoryArgs;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::render::output::{self, Style};

/// Remove locks of programs that were killed
///
/// Locks of programs that still run stay. A lock of another computer counts as stale when it was
/// not renewed for half an hour.
#[derive(Args)]
pub struct Unlock {
    #[command(flatten)]
    repository: RepositoryArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl Unlock {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        match self.unlock() {
            Err(e) => output::failure(&e, None, self.output.json),
            Ok(()) => {
                match self.output.style() {
                    Style::Json => {
                        output::object("repository_unlocked", None, &serde_json::json!({}))
                    }
                    Style::Quiet => {}
                    Style::People => output::line("Stale locks were removed."),
                }
                exit::DONE
            }
        }
    }

    fn unlock(&self) -> Result<(), Failure> {
        Ok(self.repository.open()?.unlock()?)
    }
}
