//! Finds the numbers and names of WhatsApp's users.
//!
//! A user is known by a jid: `447700900123@s.whatsapp.net`, or `123456789@lid` for a hidden
//! identity. LID.sqlite, ChatStorage.sqlite and ContactsV2.sqlite pair hidden identities with
//! numbers.

use std::collections::HashMap;

use crate::content::contacts::{Contacts, Directory};
use crate::content::database::Database;
use crate::content::messages::Handle;
use crate::content::{Error, value};
use crate::reader::backup::Backup;

const CONTACTS: &str = "ContactsV2.sqlite";
const LIDS: &str = "LID.sqlite";
const OF_NUMBERS: &str = "@s.whatsapp.net";
const OF_LIDS: &str = "@lid";
/// The most pairs that are remembered.
const PAIRS_MAX: usize = 1 << 20;

/// The users that WhatsApp knows.
#[derive(Default)]
pub(super) struct People {
    /// Names in the contacts of WhatsApp, by number or hidden identity, without what follows `@`.
    names: HashMap<String, String>,
    /// Names that users gave themselves.
    pushed: HashMap<String, String>,
    /// Numbers of hidden identities.
    numbers: HashMap<String, String>,
    /// The contacts of the phone.
    directory: Option<Directory>,
}

impl People {
    /// Reads the users. A database that is absent gives fewer names, and so does one that cannot be
    /// read; `damage` gets their errors.
    pub(super) fn of(chats: &Database, backup: &Backup, damage: &mut Vec<Error>) -> People {
        let mut people = People {
            directory: Contacts::open(backup)
                .ok()
                .map(|contacts| contacts.directory(None)),
            ..People::default()
        };
        let mut open = |path| match Database::open(backup, super::DOMAIN, path) {
            Ok(db) => db,
            Err(e) => {
                damage.push(e);
                None
            }
        };
        let (contacts, lids) = (open(CONTACTS), open(LIDS));
        if let Err(e) = people.read(chats, contacts.as_ref(), lids.as_ref()) {
            damage.push(e);
        }
        people
    }

    fn read(
        &mut self,
        chats: &Database,
        contacts: Option<&Database>,
        lids: Option<&Database>,
    ) -> Result<(), Error> {
        for db in [Some(chats), lids].into_iter().flatten() {
            const TABLE: &str = "ZWAPHONENUMBERLIDPAIR";
            pairs(db, TABLE, ["ZLID", "ZPHONENUMBER"], |lid, number| {
                self.numbers.insert(lid, number);
            })?;
        }
        const PUSHED: &str = "ZWAPROFILEPUSHNAME";
        pairs(chats, PUSHED, ["ZJID", "ZPUSHNAME"], |jid, name| {
            self.pushed.insert(jid, name);
        })?;
        if let Some(db) = contacts {
            const TABLE: &str = "ZWAADDRESSBOOKCONTACT";
            pairs(db, TABLE, ["ZLID", "ZWHATSAPPID"], |lid, number| {
                self.numbers.entry(lid).or_insert(number);
            })?;
            for column in ["ZWHATSAPPID", "ZLID"] {
                pairs(db, TABLE, [column, "ZFULLNAME"], |jid, name| {
                    self.names.insert(jid, name);
                })?;
            }
        }
        Ok(())
    }

    /// Returns the address and name of a user. `known` is the name that the conversation has.
    pub(super) fn handle(&self, jid: &str, known: Option<String>) -> Handle {
        let user = bare(jid);
        let number = if jid.ends_with(OF_LIDS) {
            self.numbers.get(&user).map(|number| bare(number))
        } else {
            jid.ends_with(OF_NUMBERS).then(|| user.clone())
        };
        let is_number =
            |number: &String| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        let number = number.filter(is_number);
        let address = match &number {
            Some(number) => format!("+{number}"),
            None => jid.to_owned(),
        };
        let in_contacts = || {
            let name = self.directory.as_ref()?.name(&address, None)?;
            Some(name.to_owned())
        };
        // WhatsApp also stores a number as a name.
        let is_name = |name: &String| name.chars().any(char::is_alphabetic);
        let users = || number.iter().chain([&user]);
        let name = users()
            .find_map(|user| self.names.get(user).cloned())
            .or_else(in_contacts)
            .or_else(|| known.filter(is_name))
            .or_else(|| users().find_map(|user| self.pushed.get(user).cloned()));
        Handle {
            address,
            country: None,
            name,
        }
    }
}

/// Returns the part of a jid before `@`, without a device and without `+`.
fn bare(jid: &str) -> String {
    let user = jid.split('@').next().unwrap_or_default();
    let user = user.split(':').next().unwrap_or_default();
    user.trim_start_matches('+').to_owned()
}

/// Calls `each` for pairs of texts in a table; the first one is a jid. A database without the
/// table has no pairs.
fn pairs(
    db: &Database,
    table: &'static str,
    columns: [&str; 2],
    mut each: impl FnMut(String, String),
) -> Result<(), Error> {
    let table = db.table(table)?;
    if !columns.iter().all(|column| table.has(column)) {
        return Ok(());
    }
    let mut count = 0;
    db.rows(&table.select(&columns), |row| {
        if let (Some(jid), Some(other)) = (value::words(row, 0), value::words(row, 1)) {
            each(bare(&jid), other);
        }
        count += 1;
        count < PAIRS_MAX
    })
}
