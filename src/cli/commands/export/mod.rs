//! `idev-backup export`: a command for each kind of content.

mod all;
mod calendar;
mod calls;
mod contacts;
mod conversations;
mod messages;
mod notes;
mod photos;
mod records;
mod reminders;
mod safari;
mod voice_memos;
mod voicemail;
mod whatsapp;

use clap::{Args, Subcommand};

/// Export photos, messages and other content of a backup into a folder
#[derive(Args)]
pub struct Export {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    All(all::All),
    Photos(photos::Photos),
    Messages(messages::Messages),
    Whatsapp(whatsapp::WhatsApp),
    Contacts(contacts::Contacts),
    Calls(calls::Calls),
    Voicemail(voicemail::Voicemail),
    Notes(notes::Notes),
    Calendar(calendar::Calendar),
    Reminders(reminders::Reminders),
    Safari(safari::Safari),
    VoiceMemos(voice_memos::VoiceMemos),
}

impl Export {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        match &self.what {
            What::All(all) => all.run(),
            What::Photos(photos) => photos.run(),
            What::Messages(messages) => messages.run(),
            What::Whatsapp(whatsapp) => whatsapp.run(),
            What::Contacts(contacts) => contacts.run(),
            What::Calls(calls) => calls.run(),
            What::Voicemail(voicemail) => voicemail.run(),
            What::Notes(notes) => notes.run(),
            What::Calendar(calendar) => calendar.run(),
            What::Reminders(reminders) => reminders.run(),
            What::Safari(safari) => safari.run(),
            What::VoiceMemos(memos) => memos.run(),
        }
    }
}
