//! Reads the notes of a backup, with their folders, styles, tables and attachments.
//!
//! The database is NoteStore.sqlite in AppDomainGroup-group.com.apple.notes. Its tables are
//! described by the projects ios-backup-parser (docs/schemas/notes.md) and iLEAPP
//! (scripts/artifacts/notes.py), its bodies by apple_cloud_notes_parser, all MIT.
//!
//! ```text
//! ZICCLOUDSYNCINGOBJECT   notes, folders, accounts, attachments and files; Z_ENT tells them apart
//! ZICNOTEDATA             a body for each note
//! Z_nNOTES                the folders of notes, up to iOS 11
//! Accounts/ACCOUNT/Media/MEDIA/[GENERATION/]NAME   the files
//! ```
//! Notes of iOS 8 and older are in another database, which this module does not read.

mod attachments;
mod body;
mod record;
mod table;

pub use record::{Attachment, Note, Paragraph, ParagraphKind, Piece, Styled, Table};

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};

use rusqlite::{Row, Statement};

use crate::content::database::{self, Database, columns};
use crate::content::{Error, Kind, core_data, value};
use crate::reader::backup::Backup;
use crate::reader::paths::Paths;

/// The domain of the database and of the files.
pub(crate) const DOMAIN: &str = "AppDomainGroup-group.com.apple.notes";
const PATH: &str = "NoteStore.sqlite";
const OBJECTS: &str = "ZICCLOUDSYNCINGOBJECT";
/// The most rows that are remembered: some 30 bytes for each. A crafted database could have any
/// number.
const ROWS_MAX: usize = 2 << 20;
/// The most folders inside each other. Those of a damaged database could contain each other.
const DEPTH_MAX: usize = 32;
/// The years in which notes can have been written. Old ones come from other programs.
const YEARS: std::ops::RangeInclusive<i16> = 1970..=2100;
/// The number of `ZFOLDERTYPE` for "Recently Deleted".
const TRASH: i64 = 1;
/// The type of tags, whose text begins with `#`.
const HASHTAG: &str = "com.apple.notes.inlinetextattachment.hashtag";

columns! {
    Id = "Z_PK",
    Guid = "ZIDENTIFIER",
    Title = "ZTITLE1",
    Folder = "ZFOLDER",
    Created3 = "ZCREATIONDATE3",
    Created1 = "ZCREATIONDATE1",
    Modified = "ZMODIFICATIONDATE1",
    Pinned = "ZISPINNED",
    Locked = "ZISPASSWORDPROTECTED",
    Hint = "ZPASSWORDHINT",
    Marked = "ZMARKEDFORDELETION",
}

/// The notes of an open backup.
pub struct Notes {
    db: Database,
    queries: Queries,
    objects: Objects,
    hasher: RandomState,
    files: Paths,
    damage: Vec<Error>,
}

/// The queries for single rows, for the columns that the database has.
struct Queries {
    note: String,
    attachment: String,
    media: String,
}

/// Results of one pass over the objects.
#[derive(Default)]
struct Objects {
    notes: Vec<i64>,
    accounts: HashMap<i64, Account>,
    folders: HashMap<i64, Folder>,
    /// The hash of the identifier of an attachment, and its row; sorted.
    attachments: Vec<(u64, i64)>,
    /// The files of attachments, and the attachments that others group, by their rows.
    media: HashMap<i64, i64>,
    parts: HashMap<i64, Vec<i64>>,
    /// The body and, up to iOS 11, the folder of each note.
    bodies: HashMap<i64, i64>,
    folder_of: HashMap<i64, i64>,
}

struct Account {
    guid: String,
    name: Option<String>,
}

struct Folder {
    title: Option<String>,
    parent: Option<i64>,
    is_trash: bool,
}

/// Prepared queries.
struct Open<'a> {
    note: Statement<'a>,
    body: Statement<'a>,
    attachment: Statement<'a>,
    media: Statement<'a>,
}

