//! `idev-backup repository init`

use clap::Args;
use idev_backup::repository::{Engine, Location};
use serde::Serialize;

use crate::cli::args::output::OutputArgs;
use crate::cli::args::repository::RepositoryArgs;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::render::output::{self, Style};

/// Create a repository
///
/// Example:  idev-backup repository init --repository /media/nas/phones
///
/// Its password encrypts everything in it. Without the password nothing can be restored.
#[derive(Args)]
pub struct Init {
    #[command(flatten)]
    repository: RepositoryArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// The result for scripts.
#[derive(Serialize)]
struct Made {
    location: String,
    id: String,
}

impl Init {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        match self.init() {
            Err(e) => output::failure(&e, None, self.output.json),
            Ok(made) => {
                match self.output.style() {
                    Style::Json => output::object("repository_made", None, &made),
                    Style::Quiet => {}
                    Style::People => told(&made),
                }
                exit::DONE
            }
        }
    }

    fn init(&self) -> Result<Made, Failure> {
        let restic = self.repository.planned(explain)?;
        restic.init()?;
        Ok(Made {
            location: restic.access().location.to_string(),
            id: restic.id()?,
        })
    }
}

/// Says what the password means, before one is chosen.
fn explain(location: &Location) {
    output::tell(&format!(
        "Everything in the repository {location} will be encrypted with its password. A lost \
        password cannot be recovered: without it, all copies there are lost. Write it down and keep \
        it apart from this computer."
    ));
}

fn told(made: &Made) {
    output::line(&format!("Created the repository {}.", made.location));
    output::line(
        "Add a second password, for a sheet of paper in a safe place: `idev-backup repository key \
        add`. Then push the backups: `idev-backup repository push`.",
    );
}
