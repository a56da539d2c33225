//! Messages as pages to read: `index.html`, and `chats/NAME.html` for each conversation. A long
//! conversation has several pages.

use jiff::tz::TimeZone;

use super::search::Search;
use super::{Talk, Writer, words};
use crate::base::units::counted;
use crate::content::Time;
use crate::content::messages::{Attachment, Look, Message, Part, Presence, ReactionState, Style};
use crate::export::destination::Target;
use crate::export::record_file::RecordFile;
use crate::export::{Error, escape, page};

/// The most messages on a page. Browsers open a page of this size at once.
const PAGE_MESSAGES: u64 = 5000;
/// The folder of the pages.
const FOLDER: &str = "chats";
/// Extensions of files that browsers show.
const IMAGES: [&str; 6] = ["png", "jpg", "jpeg", "gif", "webp", "bmp"];
const VIDEOS: [&str; 4] = ["mp4", "m4v", "mov", "webm"];
const SOUNDS: [&str; 5] = ["m4a", "mp3", "aac", "wav", "ogg"];

/// Writes the pages.
pub(super) struct Html {
    title: &'static str,
    page: Option<Page>,
    search: Search,
    talks: Vec<Entry>,
}

/// A page that is being written.
struct Page {
    file: RecordFile,
    number: u64,
    messages: u64,
    day: String,
}

/// A conversation in the index.
struct Entry {
    title: String,
    members: String,
    path: String,
    messages: u64,
    first: Option<Time>,
    last: Option<Time>,
}

impl Html {
    pub(super) fn create(target: &mut Target, title: &'static str) -> Result<Html, Error> {
        Ok(Html {
            title,
            page: None,
            search: Search::create(target)?,
            talks: Vec::new(),
        })
    }

    fn open(&mut self, target: &mut Target, talk: &Talk<'_>, number: u64) -> Result<(), Error> {
        let parts = [FOLDER.to_owned(), name(talk, number)];
        let mut file = RecordFile::create(target, &parts)?;
        file.write(&page::head(&talk.title, false))?;
        file.write(&header(talk))?;
        if number > 1 {
            let earlier = escape::link(&name(talk, number - 1));
            file.write(&format!(
                "<nav><a href=\"{earlier}\">Earlier messages</a></nav>\n"
            ))?;
        }
        file.write("<main>\n")?;
        self.page = Some(Page {
            file,
            number,
            messages: 0,
            day: String::new(),
        });
        Ok(())
    }

    fn close(&mut self, talk: &Talk<'_>, has_later: bool) -> Result<(), Error> {
        let Some(mut page) = self.page.take() else {
            return Ok(());
        };
        page.file.write("</main>\n")?;
        if has_later {
            let later = escape::link(&name(talk, page.number + 1));
            let line = format!("<nav><span></span><a href=\"{later}\">Later messages</a></nav>\n");
            page.file.write(&line)?;
        }
        page.file.write(page::foot())?;
        page.file.finish()
    }
}

impl Writer for Html {
    fn begin(&mut self, target: &mut Target, talk: &Talk<'_>) -> Result<(), Error> {
        let members: Vec<&str> = talk.chat.map_or_else(Vec::new, |chat| {
            chat.participants.iter().map(words::name).collect()
        });
        self.talks.push(Entry {
            title: talk.title.clone(),
            members: members.join(", "),
            path: format!("{FOLDER}/{}", name(talk, 1)),
            messages: 0,
            first: None,
            last: None,
        });
        self.open(target, talk, 1)
    }

    fn message(
        &mut self,
        target: &mut Target,
        talk: &Talk<'_>,
        message: &Message,
    ) -> Result<(), Error> {
        if let Some(page) = &self.page
            && page.messages == PAGE_MESSAGES
        {
            let next = page.number + 1;
            self.close(talk, true)?;
            self.open(target, talk, next)?;
        }
        if let Some(entry) = self.talks.last_mut() {
            entry.messages += 1;
            entry.first = entry.first.or(message.time);
            entry.last = message.time.or(entry.last);
        }
        let Some(page) = &mut self.page else {
            return Ok(());
        };
        page.messages += 1;
        let path = format!("{FOLDER}/{}", name(talk, page.number));
        self.search.add(target, &path, message)?;
        let day = message.time.map_or_else(|| "No date".to_owned(), day);
        if day != page.day {
            page.file
                .write(&format!("<h2>{}</h2>\n", escape::html(&day)))?;
            page.day = day;
        }
        page.file.write(&article(
            message,
            talk.chat.is_some_and(|chat| chat.is_group),
        ))
    }

