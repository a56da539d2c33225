//! Entries of all kinds of content in one form, in which they can be searched and compared.
//!
//! A new kind joins by an entry in [`READERS`].

use serde::Serialize;

use crate::content::calls::{Calls, Direction};
use crate::content::contacts::{Contacts, Directory, Region};
use crate::content::messages::Messages;
use crate::content::notes::Notes;
use crate::content::query::Query;
use crate::content::voicemail::Voicemail;
use crate::content::{Error, Kind, Time};
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
}

/// Receives entries, and returns false when it needs no more.
pub(crate) type Each<'a> = &'a mut dyn FnMut(Item) -> bool;

/// The functions that read a kind.
struct Reader {
    kind: Kind,
    /// Calls its argument for the entries that may match, and maybe for others.
    items: fn(&Backup, &Query, Each<'_>) -> Result<(), Error>,
}

/// The kinds that can be searched and compared.
const READERS: &[Reader] = &[
    Reader {
        kind: Kind::Messages,
        items: messages,
    },
    Reader {
        kind: Kind::Contacts,
        items: contacts,
    },
    Reader {
        kind: Kind::Notes,
        items: notes,
    },
    Reader {
        kind: Kind::Calls,
        items: calls,
    },
    Reader {
        kind: Kind::Voicemail,
        items: voicemail,
    },
];

/// Returns the kinds that can be searched and compared.
pub fn kinds() -> Vec<Kind> {
    READERS.iter().map(|reader| reader.kind).collect()
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
            .chain(edits.into_iter().map(Some)),
        );
        each(Item {
            kind: Kind::Messages,
            key: message.guid,
            time: message.time,
            who,
            place: chat.map(|chat| chat.title()),
            text,
        })
    })
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
        })
    })?;
    // The entries that can be read came before.
    match notes.into_damage() {
        Some(e) => Err(e),
        None => Ok(()),
    }
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
            who: Some(who),
            place: None,
        })
    })
}
