//! Searches everything in a backup, or in all backups of a phone. The page is sent while the search
//! runs, and the search ends when the browser goes away.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use maud::{Markup, html};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{self, Sender};

use super::backup::{Inside, title};
use super::fail::Fail;
use super::layout::{encoded, t};
use super::pieces::Pieces;
use super::query;
use super::site::{Opened, Site, key, reading};
use crate::backup_format::manifest_db::{Filter, Kind as Is};
use crate::content::items::{self, Item};
use crate::content::query::Query;
use crate::content::search::Search;
use crate::content::{Kind, Time};
use crate::export::words;
use crate::reader::backup::Backup;
use crate::reader::passwords::NoPasswords;

/// Longest time of a search.
const TIME_MAX: Duration = Duration::from_secs(60);
/// Time after the search in which a slow browser may still take the end of the page.
const TAIL_MAX: Duration = Duration::from_secs(5);
/// Time between two tries to send a part of the page.
const TRY: Duration = Duration::from_millis(20);
/// Most hits of a backup on a page, and most names of files.
const HITS_MAX: usize = 300;
const FILES_MAX: usize = 100;
/// Most searches at once.
const SEARCHES_MAX: usize = 4;
/// Characters of a text before and after a hit.
const AROUND: usize = 70;
/// Rows between two looks at the time.
const ROWS: u64 = 512;
/// Text that stands for the hits while the page is made.
const HITS: &str = "the hits come here";

/// Number of searches that run.
static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// Shows the form, and with the parameter `q` the hits. `all` searches all backups of the phone.
pub(super) async fn page(
    State(site): State<Arc<Site>>,
    Path(key): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    reading(move || {
        let opened = site.open(&key)?;
        let query = query.as_deref();
        let wish = query::get(query, "q").unwrap_or_default().trim().to_owned();
        let is_all = query::get(query, "all").is_some();
        let main = html! {
            (form(&opened.at(&site, "/search"), &wish, is_all))
            @if !wish.is_empty() { (HITS) }
        };
        let page = Inside {
            opened: &opened,
            tab: "/search",
            title: "Search",
            above: Vec::new(),
            main,
            wide: false,
        };
        if wish.is_empty() {
            return Ok(page.answer(&site));
        }
        let text = page.markup(&site).into_string();
        let (head, tail) = text.rsplit_once(HITS).unwrap_or((&text, ""));
        let (sender, receiver) = mpsc::channel(8);
        let stream = Stream {
            sender,
            until: Instant::now() + TIME_MAX,
            tail: tail.to_owned(),
        };
        stream.send(head.to_owned());
        let running = Running::begin()?;
        let site = site.clone();
        let started = thread::Builder::new().name("search".to_owned());
        let started = started.spawn(move || {
            let _running = running;
            stream.search(&site, &opened, &wish, is_all);
        });
        started.map_err(|e| Fail::Unreadable(e.to_string()))?;
        let html = [(CONTENT_TYPE, "text/html; charset=utf-8")];
        Ok((html, Body::new(Pieces(receiver))).into_response())
    })
    .await
}

fn form(to: &str, wish: &str, is_all: bool) -> Markup {
    html! {
        form.search role="search" action=(to) {
            label for="q" { "Messages, contacts, notes, calls, everything" }
            span { input id="q" name="q" type="search" value=(t(wish)); button { "Search" } }
            label.choice for="all" {
                input id="all" name="all" type="checkbox" value="1" checked[is_all];
                "In all backups of this phone"
            }
        }
    }
}

/// A search that runs.
struct Running;

