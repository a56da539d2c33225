//! `idev-backup export`: a command for each kind of content.

mod calls;
mod contacts;
mod messages;
mod notes;
mod photos;
mod records;
mod voicemail;

use clap::{Args, Subcommand};

/// Export photos, messages and other content of a backup into a folder
#[derive(Args)]
pub struct Export {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    Photos(photos::Photos),
    Messages(messages::Messages),
    Contacts(contacts::Contacts),
    Calls(calls::Calls),
    Voicemail(voicemail::Voicemail),
    Notes(notes::Notes),
}

impl Export {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        match &self.what {
            What::Photos(photos) => photos.run(),
            What::Messages(messages) => messages.run(),
            What::Contacts(contacts) => contacts.run(),
            What::Calls(calls) => calls.run(),
            What::Voicemail(voicemail) => voicemail.run(),
            What::Notes(notes) => notes.run(),
        }
    }
}
