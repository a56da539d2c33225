//! Entries of all kinds of content in one form, in which they can be searched and compared.
//!
//! A new kind joins by an entry in `READERS`.

use serde::Serialize;

use crate::content::calendar::Calendar;
use crate::content::calls::{Calls, Direction};
use crate::content::contacts::{Contacts, Directory, Region};
use crate::content::counts::Count;
use crate::content::messages::{Chat, Messages, Period, Which};
use crate::content::notes::Notes;
use crate::content::photos::Photos;
use crate::content::query::Query;
use crate::content::reminders::Reminders;
use crate::content::safari::Safari;
use crate::content::voice_memos::VoiceMemos;
use crate::content::voicemail::Voicemail;
use crate::content::whatsapp::WhatsApp;
use crate::content::{Error, Kind, Time, counts};
use crate::reader::backup::Backup;

/// An entry: a message, a contact, a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    /// The kind.
    pub kind: Kind,
    /// The identity, which is the same in all backups of a phone.
    pub key: String,
    /// The time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
    /// The person or thing that it comes from, such as the sender.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// The place where it is, such as the conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// All its texts.
    pub text: String,
    /// The facts to compare with another backup, where those are not the text: the text has names
    /// from the contacts, which change on their own.
    #[serde(skip)]
    pub(crate) own: Option<String>,
}

/// Receives entries, and returns false when it needs no more.
pub(crate) type Each<'a> = &'a mut dyn FnMut(Item) -> bool;

/// The functions that read a kind.
struct Reader {
    kind: Kind,
    /// Calls its argument for the entries that may match, and maybe for others.
    items: fn(&Backup, &Query, Each<'_>) -> Result<(), Error>,
    /// Counts the entries, by SQL where possible.
    count: Counter,
}

type Counter = fn(&Backup) -> Result<Vec<Count>, Error>;

/// The kinds that can be searched and compared.
const READERS: &[Reader] = &[
    Reader {
        kind: Kind::Messages,
        items: messages,
        count: counts::of_messages,
    },
    Reader {
        kind: Kind::WhatsApp,
        items: whatsapp,
        count: counts::of_whatsapp,
    },
    Reader {
        kind: Kind::Contacts,
        items: contacts,
        count: counts::of_contacts,
    },
    Reader {
        kind: Kind::Notes,
        items: notes,
        count: counts::of_notes,
    },
    Reader {
        kind: Kind::Photos,
        items: photos,
        count: counts::of_photos,
    },
    Reader {
        kind: Kind::Calls,
        items: calls,
        count: counts::of_calls,
    },
    Reader {
        kind: Kind::Voicemail,
        items: voicemail,
        count: counts::of_voicemail,
    },
    Reader {
        kind: Kind::Calendar,
        items: calendar,
        count: counts::of_calendar,
    },
    Reader {
        kind: Kind::Reminders,
        items: reminders,
        count: counts::of_reminders,
    },
    Reader {
        kind: Kind::Safari,
        items: safari,
        count: counts::of_safari,
    },
    Reader {
        kind: Kind::VoiceMemos,
        items: voice_memos,
        count: counts::of_voice_memos,
    },
];

/// Returns the kinds that can be searched and compared.
pub fn kinds() -> Vec<Kind> {
    READERS.iter().map(|reader| reader.kind).collect()
}

/// Returns the functions that count the entries of each kind.
pub(super) fn counters() -> impl Iterator<Item = (Kind, Counter)> {
    READERS.iter().map(|reader| (reader.kind, reader.count))
}

/// Calls `each` for the entries of a kind that match, until it returns false. Fails if the backup
/// does not have the kind, or after the entries of a damaged database that can be read.
pub fn each(
    backup: &Backup,
    kind: Kind,
    query: &Query,
    mut each: impl FnMut(Item) -> bool,
) -> Result<(), Error> {
    let Some(reader) = READERS.iter().find(|reader| reader.kind == kind) else {
        return Ok(());
    };
    (reader.items)(backup, query, &mut |item| {
        query.find(&item.text).is_none() || each(item)
    })
}

/// Joins texts in lines.
fn joined<'a>(texts: impl IntoIterator<Item = Option<&'a str>>) -> String {
    let texts: Vec<&str> = texts
        .into_iter()
        .flatten()
        .filter(|text| !text.is_empty())
        .collect();
    texts.join("\n")
}

