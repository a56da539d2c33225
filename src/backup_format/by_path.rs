//! Finds rows of Manifest.db by the index of their paths, without reading those between them.
//!
//! The phone's list has an index of domains and one of paths, and none of both together. So the
//! rows of a domain are found first, by their numbers, and then paths of these rows in the other
//! index. Both indexes are a tenth of the list, which also holds a record for each file.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Result};

use super::list_error::is_damage;
use super::manifest_db::{Db, Error};
use super::row::{COLUMNS, Row, read_rows};

/// Most rows of a domain that are kept, at 8 bytes each. A forged list could have any number.
const PLACES_MAX: usize = 4 << 20;
/// A domain with at most this many rows is read as a whole. The rows of other domains, whose paths
/// are often the same, can be a thousand times more.
const FEW: usize = 2_000;

/// The numbers of the rows of a domain.
#[derive(Debug)]
pub(crate) struct Places {
    domain: String,
    numbers: Numbers,
}

impl Places {
    fn have(&self, number: i64) -> bool {
        self.numbers.have(number)
    }
}

/// A set of row numbers.
#[derive(Debug)]
struct Numbers {
    count: usize,
    /// A bit for each number from 0 on; empty if the numbers are spread too far.
    bits: Vec<u64>,
    /// The numbers in order, if there are no bits.
    sorted: Vec<i64>,
}

impl Numbers {
    fn of(mut numbers: Vec<i64>) -> Numbers {
        numbers.sort_unstable();
        let last = numbers.last().copied().unwrap_or(0);
        let is_dense = numbers.first().is_none_or(|first| *first >= 0)
            && usize::try_from(last / 64).is_ok_and(|last| last <= numbers.len());
        let mut bits = Vec::new();
        if is_dense {
            bits.resize(last as usize / 64 + 1, 0);
            for number in numbers.iter().map(|number| *number as usize) {
                bits[number / 64] |= 1 << (number % 64);
            }
        }
        Numbers {
            count: numbers.len(),
            bits,
            sorted: if is_dense { Vec::new() } else { numbers },
        }
    }

    fn have(&self, number: i64) -> bool {
        match self
            .bits
            .get(usize::try_from(number).unwrap_or(usize::MAX) / 64)
        {
            Some(bits) => bits & 1 << (number % 64) != 0,
            None => self.sorted.binary_search(&number).is_ok(),
        }
    }
}

/// A part of a folder.
#[derive(Debug)]
pub(crate) enum Child {
    /// A row of the list.
    Row(Row),
    /// The path of a folder that appears only in other paths.
    Implied(String),
}

impl Db {
    /// Calls `each` for the contents of a folder, in the order of their names and after the name
    /// `after`, until it returns false. Returns false without a call if the list has no index of
    /// paths or is damaged, or if the domain has few rows.
    pub(crate) fn children(
        &self,
        domain: &str,
        folder: &str,
        after: Option<&str>,
        mut each: impl FnMut(Child) -> bool,
    ) -> std::result::Result<bool, Error> {
        let mut is_begun = false;
        let read = self.seek_children(domain, folder, after, &mut |child| {
            is_begun = true;
            each(child)
        });
        match read {
            Err(e) if is_damage(&e) && !is_begun => Ok(false),
            read => Ok(read?),
        }
    }

    fn seek_children(
        &self,
        domain: &str,
        folder: &str,
        after: Option<&str>,
        each: &mut dyn FnMut(Child) -> bool,
    ) -> Result<bool> {
        if !self.finds_paths()? || !self.read_places(domain)? {
            return Ok(false);
        }
        let places = self.places.borrow();
        let Some(places) = places.as_ref().filter(|places| places.numbers.count > FEW) else {
            return Ok(false);
        };
        let prefix = if folder.is_empty() {
            String::new()
        } else {
            format!("{folder}/")
        };
        let mut walk = Walk::new(self.source(), &prefix)?;
        let mut one = self
            .source()
            .prepare(&format!("{COLUMNS} WHERE rowid = ?1"))?;
        // Names up to this one are done.
        let mut last = after.unwrap_or_default().to_owned();
        let mut from = format!("{prefix}{last}");
        loop {
            let inside = format!("{last}/");
            let next = walk.first(&from, &mut |number, path| {
                let rest = &path[prefix.len()..];
                if !places.have(number) {
                    // Most rows between two of a domain belong to others, so this must be fast.
                    let is_inside = rest.starts_with(inside.as_bytes());
                    return is_inside.then(|| (number, last.clone(), false, true));
                }
                let rest = String::from_utf8_lossy(rest);
                let name = rest.split('/').next().unwrap_or_default();
                let is_done = name <= last.as_str();
                // The contents of a folder that is done are skipped.
                (!is_done || name.len() < rest.len())
                    .then(|| (number, name.to_owned(), name.len() == rest.len(), is_done))
            })?;
            let Some((number, name, is_whole, is_done)) = next else {
                return Ok(true);
            };
            if is_done {
                from = format!("{prefix}{name}0");
                continue;
            }
            // A folder without a row of its own comes later in the index than "folder-2", since
            // '-' sorts before '/'.
            for (at, _) in name.bytes().enumerate().filter(|(_, byte)| *byte < b'/') {
                let Some(shorter) = name.get(..at).filter(|name| *name > last.as_str()) else {
                    continue;
                };
                let folder = format!("{prefix}{shorter}");
                if walk.holds(&folder, places)? {
                    shorter.clone_into(&mut last);
                    if !each(Child::Implied(folder)) {
                        return Ok(true);
                    }
                }
            }
            let mut goes_on = true;
            if is_whole {
                read_rows(&mut one.query([number])?, |place, row| {
                    match row {
                        Ok(row) => goes_on = each(Child::Row(row)),
                        Err(row) => self.note(place, row),
                    }
                    goes_on
                })?;
            } else {
                goes_on = each(Child::Implied(format!("{prefix}{name}")));
            }
            if !goes_on {
                return Ok(true);
            }
            // Files of one folder follow each other, so that the walk goes on where it is.
            from = format!("{prefix}{name}");
            last = name;
        }
    }