impl Notes {
    /// Opens the notes of a backup.
    pub fn open(backup: &Backup) -> Result<Notes, Error> {
        let db = Database::open(backup, DOMAIN, PATH)?.ok_or(Error::Absent(Kind::Notes))?;
        let table = db.needed(OBJECTS, &["Z_PK", "Z_ENT", "ZIDENTIFIER", "ZTITLE1"])?;
        let bodies = db.needed("ZICNOTEDATA", &["Z_PK", "ZNOTE", "ZDATA"])?;
        let entities = core_data::entities(&db)?;
        let entity = |name: &str| entities.get(name).copied();
        let lacks = || db.unknown("its table Z_PRIMARYKEY has no ICNote".to_owned());
        let note = entity("ICNote").ok_or_else(lacks)?;
        let mut damage = Vec::new();
        let hasher = RandomState::new();
        let mut objects = Objects::default();
        let kinds = Kinds {
            note: Some(note),
            folder: entity("ICFolder"),
            account: entity("ICAccount"),
            attachment: entity("ICAttachment"),
            inline: entity("ICInlineAttachment"),
            media: entity("ICMedia"),
        };
        let sql = table.select(SCANNED);
        damage.extend(each(&db, &sql, |row| objects.add(row, &kinds, &hasher)).err());
        objects.attachments.sort_unstable();
        let sql = bodies.select(&["ZNOTE", "Z_PK"]);
        let read = each(&db, &sql, |row| {
            let body = value::integer(row, 0).zip(value::integer(row, 1));
            objects.bodies.extend(body);
        });
        damage.extend(read.err());
        if let Some(folder) = kinds.folder {
            let joined = joined(&db, folder, note, &mut objects.folder_of);
            damage.extend(joined.err());
        }
        let account = account_column(&db, table.columns(), note);
        let note = format!(
            "SELECT {}, {} FROM {OBJECTS} t WHERE t.Z_PK = ?1",
            table.list("t", COLUMNS),
            account.map_or("NULL".to_owned(), |column| format!("t.{column}"))
        );
        let by_row = |columns| format!("{} WHERE t.Z_PK = ?1", table.select(columns));
        let queries = Queries {
            note,
            attachment: by_row(attachments::columns()),
            media: by_row(attachments::MEDIA_COLUMNS),
        };
        Ok(Notes {
            db,
            queries,
            objects,
            hasher,
            files: Paths::below(backup, DOMAIN, "")?,
            damage,
        })
    }

    /// Returns the reasons that notes or attachments are missing, if the database is damaged.
    pub fn damage(&self) -> &[Error] {
        &self.damage
    }

    /// Returns the first of these reasons.
    pub(crate) fn into_damage(self) -> Option<Error> {
        self.damage.into_iter().next()
    }

    /// Returns the number of notes.
    pub fn count(&self) -> u64 {
        self.objects.notes.len() as u64
    }

    /// Returns the number of locked notes.
    pub fn locked(&self) -> Result<u64, Error> {
        let mut locked = 0;
        if self.db.table(OBJECTS)?.has("ZISPASSWORDPROTECTED") {
            let notes: HashSet<i64> = self.objects.notes.iter().copied().collect();
            let sql = "SELECT Z_PK FROM ZICCLOUDSYNCINGOBJECT WHERE ZISPASSWORDPROTECTED = 1";
            self.db.rows(sql, |row| {
                locked += u64::from(value::integer(row, 0).is_some_and(|id| notes.contains(&id)));
                true
            })?;
        }
        Ok(locked)
    }

    /// Calls `each` for all notes, in the order in which they came to the phone, until it returns
    /// false. A note whose row cannot be read is marked as undecodable.
    pub fn each(&self, mut each: impl FnMut(Note) -> bool) -> Result<(), Error> {
        let mut open = self.prepare()?;
        for id in &self.objects.notes {
            if !each(self.note(*id, &mut open)) {
                break;
            }
        }
        Ok(())
    }

    /// Returns the note of a row; `None` if that is no note.
    #[cfg(feature = "web")]
    pub(crate) fn one(&self, id: i64) -> Result<Option<Note>, Error> {
        self.db.renew();
        let mut open = self.prepare()?;
        let is_note = self.objects.notes.contains(&id);
        Ok(is_note.then(|| self.note(id, &mut open)))
    }

