//! The contacts of the simulated phone: AddressBook.sqlitedb and AddressBookImages.sqlitedb.
//!
//! The columns are those of a phone with iOS 18, as the project ios-backup-parser lists them. Those
//! for pronunciation, memoji and wallpapers came after iOS 12.

use std::collections::HashMap;

use rusqlite::Connection;
use rusqlite::types::Value as Sql;
use serde_json::{Map, Value, json};

use super::people::{ANA, JOERG, JUN, NUR, Person, ROBERT};
use super::{BEGIN, Contents, Plan, columns_of, database, picture, rfc3339};

const PERSON: &[(u32, &str)] = &[
    (
        0,
        "ROWID INTEGER PRIMARY KEY AUTOINCREMENT, First TEXT, Last TEXT, Middle TEXT, FirstPhonetic TEXT, MiddlePhonetic TEXT, \
         LastPhonetic TEXT, Organization TEXT, Department TEXT, Note TEXT, Kind INTEGER, Birthday TEXT, JobTitle TEXT, \
         Nickname TEXT, Prefix TEXT, Suffix TEXT, FirstSort TEXT, LastSort TEXT, CreationDate INTEGER, \
         ModificationDate INTEGER, CompositeNameFallback TEXT, ExternalIdentifier TEXT, ExternalModificationTag TEXT, \
         ExternalUUID TEXT, StoreID INTEGER, DisplayName TEXT, ExternalRepresentation BLOB, FirstSortSection TEXT, \
         LastSortSection TEXT, FirstSortLanguageIndex INTEGER DEFAULT 2147483647, \
         LastSortLanguageIndex INTEGER DEFAULT 2147483647, PersonLink INTEGER DEFAULT -1, ImageURI TEXT, \
         IsPreferredName INTEGER DEFAULT 1, guid TEXT NOT NULL DEFAULT (ab_generate_guid()), PhonemeData TEXT, \
         AlternateBirthday TEXT, MapsData TEXT",
    ),
    (
        12,
        "FirstPronunciation TEXT, MiddlePronunciation TEXT, LastPronunciation TEXT, OrganizationPhonetic TEXT, \
         OrganizationPronunciation TEXT, PreviousFamilyName TEXT, PreferredLikenessSource TEXT, \
         PreferredPersonaIdentifier TEXT, PreferredChannel TEXT",
    ),
    (13, "DowntimeWhitelist TEXT, ImageType TEXT"),
    (
        16,
        "ImageHash BLOB, MemojiMetadata BLOB, Wallpaper BLOB, DisplayFlags INTEGER",
    ),
    (
        17,
        "WatchWallpaperImageData BLOB, WallpaperMetadata BLOB, ImageBackgroundColorsData BLOB, \
         SensitiveContentConfiguration BLOB",
    ),
    (
        18,
        "WallpaperURI TEXT, ImageSyncFailedTime TEXT, WallpaperSyncFailedTime TEXT",
    ),
];

const TABLES: &str = "
    CREATE TABLE ABMultiValue (UID INTEGER PRIMARY KEY, record_id INTEGER, property INTEGER, identifier INTEGER, label INTEGER,
        value TEXT, guid TEXT NOT NULL DEFAULT (ab_generate_guid()));
    CREATE TABLE ABMultiValueLabel (value TEXT, UNIQUE(value));
    CREATE TABLE ABMultiValueEntry (parent_id INTEGER, key INTEGER, value TEXT, UNIQUE(parent_id, key));
    CREATE TABLE ABMultiValueEntryKey (value TEXT, UNIQUE(value));
    CREATE TABLE ABGroup (ROWID INTEGER PRIMARY KEY AUTOINCREMENT, Name TEXT, ExternalIdentifier TEXT, StoreID INTEGER,
        ExternalModificationTag TEXT, ExternalRepresentation BLOB, ExternalUUID TEXT,
        guid TEXT NOT NULL DEFAULT (ab_generate_guid()));
    CREATE TABLE ABGroupMembers (UID INTEGER PRIMARY KEY, group_id INTEGER, member_type INTEGER, member_id INTEGER);
    CREATE TABLE ABStore (ROWID INTEGER PRIMARY KEY AUTOINCREMENT, Name TEXT, ExternalIdentifier TEXT, Type INTEGER,
        AccountID INTEGER DEFAULT -1, Enabled INTEGER DEFAULT 1, guid TEXT NOT NULL DEFAULT (ab_generate_guid()));
    CREATE INDEX ABMultiValueRecordIDIndex ON ABMultiValue(record_id);
    INSERT INTO ABStore (Name, Type, guid) VALUES ('', 0, 'LOCAL-STORE');";

