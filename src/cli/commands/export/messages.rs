//! `idev-backup export messages`

use clap::Args;
use idev_backup::export::messages;

use super::conversations::Conversations;

/// Export iMessage, SMS and RCS conversations, with their attachments
///
/// Example:  idev-backup export messages latest --to ~/Messages
///
/// Names come from the contacts. Reactions, edits and replies are with their messages; recently
/// deleted messages are marked. An interrupted export goes on where it stopped if the same command
/// runs again. Exit code 3: done, but some messages or files have problems.
#[derive(Args)]
pub struct Messages {
    #[command(flatten)]
    conversations: Conversations,
}

impl Messages {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        self.conversations.run(messages::export)
    }
}
