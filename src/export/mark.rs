//! Marks a folder as the target of an export, so that the same export can go on or run again there.

use std::io::{Read, Write};
use std::path::Path;

use serde::Serialize;

use crate::base::plain_file;
use crate::export::Error;
use crate::export::destination::{Target, cannot_write};
use crate::reader::backup::Backup;
use crate::store::disk;

/// The name of the mark in the target folder.
const NAME: &str = ".idev-backup-export.json";
/// The largest mark that is read.
const BYTES_MAX: u64 = 64 << 10;

/// A description of an export: its backup, its kind and its options.
pub(crate) struct Mark(String);

impl Mark {
    /// Describes an export.
    pub(crate) fn new(backup: &Backup, kind: &str, options: &impl Serialize) -> Mark {
        #[derive(Serialize)]
        struct Description<'a, T> {
            backup: String,
            kind: &'a str,
            options: &'a T,
        }
        let description = Description {
            backup: backup.identity(),
            kind,
            options,
        };
        // Options are plain values, which can always be written.
        Mark(serde_json::to_string(&description).unwrap_or_default())
    }

    /// Returns true if the target folder has this mark: what it holds is then from the same export.
    /// Fails if the folder holds other files and may not simply be filled.
    pub(crate) fn admits(&self, target: &Target) -> Result<bool, Error> {
        let is_marked = target.holds_files() && self.is_in(target.root());
        if target.must_be_known() && !is_marked {
            let root = target.root();
            return Err(match plain_file::open(&root.join(NAME)) {
                Ok(_) => Error::OtherExport(root.to_path_buf()),
                Err(_) => Error::NotEmpty(root.to_path_buf()),
            });
        }
        Ok(is_marked)
    }

    fn is_in(&self, folder: &Path) -> bool {
        let mut text = String::new();
        let read = plain_file::open(&folder.join(NAME))
            .and_then(|file| file.take(BYTES_MAX).read_to_string(&mut text));
        read.is_ok() && text == self.0 && !text.is_empty()
    }

    /// Marks the target folder.
    pub(crate) fn write(&self, target: &Target) -> Result<(), Error> {
        let path = target.root().join(NAME);
        let written = disk::remove_if_there(&path).and_then(|()| {
            let mut file = disk::create_private(&path)?;
            file.write_all(self.0.as_bytes())
        });
        written.map_err(|e| cannot_write(&path, e))
    }
}
