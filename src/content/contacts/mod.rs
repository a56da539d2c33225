//! Reads the contacts of a backup, and finds the names of addresses in them.
//!
//! The databases are AddressBook.sqlitedb and AddressBookImages.sqlitedb in
//! HomeDomain/Library/AddressBook. Their tables are described by the project ios-backup-parser
//! (docs/schemas/contacts.md, MIT).
//!
//! ```text
//! ABPerson             a row for each card
//! ABMultiValue         numbers, mail addresses and more: `property` is the kind of value
//! ABMultiValueEntry    the parts of a value: street, city, ...
//! ABMultiValueLabel, ABMultiValueEntryKey   labels and keys, by their row numbers
//! ABGroup, ABGroupMembers
//! ABThumbnailImage, ABFullSizeImage         pictures, by the row of the card
//! ```
//! The tables `ABPersonFullTextSearch` need a tokenizer that only Apple has, and are never touched.

mod directory;
mod picture;
mod record;
mod regions;
mod tables;

pub use directory::Directory;
pub use picture::Picture;
pub use record::{Account, Address, Day, Labeled, LabeledDay, Person};
pub use regions::{Region, international};

use crate::content::database::Database;
use crate::content::{Error, Kind};
use crate::reader::backup::Backup;

const DOMAIN: &str = "HomeDomain";
const PATH: &str = "Library/AddressBook/AddressBook.sqlitedb";
const PICTURES: &str = "Library/AddressBook/AddressBookImages.sqlitedb";

/// The contacts of an open backup.
pub struct Contacts {
    people: Vec<Person>,
    pictures: Option<Database>,
}

impl Contacts {
    /// Reads all contacts, without their pictures.
    pub fn open(backup: &Backup) -> Result<Contacts, Error> {
        let db = Database::open(backup, DOMAIN, PATH)?.ok_or(Error::Absent(Kind::Contacts))?;
        Ok(Contacts {
            people: tables::people(&db)?,
            pictures: Database::open(backup, DOMAIN, PICTURES)?,
        })
    }

    /// Returns all people, in the order of their first cards.
    pub fn people(&self) -> &[Person] {
        &self.people
    }

    /// Reads the largest picture of a person. Returns `None` if there is none, or none in a format
    /// that other programs know.
    pub fn picture(&self, person: &Person) -> Result<Option<Picture>, Error> {
        match &self.pictures {
            Some(db) => picture::of(db, &person.ids),
            None => Ok(None),
        }
    }

    /// Returns the names of addresses. `home` is the country of numbers that were typed without
    /// one.
    pub fn directory(&self, home: Option<Region>) -> Directory {
        Directory::of(&self.people, home)
    }
}
