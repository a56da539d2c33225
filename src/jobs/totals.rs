//! How much a backup holds, added up in one pass over its list.

use std::collections::HashMap;

use serde::Serialize;

use super::Error;
use super::opened::Opened;
use crate::manifest::db::{Filter, Kind};
use crate::manifest::kinds::Amounts;

/// Bytes of domains' names that are kept: a phone has some thousand domains, and a stranger's list
/// could name millions.
const NAMES_BYTES_MAX: usize = 8 << 20;

/// Files, and what they weigh.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Sum {
    /// Files.
    pub files: u64,
    /// Their bytes as the phone counts them.
    pub bytes: u64,
}

impl Sum {
    /// Adds another one.
    pub fn add(&mut self, other: Sum) {
        self.files += other.files;
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// What was added up.
#[derive(Debug, Default)]
pub struct Totals {
    /// All files.
    pub all: Sum,
    /// Folders.
    pub folders: u64,
    /// Symbolic links.
    pub links: u64,
    /// By what they are to their owner.
    pub kinds: Amounts,
    /// By domain.
    pub domains: HashMap<String, Sum>,
    /// Of domains that are too many to be named.
    pub unnamed: Sum,
    /// Files whose records cannot be read: they count as files, and as no bytes.
    pub unreadable: u64,
}

impl Totals {
    /// Adds up all of a backup.
    pub fn of(opened: &Opened) -> Result<Totals, Error> {
        let mut totals = Totals::default();
        let mut names_bytes = 0;
        opened.each(&Filter::default(), |item| {
            let size = match item.kind {
                Kind::File => item.size(),
                Kind::Directory | Kind::Link | Kind::Other => Ok(0),
            };
            if let Err(why) = &size {
                totals.unreadable += 1;
                opened.note_record(&item, why);
            }
            let mut sum = Sum::default();
            match item.kind {
                Kind::File => {
                    sum = Sum {
                        files: 1,
                        bytes: size.unwrap_or(0),
                    };
                    totals.all.add(sum);
                    (totals.kinds).add(&item.domain, &item.relative_path, sum.bytes);
                }
                Kind::Directory => totals.folders += 1,
                Kind::Link => totals.links += 1,
                // The backup names it among what cannot be read.
                Kind::Other => {}
            }
            if let Some(domain) = totals.domains.get_mut(&item.domain) {
                domain.add(sum);
            } else if names_bytes + item.domain.len() <= NAMES_BYTES_MAX {
                names_bytes += item.domain.len() + size_of::<(String, Sum)>();
                totals.domains.insert(item.domain, sum);
            } else {
                totals.unnamed.add(sum);
            }
            true
        })?;
        Ok(totals)
    }
}
