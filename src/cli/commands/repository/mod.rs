//! `idev-backup repository`

mod check;
mod forget;
mod init;
mod key;
mod list;
mod mount;
mod pull;
mod push;
mod unlock;

use clap::{Args, Subcommand};

use crate::cli::args::keep::KeepArgs;

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
    Pull(pull::Pull),
    Forget(forget::Forget),
    Unlock(unlock::Unlock),
    Key(key::KeyCommand),
    Mount(mount::Mount),
}

impl RepositoryCommand {
    /// Returns the retention rules, if the command drops copies.
    pub(crate) fn keep(&mut self) -> Option<&mut KeepArgs> {
        match &mut self.wish {
            Wanted::Forget(forget) => Some(&mut forget.keep),
            _ => None,
        }
    }

    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        match &self.wish {
            Wanted::Init(c) => c.run(),
            Wanted::Push(c) => c.run(),
            Wanted::List(c) => c.run(),
            Wanted::Check(c) => c.run(),
            Wanted::Pull(c) => c.run(),
            Wanted::Forget(c) => c.run(),
            Wanted::Unlock(c) => c.run(),
            Wanted::Key(c) => c.run(),
            Wanted::Mount(c) => c.run(),
        }
    }
}
