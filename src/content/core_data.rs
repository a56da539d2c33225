//! Facts about stores of Core Data, Apple's library that keeps objects in a SQLite database.
//!
//! A table holds objects of several kinds, and `Z_ENT` tells them apart by number. The numbers
//! differ from one version of an application to the next; the table `Z_PRIMARYKEY` has them by
//! name, and the names of tables that join others contain them (`Z_27ASSETS`).

use std::collections::HashMap;

use crate::content::database::Database;
use crate::content::{Error, value};

/// The most kinds of objects in a store. Photos has some 150.
const ENTITIES_MAX: usize = 10_000;

/// Returns the numbers of the kinds of objects, by their names.
pub(crate) fn entities(db: &Database) -> Result<HashMap<String, i64>, Error> {
    let failed = |e| db.failed(e);
    let table = db.needed("Z_PRIMARYKEY", &["Z_ENT", "Z_NAME"])?;
    let sql = table.select(&["Z_ENT", "Z_NAME"]);
    let mut statement = db.connection().prepare(&sql).map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    let mut entities = HashMap::new();
    while let Some(row) = rows.next().map_err(failed)? {
        if let (Some(number), Some(name)) = (value::integer(row, 0), value::words(row, 1)) {
            entities.insert(name, number);
        }
        if entities.len() == ENTITIES_MAX {
            break;
        }
    }
    Ok(entities)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entities_are_found_by_name() -> Result<(), Box<dyn std::error::Error>> {
        let db = Database::in_memory(
            "CREATE TABLE Z_PRIMARYKEY (Z_ENT INTEGER PRIMARY KEY, Z_NAME VARCHAR, Z_SUPER INTEGER, Z_MAX INTEGER);
             INSERT INTO Z_PRIMARYKEY VALUES (1, 'ICAccount', 0, 2), (12, 'ICNote', 0, 40), (13, NULL, 0, 0)",
        )?;
        let found = entities(&db)?;
        assert_eq!((found.len(), found.get("ICNote")), (2, Some(&12)));
        let other = Database::in_memory("CREATE TABLE t (n)")?;
        let unknown = entities(&other).map_err(|e| e.to_string());
        assert_eq!(
            unknown,
            Err("the schema of memory is not known: it has no table Z_PRIMARYKEY".to_owned())
        );
        Ok(())
    }
}
