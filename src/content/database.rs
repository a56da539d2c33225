//! An open database of a backup, and its tables and columns.

use rusqlite::{Connection, ErrorCode};

use crate::backup_format::temp_db::Scratch;
use crate::content::Error;
use crate::reader::backup::Backup;
use crate::reader::database::{self, column_or_null};

/// Defines an enum with a variant for each column of a query, and `COLUMNS`, their names in the
/// same order: the number of a variant is the index of its column in a row.
macro_rules! columns {
    ($($variant:ident = $name:literal),* $(,)?) => {
        #[derive(Clone, Copy)]
        enum Column { $($variant),* }
        const COLUMNS: &[&str] = &[$($name),*];
    };
}
pub(crate) use columns;

/// An open database.
#[derive(Debug)]
pub(crate) struct Database {
    scratch: Scratch,
    place: String,
}

impl Database {
    /// Opens the database at a path of a domain; `None` if the backup has none.
    pub(crate) fn open(
        backup: &Backup,
        domain: &str,
        path: &str,
    ) -> Result<Option<Database>, Error> {
        let place = format!("{domain}/{path}");
        match database::open(backup, domain, path) {
            Ok(scratch) => Ok(scratch.map(|scratch| Database { scratch, place })),
            Err(why) => Err(Error::Unreadable { place, why }),
        }
    }

    /// Returns a database that SQL statements make, for tests.
    #[cfg(test)]
    pub(crate) fn in_memory(sql: &str) -> Result<Database, Box<dyn std::error::Error>> {
        let made = Connection::open_in_memory()?;
        made.execute_batch(sql)?;
        let bytes = made.serialize(rusqlite::MAIN_DB)?.to_vec();
        let scratch = Scratch::make(&mut &bytes[..], bytes.len() as u64);
        Ok(Database {
            scratch: scratch.map_err(|e| format!("{e:?}"))?,
            place: "memory".to_owned(),
        })
    }

    /// Returns the connection.
    pub(crate) fn connection(&self) -> &Connection {
        self.scratch.connection()
    }

    /// Counts the steps of queries from zero again, for a database that stays open for long.
    #[cfg(feature = "web")]
    pub(crate) fn renew(&self) {
        self.scratch.renew();
    }

    /// Returns the error for a failed query.
    pub(crate) fn failed(&self, e: rusqlite::Error) -> Error {
        Error::Unreadable {
            place: self.place.clone(),
            why: reason(&e),
        }
    }

    /// Calls `each` for the rows of a query, until it returns false.
    pub(crate) fn rows(
        &self,
        sql: &str,
        mut each: impl FnMut(&rusqlite::Row<'_>) -> bool,
    ) -> Result<(), Error> {
        let failed = |e| self.failed(e);
        let mut statement = self.connection().prepare(sql).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            if !each(row) {
                break;
            }
        }
        Ok(())
    }

    /// Returns the error for a schema that is not known. `lacks` is a whole clause.
    pub(crate) fn unknown(&self, lacks: String) -> Error {
        Error::UnknownSchema {
            place: self.place.clone(),
            lacks,
        }
    }

    /// Returns a table; one without columns if the database has no such table.
    pub(crate) fn table(&self, name: &'static str) -> Result<Table, Error> {
        let columns = database::columns(self.connection(), name);
        Ok(Table {
            name,
            columns: columns.map_err(|e| self.failed(e))?,
        })
    }

    /// Returns a table that must have these columns.
    pub(crate) fn needed(&self, name: &'static str, columns: &[&str]) -> Result<Table, Error> {
        let table = self.table(name)?;
        let unknown = |lacks| Err(self.unknown(lacks));
        if table.columns.is_empty() {
            return unknown(format!("it has no table {name}"));
        }
        let absent: Vec<&str> = columns
            .iter()
            .copied()
            .filter(|column| !table.has(column))
            .collect();
        if !absent.is_empty() {
            let absent = absent.join(", ");
            return unknown(format!("its table {name} has no column {absent}"));
        }
        Ok(table)
    }
}

/// Describes an error of SQLite. Its own words for a limit of ours would mislead.
pub(crate) fn reason(e: &rusqlite::Error) -> String {
    match e.sqlite_error_code() {
        Some(ErrorCode::OperationInterrupted) => "it is far longer than its size says".to_owned(),
        Some(ErrorCode::TooBig) => "a value in it is too large".to_owned(),
        _ => e.to_string(),
    }
}

/// A table and its columns.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    name: &'static str,
    columns: Vec<String>,
}

impl Table {
    /// Returns true if the table exists.
    pub(crate) fn exists(&self) -> bool {
        !self.columns.is_empty()
    }

    /// Returns the name.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the names of the columns.
    pub(crate) fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Returns true if the table has the column. The row number is not listed among the columns.
    pub(crate) fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|name| name == column)
    }

    /// Returns the list of columns for a SELECT from this table under an alias. Columns that the
    /// table does not have are NULL.
    pub(crate) fn list(&self, alias: &str, columns: &[&str]) -> String {
        let columns: Vec<String> = columns
            .iter()
            .map(|column| match *column {
                "ROWID" => format!("{alias}.ROWID"),
                column => column_or_null(&self.columns, alias, column),
            })
            .collect();
        columns.join(", ")
    }

    /// Returns a SELECT of these columns from this table, under the alias `t`.
    pub(crate) fn select(&self, columns: &[&str]) -> String {
        format!("SELECT {} FROM {} t", self.list("t", columns), self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_schema_names_itself() -> Result<(), Box<dyn std::error::Error>> {
        let db = Database::in_memory(
            "CREATE TABLE message (text); CREATE VIEW chat AS SELECT 1 AS guid",
        )?;
        assert!(db.needed("message", &["text"])?.has("text"));
        let lacks = |table, columns: &[&str]| match db.needed(table, columns) {
            Err(e) => e.to_string(),
            Ok(_) => String::new(),
        };
        assert_eq!(
            lacks("message", &["guid", "text", "date"]),
            "the schema of memory is not known: its table message has no column guid, date"
        );
        assert_eq!(
            lacks("chat", &[]),
            "the schema of memory is not known: it has no table chat"
        );
        Ok(())
    }

    #[test]
    fn absent_columns_are_null() -> Result<(), Box<dyn std::error::Error>> {
        let db = Database::in_memory("CREATE TABLE message (text)")?;
        let table = db.table("message")?;
        assert_eq!(
            table.select(&["ROWID", "text", "guid"]),
            "SELECT t.ROWID, t.text, NULL FROM message t"
        );
        Ok(())
    }
}
