//! Writes the bodies and tables of notes: messages of protocol buffers in gzip. The numbers of the
//! fields are those of proto/notestore.proto of the project apple_cloud_notes_parser (MIT).

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::{Bit, Line};

/// A message that is being written.
#[derive(Default)]
pub(super) struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn number(mut self, field: u64, number: u64) -> Self {
        self.varint(field << 3);
        self.varint(number);
        self
    }

    fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
        self
    }

    fn message(self, field: u64, message: Message) -> Self {
        self.bytes(field, &message.0)
    }

    fn messages(self, field: u64, messages: impl IntoIterator<Item = Message>) -> Self {
        messages
            .into_iter()
            .fold(self, |all, one| all.message(field, one))
    }
}

/// Returns bytes as a gzip stream.
pub(super) fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    // Writing to a vector cannot fail.
    let written = packed.write_all(bytes).and_then(|()| packed.finish());
    written.unwrap_or_default()
}

/// Returns the body of a note.
pub(super) fn body(lines: &[Line]) -> Vec<u8> {
    let mut text = String::new();
    let mut runs = Vec::new();
    let mut run = |piece: &str, line: &Line, more: &dyn Fn(Message) -> Message| {
        text += piece;
        let style = Message::default()
            .number(1, line.style.cast_unsigned())
            .number(4, line.indent);
        let style = match line.done {
            Some(done) => style.message(
                5,
                Message::default().bytes(1, &[7; 16]).number(2, done.into()),
            ),
            None => style,
        };
        let style = if line.quote {
            style.number(8, 1)
        } else {
            style
        };
        let units = piece.encode_utf16().count() as u64;
        let run = Message::default().number(1, units).message(2, style);
        runs.push(more(run).number(13, 1));
    };
    for (at, line) in lines.iter().enumerate() {
        for bit in &line.bits {
            match bit {
                Bit::Text(text, look) => run(text, line, &|run| {
                    let weight = u64::from(look.bold) + 2 * u64::from(look.italic);
                    let run = if weight > 0 {
                        run.number(5, weight)
                    } else {
                        run
                    };
                    let run = if look.underline {
                        run.number(6, 1)
                    } else {
                        run
                    };
                    let run = if look.strikethrough {
                        run.number(7, 1)
                    } else {
                        run
                    };
                    match look.link {
                        Some(link) => run.bytes(9, link.as_bytes()),
                        None => run,
                    }
                }),
                Bit::Place(place) => run("\u{fffc}", line, &|run| {
                    let named = Message::default()
                        .bytes(1, place.guid.as_bytes())
                        .bytes(2, place.uti.as_bytes());
                    run.message(12, named)
                }),
            }
        }
        if at + 1 < lines.len() {
            run("\n", line, &|run| run);
        }
    }
    let note = Message::default()
        .bytes(2, text.as_bytes())
        .messages(5, runs);
    let document = Message::default().number(2, 0).message(3, note);
    packed(&Message::default().number(1, 0).message(2, document).0)
}

/// The keys of a table, in an order of our own; each is known by its number.
const KEYS: [&str; 6] = [
    "identity",
    "crTableColumnDirection",
    "self",
    "crRows",
    "crColumns",
    "cellColumns",
];

/// The objects of a table.
#[derive(Default)]
struct Objects {
    all: Vec<Message>,
    uuids: Vec<[u8; 16]>,
}

impl Objects {
    fn add(&mut self, object: Message) -> u64 {
        self.all.push(object);
        self.all.len() as u64 - 1
    }

    /// Adds an object that stands for a new UUID, and returns its number.
    fn identity(&mut self) -> u64 {
        let id = self.uuids.len() as u64;
        let mut uuid = [0xab; 16];
        uuid[8..].copy_from_slice(&id.to_be_bytes());
        self.uuids.push(uuid);
        let value = Message::default().number(2, id);
        self.add(map(1, &[(2, value)]))
    }

    /// Adds an ordered set. Returns its object and the objects by which its elements are known.
    fn ordered(&mut self, length: usize) -> (u64, Vec<u64>) {
        let mut array = Message::default().message(1, Message::default());
        let mut known = Vec::new();
        let mut pairs = Vec::new();
        for place in 0..length {
            let at_place = self.identity();
            let uuid = self.uuids[self.uuids.len() - 1];
            let element = Message::default().number(1, place as u64).bytes(2, &uuid);
            array = array.message(2, element);
            let identity = self.identity();
            pairs.push((at_place, identity));
            known.push(identity);
        }
        let ordering = Message::default()
            .message(1, array)
            .message(2, dictionary(&pairs));
        let set = Message::default().message(1, ordering);
        (self.add(Message::default().message(16, set)), known)
    }
}

fn reference(object: u64) -> Message {
    Message::default().number(6, object)
}

fn dictionary(pairs: &[(u64, u64)]) -> Message {
    let pairs = pairs.iter().map(|(key, value)| {
        Message::default()
            .message(1, reference(*key))
            .message(2, reference(*value))
    });
    Message::default().messages(1, pairs)
}

fn map(kind: u64, entries: &[(u64, Message)]) -> Message {
    let entries = entries
        .iter()
        .map(|(key, value)| Message::default().number(1, *key).bytes(2, &value.0));
    let map = Message::default().number(1, kind).messages(3, entries);
    Message::default().message(13, map)
}

/// Returns a table. Cells without text are absent, and the columns are in no order.
pub(super) fn table(rows: &[&[&str]], right_to_left: bool) -> Vec<u8> {
    let mut objects = Objects::default();
    // The table is the first object, and the only one whose parts are all known at the end.
    objects.add(Message::default());
    let direction = if right_to_left {
        "CRTableColumnDirectionRightToLeft"
    } else {
        "CRTableColumnDirectionLeftToRight"
    };
    let value = Message::default().bytes(4, direction.as_bytes());
    let direction = objects.add(map(2, &[(2, value)]));
    let width = rows.first().map_or(0, |row| row.len());
    let (row_set, row_ids) = objects.ordered(rows.len());
    let (column_set, column_ids) = objects.ordered(width);
    let mut columns = Vec::new();
    for (x, column) in column_ids.iter().enumerate().rev() {
        let mut cells = Vec::new();
        for (y, row) in row_ids.iter().enumerate() {
            let text = rows[y][x];
            if !text.is_empty() {
                let note = Message::default().bytes(2, text.as_bytes());
                let cell = objects.add(Message::default().message(10, note));
                cells.push((*row, cell));
            }
        }
        let cells = objects.add(Message::default().message(6, dictionary(&cells)));
        columns.push((*column, cells));
    }
    let columns = objects.add(Message::default().message(6, dictionary(&columns)));
    objects.all[0] = map(
        0,
        &[
            (1, reference(direction)),
            (3, reference(row_set)),
            (4, reference(column_set)),
            (5, reference(columns)),
        ],
    );
    let mut data = Message::default().messages(3, objects.all);
    for key in KEYS {
        data = data.bytes(4, key.as_bytes());
    }
    for kind in [
        "com.apple.notes.ICTable",
        "com.apple.CRDT.NSUUID",
        "com.apple.CRDT.NSString",
    ] {
        data = data.bytes(5, kind.as_bytes());
    }
    for uuid in objects.uuids {
        data = data.bytes(6, &uuid);
    }
    let object = Message::default().number(2, 0).message(3, data);
    packed(&Message::default().message(2, object).0)
}
