//! `idev-backup repository list`

use clap::Args;
use idev_backup::repository::{self, Listing};

use crate::cli::args::output::OutputArgs;
use crate::cli::args::repository::RepositoryArgs;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::render::output::{self, Style};
use crate::cli::render::repository::listed;

/// List the backups in the repository
#[derive(Args)]
pub struct List {
    #[command(flatten)]
    repository: RepositoryArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl List {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        match self.list() {
            Err(e) => output::failure(&e, None, self.output.json),
            Ok(listing) => {
                match self.output.style() {
                    Style::Json => output::object("repository", None, &listing),
                    _ => listed(&listing),
                }
                exit::DONE
            }
        }
    }

    fn list(&self) -> Result<Listing, Failure> {
        Ok(repository::list(&self.repository.open()?)?)
    }
}