    fn end(&mut self, _: &mut Target, talk: &Talk<'_>) -> Result<(), Error> {
        self.close(talk, false)
    }

    fn finish(self: Box<Self>, target: &mut Target) -> Result<(), Error> {
        let chunks = self.search.finish()?;
        let mut talks = self.talks;
        talks.sort_by_key(|talk| std::cmp::Reverse(talk.last));
        let mut file = RecordFile::create(target, &["index.html".to_owned()])?;
        file.write(&page::head(self.title, true))?;
        let total: u64 = talks.iter().map(|talk| talk.messages).sum();
        file.write(&format!(
            "<header><h1>{}</h1>\n<p>{} in {}</p>\n\
             <p class=\"search\"><input type=\"search\" id=\"query\" placeholder=\"Names, or words in \
             messages and Enter\" aria-label=\"Search\"></p>\n<p id=\"state\" role=\"status\"></p></header>\n\
             <ul class=\"list\" id=\"found\"></ul>\n<ul class=\"list\" id=\"talks\">\n",
            self.title,
            counted(total, "message"),
            counted(talks.len() as u64, "conversation")
        ))?;
        for talk in &talks {
            file.write(&entry(talk))?;
        }
        file.write("</ul>\n<script>\n")?;
        file.write(&format!("const chunks = {chunks};\n"))?;
        file.write(include_str!("index.js"))?;
        file.write("</script>\n")?;
        file.write(page::foot())?;
        file.finish()
    }
}

/// Returns the name of a page of a conversation.
fn name(talk: &Talk<'_>, number: u64) -> String {
    match number {
        1 => format!("{}.html", talk.file_name),
        number => format!("{}.{number}.html", talk.file_name),
    }
}

fn entry(talk: &Entry) -> String {
    let dates = match (talk.first, talk.last) {
        (Some(first), Some(last)) => format!(" · {} – {}", date(first), date(last)),
        _ => String::new(),
    };
    let members = if talk.members == talk.title {
        String::new()
    } else {
        format!(
            "<p class=\"soft\" dir=\"auto\">{}</p>",
            escape::html(&talk.members)
        )
    };
    format!(
        "<li><a href=\"{}\" dir=\"auto\">{}</a>{members}<p class=\"soft\">{}{dates}</p></li>\n",
        escape::link(&talk.path),
        escape::html(&talk.title),
        counted(talk.messages, "message"),
    )
}

fn header(talk: &Talk<'_>) -> String {
    let mut lines = format!(
        "<header><p class=\"search\"><a href=\"../index.html\">All conversations</a></p>\n<h1 dir=\"auto\">{}</h1>\n",
        escape::html(&talk.title)
    );
    if let Some(chat) = talk.chat {
        for member in &chat.participants {
            let address = if member.name.is_some() {
                format!(" · {}", escape::html(&member.address))
            } else {
                String::new()
            };
            let name = escape::html(words::name(member));
            lines += &format!("<p><bdi>{name}</bdi>{address}</p>\n");
        }
    }
    lines + "</header>\n"
}