/// The virtual table for searches, whose tokenizer only Apple has, and the table in which it keeps
/// its text. Other readers take names from the second one.
const SEARCH: &str = "
    CREATE TABLE ABPersonFullTextSearch_content (docid INTEGER PRIMARY KEY, c0First, c1Last, c2Middle, c16Phone, c17Email);
    PRAGMA writable_schema = ON;
    INSERT INTO sqlite_schema (type, name, tbl_name, rootpage, sql) VALUES ('table', 'ABPersonFullTextSearch',
        'ABPersonFullTextSearch', 0, 'CREATE VIRTUAL TABLE ABPersonFullTextSearch USING ab_fts(First, Last, Phone, Email)');
    PRAGMA writable_schema = OFF;";

const IMAGES: &str = "
    CREATE TABLE ABFullSizeImage (ROWID INTEGER PRIMARY KEY AUTOINCREMENT, record_id INTEGER, crop_x INTEGER, crop_y INTEGER,
        crop_width INTEGER, data BLOB, UNIQUE(record_id));
    CREATE TABLE ABThumbnailImage (ROWID INTEGER PRIMARY KEY AUTOINCREMENT, record_id INTEGER, format INTEGER,
        derived_from_format INTEGER, data BLOB, UNIQUE(record_id, format));";

/// The numbers of properties.
const NUMBER: i64 = 3;
const MAIL: i64 = 4;
const ADDRESS: i64 = 5;
const DATE: i64 = 12;
const MESSENGER: i64 = 13;
const URL: i64 = 22;
const RELATED: i64 = 23;
const PROFILE: i64 = 46;

/// Noon in UTC of 1987-03-14, of 1604-04-12 (a birthday without a year) and of 2015-06-06, in
/// seconds since 2001.
const BORN: i64 = -435_585_600;
const BORN_WITHOUT_YEAR: i64 = -12_519_316_800;
const MARRIED: i64 = 455_284_800;

/// Adds the databases and the truth about them.
pub(super) fn add(plan: Plan, contents: &mut Contents) {
    let mut truth = Vec::new();
    let mut pictures = Vec::new();
    let bytes = database(|db| {
        let columns = columns_of(plan.ios, PERSON);
        db.execute_batch(&format!("CREATE TABLE ABPerson ({columns}); {TABLES}"))?;
        let mut book = Book {
            plan,
            db,
            words: HashMap::new(),
            truth: Vec::new(),
            pictures: Vec::new(),
        };
        tell(&mut book)?;
        (truth, pictures) = (book.truth, book.pictures);
        db.execute_batch(SEARCH)?;
        fill_search(db)
    });
    contents.file(
        "HomeDomain",
        "Library/AddressBook/AddressBook.sqlitedb",
        bytes,
    );
    let bytes = database(|db| {
        db.execute_batch(IMAGES)?;
        for (card, full, data) in &pictures {
            let sql = if *full {
                "INSERT INTO ABFullSizeImage (record_id, data) VALUES (?1, ?2)"
            } else {
                "INSERT INTO ABThumbnailImage (record_id, format, data) VALUES (?1, 0, ?2)"
            };
            db.execute(sql, (card, data))?;
        }
        Ok(())
    });
    contents.file(
        "HomeDomain",
        "Library/AddressBook/AddressBookImages.sqlitedb",
        bytes,
    );
    contents.truth.insert("contacts".to_owned(), truth.into());
}

fn fill_search(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch(
        "INSERT INTO ABPersonFullTextSearch_content (docid, c0First, c1Last, c16Phone, c17Email)
         SELECT ROWID, First, Last,
            (SELECT group_concat(value, ' ') FROM ABMultiValue WHERE record_id = p.ROWID AND property = 3),
            (SELECT group_concat(value, ' ') FROM ABMultiValue WHERE record_id = p.ROWID AND property = 4)
         FROM ABPerson p",
    )
}

