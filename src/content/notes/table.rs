//! Decodes a table of a note: a set of objects that several devices can change at once.
//!
//! The numbers of the fields are those of proto/notestore.proto of the project
//! apple_cloud_notes_parser (MIT), whose AppleNotesEmbeddedTable.rb describes the objects.
//!
//! ```text
//! 2.3        the objects: 3 the objects, 4 the names of keys, 5 the names of types, 6 the UUIDs
//! object     6 a dictionary, 10 a text, 13 a map (1 type, 3 entries), 16 an ordered set
//! ```
//! The table is the map of type `com.apple.notes.ICTable`, with the keys `crRows`, `crColumns`,
//! `cellColumns` and `crTableColumnDirection`. Rows and columns are ordered sets of UUIDs.

use std::cell::Cell;
use std::collections::HashMap;

use super::body;
use super::record::Table;
use crate::content::protobuf::{Fields, Value};

const TABLE: &str = "com.apple.notes.ICTable";
const RIGHT_TO_LEFT: &str = "CRTableColumnDirectionRightToLeft";
/// The most objects, and the most cells.
const OBJECTS_MAX: usize = 1 << 18;
/// The most references from one object to another.
const FOLLOWED_MAX: usize = 1 << 20;
/// The most bytes of all cells. Many cells of a crafted table could refer to one text.
const TEXT_BYTES_MAX: usize = 16 << 20;

/// Decodes an unpacked table. The error says why that is not possible.
pub(super) fn decode(bytes: &[u8]) -> Result<Table, String> {
    let data = Fields::of(bytes)
        .message(2)
        .and_then(|object| object.message(3))
        .ok_or("it has no objects")?;
    let mut objects = Objects::default();
    let mut fields = data;
    for (number, value) in fields.by_ref() {
        let Some(bytes) = value.bytes() else {
            continue;
        };
        match number {
            3 => objects.all.push(Object::of(Fields::of(bytes))),
            4 => objects.keys.push(bytes),
            5 => objects.types.push(bytes),
            6 => objects.uuids.push(bytes),
            _ => {}
        }
        if objects.all.len() + objects.uuids.len() > OBJECTS_MAX {
            return Err("it has too many objects".to_owned());
        }
    }
    if !fields.is_whole() {
        return Err("it is cut off".to_owned());
    }
    objects.table()
}

/// An object. Its fields are found once, since many references can lead to it.
#[derive(Clone, Copy)]
struct Object<'a> {
    dictionary: Option<Fields<'a>>,
    text: Option<&'a [u8]>,
    map: Option<Fields<'a>>,
    set: Option<Fields<'a>>,
    /// The value of the first entry of the map: the number of the UUID by which it is identified,
    /// or a text.
    identity: Option<usize>,
    value: Option<&'a [u8]>,
}

impl<'a> Object<'a> {
    fn of(object: Fields<'a>) -> Object<'a> {
        let map = object.message(13);
        let first = map.and_then(|map| map.message(3)?.message(2));
        let bytes = |fields: Fields<'a>, number| fields.first(number).and_then(Value::bytes);
        Object {
            dictionary: object.message(6),
            text: object.message(10).and_then(|note| bytes(note, 2)),
            map,
            set: object.message(16),
            identity: first.and_then(|value| index(value, 2)),
            value: first.and_then(|value| bytes(value, 4)),
        }
    }
}

#[derive(Default)]
struct Objects<'a> {
    all: Vec<Object<'a>>,
    keys: Vec<&'a [u8]>,
    types: Vec<&'a [u8]>,
    uuids: Vec<&'a [u8]>,
    /// Number of references that were followed.
    followed: Cell<usize>,
}