/// Returns a message. Links to attachments begin with `../`.
pub(crate) fn article(message: &Message, is_group: bool) -> String {
    let id = escape::html(&message.guid);
    let clock = message.time.map(clock).unwrap_or_default();
    if message.event.is_some() || message.reaction_to.is_some() {
        let lines = words::more(message).join("; ");
        let who = escape::html(words::actor(message));
        let what = escape::html(&lines);
        return format!("<p class=\"e\" id=\"{id}\"><bdi>{who}</bdi> {what} {clock}</p>\n");
    }
    let me = if message.from_me { " me" } else { "" };
    let is_sms = message
        .service
        .as_deref()
        .is_some_and(|service| service != "iMessage");
    let sms = if is_sms { " sms" } else { "" };
    let mut html = format!("<article class=\"m{me}{sms}\" id=\"{id}\">\n");
    if !message.from_me && (is_group || message.sender.is_none()) {
        let who = escape::html(words::sender(message));
        html += &format!("<p class=\"who\"><bdi>{who}</bdi></p>\n");
    }
    html += &quote(message);
    if let Some(subject) = &message.subject {
        html += &format!(
            "<p class=\"b\" dir=\"auto\"><b>{}</b></p>\n",
            escape::html(subject)
        );
    }
    for part in &message.parts {
        html += &match part {
            // An application puts this character where its content stands.
            Part::Text { text, .. } if text == "\u{fffd}" && message.app.is_some() => String::new(),
            Part::Text { text, styles } => {
                format!("<p class=\"b\" dir=\"auto\">{}</p>\n", styled(text, styles))
            }
            Part::Attachment(attachment) => self::attachment(attachment),
        };
    }
    html += &cards(message);
    html += &edits(message);
    let reactions = words::reactions(message);
    if !reactions.is_empty() {
        html += &format!(
            "<p class=\"r\" dir=\"auto\">{}</p>\n",
            escape::html(&reactions)
        );
    }
    let stickers = message
        .reactions
        .iter()
        .filter(|one| one.state == ReactionState::Current);
    for sticker in stickers.filter_map(|one| one.sticker.as_ref()) {
        html += &attachment(sticker);
    }
    html + &format!(
        "<p class=\"meta\">{clock}{}</p>\n</article>\n",
        meta(message)
    )
}

fn quote(message: &Message) -> String {
    let Some(reply) = &message.reply_to else {
        return String::new();
    };
    let Some(quote) = &reply.quote else {
        return "<p class=\"q\">Reply to a message that is gone</p>\n".to_owned();
    };
    let who = match &quote.sender {
        _ if quote.from_me => "Me",
        Some(handle) => words::name(handle),
        None => "Unknown",
    };
    let text = quote.text.as_deref().unwrap_or("an attachment");
    format!(
        "<a class=\"q\" href=\"#{}\" dir=\"auto\">{}: {}</a>\n",
        escape::link(&reply.guid),
        escape::html(who),
        escape::html(text)
    )
}

/// Returns link previews, content of applications, and remarks.
fn cards(message: &Message) -> String {
    let mut html = String::new();
    if let Some(link) = &message.link {
        let url = link.url.as_deref().unwrap_or_default();
        let title = link.title.as_deref().unwrap_or(url);
        let summary = link
            .summary
            .as_deref()
            .map(|text| format!("<br>{}", escape::html(text)));
        if !title.is_empty() {
            html += &format!(
                "<p class=\"b card\" dir=\"auto\">{}{}</p>\n",
                page::link(url, title),
                summary.unwrap_or_default()
            );
        }
    }
    let remarks = words::more(message).into_iter();
    for remark in remarks.filter(|line| !line.starts_with(words::LINK)) {
        let bad = if message.undecodable.is_some() {
            " bad"
        } else {
            ""
        };
        html += &format!(
            "<p class=\"b card{bad}\" dir=\"auto\">{}</p>\n",
            escape::html(&remark)
        );
    }
    html
}

fn edits(message: &Message) -> String {
    let mut html = String::new();
    for edit in &message.edits {
        let earlier = edit.versions.len().saturating_sub(1);
        html += "<details><summary>Edited</summary>\n";
        for version in &edit.versions[..earlier] {
            let text = version
                .text
                .as_deref()
                .unwrap_or("a text that cannot be decoded");
            let time = version.time.map(clock).unwrap_or_default();
            html += &format!("<p dir=\"auto\">{} {time}</p>\n", escape::html(text));
        }
        html += "</details>\n";
    }
    html
}

/// Returns the facts below a message.
fn meta(message: &Message) -> String {
    let mut words = Vec::new();
    if message.deleted {
        words.push("deleted".to_owned());
    }
    if message.error.is_some() {
        words.push("not delivered".to_owned());
    }
    if let Some(read) = message.read.filter(|_| message.from_me) {
        words.push(format!("read {}", words::local(read)));
    } else if let Some(delivered) = message.delivered.filter(|_| message.from_me) {
        words.push(format!("delivered {}", words::local(delivered)));
    }
    if let Some(effect) = &message.effect {
        words.push(format!("with effect {}", words::effect(effect)));
    }
    if let Some(service) = message
        .service
        .as_deref()
        .filter(|name| *name != "iMessage")
    {
        words.push(service.to_owned());
    }
    let words = words
        .iter()
        .map(|word| format!(" · {}", escape::html(word)));
    words.collect()
}