impl Running {
    fn begin() -> Result<Running, Fail> {
        if RUNNING.fetch_add(1, Ordering::SeqCst) >= SEARCHES_MAX {
            RUNNING.fetch_sub(1, Ordering::SeqCst);
            return Err(Fail::Status(StatusCode::TOO_MANY_REQUESTS));
        }
        Ok(Running)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The way of a page to the browser.
struct Stream {
    sender: Sender<Bytes>,
    until: Instant,
    tail: String,
}

impl Stream {
    /// Sends a part of the page, and waits while the browser takes no more of it, but not longer
    /// than the search may last. No lock on a backup may be held meanwhile.
    fn send(&self, text: String) {
        self.send_until(text, self.until);
    }

    fn send_until(&self, text: String, until: Instant) {
        let mut piece = Bytes::from(text);
        while let Err(TrySendError::Full(unsent)) = self.sender.try_send(piece) {
            if Instant::now() > until {
                return;
            }
            piece = unsent;
            thread::sleep(TRY);
        }
    }

    /// Returns true if the browser has gone, or the time is over.
    fn is_over(&self) -> bool {
        self.sender.is_closed() || Instant::now() > self.until
    }

    fn search(&self, site: &Site, opened: &Opened, wish: &str, is_all: bool) {
        let query = Query::new(wish, true);
        let mut search = Search::new(Query::new(wish, true), items::kinds());
        let mut hits = 0;
        if is_all {
            for snapshot in site.snapshots().iter().flat_map(|all| all.iter()) {
                if snapshot.udid().as_str() != opened.listed.udid || self.is_over() {
                    continue;
                }
                match site.open(&key(snapshot)) {
                    Ok(other) => {
                        let heading = title(&other.listed);
                        self.send(html! { h2 { bdi { (t(&heading)) } } }.into_string());
                        hits += self.contents(site, &other, &mut search, wish);
                    }
                    Err(why) => {
                        let name = snapshot.path().display().to_string();
                        let why = html! { p.bad { bdi { (t(&name)) } ": " (t(&why.to_string())) } };
                        self.send(why.into_string());
                    }
                }
            }
        } else {
            hits += self.contents(site, opened, &mut search, wish);
            hits += self.files(site, opened, &query);
        }
        let end = html! {
            @if hits == 0 { p { "Nothing was found." } }
            @if Instant::now() > self.until {
                p.bad { "The search ended after a minute. There may be more." }
            }
        };
        let until = self.until.max(Instant::now() + TAIL_MAX);
        self.send_until(end.into_string() + &self.tail, until);
    }

    /// Searches the contents of a backup, and returns the number of hits. Each kind is searched to
    /// its end before its hits are sent, so that no page waits for this browser.
    fn contents(&self, site: &Site, opened: &Opened, search: &mut Search, wish: &str) -> usize {
        let (query, own, mut all) = (Query::new(wish, true), own_look(opened), 0);
        for kind in items::kinds() {
            if self.is_over() {
                break;
            }
            let (mut hits, mut found) = (0, String::new());
            let skipped = with_backup(own.as_ref(), opened, |backup| {
                search.kind(backup, kind, |item| {
                    hits += 1;
                    if hits > HITS_MAX || self.is_over() {
                        return false;
                    }
                    found += &hit(item, &query).into_string();
                    true
                })
            });
            let heading = html! {
                h3 { a href=(opened.at(site, &to(kind, wish))) { (name(kind)) } }
            };
            let rest = html! {
                @if hits > HITS_MAX { p.soft { "These are the first " (HITS_MAX) "." } }
                @if let Some(skipped) = skipped.filter(|skipped| !skipped.absent) {
                    p.bad { "Not all were searched: " (t(&skipped.why)) }
                }
            };
            if hits > 0 {
                found.insert_str(0, &heading.into_string());
            }
            found += &rest.into_string();
            if !found.is_empty() {
                self.send(found);
            }
            all += hits.min(HITS_MAX);
        }
        all
    }

    /// Searches the paths of files, and returns the number of hits.
    fn files(&self, site: &Site, opened: &Opened, query: &Query) -> usize {
        let filter = Filter {
            kind: Some(Is::File),
            ..Filter::default()
        };
        let (mut hits, mut rows, mut found) = (0, 0u64, String::new());
        let own = own_look(opened);
        let read = with_backup(own.as_ref(), opened, |backup| {
            backup.each(&filter, |item| {
                rows += 1;
                if rows.is_multiple_of(ROWS) && self.is_over() {
                    return false;
                }
                let Some(place) = query.find(&item.relative_path) else {
                    return true;
                };
                hits += 1;
                if hits > FILES_MAX {
                    return false;
                }
                let to = opened.at(site, &format!("/file/{}", encoded(&item.file_id)));
                let hit = html! {
                    div.hit {
                        p { a href=(to) { (around(&item.relative_path, place)) } }
                        p.soft { bdi { (t(&item.domain)) } }
                    }
                };
                found += &hit.into_string();
                true
            })
        });
        let rest = html! {
            @if let Err(e) = read { p.bad { (t(&e.to_string())) } }
            @if hits > FILES_MAX { p.soft { "These are the first " (FILES_MAX) " files." } }
        };
        if hits > 0 {
            found.insert_str(0, &html! { h3 { "Files" } }.into_string());
        }
        self.send(found + &rest.into_string());
        hits.min(FILES_MAX)
    }
}

/// Opens a backup for this search alone, so that pages need not wait for it. That is only possible
/// where no list has to be decrypted.
fn own_look(opened: &Opened) -> Option<Backup> {
    if opened.is_encrypted() {
        return None;
    }
    Backup::open(opened.folder(), &NoPasswords).ok()
}

/// Reads a backup by its own look, or by the one of the pages, which wait meanwhile.
fn with_backup<T>(own: Option<&Backup>, opened: &Opened, work: impl FnOnce(&Backup) -> T) -> T {
    match own {
        Some(backup) => work(backup),
        None => work(&opened.backup()),
    }
}

fn hit(item: &Item, query: &Query) -> Markup {
    let facts = [
        item.place.clone(),
        item.time.map(|time: Time| words::local(time)),
    ];
    let facts: Vec<String> = facts.into_iter().flatten().collect();
    let place = query.find(&item.text);
    html! {
        div.hit {
            @if let Some(who) = &item.who { p { b { bdi { (t(who)) } } } }
            @if !facts.is_empty() { p.soft { bdi { (t(&facts.join(" · "))) } } }
            @if let Some(place) = place { p dir="auto" { (around(&item.text, place)) } }
        }
    }
}

/// Returns a text around a hit, which is marked.
fn around(text: &str, place: Range<usize>) -> Markup {
    let before = &text[..place.start];
    let first = before
        .char_indices()
        .rev()
        .nth(AROUND - 1)
        .map_or(0, |(at, _)| at);
    let after = &text[place.end..];
    let last = after
        .char_indices()
        .nth(AROUND)
        .map_or(after.len(), |(at, _)| at);
    html! {
        @if first > 0 { "…" }
        (t(&before[first..]))
        mark { (t(&text[place])) }
        (t(&after[..last]))
        @if last < after.len() { "…" }
    }
}

/// Returns the page of a kind, with the same search where it has one.
fn to(kind: Kind, wish: &str) -> String {
    let page = match kind {
        Kind::Messages => return "/messages".to_owned(),
        Kind::WhatsApp => return "/whatsapp".to_owned(),
        Kind::Photos => return "/photos".to_owned(),
        Kind::Contacts => "/contacts",
        Kind::Notes => "/notes",
        Kind::Calls => "/records/calls",
        Kind::Voicemail => "/records/voicemail",
        Kind::Calendar => "/records/calendar",
        Kind::Reminders => "/records/reminders",
        Kind::VoiceMemos => "/records/voice-memos",
        Kind::Safari => "/records/history",
    };
    format!("{page}?q={}", encoded(wish))
}

/// Returns the name of a kind as a heading.
fn name(kind: Kind) -> String {
    let word = kind.word();
    word[..1].to_uppercase() + &word[1..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(until: Duration) -> (Stream, mpsc::Receiver<Bytes>) {
        let (sender, receiver) = mpsc::channel(1);
        let stream = Stream {
            sender,
            until: Instant::now() + until,
            tail: String::new(),
        };
        (stream, receiver)
    }

    #[test]
    fn sends_end_at_the_deadline() {
        let (stream, mut receiver) = stream(Duration::from_millis(100));
        stream.send("first".to_owned());
        stream.send("second".to_owned());
        assert!(stream.is_over());
        assert_eq!(receiver.try_recv().unwrap(), "first");
        assert!(receiver.try_recv().is_err());
        stream.send("third".to_owned());
        assert_eq!(receiver.try_recv().unwrap(), "third");
    }

    #[test]
    fn slow_browsers_get_all_pieces() {
        let (stream, mut receiver) = stream(TIME_MAX);
        let sender = thread::spawn(move || {
            for number in 0..20 {
                stream.send(number.to_string());
            }
        });
        for number in 0..20 {
            thread::sleep(Duration::from_millis(3));
            assert_eq!(receiver.blocking_recv().unwrap(), number.to_string());
        }
        sender.join().unwrap();
        assert!(receiver.blocking_recv().is_none());
    }
}
