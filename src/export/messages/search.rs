//! The texts of all messages for the search of the index page: scripts that the page loads one
//! after the other, since a browser gives a page on the disk no other way to read files.

use crate::content::messages::Message;
use crate::export::destination::Target;
use crate::export::messages::words;
use crate::export::record_file::RecordFile;
use crate::export::{Error, escape};

/// The size of a script at which the next one begins.
const CHUNK_BYTES: usize = 2 << 20;

/// Writes `search/1.js` and so on.
pub(super) struct Search {
    file: RecordFile,
    number: u32,
    bytes: usize,
}

impl Search {
    pub(super) fn create(target: &mut Target) -> Result<Search, Error> {
        Search::chunk(target, 1)
    }

    fn chunk(target: &mut Target, number: u32) -> Result<Search, Error> {
        let parts = ["search".to_owned(), format!("{number}.js")];
        let mut file = RecordFile::create(target, &parts)?;
        file.write("look([\n")?;
        Ok(Search {
            file,
            number,
            bytes: 0,
        })
    }

    /// Adds a message on a page.
    pub(super) fn add(
        &mut self,
        target: &mut Target,
        page: &str,
        message: &Message,
    ) -> Result<(), Error> {
        let mut text = message.text.clone().unwrap_or_default();
        for attachment in message.attachments() {
            text += " ";
            text += attachment.name.as_deref().unwrap_or_default();
            text += attachment.transcription.as_deref().unwrap_or_default();
        }
        if text.trim().is_empty() {
            return Ok(());
        }
        if self.bytes > CHUNK_BYTES {
            let next = Search::chunk(target, self.number + 1)?;
            std::mem::replace(self, next).end()?;
        }
        let place = format!("{}#{}", escape::link(page), escape::link(&message.guid));
        let time = message.time.map(words::local).unwrap_or_default();
        let fields = [place.as_str(), words::sender(message), &time, &text];
        let fields: Vec<String> = fields.into_iter().map(escape::script).collect();
        let line = format!("[{}],\n", fields.join(","));
        self.bytes += line.len();
        self.file.write(&line)
    }

    fn end(mut self) -> Result<u32, Error> {
        self.file.write("]);\n")?;
        self.file.finish()?;
        Ok(self.number)
    }

    /// Ends the last script, and returns the number of scripts.
    pub(super) fn finish(self) -> Result<u32, Error> {
        self.end()
    }
}