/// Returns an attachment: shown, playable, or as a link.
fn attachment(attachment: &Attachment) -> String {
    let shown = words::attachment(attachment);
    let Some(path) = &attachment.exported else {
        let bad = if attachment.file == Presence::InBackup {
            ""
        } else {
            " soft"
        };
        return format!(
            "<p class=\"b file{bad}\" dir=\"auto\">📎 {}</p>\n",
            escape::html(&shown)
        );
    };
    let link = escape::link(&format!("../{path}"));
    let name = escape::html(&shown);
    let extension = path
        .rsplit('.')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    let is_of = |known: &[&str]| known.contains(&extension.as_str());
    let spoken = attachment.transcription.as_deref();
    let spoken = spoken.map(|words| format!("<br>“{}”", escape::html(words)));
    let spoken = spoken.unwrap_or_default();
    if is_of(&IMAGES) {
        format!(
            "<p class=\"b image\"><a href=\"{link}\"><img src=\"{link}\" alt=\"{name}\" loading=\"lazy\"></a></p>\n"
        )
    } else if is_of(&VIDEOS) {
        format!(
            "<p class=\"b image\"><video src=\"{link}\" controls preload=\"none\" title=\"{name}\"></video></p>\n"
        )
    } else if is_of(&SOUNDS) {
        format!(
            "<p class=\"b file\" dir=\"auto\"><audio src=\"{link}\" controls preload=\"none\" title=\"{name}\"></audio>{spoken}</p>\n"
        )
    } else {
        // A page or a script that another person sent must not open in the browser.
        format!(
            "<p class=\"b file\" dir=\"auto\">📎 <a href=\"{link}\" download>{name}</a>{spoken}</p>\n"
        )
    }
}

/// Returns a text with its styles.
fn styled(text: &str, styles: &[Style]) -> String {
    if styles.is_empty() {
        return escape::html(text);
    }
    let mut cuts: Vec<usize> = styles
        .iter()
        .flat_map(|style| [style.start, style.start + style.length])
        .collect();
    cuts.sort_unstable();
    cuts.dedup();
    let mut html = String::new();
    let mut characters = text.chars();
    let mut at = 0;
    for cut in cuts.into_iter().chain([usize::MAX]) {
        let piece: String = characters.by_ref().take(cut - at).collect();
        let looks: Vec<&Look> = styles
            .iter()
            .filter(|style| (style.start..style.start + style.length).contains(&at))
            .map(|style| &style.look)
            .collect();
        html += &dressed(&piece, &looks);
        at = cut;
    }
    html
}

fn dressed(piece: &str, looks: &[&Look]) -> String {
    let mut html = escape::html(piece);
    for look in looks {
        html = match look {
            _ if piece.is_empty() => html,
            Look::Bold => format!("<b>{html}</b>"),
            Look::Italic => format!("<i>{html}</i>"),
            Look::Underline => format!("<u>{html}</u>"),
            Look::Strikethrough => format!("<s>{html}</s>"),
            Look::Mention(_) => format!("<b>{html}</b>"),
            Look::Effect(name) => {
                format!(
                    "<span title=\"effect: {}\">{html}</span>",
                    escape::html(name)
                )
            }
            Look::Link(url) => page::link(url, piece),
        };
    }
    html
}

fn zoned(time: Time) -> jiff::Zoned {
    time.timestamp().to_zoned(TimeZone::system())
}

/// Returns the day of a time in the local zone, in words.
pub(crate) fn day(time: Time) -> String {
    zoned(time).strftime("%A, %-d %B %Y").to_string()
}

fn date(time: Time) -> String {
    zoned(time).strftime("%Y-%m-%d").to_string()
}

fn clock(time: Time) -> String {
    let clock = zoned(time).strftime("%H:%M").to_string();
    format!("<time datetime=\"{time}\">{clock}</time>")
}
