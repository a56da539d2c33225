//! Messages as a table for spreadsheets: `messages.csv`.

use super::{Talk, Writer, words};
use crate::content::messages::Message;
use crate::export::Error;
use crate::export::destination::Target;
use crate::export::escape::csv_row;
use crate::export::record_file::RecordFile;

const HEADER: [&str; 12] = [
    "chat",
    "time",
    "from",
    "address",
    "service",
    "text",
    "attachments",
    "reactions",
    "more",
    "delivered",
    "read",
    "deleted",
];

/// Writes the table. Times are in the local zone, without one in the text.
pub(super) struct Csv(RecordFile);

impl Csv {
    pub(super) fn create(target: &mut Target) -> Result<Csv, Error> {
        let mut file = RecordFile::create(target, &["messages.csv".to_owned()])?;
        // Spreadsheets take a file without this mark for one in an older encoding.
        file.write("\u{feff}")?;
        file.write(&csv_row(HEADER))?;
        Ok(Csv(file))
    }
}

impl Writer for Csv {
    fn begin(&mut self, _: &mut Target, _: &Talk<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn message(&mut self, _: &mut Target, talk: &Talk<'_>, message: &Message) -> Result<(), Error> {
        let time = |time: Option<_>| time.map(words::local).unwrap_or_default();
        let files: Vec<String> = message
            .attachments()
            .map(|file| {
                file.exported
                    .clone()
                    .unwrap_or_else(|| words::attachment(file))
            })
            .collect();
        let sender = message.sender.as_ref();
        let row = [
            talk.title.as_str(),
            &time(message.time),
            words::sender(message),
            sender.map_or("", |sender| sender.address.as_str()),
            message.service.as_deref().unwrap_or_default(),
            message.text.as_deref().unwrap_or_default(),
            &files.join("\n"),
            &words::reactions(message),
            &words::more(message).join("\n"),
            &time(message.delivered),
            &time(message.read),
            if message.deleted { "yes" } else { "" },
        ];
        self.0.write(&csv_row(row))
    }

    fn end(&mut self, _: &mut Target, _: &Talk<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn finish(self: Box<Self>, _: &mut Target) -> Result<(), Error> {
        self.0.finish()
    }
}
