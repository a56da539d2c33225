//! Messages as plain text: `text/NAME.txt` for each conversation.

use super::{Talk, Writer, words};
use crate::content::messages::{Message, Part};
use crate::export::Error;
use crate::export::destination::Target;
use crate::export::record_file::RecordFile;

/// Writes a file for each conversation.
#[derive(Default)]
pub(super) struct Text(Option<RecordFile>);

impl Writer for Text {
    fn begin(&mut self, target: &mut Target, talk: &Talk<'_>) -> Result<(), Error> {
        let parts = ["text".to_owned(), format!("{}.txt", talk.file_name)];
        let mut file = RecordFile::create(target, &parts)?;
        file.write(&format!("{}\n", one_line(&talk.title)))?;
        if let Some(chat) = talk.chat {
            for member in &chat.participants {
                let known = member.name.as_ref();
                let address = known.map(|_| format!(" ({})", member.address));
                let line = format!("  {}{}", words::name(member), address.unwrap_or_default());
                file.write(&format!("{}\n", one_line(&line)))?;
            }
        }
        self.0 = Some(file);
        Ok(())
    }

    fn message(&mut self, _: &mut Target, _: &Talk<'_>, message: &Message) -> Result<(), Error> {
        let Some(file) = &mut self.0 else {
            return Ok(());
        };
        let time = message
            .time
            .map_or_else(|| "no date".to_owned(), words::local);
        let deleted = if message.deleted { " (deleted)" } else { "" };
        let who = if message.event.is_some() {
            words::actor(message)
        } else {
            words::sender(message)
        };
        let head = format!("{time}  {who}{deleted}");
        file.write(&format!("\n{}\n", one_line(&head)))?;
        if let Some(reply) = &message.reply_to {
            let quote = reply.quote.as_ref().and_then(|quote| quote.text.as_deref());
            let quote = quote.unwrap_or("a message that is gone");
            file.write(&indented(&format!("> {}", quote.replace('\n', " "))))?;
        }
        if let Some(subject) = &message.subject {
            file.write(&indented(subject))?;
        }
        for part in &message.parts {
            match part {
                Part::Text { text, .. } => file.write(&indented(text))?,
                Part::Attachment(attachment) => {
                    let name = words::attachment(attachment);
                    let place = attachment
                        .exported
                        .as_deref()
                        .map(|path| format!(" -> {path}"));
                    let place = place.unwrap_or_default();
                    file.write(&indented(&format!("[{}{place}]", one_line(&name))))?;
                    if let Some(words) = &attachment.transcription {
                        file.write(&indented(&format!("“{words}”")))?;
                    }
                }
            }
        }
        for line in words::more(message) {
            file.write(&indented(&format!("[{line}]")))?;
        }
        for edit in &message.edits {
            let earlier = edit.versions.iter().rev().skip(1);
            for text in earlier.filter_map(|version| version.text.as_deref()) {
                file.write(&indented(&format!("[before: {text}]")))?;
            }
        }
        let reactions = words::reactions(message);
        if !reactions.is_empty() {
            file.write(&indented(&reactions))?;
        }
        Ok(())
    }

    fn end(&mut self, _: &mut Target, _: &Talk<'_>) -> Result<(), Error> {
        self.0.take().map_or(Ok(()), RecordFile::finish)
    }

    fn finish(self: Box<Self>, _: &mut Target) -> Result<(), Error> {
        Ok(())
    }
}

/// Returns the text with each line indented, so that no line of a message looks like the head of
/// another one.
fn indented(text: &str) -> String {
    let breaks = [
        '\n', '\r', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}',
    ];
    let plain = text.replace("\r\n", "\n");
    let lines = plain.split(breaks);
    lines
        .map(|line| format!("    {}\n", visible(line)))
        .collect()
}

fn one_line(text: &str) -> String {
    visible(text)
}

/// Replaces characters that move the cursor or turn the text.
fn visible(text: &str) -> String {
    let is_obeyed = |c: char| {
        c.is_control()
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
    };
    text.replace(is_obeyed, "\u{fffd}")
}
