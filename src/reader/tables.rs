//! Reads the tables of any SQLite database in a backup, some rows at a time.

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use crate::backup_format::temp_db::Scratch;
use crate::reader::backup::{Backup, Item};
use crate::reader::database;

/// Most tables of a database. Those of apps have some hundred.
const TABLES_MAX: usize = 1_000;
/// Most columns of a table that are read.
const COLUMNS_MAX: usize = 100;
/// Most characters of a text that are read.
const TEXT_MAX: usize = 300;
/// Rows are counted up to this number.
const COUNT_MAX: u64 = 100_000;

/// The tables of a database.
pub(crate) struct Tables {
    scratch: Scratch,
    tables: Vec<Table>,
}

/// One table of a database.
pub(crate) struct Table {
    /// Name of the table.
    pub(crate) name: String,
    /// The names of the columns.
    pub(crate) columns: Vec<String>,
}

/// A value of a row.
pub(crate) enum Cell {
    Null,
    Number(String),
    /// A text, or its beginning.
    Text(String),
    /// The length of a BLOB in bytes.
    Bytes(usize),
}

/// The number of rows of a table.
#[derive(Clone, Copy)]
pub(crate) enum Rows {
    Exactly(u64),
    MoreThan(u64),
}

impl Tables {
    /// Opens a database. The error says why it cannot be read.
    pub(crate) fn open(backup: &Backup, item: &Item) -> Result<Tables, String> {
        let scratch = database::open(backup, &item.domain, &item.relative_path)?;
        let scratch = scratch.ok_or("the backup has no such file")?;
        let tables = list(scratch.connection()).map_err(|e| e.to_string())?;
        Ok(Tables { scratch, tables })
    }

    /// Returns the tables, sorted by name.
    pub(crate) fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// Counts the rows of a table.
    pub(crate) fn count(&self, table: &Table) -> Result<Rows, String> {
        self.scratch.renew();
        let sql = format!(
            "SELECT count(*) FROM (SELECT 1 FROM {} LIMIT {})",
            quoted(&table.name),
            COUNT_MAX + 1
        );
        let count = self
            .scratch
            .connection()
            .query_row(&sql, [], |row| row.get(0));
        let count: i64 = count.map_err(|e| e.to_string())?;
        Ok(match count.unsigned_abs() {
            count if count > COUNT_MAX => Rows::MoreThan(COUNT_MAX),
            count => Rows::Exactly(count),
        })
    }

    /// Reads `take` rows of a table after the first `skip`.
    pub(crate) fn rows(
        &self,
        table: &Table,
        skip: u64,
        take: u64,
    ) -> Result<Vec<Vec<Cell>>, String> {
        self.scratch.renew();
        let columns: Vec<String> = table.columns.iter().map(|name| quoted(name)).collect();
        let sql = format!(
            "SELECT {} FROM {} LIMIT {take} OFFSET {skip}",
            columns.join(", "),
            quoted(&table.name)
        );
        let read = || {
            let mut statement = self.scratch.connection().prepare(&sql)?;
            let mut rows = statement.query([])?;
            let mut cells = Vec::new();
            while let Some(row) = rows.next()? {
                let row = (0..columns.len()).map(|column| row.get_ref(column).map(cell));
                cells.push(row.collect::<rusqlite::Result<_>>()?);
            }
            Ok(cells)
        };
        read().map_err(|e: rusqlite::Error| e.to_string())
    }
}

fn list(db: &Connection) -> rusqlite::Result<Vec<Table>> {
    // A virtual table has no root page, and reading a crafted view might never end.
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0 ORDER BY name";
    let mut statement = db.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut tables = Vec::new();
    while let Some(row) = rows.next()?.filter(|_| tables.len() < TABLES_MAX) {
        // SQL cannot name a table whose name is a BLOB.
        let Ok(name) = row.get::<_, String>(0) else {
            continue;
        };
        let mut columns = database::columns(db, &name)?;
        columns.truncate(COLUMNS_MAX);
        if !columns.is_empty() {
            tables.push(Table { name, columns });
        }
    }
    Ok(tables)
}

fn cell(value: ValueRef<'_>) -> Cell {
    match value {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(number) => Cell::Number(number.to_string()),
        ValueRef::Real(number) => Cell::Number(number.to_string()),
        ValueRef::Text(bytes) => {
            let most = bytes.len().min(TEXT_MAX * 4);
            let text = String::from_utf8_lossy(&bytes[..most]);
            let shown: String = text.chars().take(TEXT_MAX).collect();
            Cell::Text(if shown.len() < bytes.len() {
                shown + "…"
            } else {
                shown
            })
        }
        ValueRef::Blob(bytes) => Cell::Bytes(bytes.len()),
    }
}

/// Quotes a name for SQL.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_table_is_listed() -> Result<(), Box<dyn std::error::Error>> {
        let made = Connection::open_in_memory()?;
        made.execute_batch(
            "CREATE TABLE \"a \"\" b\" (\"x\"\"; DROP TABLE n\", y);
             INSERT INTO \"a \"\" b\" VALUES (1, x'00ff'), (NULL, 'ü'), (1.5, 'z');
             CREATE TABLE n (a); CREATE VIEW v AS SELECT 1;",
        )?;
        let bytes = made.serialize(rusqlite::MAIN_DB)?.to_vec();
        let scratch = Scratch::make(&mut &bytes[..], bytes.len() as u64);
        let scratch = scratch.map_err(|e| format!("{e:?}"))?;
        let tables = list(scratch.connection())?;
        let tables = Tables { scratch, tables };
        let names: Vec<&str> = tables
            .tables()
            .iter()
            .map(|table| table.name.as_str())
            .collect();
        assert_eq!(names, ["a \" b", "n"]);
        let first = &tables.tables()[0];
        assert!(matches!(tables.count(first)?, Rows::Exactly(3)));
        let rows = tables.rows(first, 1, 5)?;
        assert_eq!(rows.len(), 2);
        assert!(matches!(&rows[0][..], [Cell::Null, Cell::Text(text)] if text == "ü"));
        assert!(matches!(&rows[1][..], [Cell::Number(one), _] if one == "1.5"));
        assert!(matches!(tables.rows(first, 0, 1)?[0][1], Cell::Bytes(2)));
        Ok(())
    }
}
