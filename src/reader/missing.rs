//! Finds what people expect in a backup and what it does not hold.
//!
//! Each fact is read from the backup itself. A cause is named only where the backup shows it.

use std::collections::BTreeSet;

use rusqlite::Connection;
use serde::Serialize;

use crate::backup_format::manifest_db::{Filter, Kind};
use crate::backup_format::plists::ManifestPlist;
use crate::reader::backup::Backup;
use crate::reader::paths::{self, Paths};
use crate::reader::{Error, database};

/// Number of applications that are named; all are counted.
const NAMED_MAX: usize = 5;
/// Maximum number of rows that are read of a database. A forged database could have any number.
const ROWS_MAX: usize = 4 << 20;

/// Something that a backup lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "gap", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Gap {
    /// The backup is not encrypted, so the phone left out saved passwords, Health, Home, calls,
    /// Safari's history and Wi-Fi passwords.
    NotEncrypted,
    /// The photo library names photos and videos whose originals are not in the backup: they are
    /// only in iCloud.
    PhotosInCloud {
        /// Number of such photos and videos.
        count: u64,
        /// Number of all photos and videos in the library, without deleted ones.
        of: u64,
    },
    /// The backup has no database of messages, or an empty one. Messages in iCloud leaves messages
    /// out of backups.
    NoMessages,
    /// Attachments that the messages name and the backup does not hold.
    Attachments {
        /// Number of such attachments.
        count: u64,
        /// Number of all attachments.
        of: u64,
    },
    /// WhatsApp is installed, and its chats are not in the backup. WhatsApp leaves them out while
    /// its own end-to-end encrypted backup is on.
    WhatsAppChats,
    /// Applications whose own folder holds no file, so that their data is not in backups, or only
    /// in a folder that they share with other applications.
    Apps {
        /// Number of such applications.
        count: u64,
        /// Bundle ids of the first ones.
        first: Vec<String>,
    },
    /// A database could not be read, so nothing is known about its part.
    Unreadable {
        /// Domain and path of the database.
        name: String,
        /// The reason why it could not be read.
        why: String,
    },
}

/// Finds what a backup lacks.
pub fn missing(backup: &Backup) -> Result<Vec<Gap>, Error> {
    let mut gaps = Vec::new();
    if !backup.is_encrypted() {
        gaps.push(Gap::NotEncrypted);
    }
    photos(backup, &mut gaps)?;
    messages(backup, &mut gaps)?;
    apps(backup, &mut gaps)?;
    Ok(gaps)
}

/// Opens a database and reads from it. A database that cannot be read is a gap.
fn read<T>(
    backup: &Backup,
    (domain, path): (&str, &str),
    gaps: &mut Vec<Gap>,
    read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> Option<T> {
    let found = match database::open(backup, domain, path) {
        Ok(None) => return None,
        Ok(Some(scratch)) => read(scratch.connection()).map_err(|e| e.to_string()),
        Err(why) => Err(why),
    };
    match found {
        Ok(found) => Some(found),
        Err(why) => {
            let name = format!("{domain}/{path}");
            gaps.push(Gap::Unreadable { name, why });
            None
        }
    }
}

fn photos(backup: &Backup, gaps: &mut Vec<Gap>) -> Result<(), Error> {
    const DOMAIN: &str = "CameraRollDomain";
    const LIBRARY: (&str, &str) = (DOMAIN, "Media/PhotoData/Photos.sqlite");
    if backup.find(LIBRARY.0, LIBRARY.1)?.is_none() {
        return Ok(());
    }
    let there = Paths::below(backup, DOMAIN, "Media")?;
    let counted = read(backup, LIBRARY, gaps, |db| {
        let (mut absent, mut all) = (0, 0);
        let Some(table) = table_of_assets(db)? else {
            return Ok((absent, all));
        };
        // Photos in "Recently Deleted" have left the folder of originals.
        let sql = format!("SELECT ZDIRECTORY, ZFILENAME FROM {table} WHERE ZTRASHEDSTATE IS NOT 1");
        let mut statement = db.prepare(&sql)?;
        let text = |row: &rusqlite::Row<'_>, column| row.get::<_, Option<String>>(column);
        let rows = statement.query_map([], |row| Ok((text(row, 0)?, text(row, 1)?)))?;
        for row in rows.take(ROWS_MAX) {
            if let (Some(folder), Some(file)) = row?
                && (folder.starts_with("DCIM/") || folder.starts_with("PhotoData/CPLAssets"))
            {
                all += 1;
                absent += u64::from(!there.have(&format!("Media/{folder}/{file}")));
            }
        }
        Ok((absent, all))
    });
    if let Some((count, of)) = counted.filter(|(absent, _)| *absent > 0) {
        gaps.push(Gap::PhotosInCloud { count, of });
    }
    Ok(())
}

fn table_of_assets(db: &Connection) -> rusqlite::Result<Option<&'static str>> {
    for table in ["ZASSET", "ZGENERICASSET"] {
        let columns = database::columns(db, table)?;
        let has = |name: &str| columns.iter().any(|column| column == name);
        if has("ZDIRECTORY") && has("ZFILENAME") && has("ZTRASHEDSTATE") {
            return Ok(Some(table));
        }
    }
    Ok(None)
}

