//! The contacts of a backup, with a search, and their pictures.

use std::sync::{Arc, Mutex};

use axum::extract::{Path, RawQuery, State};
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use maud::{PreEscaped, html};

use super::backup::Inside;
use super::fail::Fail;
use super::layout::{encoded, pager, search};
use super::media::Media;
use super::site::{Site, locked, reading};
use super::{query, raw};
use crate::base::units::count;
use crate::content::contacts::{Contacts, Person};
use crate::content::{self, Kind};
use crate::export::contacts::card;
use crate::reader::backup::Backup;

/// People on a page.
const PAGE: usize = 100;

/// The contacts of a backup.
pub(super) struct People {
    contacts: Mutex<Contacts>,
    people: Vec<Person>,
}

impl People {
    /// Reads the contacts, sorted by name. `None` if the backup has none.
    pub(super) fn read(backup: &Backup) -> Result<Option<People>, Fail> {
        let contacts = match Contacts::open(backup) {
            Err(content::Error::Absent(Kind::Contacts)) => return Ok(None),
            opened => opened?,
        };
        let mut people = contacts.people().to_vec();
        people.sort_by_cached_key(|person| person.name.to_lowercase());
        Ok(Some(People {
            contacts: Mutex::new(contacts),
            people,
        }))
    }
}

/// Returns true if a name, number, address or note of a person has the words.
fn fits(person: &Person, lower: &str) -> bool {
    let has = |text: &str| text.to_lowercase().contains(lower);
    let texts = [
        Some(&person.name),
        person.nickname.as_ref(),
        person.organization.as_ref(),
        person.note.as_ref(),
    ];
    texts.into_iter().flatten().any(|text| has(text))
        || (person.numbers.iter().chain(&person.mails)).any(|one| has(&one.value))
}

/// Shows the contacts.
pub(super) async fn page(
    State(site): State<Arc<Site>>,
    Path(key): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    reading(move || {
        let opened = site.open(&key)?;
        let people = opened.people()?;
        let query = query.as_deref();
        let wish = query::get(query, "q").unwrap_or_default();
        let page = query::number(query, "page");
        let lower = wish.to_lowercase();
        let to = |page: usize| {
            opened.at(&site, &format!("/contacts?q={}&page={page}", encoded(&wish)))
        };
        let main = match &*people {
            None => html! { p { "There are no contacts in this backup." } },
            Some(people) => {
                let found = people.people.iter().enumerate();
                let found: Vec<_> = found.filter(|(_, person)| fits(person, &lower)).collect();
                let first = page.saturating_mul(PAGE).min(found.len());
                let shown = &found[first..(first + PAGE).min(found.len())];
                html! {
                    (search(&opened.at(&site, "/contacts"), "Names, numbers, addresses, notes", &wish))
                    p.soft { @if found.len() == 1 { "1 person" } @else { (count(found.len() as u64)) " people" } }
                    @for (number, person) in shown {
                        (PreEscaped(card(person, has_picture(people, person).then(|| {
                            opened.at(&site, &format!("/contacts/{number}/picture"))
                        }).as_deref())))
                    }
                    (pager(page, first + shown.len() < found.len(), to))
                }
            }
        };
        let page = Inside {
            opened: &opened,
            tab: "/contacts",
            title: "Contacts",
            above: Vec::new(),
            main,
            wide: false,
        };
        Ok(page.answer(&site))
    })
    .await
}

fn has_picture(people: &People, person: &Person) -> bool {
    matches!(locked(&people.contacts).picture(person), Ok(Some(_)))
}

/// Sends the picture of a person.
pub(super) async fn picture(
    State(site): State<Arc<Site>>,
    Path((key, number)): Path<(String, usize)>,
) -> Response {
    reading(move || {
        let nothing = || Fail::NotFound("the backup has no such picture");
        let people = site.open(&key)?.people()?;
        let people = people.as_ref().as_ref().ok_or_else(nothing)?;
        let person = people.people.get(number).ok_or_else(nothing)?;
        let picture = locked(&people.contacts).picture(person)?;
        let bytes = picture.ok_or_else(nothing)?.bytes;
        let media = Media::of(&bytes).ok_or_else(nothing)?;
        let headers = [
            (CONTENT_TYPE, media.mime_type()),
            (CONTENT_SECURITY_POLICY, raw::SANDBOX),
        ];
        Ok((headers, bytes).into_response())
    })
    .await
}