impl<'a> Objects<'a> {
    fn table(&self) -> Result<Table, String> {
        let is_table = |map: &Fields<'a>| {
            let kind = index(*map, 1).and_then(|kind| self.types.get(kind));
            kind.is_some_and(|kind| *kind == TABLE.as_bytes())
        };
        let mut maps = self.all.iter().filter_map(|object| object.map);
        let table = maps.find(is_table).ok_or("it has no table")?;
        let mut parts: HashMap<&[u8], Object<'a>> = HashMap::new();
        for entry in table.messages(3) {
            let key = index(entry, 1).and_then(|key| self.keys.get(key));
            let object = entry.message(2).and_then(|value| self.object(value));
            parts.extend(key.copied().zip(object));
        }
        let part = |name: &str| {
            let part = parts.get(name.as_bytes()).copied();
            part.ok_or_else(|| format!("it has no {name}"))
        };
        let (row_count, rows) = self.places(part("crRows")?)?;
        let (column_count, columns) = self.places(part("crColumns")?)?;
        if row_count.saturating_mul(column_count) > OBJECTS_MAX {
            return Err("it has too many cells".to_owned());
        }
        let mut cells = vec![vec![String::new(); column_count]; row_count];
        let mut bytes = 0;
        // Cells without text are absent.
        for (column, of_column) in self.pairs(part("cellColumns")?.dictionary) {
            let Some(x) = column.identity.and_then(|id| columns.get(&id)) else {
                continue;
            };
            for (row, cell) in self.pairs(of_column.dictionary) {
                let y = row.identity.and_then(|id| rows.get(&id));
                if let (Some(y), Some(text)) = (y, cell.text) {
                    bytes += text.len();
                    if bytes > TEXT_BYTES_MAX {
                        return Err("its text is too long".to_owned());
                    }
                    cells[*y][*x] = body::text(text)?.replace(body::PLACE, "");
                }
            }
        }
        if self.followed.get() >= FOLLOWED_MAX {
            return Err("it has too many references".to_owned());
        }
        let direction = part("crTableColumnDirection").ok();
        Ok(Table {
            rows: cells,
            right_to_left: direction.and_then(|object| object.value)
                == Some(RIGHT_TO_LEFT.as_bytes()),
        })
    }

    /// Returns the object to which a reference refers.
    fn object(&self, reference: Fields<'a>) -> Option<Object<'a>> {
        self.all.get(index(reference, 6)?).copied()
    }

    /// Returns the keys and values of a dictionary.
    fn pairs(
        &self,
        dictionary: Option<Fields<'a>>,
    ) -> impl Iterator<Item = (Object<'a>, Object<'a>)> {
        let dictionary = dictionary.unwrap_or(Fields::of(b""));
        let elements = dictionary.messages(1).take_while(|_| {
            self.followed.set(self.followed.get() + 1);
            self.followed.get() < FOLLOWED_MAX
        });
        elements.filter_map(|element| {
            let key = self.object(element.message(1)?)?;
            Some((key, self.object(element.message(2)?)?))
        })
    }

    /// Returns the length of an ordered set, and the places of its elements by the numbers of their
    /// UUIDs.
    fn places(&self, object: Object<'a>) -> Result<(usize, HashMap<usize, usize>), String> {
        let ordering = object.set.and_then(|set| set.message(1));
        let ordering = ordering.ok_or("its rows or columns have no order")?;
        let array = ordering.message(1).unwrap_or(Fields::of(b""));
        let mut by_uuid: HashMap<&[u8], usize> = HashMap::new();
        for element in array.messages(2) {
            let uuid = element.first(2).and_then(Value::bytes).unwrap_or_default();
            let next = by_uuid.len();
            by_uuid.entry(uuid).or_insert(next);
        }
        let mut places: HashMap<usize, usize> = HashMap::new();
        for (id, uuid) in self.uuids.iter().enumerate() {
            places.extend(by_uuid.get(uuid).map(|place| (id, *place)));
        }
        // An element is known by the identity of a second object.
        for (key, value) in self.pairs(ordering.message(2)) {
            let place = key.identity.and_then(|id| self.uuids.get(id));
            let place = place.and_then(|uuid| by_uuid.get(uuid));
            places.extend(value.identity.zip(place.copied()));
        }
        Ok((by_uuid.len(), places))
    }
}

/// Returns a number as an index.
fn index(fields: Fields<'_>, number: u64) -> Option<usize> {
    usize::try_from(fields.first(number)?.number()?).ok()
}
