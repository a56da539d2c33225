//! Inserts rows into a database whose tables differ from one version of iOS to the next.

use std::collections::{HashMap, HashSet};

use rusqlite::Connection;
use rusqlite::types::Value as Sql;

/// A database, and the columns of its tables.
pub(super) struct Rows<'a> {
    pub(super) db: &'a Connection,
    columns: HashMap<&'static str, HashSet<String>>,
}

impl<'a> Rows<'a> {
    /// Looks at the columns of these tables.
    pub(super) fn of(db: &'a Connection, tables: &[&'static str]) -> rusqlite::Result<Rows<'a>> {
        let mut columns = HashMap::new();
        for table in tables {
            let mut statement = db.prepare("SELECT name FROM pragma_table_info(?1)")?;
            let names = statement.query_map([table], |row| row.get(0))?;
            columns.insert(*table, names.collect::<rusqlite::Result<_>>()?);
        }
        Ok(Rows { db, columns })
    }

    /// Inserts a row with those of the columns that the table has, and returns its number.
    pub(super) fn insert(
        &self,
        table: &'static str,
        row: Vec<(&str, Sql)>,
    ) -> rusqlite::Result<i64> {
        let known = self.columns.get(table);
        let has = |column: &str| known.is_none_or(|known| known.contains(column));
        let row: Vec<(&str, Sql)> = row.into_iter().filter(|(column, _)| has(column)).collect();
        let names: Vec<&str> = row.iter().map(|(column, _)| *column).collect();
        let places = vec!["?"; row.len()].join(", ");
        let names = names.join(", ");
        let sql = format!("INSERT INTO {table} ({names}) VALUES ({places})");
        let values = row.iter().map(|(_, value)| value);
        self.db.execute(&sql, rusqlite::params_from_iter(values))?;
        Ok(self.db.last_insert_rowid())
    }
}

/// Returns a text as a value of a column.
pub(super) fn text(text: &str) -> Sql {
    Sql::Text(text.to_owned())
}

/// Returns a number as a value of a column.
pub(super) fn number(number: i64) -> Sql {
    Sql::Integer(number)
}