/// Returns the names of addresses; `None` if the backup has no contacts that can be read.
fn names(backup: &Backup, home: Option<Region>) -> Option<Directory> {
    let contacts = Contacts::open(backup).ok()?;
    Some(contacts.directory(home))
}

fn messages(backup: &Backup, query: &Query, each: Each<'_>) -> Result<(), Error> {
    let mut messages = Messages::open(backup)?;
    if let Some(names) = names(backup, messages.home()) {
        messages.name_people(|handle| {
            let name = names.name(&handle.address, handle.country.as_deref());
            name.map(str::to_owned)
        });
    }
    let chats = messages.chats()?;
    messages.each_that(&|bytes| query.may_be_in(bytes), |message, chat| {
        let chat = chat.and_then(|id| chats.iter().find(|chat| chat.ids.contains(&id)));
        let sender = message
            .sender
            .as_ref()
            .map(|sender| sender.shown().to_owned());
        let other = chat.filter(|chat| !chat.is_group);
        let who = if message.from_me {
            Some("Me".to_owned())
        } else {
            sender.or_else(|| Some(other?.participants.first()?.shown().to_owned()))
        };
        let link = message.link.as_ref();
        let app = message.app.as_ref();
        let edits = message.edits.iter().flat_map(|edit| &edit.versions);
        let edits: Vec<&str> = edits
            .filter_map(|version| version.text.as_deref())
            .collect();
        let files = message.attachments().flat_map(|file| {
            [&file.name, &file.description, &file.transcription].map(Option::as_deref)
        });
        let text = joined(
            [
                message.subject.as_deref(),
                message.text.as_deref(),
                link.and_then(|link| link.title.as_deref()),
                link.and_then(|link| link.summary.as_deref()),
                link.and_then(|link| link.url.as_deref()),
                app.and_then(|app| app.text.as_deref()),
            ]
            .into_iter()
            .chain(edits.into_iter().map(Some))
            .chain(files),
        );
        each(Item {
            kind: Kind::Messages,
            key: message.guid,
            time: message.time,
            who,
            place: chat.map(|chat| chat.title()),
            text,
            own: None,
        })
    })
}

fn whatsapp(backup: &Backup, _: &Query, each: Each<'_>) -> Result<(), Error> {
    let whatsapp = WhatsApp::open(backup)?;
    let sets = whatsapp
        .chats()
        .iter()
        .map(|chat| (Which::Of(chat), Some(chat)));
    let mut goes_on = true;
    for (which, chat) in sets.chain([(Which::WithoutChat, None)]) {
        if !goes_on {
            break;
        }
        whatsapp.each(which, &Period::default(), |message| {
            let sender = message.sender.as_ref().map(|who| who.shown().to_owned());
            let link = message.link.as_ref();
            let app = message.app.as_ref();
            let files: Vec<&str> = message
                .attachments()
                .filter_map(|file| file.name.as_deref())
                .collect();
            let text = joined(
                [
                    message.text.as_deref(),
                    link.and_then(|link| link.title.as_deref()),
                    app.and_then(|app| app.text.as_deref()),
                ]
                .into_iter()
                .chain(files.into_iter().map(Some)),
            );
            goes_on = each(Item {
                kind: Kind::WhatsApp,
                time: message.time,
                who: if message.from_me {
                    Some("Me".to_owned())
                } else {
                    sender
                },
                place: chat.map(Chat::title),
                text,
                key: message.guid,
                own: None,
            });
            goes_on
        })?;
    }
    Ok(())
}

fn contacts(backup: &Backup, _: &Query, each: Each<'_>) -> Result<(), Error> {
    for person in Contacts::open(backup)?.people() {
        let mut text = person.name.clone();
        let optional = [
            &person.nickname,
            &person.organization,
            &person.department,
            &person.job_title,
            &person.note,
        ];
        let labeled = person
            .numbers
            .iter()
            .chain(&person.mails)
            .chain(&person.urls);
        let labeled = labeled.chain(&person.related).map(|one| one.value.as_str());
        let accounts = person.messengers.iter().chain(&person.profiles);
        let accounts = accounts.flat_map(|one| [&one.service, &one.username, &one.url]);
        let addresses = person.addresses.iter().flat_map(|one| {
            [
                &one.street,
                &one.sublocality,
                &one.city,
                &one.state,
                &one.zip,
                &one.country,
            ]
        });
        let words = optional.into_iter().chain(accounts).chain(addresses);
        let words = words.flatten().map(String::as_str);
        let groups = person.groups.iter().map(String::as_str);
        for word in words.chain(labeled).chain(groups) {
            if word != person.name {
                text.push('\n');
                text.push_str(word);
            }
        }
        if let Some(day) = person.birthday {
            text.push_str(&format!("\n{:02}-{:02}", day.month, day.day));
        }
        let item = Item {
            kind: Kind::Contacts,
            key: match (&person.guid, person.ids.first()) {
                (Some(guid), _) => guid.clone(),
                (None, Some(id)) => id.to_string(),
                (None, None) => person.name.clone(),
            },
            time: person.modified,
            who: Some(person.name.clone()),
            place: None,
            text,
            own: None,
        };
        if !each(item) {
            break;
        }
    }
    Ok(())
}