    fn prepare(&self) -> Result<Open<'_>, Error> {
        let prepare = |sql: &str| {
            let statement = self.db.connection().prepare(sql);
            statement.map_err(|e| self.db.failed(e))
        };
        Ok(Open {
            note: prepare(&self.queries.note)?,
            body: prepare("SELECT ZDATA FROM ZICNOTEDATA WHERE Z_PK = ?1")?,
            attachment: prepare(&self.queries.attachment)?,
            media: prepare(&self.queries.media)?,
        })
    }

    fn note(&self, id: i64, open: &mut Open<'_>) -> Note {
        let read = open.note.query_row([id], |row| Ok(self.note_of(row)));
        let (mut note, account) = match read {
            Ok(read) => read,
            Err(e) => {
                let why = format!("its row cannot be read: {}", database::reason(&e));
                let note = Note {
                    id,
                    undecodable: Some(why),
                    ..Note::default()
                };
                return note;
            }
        };
        if note.locked {
            return note;
        }
        match self.body(id, open) {
            Ok(Some(bytes)) => match body::decode(&bytes) {
                Ok(body) => self.fill(&mut note, body, account, open),
                Err(why) => note.undecodable = Some(why),
            },
            // A note in which nothing was written.
            Ok(None) => {}
            Err(why) => note.undecodable = Some(why),
        }
        note
    }

    /// Returns a note without its text, and the row of its account.
    fn note_of(&self, row: &Row<'_>) -> (Note, Option<i64>) {
        let text = |column: Column| value::words(row, column as usize);
        let time = |column: Column| value::time(row, column as usize);
        let flag = |column: Column| value::flag(row, column as usize);
        let created3 = time(Column::Created3);
        let created = created3.or_else(|| time(Column::Created1));
        let modified = time(Column::Modified);
        let created_column = if created3.is_some() {
            Column::Created3
        } else {
            Column::Created1
        };
        let doubts = [
            (created_column, created, "the date of its creation"),
            (Column::Modified, modified, "the date of its last change"),
        ];
        let doubts = doubts.into_iter().filter_map(|(column, time, name)| {
            value::doubt(row, column as usize, time, name, YEARS)
        });
        let id = value::integer(row, Column::Id as usize).unwrap_or_default();
        let account = value::integer(row, COLUMNS.len());
        let folder = value::integer(row, Column::Folder as usize)
            .or_else(|| self.objects.folder_of.get(&id).copied());
        let (folders, is_trash) = self.folders(folder);
        let note = Note {
            id,
            guid: text(Column::Guid).unwrap_or_default(),
            title: text(Column::Title),
            account: account.and_then(|account| self.objects.accounts.get(&account)?.name.clone()),
            folders,
            created,
            modified,
            pinned: flag(Column::Pinned),
            locked: flag(Column::Locked),
            password_hint: text(Column::Hint),
            deleted: is_trash || flag(Column::Marked),
            doubts: doubts.collect(),
            ..Note::default()
        };
        (note, account)
    }

    /// Returns the names of a folder and of those around it, the outermost first, and true for
    /// "Recently Deleted".
    fn folders(&self, folder: Option<i64>) -> (Vec<String>, bool) {
        let mut names = Vec::new();
        let mut is_trash = false;
        let mut next = folder;
        while let Some(folder) = next.and_then(|id| self.objects.folders.get(&id)) {
            is_trash |= folder.is_trash;
            names.extend(folder.title.clone());
            next = folder.parent;
            if names.len() == DEPTH_MAX {
                break;
            }
        }
        names.reverse();
        (names, is_trash)
    }

    /// Reads and unpacks the body of a note; `None` if the note is empty.
    fn body(&self, note: i64, open: &mut Open<'_>) -> Result<Option<Vec<u8>>, String> {
        let Some(row) = self.objects.bodies.get(&note) else {
            return Err("the database has no body of it".to_owned());
        };
        let read = open
            .body
            .query_row([row], |row| Ok(value::bytes(row, 0).map(<[u8]>::to_vec)));
        let packed = read.map_err(|e| format!("its body cannot be read: {}", database::reason(&e)));
        packed?.map(|packed| body::unpack(&packed)).transpose()
    }

    /// Adds the lines of a body to a note, with the attachments in their places.
    fn fill(
        &self,
        note: &mut Note,
        body: body::Body<'_>,
        account: Option<i64>,
        open: &mut Open<'_>,
    ) {
        for line in body.lines {
            let mut paragraph = line.paragraph;
            let pieces = std::mem::take(&mut paragraph.pieces);
            let mut named = line.attachments.into_iter().peekable();
            let mut place = |at: usize, paragraph: &mut Paragraph| {
                while let Some((_, one)) = named.next_if(|(before, _)| *before <= at) {
                    let attachment = Box::new(self.attachment(one, account, open));
                    paragraph.pieces.push(Piece::Attachment { attachment });
                }
            };
            for (at, piece) in pieces.into_iter().enumerate() {
                place(at, &mut paragraph);
                paragraph.pieces.push(piece);
            }
            place(usize::MAX, &mut paragraph);
            note.paragraphs.push(paragraph);
        }
        let lines: Vec<String> = note.paragraphs.iter().map(Paragraph::text).collect();
        note.text = Some(lines.join("\n"));
        let mut tags = Vec::new();
        for attachment in note.attachments_mut() {
            if attachment.uti.as_deref() == Some(HASHTAG)
                && let Some(tag) = &attachment.text
            {
                let tag = tag.trim_start_matches('#').to_owned();
                if !tags.contains(&tag) {
                    tags.push(tag);
                }
            }
        }
        note.tags = tags;
    }
}

