//! Adds up how much a backup holds, in one pass over its list.

use std::collections::HashMap;

use serde::Serialize;

use crate::backup_format::categories::Amounts;
use crate::backup_format::manifest_db::{Filter, Kind};
use crate::reader::Error;
use crate::reader::backup::{Backup, Item};

/// Maximum memory for names of domains. A phone has some thousand domains, but a forged list could
/// name millions.
const NAMES_BYTES_MAX: usize = 8 << 20;

/// A number of files, and their total bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Sum {
    /// Number of files.
    pub files: u64,
    /// Total bytes, as the phone counts them.
    pub bytes: u64,
}

impl Sum {
    /// Adds another sum to this one.
    pub(crate) fn add(&mut self, other: Sum) {
        self.files += other.files;
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// The totals of a backup.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    /// The sum of all files.
    pub all: Sum,
    /// Number of folders.
    pub folders: u64,
    /// Number of symbolic links.
    pub links: u64,
    /// The sums by kind of data.
    pub kinds: Amounts,
    /// The sums by domain.
    pub domains: HashMap<String, Sum>,
    /// The sum of the domains beyond the memory limit for names.
    pub unnamed: Sum,
    /// Number of files whose records cannot be read. They count as files of 0 bytes.
    pub unreadable: u64,
    /// Memory for the names of domains.
    names_bytes: usize,
}

impl Totals {
    /// Adds up everything in a backup.
    pub(crate) fn of(opened: &Backup) -> Result<Totals, Error> {
        let mut totals = Totals::default();
        opened.each(&Filter::default(), |item| {
            totals.take(opened, item);
            true
        })?;
        Ok(totals)
    }
    /// Adds an item.
    pub(crate) fn take(&mut self, opened: &Backup, item: Item) {
        let size = match item.kind {
            Kind::File => item.size(),
            Kind::Directory | Kind::Link | Kind::Other => Ok(0),
        };
        if let Err(why) = &size {
            self.unreadable += 1;
            opened.note_record(&item, why);
        }
        let mut sum = Sum::default();
        match item.kind {
            Kind::File => {
                sum = Sum {
                    files: 1,
                    bytes: size.unwrap_or(0),
                };
                self.all.add(sum);
                (self.kinds).add(&item.domain, &item.relative_path, sum.bytes);
            }
            Kind::Directory => self.folders += 1,
            Kind::Link => self.links += 1,
            // `Backup::unread` lists it among what cannot be read.
            Kind::Other => {}
        }
        if let Some(domain) = self.domains.get_mut(&item.domain) {
            domain.add(sum);
        } else if self.names_bytes + item.domain.len() <= NAMES_BYTES_MAX {
            self.names_bytes += item.domain.len() + size_of::<(String, Sum)>();
            self.domains.insert(item.domain, sum);
        } else {
            self.unnamed.add(sum);
        }
    }
}