fn notes(backup: &Backup, _: &Query, each: Each<'_>) -> Result<(), Error> {
    let notes = Notes::open(backup)?;
    notes.each(|mut note| {
        let mut words = Vec::new();
        for attachment in note.attachments_mut() {
            words.extend(attachment.name.take());
            words.extend(attachment.url.take());
            let cells = attachment.table.take();
            words.extend(cells.into_iter().flat_map(|table| table.rows).flatten());
        }
        let title = note.title.as_deref();
        // The text begins with the title.
        let texts = [title.filter(|_| note.text.is_none()), note.text.as_deref()];
        let words = words.iter().map(|word| Some(word.as_str()));
        each(Item {
            kind: Kind::Notes,
            time: note.modified,
            who: note.title.clone(),
            place: Some(note.folders.join("/")).filter(|folder| !folder.is_empty()),
            text: joined(texts.into_iter().chain(words)),
            key: note.guid,
            own: None,
        })
    })?;
    // The entries that can be read came before.
    match notes.into_damage() {
        Some(e) => Err(e),
        None => Ok(()),
    }
}

fn photos(backup: &Backup, _: &Query, each: Each<'_>) -> Result<(), Error> {
    let photos = Photos::open(backup)?;
    photos.each(|photo| {
        let albums = photo
            .albums
            .iter()
            .filter_map(|at| photos.albums().get(*at));
        let albums: Vec<String> = albums.map(|album| album.names.join("/")).collect();
        let file = photo.path.rsplit('/').next().map(str::to_owned);
        let name = photo.original_name.or(file);
        let albums_line = albums.join(", ");
        let text = joined([name.as_deref(), Some(&albums_line)]);
        let own = format!(
            "{text} {} {} {} {} {:?}",
            photo.favorite, photo.hidden, photo.deleted, photo.edited, photo.modified
        );
        each(Item {
            kind: Kind::Photos,
            key: photo.guid.unwrap_or(photo.path),
            time: photo.created,
            who: name,
            place: Some(albums_line).filter(|albums| !albums.is_empty()),
            text,
            own: Some(own),
        })
    })
}

fn calls(backup: &Backup, _: &Query, each: Each<'_>) -> Result<(), Error> {
    let calls = Calls::open(backup)?;
    let names = names(backup, calls.home());
    calls.each(names.as_ref(), |call| {
        let people = call.people.iter();
        let shown: Vec<&str> = people.clone().map(|one| one.shown()).collect();
        let addresses = people.map(|one| Some(one.address.as_str()));
        let how = match (call.missed, call.direction) {
            (true, _) => "missed",
            (false, Direction::Incoming) => "incoming",
            (false, Direction::Outgoing) => "outgoing",
        };
        let own: Vec<&str> = call.people.iter().map(|one| one.address.as_str()).collect();
        let who = (!shown.is_empty()).then(|| shown.join(", "));
        let text = joined(
            [who.as_deref(), call.place.as_deref(), call.app.as_deref()]
                .into_iter()
                .chain(addresses),
        );
        each(Item {
            kind: Kind::Calls,
            key: call
                .guid
                .clone()
                .unwrap_or_else(|| format!("row {}", call.id)),
            time: call.time,
            who,
            place: Some(how.to_owned()),
            text,
            own: Some(format!("{how} {} {own:?}", call.seconds)),
        })
    })
}