    /// Calls `each` for the paths of a domain that are below a folder, until it returns false.
    /// Leaves folders and links out. Returns false without a call if the list has no index of
    /// paths, or is damaged.
    pub(crate) fn file_paths(
        &self,
        domain: &str,
        folder: &str,
        mut each: impl FnMut(&str) -> bool,
    ) -> std::result::Result<bool, Error> {
        let mut is_begun = false;
        let read = self.seek_paths(domain, folder, &mut |path| {
            is_begun = true;
            each(path)
        });
        match read {
            Err(e) if is_damage(&e) && !is_begun => Ok(false),
            read => Ok(read?),
        }
    }

    fn seek_paths(
        &self,
        domain: &str,
        folder: &str,
        each: &mut dyn FnMut(&str) -> bool,
    ) -> Result<bool> {
        // For rows without meaningful flags, only the record gives the kind.
        if !self.finds_paths()?
            || !has_index(self.source(), "flags")?
            || has_any(self.source(), "flags = 0")?
            || has_any(self.source(), "flags IS NULL")?
            || !self.read_places(domain)?
        {
            return Ok(false);
        }
        let places = self.places.borrow();
        let Some(places) = &*places else {
            return Ok(false);
        };
        let Some(others) = numbers(self.source(), "flags IN (2, 4)", None)? else {
            return Ok(false);
        };
        let prefix = if folder.is_empty() {
            String::new()
        } else {
            format!("{folder}/")
        };
        let mut walk = Walk::new(self.source(), &prefix)?;
        walk.first(&prefix, &mut |number, path| {
            let is_file = places.have(number) && !others.have(number);
            (is_file && !each(&String::from_utf8_lossy(path))).then_some(())
        })?;
        Ok(true)
    }

    /// Calls `each` for the rows of a domain whose paths begin with a prefix that ends in a dot or
    /// a slash, until it returns false. Returns false without a call if the list has no index of
    /// paths.
    #[cfg(feature = "web")]
    pub(crate) fn with_prefix(
        &self,
        domain: &str,
        prefix: &str,
        mut each: impl FnMut(Row) -> bool,
    ) -> std::result::Result<bool, Error> {
        if !self.finds_paths()? {
            return Ok(false);
        }
        let sql =
            format!("{COLUMNS} WHERE relativePath >= ?1 AND relativePath < ?2 AND +domain = ?3");
        let mut statement = self.source().prepare(&sql)?;
        let end = behind(prefix);
        read_rows(
            &mut statement.query([prefix, &end, domain])?,
            |place, row| match row {
                Ok(row) => each(row),
                Err(row) => {
                    self.note(place, row);
                    true
                }
            },
        )?;
        Ok(true)
    }

    /// Returns the names of all domains, in order, without reading all rows. `None` if the list has
    /// no index of domains, or names that are BLOBs.
    pub(super) fn seek_domains(&self) -> Result<Option<Vec<String>>> {
        let db = self.source();
        if !has_index(db, "domain")? || has_any(db, "domain >= x''")? || has_any(db, "domain < ''")?
        {
            return Ok(None);
        }
        let mut next = db.prepare("SELECT min(domain) FROM Files WHERE domain > ?1")?;
        let mut names = Vec::new();
        if has_any(db, "domain = ''")? {
            names.push(String::new());
        }
        let mut last = String::new();
        while let Some(name) = next.query_row([&last], |row| row.get::<_, Option<String>>(0))? {
            last.clone_from(&name);
            names.push(name);
        }
        Ok(Some(names))
    }

