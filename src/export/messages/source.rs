//! The applications whose conversations are exported alike.

use std::ops::RangeInclusive;

use crate::content;
use crate::content::messages::{self, Chat, Message, Messages, Period, Which};
use crate::content::whatsapp::{self, WhatsApp};

/// An application with conversations.
pub(crate) trait Source {
    /// Returns the name of the export, by which its folder is known.
    fn kind(&self) -> &'static str;

    /// Returns the title of the pages.
    fn title(&self) -> &'static str;

    /// Returns the domain of the files of attachments.
    fn domain(&self) -> &'static str;

    /// Returns the conversations.
    fn chats(&self) -> Result<Vec<Chat>, content::Error>;

    /// Returns the number of messages and the total size of their files, for the progress.
    fn amount(&self) -> (u64, u64);

    /// Returns the reasons that something is missing everywhere.
    fn damage(&self) -> &[content::Error];

    /// Calls `each` for the messages of a set, oldest first, until it returns false.
    fn each(
        &self,
        which: Which<'_>,
        period: &Period,
        each: &mut dyn FnMut(Message) -> bool,
    ) -> Result<(), content::Error>;

    /// Returns the years in which it can have sent messages.
    fn years(&self) -> RangeInclusive<i16>;
}

impl Source for Messages {
    fn kind(&self) -> &'static str {
        "messages"
    }

    fn title(&self) -> &'static str {
        "Messages"
    }

    fn domain(&self) -> &'static str {
        "MediaDomain"
    }

    fn chats(&self) -> Result<Vec<Chat>, content::Error> {
        self.chats()
    }

    fn amount(&self) -> (u64, u64) {
        (self.count().unwrap_or(0), self.attachment_bytes())
    }

    fn damage(&self) -> &[content::Error] {
        self.damage()
    }

    fn each(
        &self,
        which: Which<'_>,
        period: &Period,
        each: &mut dyn FnMut(Message) -> bool,
    ) -> Result<(), content::Error> {
        self.each(which, period, each)
    }

    fn years(&self) -> RangeInclusive<i16> {
        messages::YEARS
    }
}

impl Source for WhatsApp {
    fn kind(&self) -> &'static str {
        "whatsapp"
    }

    fn title(&self) -> &'static str {
        "WhatsApp"
    }

    fn domain(&self) -> &'static str {
        whatsapp::DOMAIN
    }

    fn chats(&self) -> Result<Vec<Chat>, content::Error> {
        Ok(self.chats().to_vec())
    }

    fn amount(&self) -> (u64, u64) {
        (self.count().unwrap_or(0), 0)
    }

    fn damage(&self) -> &[content::Error] {
        self.damage()
    }

    fn each(
        &self,
        which: Which<'_>,
        period: &Period,
        each: &mut dyn FnMut(Message) -> bool,
    ) -> Result<(), content::Error> {
        self.each(which, period, each)
    }

    fn years(&self) -> RangeInclusive<i16> {
        whatsapp::YEARS
    }
}
