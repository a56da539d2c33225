//! The notes of a backup: a list with a search, and a page for each note.

use std::sync::{Arc, Mutex};

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use maud::{PreEscaped, html};

use super::backup::Inside;
use super::fail::Fail;
use super::layout::{encoded, pager, search, t};
use super::query;
use super::site::{Site, locked, reading};
use crate::backup_format::record::file_id;
use crate::base::units::counted;
use crate::content::notes::{Attachment, DOMAIN, Notes};
use crate::content::query::Query;
use crate::content::{self, Kind, Time};
use crate::export::notes::{article, folder, title};
use crate::export::words;
use crate::reader::backup::Backup;

/// Notes on a page.
const PAGE: usize = 100;
/// Most characters of a note in the list.
const EXCERPT: usize = 160;
/// Most bytes of the texts that the search looks at, of all notes together.
const TEXTS_BYTES_MAX: usize = 32 << 20;

/// The notes of a backup.
pub(super) struct Shelf {
    notes: Mutex<Notes>,
    /// Pinned notes first, then the last changed ones.
    heads: Vec<Head>,
    damage: Vec<String>,
}

/// A note in the list.
struct Head {
    row: i64,
    title: String,
    folder: String,
    modified: Option<Time>,
    states: Vec<&'static str>,
    is_pinned: bool,
    text: String,
}

impl Shelf {
    /// Reads the list of notes. `None` if the backup has none.
    pub(super) fn read(backup: &Backup) -> Result<Option<Shelf>, Fail> {
        let notes = match Notes::open(backup) {
            Err(content::Error::Absent(Kind::Notes)) => return Ok(None),
            opened => opened?,
        };
        let (mut heads, mut bytes) = (Vec::new(), 0);
        notes.each(|note| {
            let states = [
                (note.pinned, "pinned"),
                (note.locked, "locked"),
                (note.deleted, "recently deleted"),
                (note.undecodable.is_some(), "cannot be decoded"),
            ];
            let states = states.into_iter().filter(|(is_set, _)| *is_set);
            let title = title(&note).to_owned();
            let text = note.text.as_deref().unwrap_or_default();
            let text = text.strip_prefix(&title).unwrap_or(text).trim_start();
            let text = if bytes + text.len() > TEXTS_BYTES_MAX {
                text.chars().take(EXCERPT).collect()
            } else {
                text.to_owned()
            };
            bytes += text.len();
            heads.push(Head {
                row: note.id,
                folder: folder(&note),
                title,
                modified: note.modified,
                states: states.map(|(_, word)| word).collect(),
                is_pinned: note.pinned,
                text,
            });
            true
        })?;
        heads.sort_by_key(|head| std::cmp::Reverse((head.is_pinned, head.modified)));
        Ok(Some(Shelf {
            damage: notes.damage().iter().map(ToString::to_string).collect(),
            notes: Mutex::new(notes),
            heads,
        }))
    }
}

/// Shows the list.
pub(super) async fn page(
    State(site): State<Arc<Site>>,
    Path(key): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    reading(move || {
        let opened = site.open(&key)?;
        let shelf = opened.notes()?;
        let query = query.as_deref();
        let wish = query::get(query, "q").unwrap_or_default();
        let number = query::number(query, "page");
        let words = Query::new(&wish, true);
        let here = opened.at(&site, "/notes");
        let main = match &*shelf {
            None => html! { p { "There are no notes in this backup." } },
            Some(shelf) => {
                let has = |head: &&Head| {
                    [&head.title, &head.folder, &head.text].iter().any(|text| words.find(text).is_some())
                };
                let found: Vec<&Head> = shelf.heads.iter().filter(has).collect();
                let first = number.saturating_mul(PAGE).min(found.len());
                let shown = &found[first..(first + PAGE).min(found.len())];
                html! {
                    (search(&here, "Titles, folders, texts", &wish))
                    p.soft { (counted(found.len() as u64, "note")) }
                    @for why in &shelf.damage { p.bad { "Not all can be read: " (t(why)) } }
                    ul.entries {
                        @for head in shown {
                            li {
                                p.title {
                                    a dir="auto" href={ (here) "/" (head.row) } { (t(&head.title)) }
                                    @for state in &head.states { " " span.tag { (state) } }
                                }
                                p.soft {
                                    bdi { (t(&head.folder)) }
                                    @if let Some(time) = head.modified { " · " (words::local(time)) }
                                }
                                @if !head.text.is_empty() {
                                    p.excerpt dir="auto" {
                                        (t(&head.text.chars().take(EXCERPT).collect::<String>()))
                                    }
                                }
                            }
                        }
                    }
                    (pager(number, first + shown.len() < found.len(), |page| {
                        format!("{here}?q={}&page={page}", encoded(&wish))
                    }))
                }
            }
        };
        let page = Inside {
            opened: &opened,
            tab: "/notes",
            title: "Notes",
            above: Vec::new(),
            main,
            wide: false,
        };
        Ok(page.answer(&site))
    })
    .await
}

/// Shows a note.
pub(super) async fn note(
    State(site): State<Arc<Site>>,
    Path((key, row)): Path<(String, i64)>,
) -> Response {
    reading(move || {
        let opened = site.open(&key)?;
        let shelf = opened.notes()?;
        let nothing = || Fail::NotFound("the backup has no such note");
        let shelf = shelf.as_ref().as_ref().ok_or_else(nothing)?;
        let note = locked(&shelf.notes).one(row)?;
        let mut note = note.ok_or_else(nothing)?;
        for attachment in note.attachments_mut() {
            place(attachment);
            attachment.parts.iter_mut().for_each(place);
        }
        let times = [("Created", note.created), ("Changed", note.modified)];
        let main = html! {
            p.soft {
                bdi { (t(&folder(&note))) }
                @for (word, time) in times {
                    @if let Some(time) = time { " · " (word) " " (words::local(time)) }
                }
                @if note.deleted { " · Recently deleted" }
            }
            @for doubt in &note.doubts { p.bad { "Doubtful: " (t(doubt)) } }
            // The page of a note is one level below the page of the backup, as notes of an export
            // are below their folder.
            div.written { (PreEscaped(article(&note, "../"))) }
        };
        let title = title(&note).to_owned();
        let page = Inside {
            opened: &opened,
            tab: "/notes",
            title: &title,
            above: vec![(opened.at(&site, "/notes"), "Notes".to_owned())],
            main,
            wide: false,
        };
        Ok(page.answer(&site))
    })
    .await
}

/// Gives an attachment the address of its file.
fn place(attachment: &mut Attachment) {
    if let Some(path) = &attachment.path {
        let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension);
        let plain: String = extension
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .collect();
        attachment.exported = Some(format!("raw/{}.{plain}", file_id(DOMAIN, path)));
    }
}