    /// Returns true if a domain has so few rows that the index of domains finds them best.
    pub(super) fn has_few(&self, domain: &str) -> Result<bool> {
        if !has_index(self.source(), "domain")? {
            return Ok(false);
        }
        let sql = format!(
            "SELECT count(*) FROM (SELECT 1 FROM Files WHERE domain = ?1 LIMIT {})",
            FEW + 1
        );
        let rows: i64 = self.source().query_row(&sql, [domain], |row| row.get(0))?;
        Ok(rows <= FEW as i64)
    }

    /// Returns true if rows are found by their paths, and by their domains.
    fn finds_paths(&self) -> Result<bool> {
        let db = self.source();
        // A path that is a BLOB is elsewhere in the index.
        Ok(has_index(db, "relativePath")?
            && has_index(db, "domain")?
            && !has_any(db, "relativePath >= x''")?)
    }

    /// Reads the numbers of the rows of a domain, and keeps them. Returns false if there are too
    /// many.
    fn read_places(&self, domain: &str) -> Result<bool> {
        let is_there = |places: &Option<Places>| {
            places
                .as_ref()
                .is_some_and(|places| places.domain == domain)
        };
        if is_there(&self.places.borrow()) {
            return Ok(true);
        }
        let Some(numbers) = numbers(self.source(), "domain = ?1", Some(domain))? else {
            return Ok(false);
        };
        *self.places.borrow_mut() = Some(Places {
            domain: domain.to_owned(),
            numbers,
        });
        Ok(true)
    }
}

/// A walk through the index of paths, below one folder.
struct Walk<'a> {
    prefix: &'a str,
    statement: rusqlite::Statement<'a>,
    end: Option<String>,
}

impl<'a> Walk<'a> {
    fn new(db: &'a Connection, prefix: &'a str) -> Result<Walk<'a>> {
        // Any text is less than an empty BLOB.
        let statement = db.prepare(
            "SELECT rowid, relativePath FROM Files
             WHERE relativePath >= ?1 AND relativePath < coalesce(?2, x'') ORDER BY relativePath",
        )?;
        Ok(Walk {
            prefix,
            statement,
            end: (!prefix.is_empty()).then(|| behind(prefix)),
        })
    }

    /// Returns what `each` returns for the first row, from a path on, for which it returns
    /// something. Each path begins with the prefix and has more.
    fn first<T>(
        &mut self,
        from: &str,
        each: &mut dyn FnMut(i64, &[u8]) -> Option<T>,
    ) -> Result<Option<T>> {
        let mut rows = self.statement.query((from, self.end.as_deref()))?;
        while let Some(row) = rows.next()? {
            let ValueRef::Text(path) = row.get_ref(1)? else {
                continue;
            };
            let is_below =
                path.len() > self.prefix.len() && path.starts_with(self.prefix.as_bytes());
            if is_below && let Some(found) = each(row.get(0)?, path) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Returns true if rows of the domain are below a folder.
    fn holds(&mut self, folder: &str, places: &Places) -> Result<bool> {
        let (from, end) = (format!("{folder}/"), format!("{folder}0"));
        let mut rows = self.statement.query((from, end))?;
        while let Some(row) = rows.next()? {
            if places.have(row.get(0)?) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Returns the first text that sorts behind all that begin with a prefix, which ends in ASCII.
fn behind(prefix: &str) -> String {
    let mut end = prefix.to_owned();
    if let Some(last) = end.pop() {
        end.push(char::from_u32(last as u32 + 1).unwrap_or(last));
    }
    end
}

/// Returns the numbers of the rows that meet a condition for which there is an index; `None` if
/// there are too many.
fn numbers(db: &Connection, condition: &str, value: Option<&str>) -> Result<Option<Numbers>> {
    let most = PLACES_MAX + 1;
    let sql = format!("SELECT rowid FROM Files WHERE {condition} LIMIT {most}");
    let mut statement = db.prepare(&sql)?;
    let mut rows = statement.query(rusqlite::params_from_iter(value))?;
    let mut numbers = Vec::new();
    while let Some(row) = rows.next()? {
        numbers.push(row.get(0)?);
    }
    Ok((numbers.len() < most).then(|| Numbers::of(numbers)))
}

fn has_any(db: &Connection, condition: &str) -> Result<bool> {
    let sql = format!("SELECT EXISTS (SELECT 1 FROM Files WHERE {condition})");
    db.prepare(&sql)?.query_row([], |row| row.get(0))
}

/// Returns true if there is an index of this column that serves any comparison.
fn has_index(db: &Connection, column: &str) -> Result<bool> {
    let sql =
        "SELECT EXISTS (SELECT 1 FROM pragma_index_list('Files') l, pragma_index_xinfo(l.name) c
               WHERE c.seqno = 0 AND c.name = ?1 AND c.coll = 'BINARY' AND l.partial = 0)";
    db.prepare(sql)?.query_row([column], |row| row.get(0))
}