struct Book<'a> {
    plan: Plan,
    db: &'a Connection,
    /// Rows of labels and of keys.
    words: HashMap<(&'static str, String), i64>,
    truth: Vec<Value>,
    /// The row of the card, true for a full picture, and its bytes.
    pictures: Vec<(i64, bool, Vec<u8>)>,
}

/// The parts of a value, by their keys.
type Parts<'c> = &'c [(&'c str, &'c str)];

/// A card that is to be written.
#[derive(Default)]
struct Card<'c> {
    fields: Vec<(&'c str, Sql)>,
    /// Property, label and value.
    values: Vec<(i64, &'c str, &'c str)>,
    /// Property, label and the parts of the value.
    structured: Vec<(i64, &'c str, Parts<'c>)>,
}

impl<'a> Book<'a> {
    /// Writes a card and returns its row.
    fn card(&mut self, card: Card<'_>) -> rusqlite::Result<i64> {
        let number: i64 = self
            .db
            .query_row("SELECT count(*) FROM ABPerson", [], |row| row.get(0))?;
        let guid = self.plan.uuid(60, number as u64);
        let mut fields = vec![
            ("guid", format!("{guid}:ABPerson").into()),
            ("CreationDate", Sql::Integer(BEGIN - 86_400 * (number + 1))),
            ("ModificationDate", Sql::Integer(BEGIN + 60 * number)),
            ("StoreID", Sql::Integer(1)),
        ];
        fields.extend(card.fields);
        let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
        let places = vec!["?"; fields.len()].join(", ");
        let sql = format!(
            "INSERT INTO ABPerson ({}) VALUES ({places})",
            names.join(", ")
        );
        let values = fields.iter().map(|(_, value)| value);
        self.db.execute(&sql, rusqlite::params_from_iter(values))?;
        let row = self.db.last_insert_rowid();
        for (property, label, value) in card.values {
            self.value(row, property, label, Some(value))?;
        }
        for (property, label, parts) in card.structured {
            let parent = self.value(row, property, label, None)?;
            for (key, value) in parts {
                let key = self.word("ABMultiValueEntryKey", key)?;
                let sql = "INSERT INTO ABMultiValueEntry VALUES (?1, ?2, ?3)";
                self.db.execute(sql, (parent, key, value))?;
            }
        }
        Ok(row)
    }

    fn value(
        &mut self,
        card: i64,
        property: i64,
        label: &str,
        value: Option<&str>,
    ) -> rusqlite::Result<i64> {
        // The phone marks its own labels; those that people made are plain text.
        let label = if label.is_ascii() && !label.is_empty() {
            format!("_$!<{label}>!$_")
        } else {
            label.to_owned()
        };
        let label = self.word("ABMultiValueLabel", &label)?;
        let number: i64 = self
            .db
            .query_row("SELECT count(*) FROM ABMultiValue", [], |row| row.get(0))?;
        let guid = self.plan.uuid(61, number as u64);
        let sql = "INSERT INTO ABMultiValue (record_id, property, identifier, label, value, guid)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        self.db
            .execute(sql, (card, property, number, label, value, guid))?;
        Ok(self.db.last_insert_rowid())
    }

    fn word(&mut self, table: &'static str, word: &str) -> rusqlite::Result<i64> {
        let key = (table, word.to_owned());
        if let Some(row) = self.words.get(&key) {
            return Ok(*row);
        }
        self.db
            .execute(&format!("INSERT INTO {table} VALUES (?1)"), [word])?;
        let row = self.db.last_insert_rowid();
        self.words.insert(key, row);
        Ok(row)
    }

    fn truth(&mut self, cards: &[i64], person: Value) {
        let number = cards.first().copied().unwrap_or(1) - 1;
        let last = cards.last().copied().unwrap_or(1) - 1;
        let mut fields = person.as_object().cloned().unwrap_or_default();
        let more = json!({
            "ids": cards,
            "guid": format!("{}:ABPerson", self.plan.uuid(60, number as u64)),
            "created": rfc3339(BEGIN - 86_400 * (number + 1)),
            "modified": rfc3339(BEGIN + 60 * last),
        });
        fields.extend(more.as_object().cloned().unwrap_or_else(Map::new));
        self.truth.push(fields.into());
    }

    fn picture(&self, person: &Person, side: u16) -> Vec<u8> {
        let seed = person.address.bytes().map(u64::from).sum();
        picture::png(side, self.plan.pick(&[62, seed], u64::MAX))
    }
}

