//! Builds backups row by row, with contents that a phone would never write.

use std::fs;
use std::path::Path;

use idev_backup::backup_format::SCHEMA;
use idev_backup::backup_format::record::{FileRecord, MODE_DIR, MODE_FILE, MODE_LINK, file_id};

/// The rows of a list of files, and the contents of the files.
#[derive(Default)]
pub struct Made(Vec<Row>);

struct Row {
    file_id: String,
    domain: String,
    relative_path: String,
    flags: i64,
    archive: Vec<u8>,
    bytes: Option<Vec<u8>>,
}

impl Made {
    pub fn file(&mut self, domain: &str, path: &str, bytes: &[u8]) {
        let record = FileRecord {
            mode: MODE_FILE | 0o644,
            last_modified: 1_600_000_000,
            ..FileRecord::default()
        };
        self.file_with(domain, path, bytes, record);
    }

    /// Adds a file whose record has the size of the bytes.
    pub fn file_with(&mut self, domain: &str, path: &str, bytes: &[u8], record: FileRecord) {
        let record = FileRecord {
            size: bytes.len() as u64,
            ..record
        };
        self.row(domain, path, 1, record.encode(), Some(bytes));
    }

    pub fn folder(&mut self, domain: &str, path: &str, last_modified: i64) {
        let record = FileRecord {
            mode: MODE_DIR | 0o755,
            last_modified,
            ..FileRecord::default()
        };
        self.row(domain, path, 2, record.encode(), None);
    }

    pub fn link(&mut self, domain: &str, path: &str, target: &str) {
        let record = FileRecord {
            mode: MODE_LINK | 0o755,
            target: Some(target.to_owned()),
            ..FileRecord::default()
        };
        self.row(domain, path, 4, record.encode(), None);
    }

    pub fn row(
        &mut self,
        domain: &str,
        path: &str,
        flags: i64,
        archive: Vec<u8>,
        bytes: Option<&[u8]>,
    ) {
        self.0.push(Row {
            file_id: file_id(domain, path),
            domain: domain.to_owned(),
            relative_path: path.to_owned(),
            flags,
            archive,
            bytes: bytes.map(<[u8]>::to_vec),
        });
    }

    pub fn row_with_id(&mut self, id: &str, domain: &str, path: &str, archive: Vec<u8>) {
        self.row(domain, path, 1, archive, None);
        self.0.last_mut().unwrap().file_id = id.to_owned();
    }

    /// Writes the backup as a folder of iOS 10 or later. Writes only one property list,
    /// Manifest.plist: readers report a problem without it.
    pub fn write(&self, folder: &Path) {
        fs::create_dir_all(folder).unwrap();
        let plain = "<plist version=\"1.0\"><dict><key>IsEncrypted</key><false/></dict></plist>";
        fs::write(folder.join("Manifest.plist"), plain).unwrap();
        let mut db = rusqlite::Connection::open(folder.join("Manifest.db")).unwrap();
        db.execute_batch(SCHEMA).unwrap();
        let rows = db.transaction().unwrap();
        for row in &self.0 {
            // Rows with the same name have the same id; the last one replaces the others.
            rows.execute(
                "INSERT OR REPLACE INTO Files VALUES (?, ?, ?, ?, ?)",
                (
                    &row.file_id,
                    &row.domain,
                    &row.relative_path,
                    row.flags,
                    &row.archive,
                ),
            )
            .unwrap();
            if let Some(bytes) = &row.bytes {
                let place = folder.join(&row.file_id[..2]);
                fs::create_dir_all(&place).unwrap();
                fs::write(place.join(&row.file_id), bytes).unwrap();
            }
        }
        rows.commit().unwrap();
    }
}
