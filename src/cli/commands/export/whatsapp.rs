//! `idev-backup export whatsapp`

use clap::Args;
use idev_backup::export::whatsapp;

use super::conversations::Conversations;

/// Export the chats of WhatsApp, with their files
///
/// Example:  idev-backup export whatsapp latest --to ~/WhatsApp
///
/// Names come from the contacts. Replies quote their messages, and deleted messages are marked.
/// While WhatsApp's own end-to-end encrypted backup is on, backups of the phone do not have its
/// chats. An interrupted export goes on where it stopped if the same command runs again. Exit code
/// 3: done, but some messages or files have problems.
#[derive(Args)]
pub struct WhatsApp {
    #[command(flatten)]
    conversations: Conversations,
}

impl WhatsApp {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        self.conversations.run(whatsapp::export)
    }
}
