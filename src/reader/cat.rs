//! Reads one file of a backup as it is on the phone.

use std::io::{self, Read};

use crate::backup_format::keybag::Ending;
use crate::backup_format::manifest_db::Kind;
use crate::reader::Error;
use crate::reader::backup::{Backup, Bytes, Item};

/// Plaintext of a file.
pub struct Body {
    name: String,
    bytes: Bytes,
}

/// Opens the file with this domain and path.
pub fn open(backup: &Backup, domain: &str, relative_path: &str) -> Result<Body, Error> {
    match backup.find(domain, relative_path)? {
        Some(item) => body(backup, &item),
        None if relative_path.is_empty() => Err(nothing(domain)),
        None => Err(nothing(&format!("{domain}/{relative_path}"))),
    }
}

/// Opens the file with this file id, 40 hex digits.
pub fn open_id(backup: &Backup, file_id: &str) -> Result<Body, Error> {
    match backup.find_id(&file_id.to_ascii_lowercase())? {
        Some(item) => body(backup, &item),
        None => Err(nothing(file_id)),
    }
}

fn nothing(name: &str) -> Error {
    Error::NoFile(name.to_owned())
}

fn body(backup: &Backup, item: &Item) -> Result<Body, Error> {
    let failed = |why: String| Error::File {
        name: item.name(),
        why,
    };
    match item.kind {
        Kind::Directory => {
            return Err(Error::IsFolder(item.name()));
        }
        Kind::Link => {
            let to = item.record().ok().and_then(|record| record.target);
            let to = to.unwrap_or_else(|| "nowhere".to_owned());
            return Err(failed(format!("it is a link to {to}")));
        }
        Kind::File | Kind::Other => {}
    }
    Ok(Body {
        bytes: backup.bytes(item)?,
        name: item.name(),
    })
}

impl Body {
    /// Checks, after everything was read, that the file ends as an encrypted file must. Other
    /// damage does not show here.
    pub fn check(&self) -> Result<(), Error> {
        match self.bytes.ending() {
            Some(Ending::Wrong) => Err(Error::File {
                name: self.name.clone(),
                why: "it does not decrypt: its contents or its key have changed, so the printed \
                    data may be wrong"
                    .to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// Returns the error for a failure to read the file.
    pub fn failed(&self, cause: io::Error) -> Error {
        Error::of_read(self.name.clone(), cause)
    }
}

impl Read for Body {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.bytes.read(out)
    }
}