fn messages(backup: &Backup, gaps: &mut Vec<Gap>) -> Result<(), Error> {
    const SMS: (&str, &str) = ("HomeDomain", "Library/SMS/sms.db");
    if backup.find(SMS.0, SMS.1)?.is_none() {
        gaps.push(Gap::NoMessages);
        return Ok(());
    }
    let there = Paths::below(backup, paths::MESSAGES.0, paths::MESSAGES.1)?;
    let found = read(backup, SMS, gaps, |db| {
        if database::columns(db, "message")?.is_empty() {
            return Ok(None);
        }
        let messages: i64 = db.query_row("SELECT count(*) FROM message", [], |row| row.get(0))?;
        let (mut absent, mut all) = (0, 0);
        let columns = database::columns(db, "attachment")?;
        if columns.iter().any(|column| column == "filename") {
            let mut statement = db.prepare("SELECT filename FROM attachment")?;
            let names = statement.query_map([], |row| row.get::<_, Option<String>>(0))?;
            for name in names.take(ROWS_MAX) {
                all += 1;
                let path = name?.and_then(|name| paths::of_attachment(&name));
                absent += u64::from(!path.is_some_and(|path| there.have(&path)));
            }
        }
        Ok(Some((messages, absent, all)))
    });
    match found.flatten() {
        Some((0, ..)) => gaps.push(Gap::NoMessages),
        Some((_, count, of)) if count > 0 => gaps.push(Gap::Attachments { count, of }),
        _ => {}
    }
    Ok(())
}

fn apps(backup: &Backup, gaps: &mut Vec<Gap>) -> Result<(), Error> {
    const WHATSAPP: &str = "net.whatsapp.WhatsApp";
    const CHATS: (&str, &str) = (
        "AppDomainGroup-group.net.whatsapp.WhatsApp.shared",
        "ChatStorage.sqlite",
    );
    // The problem with Manifest.plist is reported elsewhere.
    let ids = ManifestPlist::read(backup.folder()).unwrap_or_default();
    if ids.application_ids.contains(WHATSAPP) && backup.find(CHATS.0, CHATS.1)?.is_none() {
        gaps.push(Gap::WhatsAppChats);
    }
    // Apple's own applications keep their data in other domains.
    let others = ids.application_ids.iter();
    let others = others
        .filter(|id| !id.starts_with("com.apple.") && !id.starts_with("group.") && *id != WHATSAPP);
    let mut empty = BTreeSet::new();
    for id in others {
        if !has_files(backup, &format!("AppDomain-{id}"))? {
            empty.insert(id);
        }
    }
    if !empty.is_empty() {
        gaps.push(Gap::Apps {
            count: empty.len() as u64,
            first: empty.into_iter().take(NAMED_MAX).cloned().collect(),
        });
    }
    Ok(())
}

