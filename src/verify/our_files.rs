//! Checks our own files beside a backup against their record, and reads the list of hashes as far
//! as possible.

use std::path::Path;

use super::finding::Proof;
use super::options::Depth;
use crate::store::audit::{Extent, Fault, has_damaged_list};
use crate::store::hash_sources::{SOURCES, Source, Sources};
use crate::store::sums::{Hash, Line, Lines};
use crate::store::walk::order;
use crate::store::{self, Snapshot};

/// State of our own files, determined before the files of the backup are checked.
#[derive(Debug, Clone, Default)]
pub(super) struct OurFiles {
    /// Faults of our files.
    pub faults: Vec<Fault>,
    /// The list of hashes is lost, or is not the one that was sealed.
    pub has_damaged_list: bool,
}

impl OurFiles {
    /// Checks the files beside a snapshot against its record.
    pub(crate) fn of(known: &Snapshot, depth: Depth) -> Result<OurFiles, store::Error> {
        let extent = match depth {
            Depth::Quick => Extent::Lists,
            Depth::Bytes | Depth::Deep => Extent::All,
        };
        let faults = known.audit(extent)?;
        Ok(OurFiles {
            has_damaged_list: has_damaged_list(known, &faults),
            faults,
        })
    }
}

/// The list of hashes, read beside the walk.
pub(super) struct OurList {
    lines: Lines,
    ahead: Option<(String, Hash)>,
    sources: Sources,
    is_proven: bool,
    proof: Proof,
}

/// Next item of the list of hashes.
pub(super) enum Step {
    /// The hash of the path that was asked for.
    Hash(Hash),
    /// The list names this path, and the walk has passed it.
    Gone(String),
    /// The line with this number is damaged.
    Bad(u64),
    /// The list has nothing more up to the path that was asked for.
    Nothing,
}

impl OurList {
    /// Opens a list, with the list of sources beside it.
    pub(crate) fn open(sums: &Path, is_proven: bool) -> Result<OurList, store::Error> {
        let sources = sums.with_file_name(SOURCES);
        Ok(OurList {
            lines: Lines::open(sums)?,
            ahead: None,
            sources: Sources::open(Some(&sources)),
            is_proven,
            proof: Proof::default(),
        })
    }

    /// Returns the next step towards `path`, or towards the end of the list if `path` is `None`.
    pub(crate) fn step(&mut self, path: Option<&str>) -> Result<Step, store::Error> {
        if self.ahead.is_none() {
            match self.lines.next().transpose()? {
                None => return Ok(Step::Nothing),
                Some(Line::Bad(number)) => return Ok(Step::Bad(number)),
                Some(Line::Good(listed, hash)) => self.ahead = Some((listed, hash)),
            }
        }
        let Some((listed, hash)) = self.ahead.take() else {
            return Ok(Step::Nothing);
        };
        let before = path.map_or(std::cmp::Ordering::Less, |path| order(&listed, path));
        Ok(match before {
            std::cmp::Ordering::Less => Step::Gone(listed),
            std::cmp::Ordering::Equal => Step::Hash(hash),
            std::cmp::Ordering::Greater => {
                self.ahead = Some((listed, hash));
                Step::Nothing
            }
        })
    }

    /// Counts a file whose bytes are compared with its hash.
    pub(crate) fn count(&mut self, path: &str) {
        let counter = match self.sources.of(path) {
            _ if !self.is_proven => &mut self.proof.unproven,
            Some(Source::Received | Source::Carried) => &mut self.proof.received,
            Some(Source::Read) | None => &mut self.proof.read_later,
        };
        *counter += 1;
    }

    /// Returns the counts.
    pub(crate) fn proof(&self) -> Proof {
        self.proof
    }

    /// Returns true if the list is the one that was sealed, or the one that was made in this run.
    pub(crate) fn is_proven(&self) -> bool {
        self.is_proven
    }
}

/// Returns the name of a fault's file for a finding. The name is marked as the store's own, because
/// a file of the backup can have the same name.
pub(super) fn name_of(fault: &Fault) -> String {
    format!("{} (the store's own)", fault.file)
}