/// The numbers of the kinds of objects.
struct Kinds {
    note: Option<i64>,
    folder: Option<i64>,
    account: Option<i64>,
    attachment: Option<i64>,
    inline: Option<i64>,
    media: Option<i64>,
}

/// The columns of the pass over all objects.
const SCANNED: &[&str] = &[
    "Z_PK",
    "Z_ENT",
    "ZIDENTIFIER",
    "ZTITLE2",
    "ZPARENT",
    "ZFOLDERTYPE",
    "ZNAME",
    "ZPARENTATTACHMENT",
    "ZATTACHMENT1",
    "ZATTACHMENT",
];

impl Objects {
    fn add(&mut self, row: &Row<'_>, kinds: &Kinds, hasher: &RandomState) {
        let text = |column| value::words(row, column);
        let number = |column| value::integer(row, column);
        let (Some(id), kind) = (number(0), number(1)) else {
            return;
        };
        if kind.is_none() {
            return;
        }
        if kind == kinds.note {
            self.notes.push(id);
        } else if kind == kinds.folder {
            let folder = Folder {
                title: text(3),
                parent: number(4),
                is_trash: number(5) == Some(TRASH),
            };
            self.folders.insert(id, folder);
        } else if kind == kinds.account {
            let guid = text(2).unwrap_or_default();
            self.accounts.insert(
                id,
                Account {
                    guid,
                    name: text(6),
                },
            );
        } else if kind == kinds.attachment || kind == kinds.inline {
            let guid = text(2).unwrap_or_default();
            self.attachments.push((hasher.hash_one(guid.as_str()), id));
            if let Some(whole) = number(7) {
                self.parts.entry(whole).or_default().push(id);
            }
        } else if kind == kinds.media
            && let Some(attachment) = number(8).or_else(|| number(9))
        {
            self.media.insert(attachment, id);
        }
    }
}

/// Returns the column that has the account of notes: of several, the one that most notes fill.
fn account_column(db: &Database, columns: &[String], note: i64) -> Option<String> {
    let is_account = |column: &&String| {
        let number = column.strip_prefix("ZACCOUNT");
        number.is_some_and(|number| number.bytes().all(|b| b.is_ascii_digit()))
    };
    let count = |column: &String| -> i64 {
        let sql = format!("SELECT count({column}) FROM {OBJECTS} WHERE Z_ENT = ?1");
        // A damaged table is noticed by the pass over all objects.
        let counted = db.connection().query_row(&sql, [note], |row| row.get(0));
        counted.unwrap_or(0)
    };
    let counted = columns.iter().filter(is_account);
    let counted = counted.map(|column| (count(column), column));
    let most = counted
        .filter(|(count, _)| *count > 0)
        .max_by_key(|(count, _)| *count);
    most.map(|(_, column)| column.clone())
}

/// Reads the table that joins notes and folders, up to iOS 11.
fn joined(
    db: &Database,
    folder: i64,
    note: i64,
    folder_of: &mut HashMap<i64, i64>,
) -> Result<(), Error> {
    let name = format!("Z_{folder}NOTES");
    let columns = crate::reader::database::columns(db.connection(), &name);
    let columns = columns.map_err(|e| db.failed(e))?;
    let (notes, folders) = (format!("Z_{note}NOTES"), format!("Z_{folder}FOLDERS"));
    if !columns.contains(&notes) || !columns.contains(&folders) {
        return Ok(());
    }
    let sql = format!("SELECT {notes}, {folders} FROM {name}");
    each(db, &sql, |row| {
        folder_of.extend(value::integer(row, 0).zip(value::integer(row, 1)));
    })
}

fn each(db: &Database, sql: &str, mut each: impl FnMut(&Row<'_>)) -> Result<(), Error> {
    let mut count = 0;
    db.rows(sql, |row| {
        each(row);
        count += 1;
        count < ROWS_MAX
    })
}
