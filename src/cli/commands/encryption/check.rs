//! `idev-backup encryption check`

use clap::Args;
use idev_backup::reader::password_check;

use crate::cli::args::output::OutputArgs;
use crate::cli::args::reading::ReadArgs;
use crate::cli::exit;
use crate::cli::render::encryption::tell_proof;
use crate::cli::render::output;

/// Options of `encryption check`.
#[derive(Args)]
pub struct Check {
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl Check {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        let proof = self.read.folder();
        let proof =
            proof.and_then(|folder| Ok(password_check::check(&folder, self.read.password())?));
        match proof {
            Ok(proof) => {
                tell_proof(&proof, self.output.style());
                if proof.closed_classes.is_empty() {
                    exit::DONE
                } else {
                    exit::DONE_WITH_PROBLEMS
                }
            }
            Err(e) => output::failure(&e, None, self.output.json),
        }
    }
}
