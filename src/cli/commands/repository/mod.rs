//! `idev-backup repository`

mod check;
mod init;
mod list;
mod push;

use clap::{Args, Subcommand};

/// Keep copies of backups elsewhere, encrypted and without duplicates, in a restic repository
///
/// Example:  idev-backup repository init --repository sftp:me@nas:/srv/phones
///           idev-backup repository push
///
/// The repository is one of restic: a folder on another disk or NAS, or a storage on the network.
/// restic alone can check and restore it too.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct RepositoryCommand {
    #[command(subcommand)]
    wish: Wanted,
}

#[derive(Subcommand)]
enum Wanted {
    Init(init::Init),
    Push(push::Push),
    List(list::List),
    Check(check::Check),
}

impl RepositoryCommand {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        match &self.wish {
            Wanted::Init(c) => c.run(),
            Wanted::Push(c) => c.run(),
            Wanted::List(c) => c.run(),
            Wanted::Check(c) => c.run(),
        }
    }
}