fn text(value: &str) -> Sql {
    Sql::Text(value.to_owned())
}

fn tell(book: &mut Book<'_>) -> rusqlite::Result<()> {
    let note = "Met in the hut; likes tea, not coffee.\nSecond line\\ with a backslash — and a line that is much longer \
        than seventy-five bytes: 写真写真写真写真写真写真";
    let married = MARRIED.to_string();
    let ana = book.card(Card {
        fields: vec![
            ("First", text("Ana")),
            ("Last", text("Größe")),
            ("Nickname", text("Anni")),
            ("Note", text(note)),
            ("Birthday", text(&format!("{BORN}.0"))),
        ],
        values: vec![
            (NUMBER, "Mobile", "+44 7700 900123"),
            (NUMBER, "Home", "020 7946 0001"),
            (MAIL, "Home", "ana@example.com"),
            (MAIL, "Work", "ana.groesse@example.org"),
            (URL, "HomePage", "https://example.org/~ana?a=1&b=2"),
            (RELATED, "Mother", "Eva Größe"),
            (DATE, "Anniversary", &married),
        ],
        structured: vec![
            (
                ADDRESS,
                "Home",
                &[
                    ("Street", "1 Example Street\nFlat 2"),
                    ("City", "London"),
                    ("ZIP", "N1 1AA"),
                    ("Country", "United Kingdom"),
                    ("CountryCode", "gb"),
                ],
            ),
            (
                MESSENGER,
                "Home",
                &[
                    ("service", "Jabber"),
                    ("username", "ana@jabber.example.org"),
                ],
            ),
            (
                PROFILE,
                "",
                &[
                    ("service", "mastodon"),
                    ("username", "ana"),
                    ("url", "https://social.example.org/@ana"),
                ],
            ),
        ],
    })?;
    let picture = book.picture(ANA, 64);
    book.pictures.push((ana, true, picture));
    book.db.execute_batch(&format!(
        "INSERT INTO ABGroup (Name, guid) VALUES ('Choir, old; and new', 'GROUP-1');
         INSERT INTO ABGroupMembers (group_id, member_type, member_id) VALUES (1, 0, {ana});"
    ))?;
    book.truth(&[ana], json!({
        "name": ANA.name, "first": "Ana", "last": "Größe", "nickname": "Anni", "note": note,
        "birthday": { "year": 1987, "month": 3, "day": 14 },
        "numbers": [
            { "label": "Mobile", "value": "+44 7700 900123" },
            { "label": "Home", "value": "020 7946 0001" },
        ],
        "mails": [
            { "label": "Home", "value": "ana@example.com" },
            { "label": "Work", "value": "ana.groesse@example.org" },
        ],
        "urls": [{ "label": "HomePage", "value": "https://example.org/~ana?a=1&b=2" }],
        "related": [{ "label": "Mother", "value": "Eva Größe" }],
        "dates": [{ "label": "Anniversary", "year": 2015, "month": 6, "day": 6 }],
        "addresses": [{
            "label": "Home", "street": "1 Example Street\nFlat 2", "city": "London", "zip": "N1 1AA",
            "country": "United Kingdom", "country_code": "gb",
        }],
        "messengers": [{ "label": "Home", "service": "Jabber", "username": "ana@jabber.example.org" }],
        "profiles": [{ "service": "mastodon", "username": "ana", "url": "https://social.example.org/@ana" }],
        "groups": ["Choir, old; and new"],
        "has_picture": true,
    }));
    let jun = book.card(Card {
        fields: vec![
            ("First", text("Jun")),
            ("Last", text("写真")),
            ("Organization", text("Example")),
            ("JobTitle", text("Photographer")),
            ("Birthday", text(&BORN_WITHOUT_YEAR.to_string())),
        ],
        values: vec![(MAIL, "Work", "Jun@Example.com")],
        ..Card::default()
    })?;
    book.truth(&[jun], json!({
        "name": JUN.name, "first": "Jun", "last": "写真", "organization": "Example", "job_title": "Photographer",
        "birthday": { "month": 4, "day": 12 },
        "mails": [{ "label": "Work", "value": "Jun@Example.com" }],
    }));
    let nur = book.card(Card {
        fields: vec![
            ("First", text("نور")),
            ("Last", text("الهدى")),
            ("Birthday", text("someday")),
        ],
        values: vec![(NUMBER, "Mobile", "07700 900456")],
        ..Card::default()
    })?;
    book.truth(
        &[nur],
        json!({
            "name": NUR.name, "first": "نور", "last": "الهدى",
            "numbers": [{ "label": "Mobile", "value": "07700 900456" }],
        }),
    );
    hostile(book)?;
    cards(book)
}

