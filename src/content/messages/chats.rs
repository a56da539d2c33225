//! Reads addresses and conversations.

use std::collections::HashMap;

use crate::content::database::{Database, columns};
use crate::content::messages::ROWS_MAX;
use crate::content::messages::record::{Chat, Handle};
use crate::content::{Error, value};

columns! {
    Id = "ROWID",
    Guid = "guid",
    Style = "style",
    Identifier = "chat_identifier",
    Service = "service_name",
    Name = "display_name",
    Group = "group_id",
}

/// The numbers of `chat.style`.
const GROUP: i64 = 43;
const SINGLE: i64 = 45;

/// Reads all addresses.
pub(super) fn handles(db: &Database) -> Result<HashMap<i64, Handle>, Error> {
    let table = db.needed("handle", &["id"])?;
    let sql = table.select(&["ROWID", "id", "country"]);
    let mut handles = HashMap::new();
    each(db, &sql, |row| {
        if let (Some(id), Some(address)) = (value::integer(row, 0), value::words(row, 1)) {
            let country = value::words(row, 2).map(|country| country.to_lowercase());
            let name = None;
            let handle = Handle {
                address,
                country,
                name,
            };
            handles.insert(id, handle);
        }
        handles.len() < ROWS_MAX
    })?;
    Ok(handles)
}

/// Reads all conversations. Chats that Messages shows as one are joined: those with one person over
/// several services, and those of one group.
pub(super) fn chats(db: &Database, handles: &HashMap<i64, Handle>) -> Result<Vec<Chat>, Error> {
    let mut members = members(db, handles)?;
    let table = db.needed("chat", &["guid"])?;
    let sql = format!("{} ORDER BY t.ROWID", table.select(COLUMNS));
    let mut chats: Vec<Chat> = Vec::new();
    let mut known: HashMap<(bool, String), usize> = HashMap::new();
    each(db, &sql, |row| {
        let text = |column: Column| value::words(row, column as usize);
        let id = value::integer(row, Column::Id as usize).unwrap_or_default();
        let participants = members.remove(&id).unwrap_or_default();
        let is_group = match value::integer(row, Column::Style as usize) {
            Some(GROUP) => true,
            Some(SINGLE) => false,
            _ => participants.len() > 1,
        };
        let identifier = text(Column::Identifier);
        let key = if is_group {
            text(Column::Group)
        } else {
            let other = participants.first().map(|other| other.address.clone());
            identifier.clone().or(other)
        };
        let at = match key {
            Some(key) => *known.entry((is_group, key)).or_insert(chats.len()),
            None => chats.len(),
        };
        if at == chats.len() {
            chats.push(Chat {
                ids: Vec::new(),
                guids: Vec::new(),
                identifier,
                name: None,
                is_group,
                participants: Vec::new(),
                services: Vec::new(),
            });
        }
        let chat = &mut chats[at];
        chat.ids.push(id);
        chat.guids.extend(text(Column::Guid));
        chat.name = chat.name.take().or_else(|| text(Column::Name));
        for other in participants {
            let is_new = !chat.participants.iter().any(|p| p.address == other.address);
            if is_new {
                chat.participants.push(other);
            }
        }
        if let Some(service) = text(Column::Service)
            && !chat.services.contains(&service)
        {
            chat.services.push(service);
        }
        chats.len() < ROWS_MAX
    })?;
    Ok(chats)
}

/// Reads the members of each chat.
fn members(
    db: &Database,
    handles: &HashMap<i64, Handle>,
) -> Result<HashMap<i64, Vec<Handle>>, Error> {
    let mut members: HashMap<i64, Vec<Handle>> = HashMap::new();
    let table = db.table("chat_handle_join")?;
    if !table.exists() {
        return Ok(members);
    }
    let sql = format!("{} ORDER BY 1, 2", table.select(&["chat_id", "handle_id"]));
    let mut count = 0;
    each(db, &sql, |row| {
        if let (Some(chat), Some(handle)) = (value::integer(row, 0), value::integer(row, 1))
            && let Some(handle) = handles.get(&handle)
        {
            members.entry(chat).or_default().push(handle.clone());
        }
        count += 1;
        count < ROWS_MAX
    })?;
    Ok(members)
}

fn each(
    db: &Database,
    sql: &str,
    mut each: impl FnMut(&rusqlite::Row<'_>) -> bool,
) -> Result<(), Error> {
    let failed = |e| db.failed(e);
    let mut statement = db.connection().prepare(sql).map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        if !each(row) {
            break;
        }
    }
    Ok(())
}
