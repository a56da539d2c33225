//! Reads the tables of the address book.

use std::collections::HashMap;

use rusqlite::Row;

use crate::content::contacts::record::{Account, Address, Day, Labeled, LabeledDay, Person};
use crate::content::database::{Database, columns};
use crate::content::{Error, Time, value};

columns! {
    Id = "ROWID",
    Guid = "guid",
    First = "First",
    Last = "Last",
    Middle = "Middle",
    Prefix = "Prefix",
    Suffix = "Suffix",
    Nickname = "Nickname",
    Organization = "Organization",
    Department = "Department",
    JobTitle = "JobTitle",
    Note = "Note",
    Kind = "Kind",
    Birthday = "Birthday",
    Created = "CreationDate",
    Modified = "ModificationDate",
    Link = "PersonLink",
}

/// The most rows of a table. A crafted database could have any number.
const ROWS_MAX: usize = 1 << 20;
/// The numbers of `ABMultiValue.property`.
const NUMBER: i64 = 3;
const MAIL: i64 = 4;
const ADDRESS: i64 = 5;
const DATE: i64 = 12;
const MESSENGER: i64 = 13;
const URL: i64 = 22;
const RELATED: i64 = 23;
const PROFILE: i64 = 46;
/// The number of `ABPerson.Kind` for an organisation.
const ORGANIZATION: i64 = 1;

/// Reads all people.
pub(super) fn people(db: &Database) -> Result<Vec<Person>, Error> {
    let table = db.needed("ABPerson", &["First", "Last"])?;
    let mut people: Vec<Person> = Vec::new();
    // The person of each card.
    let mut cards: HashMap<i64, usize> = HashMap::new();
    let mut links: HashMap<i64, usize> = HashMap::new();
    let sql = format!("{} ORDER BY t.ROWID", table.select(COLUMNS));
    each(db, &sql, |row| {
        let card = card(row);
        let id = card.ids[0];
        let link = value::integer(row, Column::Link as usize).filter(|link| *link >= 0);
        let at = match link {
            Some(link) => *links.entry(link).or_insert(people.len()),
            None => people.len(),
        };
        cards.insert(id, at);
        match people.get_mut(at) {
            Some(person) => join(person, card),
            None => people.push(card),
        }
    })?;
    values(db, &cards, &mut people)?;
    groups(db, &cards, &mut people)?;
    for person in &mut people {
        person.name = person.shown_name();
    }
    Ok(people)
}

fn card(row: &Row<'_>) -> Person {
    let text = |column: Column| value::words(row, column as usize);
    let day = |column: Column| value::time(row, column as usize).map(Day::of);
    Person {
        ids: vec![value::integer(row, Column::Id as usize).unwrap_or_default()],
        guid: text(Column::Guid),
        first: text(Column::First),
        last: text(Column::Last),
        middle: text(Column::Middle),
        prefix: text(Column::Prefix),
        suffix: text(Column::Suffix),
        nickname: text(Column::Nickname),
        organization: text(Column::Organization),
        department: text(Column::Department),
        job_title: text(Column::JobTitle),
        note: text(Column::Note),
        is_organization: value::integer(row, Column::Kind as usize) == Some(ORGANIZATION),
        birthday: day(Column::Birthday),
        created: value::time(row, Column::Created as usize),
        modified: value::time(row, Column::Modified as usize),
        ..Person::default()
    }
}

/// Adds another card of a person. The first card decides where both have a value.
fn join(person: &mut Person, card: Person) {
    person.ids.extend(card.ids);
    for (one, other) in [
        (&mut person.first, card.first),
        (&mut person.last, card.last),
        (&mut person.middle, card.middle),
        (&mut person.prefix, card.prefix),
        (&mut person.suffix, card.suffix),
        (&mut person.nickname, card.nickname),
        (&mut person.organization, card.organization),
        (&mut person.department, card.department),
        (&mut person.job_title, card.job_title),
        (&mut person.note, card.note),
    ] {
        if one.is_none() {
            *one = other;
        }
    }
    person.birthday = person.birthday.or(card.birthday);
    person.modified = person.modified.max(card.modified);
}

