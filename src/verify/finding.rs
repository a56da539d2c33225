//! Defines the findings of a check, and the verdict on them.

use std::collections::HashSet;

use serde::Serialize;

use super::content_checks::Inside;
use super::options::Depth;
use crate::backup_format::categories::Amount;
use crate::store::Snapshot;
use crate::store::sums::Hash;

/// Number of findings that are listed. Further ones are only counted.
const LISTED_MAX: usize = 1000;

/// Kind of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wrong {
    /// A file of the phone's list, or of ours, is absent.
    Missing,
    /// The file is shorter than it should be.
    Truncated,
    /// The file's bytes differ from those that were received.
    Altered,
    /// The file has the bytes of another file of this backup.
    Swapped,
    /// The file's key does not open, so the file can never be decrypted.
    NoKey,
    /// A database or property list in the backup cannot be used, and nothing proves that the phone
    /// sent it like this.
    Corrupt,
    /// The file exists, but none of the lists name it.
    Extra,
    /// The file was received, or has the name of a file that could have been, but the phone's list
    /// does not name it.
    Orphaned,
    /// The file's name is not the SHA-1 of its domain and path, or these lead out of where they
    /// belong.
    Misnamed,
    /// A property list or the database cannot be read.
    Unreadable,
    /// The phone never finished this backup, or left its working folder.
    Unfinished,
    /// The file's size differs from the phone's list, though nothing was lost (iOS compacts
    /// databases while it sends them).
    OtherSize,
    /// A file that is shorter than the phone's list says, and that the phone sent like this.
    Short,
    /// The phone could not read the file when the backup was made: no fault of the disk.
    PhoneFault,
    /// A database or property list in the backup cannot be used, and the phone sent it like this.
    Inside,
    /// The phone's own digest does not match the bytes that it sent.
    OtherDigest,
    /// The file has another owner, or other users can read or change it.
    Shared,
    /// A restore would lack the file.
    NotRestored,
    /// A file that the store keeps beside the backup is damaged. The backup itself has lost nothing
    /// by that.
    Records,
    /// Something could not be checked.
    Unchecked,
}

impl Wrong {
    /// Returns true if this kind means that something is lost. The other kinds are remarks.
    pub fn is_damage(self) -> bool {
        matches!(
            self,
            Wrong::Missing
                | Wrong::Truncated
                | Wrong::Altered
                | Wrong::Swapped
                | Wrong::NoKey
                | Wrong::Corrupt
                | Wrong::Misnamed
                | Wrong::Unreadable
                | Wrong::Unfinished
        )
    }

    /// Returns a short name for tables.
    pub fn word(self) -> &'static str {
        match self {
            Wrong::Missing => "missing",
            Wrong::Truncated => "truncated",
            Wrong::Altered => "altered",
            Wrong::Swapped => "swapped",
            Wrong::NoKey => "no key",
            Wrong::Corrupt => "corrupt",
            Wrong::Extra => "extra",
            Wrong::Orphaned => "orphaned",
            Wrong::Misnamed => "misnamed",
            Wrong::Unreadable => "unreadable",
            Wrong::Unfinished => "unfinished",
            Wrong::OtherSize => "other size",
            Wrong::Short => "short",
            Wrong::PhoneFault => "phone",
            Wrong::Inside => "inside",
            Wrong::OtherDigest => "digest",
            Wrong::Shared => "shared",
            Wrong::NotRestored => "app",
            Wrong::Records => "records",
            Wrong::Unchecked => "unchecked",
        }
    }
}

/// A finding of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Kind of the finding.
    pub wrong: Wrong,
    /// Domain of the file on the phone, if the list has it.
    pub domain: Option<String>,
    /// Path of the file in the domain.
    pub relative_path: Option<String>,
    /// Path of the file in the backup's folder.
    pub file: String,
    /// Details in words.
    pub detail: String,
    /// Hash of the file's actual bytes, if it differs from the expected one.
    #[serde(skip)]
    pub hash: Option<Hash>,
    /// True if a phone would notice the damage in a restore: the file's size or digest differs from
    /// the phone's list, or its end cannot be decrypted.
    #[serde(skip)]
    pub shows_on_phone: bool,
}

impl Finding {
    /// Returns the name that people know the file by: its path on the phone, if that is known.
    pub fn name(&self) -> String {
        match (&self.domain, &self.relative_path) {
            (Some(domain), Some(path)) => format!("{domain}/{path} ({})", self.file),
            _ => self.file.clone(),
        }
    }
}

/// Verdict of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every file of the phone's list is present, and every byte was compared with what was
    /// received.
    Whole,
    /// Everything is whole, but there are remarks.
    WholeWithRemarks,
    /// Everything that was asked for was checked, and no damage was found. Not every byte was
    /// compared, for one of these reasons: the check covered only names and sizes, or a sample; or
    /// there are no hashes, and every file was opened instead.
    NoDamageFound,
    /// No damage was found, but not everything that was asked for could be checked.
    Unchecked,
    /// Something is lost.
    Damaged,
}