fn voicemail(backup: &Backup, _: &Query, each: Each<'_>) -> Result<(), Error> {
    let voicemail = Voicemail::open(backup)?;
    let names = names(backup, voicemail.home());
    voicemail.each(names.as_ref(), |one| {
        let who = one.caller().to_owned();
        each(Item {
            kind: Kind::Voicemail,
            key: one.id.to_string(),
            time: one.time,
            text: joined([
                one.transcript.as_deref(),
                Some(&who),
                one.address.as_deref(),
                one.call_back.as_deref(),
            ]),
            own: Some(format!(
                "{} {:?} {:?}",
                one.deleted, one.transcript, one.address
            )),
            who: Some(who),
            place: None,
        })
    })
}

fn calendar(backup: &Backup, _: &Query, each: Each<'_>) -> Result<(), Error> {
    Calendar::open(backup)?.each(|event| {
        let place = event.location.as_ref().map(|place| place.words());
        let people = event.organizer.iter().chain(&event.attendees);
        let people = people.flat_map(|one| [one.name.as_deref(), one.address.as_deref()]);
        let text = joined(
            [
                event.title.as_deref(),
                event.notes.as_deref(),
                place.as_deref(),
                event.url.as_deref(),
                event.conference.as_deref(),
            ]
            .into_iter()
            .chain(people),
        );
        let own = format!(
            "{text} {:?} {:?} {:?}",
            event.end, event.rules, event.exceptions
        );
        each(Item {
            kind: Kind::Calendar,
            // A moved occurrence can have the identifier of its event.
            key: format!(
                "{} {:?}",
                event.uid.as_deref().unwrap_or_default(),
                event.replaces
            ) + &event
                .uid
                .map_or_else(|| event.id.to_string(), |_| String::new()),
            time: event.start.map(|start| start.time()),
            who: event.title,
            place: event.calendar,
            text,
            own: Some(own),
        })
    })
}

fn reminders(backup: &Backup, _: &Query, each: Each<'_>) -> Result<(), Error> {
    Reminders::open(backup)?.each(|reminder| {
        let text = joined([reminder.title.as_deref(), reminder.notes.as_deref()]);
        let own = format!(
            "{text} {:?} {} {:?} {:?}",
            reminder.due, reminder.completed, reminder.list, reminder.deleted
        );
        each(Item {
            kind: Kind::Reminders,
            time: reminder.time(),
            key: match reminder.uid {
                Some(uid) => uid,
                None => format!("{} {}", reminder.store, reminder.id),
            },
            who: reminder.title,
            place: reminder.list,
            text,
            own: Some(own),
        })
    })
}

fn safari(backup: &Backup, _: &Query, each: Each<'_>) -> Result<(), Error> {
    let safari = Safari::open(backup)?;
    let (bookmarks, saved) = safari.bookmarks()?;
    let page = |key, time, title: Option<String>, place: &str, url: &str, more: &str| {
        let text = joined([title.as_deref(), Some(url), Some(more)]);
        Item {
            kind: Kind::Safari,
            key,
            time,
            who: title,
            place: Some(place.to_owned()),
            text,
            own: None,
        }
    };
    for one in bookmarks {
        let place = joined(
            ["bookmark"]
                .into_iter()
                .chain(one.folders.iter().map(String::as_str))
                .map(Some),
        );
        let key = one.uid.unwrap_or_else(|| format!("bookmark {}", one.id));
        let place = place.replace('\n', " / ");
        if !each(page(key, one.modified, one.title, &place, &one.url, "")) {
            return Ok(());
        }
    }
    for one in saved {
        let key = one.uid.unwrap_or_else(|| format!("saved {}", one.id));
        let more = one.preview.unwrap_or_default();
        if !each(page(
            key,
            one.added,
            one.title,
            "reading list",
            &one.url,
            &more,
        )) {
            return Ok(());
        }
    }
    safari.visits(|visit| {
        let profile = visit.profile.unwrap_or_default();
        let key = format!("visit {profile} {}", visit.id);
        let url = visit.url.unwrap_or_default();
        each(page(key, visit.time, visit.title, "history", &url, ""))
    })
}

fn voice_memos(backup: &Backup, _: &Query, each: Each<'_>) -> Result<(), Error> {
    VoiceMemos::open(backup)?.each(|memo| {
        let own = format!("{} {}", memo.title, memo.deleted);
        each(Item {
            kind: Kind::VoiceMemos,
            key: memo.uid.or(memo.path).unwrap_or_else(|| memo.title.clone()),
            time: memo.time,
            who: Some(memo.title.clone()),
            place: memo.folder,
            text: memo.title,
            own: Some(own),
        })
    })
}