/// Reads the numbers, addresses and other values of all people.
fn values(db: &Database, cards: &HashMap<i64, usize>, people: &mut [Person]) -> Result<(), Error> {
    let table = db.table("ABMultiValue")?;
    if !table.has("record_id") || !table.has("property") {
        return Ok(());
    }
    let labels = words(db, "ABMultiValueLabel")?;
    let mut parts = parts(db)?;
    let columns = ["UID", "record_id", "property", "label", "value"];
    let sql = format!("{} ORDER BY 2, 1", table.select(&columns));
    each(db, &sql, |row| {
        let person = value::integer(row, 1).and_then(|card| cards.get(&card));
        let Some(person) = person.and_then(|at| people.get_mut(*at)) else {
            return;
        };
        let label = value::integer(row, 3).and_then(|label| labels.get(&label));
        let label = label.map(|label| bare(label).to_owned());
        let label = label.filter(|label| !label.is_empty());
        let mut parts = value::integer(row, 0)
            .and_then(|id| parts.remove(&id))
            .unwrap_or_default();
        let property = value::integer(row, 2).unwrap_or_default();
        let to = match property {
            NUMBER => &mut person.numbers,
            MAIL => &mut person.mails,
            URL => &mut person.urls,
            RELATED => &mut person.related,
            DATE => {
                let time = row.get_ref(4).ok().and_then(Time::since_2001);
                let day = time.map(Day::of).map(|day| LabeledDay { label, day });
                person
                    .dates
                    .extend(day.filter(|day| !person.dates.contains(day)));
                return;
            }
            ADDRESS => {
                let address = Address {
                    label,
                    street: parts.remove("street"),
                    sublocality: parts.remove("sublocality"),
                    city: parts.remove("city"),
                    state: parts.remove("state"),
                    zip: parts.remove("zip"),
                    country: parts.remove("country"),
                    country_code: parts.remove("countrycode").map(|code| code.to_lowercase()),
                };
                if !person.addresses.contains(&address) {
                    person.addresses.push(address);
                }
                return;
            }
            MESSENGER | PROFILE => {
                let account = Account {
                    label,
                    service: parts.remove("service"),
                    username: parts.remove("username"),
                    url: parts.remove("url"),
                };
                let to = if property == PROFILE {
                    &mut person.profiles
                } else {
                    &mut person.messengers
                };
                if !to.contains(&account) {
                    to.push(account);
                }
                return;
            }
            _ => return,
        };
        if let Some(value) = value::words(row, 4) {
            let labeled = Labeled { label, value };
            // Two cards of a person often have the same number.
            if !to.iter().any(|known| known.value == labeled.value) {
                to.push(labeled);
            }
        }
    })
}

/// Reads the parts of values, by their keys in lower case.
fn parts(db: &Database) -> Result<HashMap<i64, HashMap<String, String>>, Error> {
    let mut parts: HashMap<i64, HashMap<String, String>> = HashMap::new();
    let table = db.table("ABMultiValueEntry")?;
    if !table.has("parent_id") || !table.has("key") {
        return Ok(parts);
    }
    let keys = words(db, "ABMultiValueEntryKey")?;
    each(db, &table.select(&["parent_id", "key", "value"]), |row| {
        let key = value::integer(row, 1).and_then(|key| keys.get(&key));
        if let (Some(parent), Some(key), Some(value)) =
            (value::integer(row, 0), key, value::words(row, 2))
        {
            let key = key.to_lowercase();
            parts.entry(parent).or_default().insert(key, value);
        }
    })?;
    Ok(parts)
}

/// Reads a table of words, which others refer to by the numbers of its rows.
fn words(db: &Database, name: &'static str) -> Result<HashMap<i64, String>, Error> {
    let mut words = HashMap::new();
    let table = db.table(name)?;
    if table.has("value") {
        each(db, &table.select(&["ROWID", "value"]), |row| {
            words.extend(value::integer(row, 0).zip(value::text(row, 1)));
        })?;
    }
    Ok(words)
}

fn groups(db: &Database, cards: &HashMap<i64, usize>, people: &mut [Person]) -> Result<(), Error> {
    let (groups, members) = (db.table("ABGroup")?, db.table("ABGroupMembers")?);
    if !groups.has("Name") || !members.has("group_id") || !members.has("member_id") {
        return Ok(());
    }
    let mut names = HashMap::new();
    each(db, &groups.select(&["ROWID", "Name"]), |row| {
        names.extend(value::integer(row, 0).zip(value::words(row, 1)));
    })?;
    let sql = format!(
        "{} ORDER BY 1, 2",
        members.select(&["group_id", "member_id"])
    );
    each(db, &sql, |row| {
        let name = value::integer(row, 0).and_then(|group| names.get(&group));
        let person = value::integer(row, 1).and_then(|card| cards.get(&card));
        if let (Some(name), Some(person)) = (name, person.and_then(|at| people.get_mut(*at)))
            && !person.groups.contains(name)
        {
            person.groups.push(name.clone());
        }
    })
}

/// Returns a label without the marks around those of the phone: `_$!<Mobile>!$_`.
fn bare(label: &str) -> &str {
    label
        .strip_prefix("_$!<")
        .and_then(|label| label.strip_suffix(">!$_"))
        .unwrap_or(label)
}

fn each(db: &Database, sql: &str, mut each: impl FnMut(&Row<'_>)) -> Result<(), Error> {
    let failed = |e| db.failed(e);
    let mut statement = db.connection().prepare(sql).map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    let mut count = 0;
    while let Some(row) = rows.next().map_err(failed)? {
        each(row);
        count += 1;
        if count == ROWS_MAX {
            break;
        }
    }
    Ok(())
}