/// Result of a check.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Folder of the backup.
    pub path: String,
    /// Snapshot that was checked, if it is in a store.
    #[serde(skip)]
    pub of: Option<Snapshot>,
    /// Verdict of the check.
    pub outcome: Outcome,
    /// Level of the check.
    pub depth: Depth,
    /// Share of the files whose bytes were read (0 to 1), if only a sample was read.
    pub sample: Option<f64>,
    /// Number of files on the disk.
    pub files: u64,
    /// Size of these files in bytes.
    pub bytes: u64,
    /// Number of files that the phone's list names; `None` if the list cannot be read without a
    /// password.
    pub listed: Option<u64>,
    /// Number of files whose bytes were read and compared with the list of hashes.
    pub hashed: u64,
    /// Number of files whose bytes were read, at least in part, for any reason.
    pub read: u64,
    /// Number of files whose bytes were compared with nothing: neither a hash nor a digest was
    /// checked.
    pub not_compared: u64,
    /// Number of files whose size differs from the phone's list.
    pub other_sizes: u64,
    /// A list of hashes exists.
    pub has_sums: bool,
    /// Number of files whose bytes were compared with a hash, by what that hash is worth.
    pub proof: Proof,
    /// The list of hashes is lost, or is not the one that was sealed, so it proves nothing.
    pub has_damaged_list: bool,
    /// The files are encrypted.
    pub encrypted: bool,
    /// The password opened the backup.
    pub unlocked: bool,
    /// Number of files that were opened: decrypted if they are encrypted, and read to their end.
    pub opened: u64,
    /// Number of digests of the phone's list that were compared.
    pub digests: u64,
    /// Number of databases and property lists that were opened.
    pub inside: Inside,
    /// True if a phone would accept this backup in a restore, as far as can be known without one;
    /// `None` if not everything was checked.
    pub restorable: Option<bool>,
    /// Number of findings that are damage.
    pub damage: u64,
    /// Number of findings that are remarks.
    pub remarks: u64,
    /// Damage and remarks, up to the limit of the list.
    pub findings: Vec<Finding>,
    /// Contents of the backup, by kind.
    pub contents: Vec<Amount>,
}

impl Report {
    /// Returns the first damage in words.
    pub fn first_damage(&self) -> String {
        let first = self.findings.iter().find(|f| f.wrong.is_damage());
        first.map_or_else(String::new, |f| {
            let more = if self.damage > 1 {
                format!(" (and {} more)", self.damage - 1)
            } else {
                String::new()
            };
            let what = f
                .relative_path
                .as_ref()
                .map_or_else(String::new, |p| format!(" ({p})"));
            format!("{} is {}{what}: {}{more}", f.file, f.wrong.word(), f.detail)
        })
    }
}

/// Findings that a check has collected so far.
#[derive(Default)]
pub(crate) struct Findings {
    /// Number of findings that are damage.
    pub damage: u64,
    /// Number of findings that are remarks.
    pub remarks: u64,
    /// Damage and remarks, up to a limit.
    pub listed: Vec<Finding>,
    /// All kinds that were found, including those of findings beyond the limit.
    kinds: HashSet<Wrong>,
}

impl Findings {
    /// Returns true if there is a finding of this kind.
    pub(crate) fn has(&self, wrong: Wrong) -> bool {
        self.kinds.contains(&wrong)
    }

    /// Adds a finding.
    pub(crate) fn add(&mut self, finding: Finding) {
        let same = |f: &&mut Finding| f.wrong == Wrong::Missing && f.file == finding.file;
        if finding.wrong == Wrong::Missing
            && let Some(known) = self.listed.iter_mut().find(same)
        {
            // Both lists name the missing file; keep the finding of the phone's list, which says
            // more.
            if finding.domain.is_some() {
                *known = finding;
            }
            return;
        }
        self.kinds.insert(finding.wrong);
        if finding.wrong.is_damage() {
            self.damage += 1;
        } else {
            self.remarks += 1;
        }
        if self.listed.len() < LISTED_MAX {
            self.listed.push(finding);
        } else if finding.wrong.is_damage()
            && let Some(remark) = self.listed.iter().position(|f| !f.wrong.is_damage())
        {
            // Remarks never crowd out damage.
            self.listed[remark] = finding;
        }
    }
}

/// Number of files whose bytes were compared with a hash, by what that hash is worth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// The hash was computed while the phone sent the file, for this backup or an earlier one.
    pub received: u64,
    /// The hash was computed later from the file on the disk, so it does not show what the phone
    /// sent.
    pub read_later: u64,
    /// The list of hashes is not the one that was sealed, so its hashes prove nothing.
    pub unproven: u64,
}