/// A card whose fields would do harm if they were not escaped.
fn hostile(book: &mut Book<'_>) -> rusqlite::Result<()> {
    let (first, last) = (
        "=HYPERLINK(\"http://example.com/\")",
        "<script>alert('contact')</script>",
    );
    let note = "BEGIN:VCARD\r\nVERSION:4.0\r\nFN:Nobody\r\nEND:VCARD";
    let row = book.card(Card {
        fields: vec![
            ("First", text(first)),
            ("Last", text(last)),
            ("Note", text(note)),
        ],
        values: vec![
            (NUMBER, "Büro: 1;TYPE=x", "+1 (415) 555-0134"),
            (URL, "Home", "javascript:alert('url')"),
        ],
        ..Card::default()
    })?;
    book.truth(
        &[row],
        json!({
            "name": ROBERT.name, "first": first, "last": last, "note": note,
            "numbers": [{ "label": "Büro: 1;TYPE=x", "value": "+1 (415) 555-0134" }],
            "urls": [{ "label": "Home", "value": "javascript:alert('url')" }],
        }),
    );
    Ok(())
}

/// A person with two cards, an organisation, and cards with hardly a field.
fn cards(book: &mut Book<'_>) -> rusqlite::Result<()> {
    let names = || {
        vec![
            ("Prefix", text("Dr.")),
            ("First", text("Jörg")),
            ("Last", text("Müller-Lüdenscheidt")),
            ("PersonLink", Sql::Integer(7)),
        ]
    };
    let one = book.card(Card {
        fields: names(),
        values: vec![(NUMBER, "Mobile", "0049 171 3920012")],
        ..Card::default()
    })?;
    let office = book.card(Card {
        fields: vec![
            ("Organization", text("Practice & Sons; Berlin")),
            ("Kind", Sql::Integer(1)),
        ],
        values: vec![(NUMBER, "Empfang 📞", "+49 30 23125001")],
        ..Card::default()
    })?;
    // A mark before the picture, as some phones write it.
    let thumbnail = [vec![1], book.picture(JOERG, 32)].concat();
    book.pictures.push((office, false, thumbnail));
    book.pictures
        .push((one, false, b"pixels without a format".to_vec()));
    let fox = book.card(Card {
        fields: vec![("First", text("🦊"))],
        values: vec![(NUMBER, "iPhone", "+44 7700 900321")],
        ..Card::default()
    })?;
    let nameless = book.card(Card {
        values: vec![(NUMBER, "Other", "+44 7700 900654")],
        ..Card::default()
    })?;
    let empty = book.card(Card::default())?;
    let mut fields = names();
    fields.push(("Note", text("The card of the other account")));
    let other = book.card(Card {
        fields,
        values: vec![
            (NUMBER, "Mobile", "0049 171 3920012"),
            (MAIL, "Work", "joerg@example.org"),
        ],
        ..Card::default()
    })?;
    book.truth(
        &[one, other],
        json!({
            "name": JOERG.name, "prefix": "Dr.", "first": "Jörg", "last": "Müller-Lüdenscheidt",
            "note": "The card of the other account",
            "numbers": [{ "label": "Mobile", "value": "0049 171 3920012" }],
            "mails": [{ "label": "Work", "value": "joerg@example.org" }],
        }),
    );
    book.truth(&[office], json!({
        "name": "Practice & Sons; Berlin", "organization": "Practice & Sons; Berlin", "is_organization": true,
        "numbers": [{ "label": "Empfang 📞", "value": "+49 30 23125001" }],
        "has_picture": true,
    }));
    book.truth(&[fox], json!({
        "name": "🦊", "first": "🦊", "numbers": [{ "label": "iPhone", "value": "+44 7700 900321" }],
    }));
    book.truth(&[nameless], json!({
        "name": "+44 7700 900654", "numbers": [{ "label": "Other", "value": "+44 7700 900654" }],
    }));
    book.truth(&[empty], json!({ "name": "No name" }));
    Ok(())
}