fn has_files(backup: &Backup, domain: &str) -> Result<bool, Error> {
    let files = Filter {
        domain: Some(domain),
        kind: Some(Kind::File),
        ..Filter::default()
    };
    let mut found = false;
    backup.each(&files, |_| {
        found = true;
        false
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::fs;
    use std::path::Path;

    use plist::{Dictionary, Value};

    use super::*;
    use crate::backup_format::SCHEMA;
    use crate::backup_format::record::file_id;
    use crate::reader::passwords::NoPasswords;

    /// A backup that is not encrypted, written file by file.
    struct Made {
        folder: tempfile::TempDir,
        list: Connection,
    }

    impl Made {
        fn new(apps: &[&str]) -> Result<Made, Box<dyn Error>> {
            let folder = tempfile::tempdir()?;
            let list = Connection::open(folder.path().join("Manifest.db"))?;
            list.execute_batch(SCHEMA)?;
            let apps = apps.iter().map(|id| ((*id).to_owned(), Value::from("")));
            let mut manifest = Dictionary::new();
            manifest.insert("IsEncrypted".into(), false.into());
            manifest.insert("Applications".into(), Value::Dictionary(apps.collect()));
            plist::to_file_binary(folder.path().join("Manifest.plist"), &manifest)?;
            Ok(Made { folder, list })
        }

        fn file(&self, domain: &str, path: &str, from: &Path) -> Result<(), Box<dyn Error>> {
            let id = file_id(domain, path);
            let place = self.folder.path().join(&id[..2]);
            fs::create_dir_all(&place)?;
            fs::copy(from, place.join(&id))?;
            let record = Value::Dictionary(Dictionary::from_iter([
                ("Size", Value::from(fs::metadata(from)?.len())),
                ("Mode", Value::from(0o100_644)),
            ]));
            let mut bytes = Vec::new();
            record.to_writer_binary(&mut bytes)?;
            let sql = "INSERT INTO Files VALUES (?1, ?2, ?3, 1, ?4)";
            self.list.execute(sql, (&id, domain, path, bytes))?;
            Ok(())
        }

        fn database(&self, domain: &str, path: &str, sql: &str) -> Result<(), Box<dyn Error>> {
            let folder = tempfile::tempdir()?;
            let place = folder.path().join("db");
            Connection::open(&place)?.execute_batch(sql)?;
            self.file(domain, path, &place)
        }

        fn gaps(&self) -> Result<Vec<Gap>, Box<dyn Error>> {
            let backup = Backup::open(self.folder.path(), &NoPasswords)?;
            Ok(missing(&backup)?)
        }
    }

    #[test]
    fn gaps_are_counted() -> Result<(), Box<dyn Error>> {
        let made = Made::new(&["net.whatsapp.WhatsApp", "com.apple.Pages", "org.example"])?;
        made.database(
            "CameraRollDomain",
            "Media/PhotoData/Photos.sqlite",
            "CREATE TABLE ZASSET (ZDIRECTORY, ZFILENAME, ZTRASHEDSTATE);
             INSERT INTO ZASSET VALUES ('DCIM/100APPLE', 'IMG_0001.HEIC', 0),
               ('DCIM/100APPLE', 'IMG_0002.HEIC', 0), ('DCIM/100APPLE', 'IMG_0003.HEIC', 1);",
        )?;
        made.database(
            "HomeDomain",
            "Library/SMS/sms.db",
            "CREATE TABLE message (text); INSERT INTO message VALUES ('x');
             CREATE TABLE attachment (filename);
             INSERT INTO attachment VALUES ('~/Library/SMS/Attachments/a.jpg'),
               ('/var/mobile/Library/SMS/Attachments/b.jpg'), (NULL);",
        )?;
        let any = made.folder.path().join("Manifest.plist");
        made.file(
            "CameraRollDomain",
            "Media/DCIM/100APPLE/IMG_0001.HEIC",
            &any,
        )?;
        made.file("MediaDomain", "Library/SMS/Attachments/a.jpg", &any)?;
        made.file("AppDomain-net.whatsapp.WhatsApp", "Documents/x", &any)?;
        let expected = [
            Gap::NotEncrypted,
            Gap::PhotosInCloud { count: 1, of: 2 },
            Gap::Attachments { count: 2, of: 3 },
            Gap::WhatsAppChats,
            Gap::Apps {
                count: 1,
                first: vec!["org.example".to_owned()],
            },
        ];
        assert_eq!(made.gaps()?, expected);
        Ok(())
    }

    #[test]
    fn empty_and_broken_databases_are_gaps() -> Result<(), Box<dyn Error>> {
        let made = Made::new(&[])?;
        assert_eq!(made.gaps()?, [Gap::NotEncrypted, Gap::NoMessages]);
        let broken = made.folder.path().join("broken");
        fs::write(&broken, "SQLite format 3\0 and no more")?;
        made.file("HomeDomain", "Library/SMS/sms.db", &broken)?;
        let gaps = made.gaps()?;
        let [Gap::NotEncrypted, Gap::Unreadable { name, .. }] = gaps.as_slice() else {
            panic!("{gaps:?}");
        };
        assert_eq!(name, "HomeDomain/Library/SMS/sms.db");
        Ok(())
    }
}
