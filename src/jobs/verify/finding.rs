//! What a check finds, and the verdict on it.

use std::collections::HashSet;

use serde::Serialize;

use super::{Depth, Inside, Proof};
use crate::manifest::kinds::Amount;
use crate::store::Snapshot;
use crate::store::sums::Hash;

/// Findings that are listed; all are counted.
const LISTED_MAX: usize = 1000;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wrong {
    /// A file of the phone's list, or of ours, is not there.
    Missing,
    /// It is shorter than it should be.
    Truncated,
    /// Its bytes are not what was received.
    Altered,
    /// It has the bytes of another file of this backup.
    Swapped,
    /// Its key does not open, so that nothing ever decrypts it.
    NoKey,
    /// A database or property list inside cannot be used, and nothing proves that the phone sent it
    /// so.
    Corrupt,
    /// It is there, but in no list.
    Extra,
    /// It was received, or has the name of a file that was, but the phone's list does not name it.
    Orphaned,
    /// Its name is not the SHA-1 of its domain and path, or those lead out of where they belong.
    Misnamed,
    /// A property list or the database cannot be read.
    Unreadable,
    /// The phone never finished this backup, or left its working folder.
    Unfinished,
    /// Its size differs from the phone's list, though nothing was lost (iOS compacts databases
    /// while sending).
    OtherSize,
    /// A file that is shorter than the phone's list says, and that the phone sent so.
    Short,
    /// The phone could not read it when the backup was made: no fault of the disk.
    PhoneFault,
    /// A database or property list inside cannot be used, as the phone sent it.
    Inside,
    /// The phone's own digest is of other bytes than it sent.
    OtherDigest,
    /// Somebody else owns it, or can read or change it.
    Shared,
    /// A restore would lack it.
    NotRestored,
    /// A file that the store keeps beside the backup is damaged: the backup itself has lost nothing
    /// by it.
    Records,
    /// Something could not be checked.
    Unchecked,
}

impl Wrong {
    /// Whether it means that something is lost; the others are remarks.
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

    /// One word.
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

/// One thing found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What is wrong.
    pub wrong: Wrong,
    /// The phone's name of the file, where the list gives one.
    pub domain: Option<String>,
    /// Its path in the domain.
    pub relative_path: Option<String>,
    /// The file in the backup's folder.
    pub file: String,
    /// More words.
    pub detail: String,
    /// What its bytes give, where that is not what they should.
    #[serde(skip)]
    pub hash: Option<Hash>,
    /// A phone that is given it back sees that it is wrong: it has another size than the phone's
    /// list says, or another digest, or its end cannot be decrypted.
    #[serde(skip)]
    pub shows_on_phone: bool,
}

impl Finding {
    /// The file as people know it: its path on the phone, if that is known.
    pub fn name(&self) -> String {
        match (&self.domain, &self.relative_path) {
            (Some(domain), Some(path)) => format!("{domain}/{path} ({})", self.file),
            _ => self.file.clone(),
        }
    }
}

/// The verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every file of the phone's list is there, and every byte was compared with what was received.
    Whole,
    /// A whole backup about which there is something to say.
    WholeWithRemarks,
    /// Everything that was asked for was looked at, and no damage found. Not every byte was
    /// compared: only names and sizes were asked for, or a sample; or there are no hashes, and
    /// every file was opened instead.
    NoDamageFound,
    /// No damage was found, but not everything that was asked for could be looked at.
    Unchecked,
    /// Something is lost.
    Damaged,
}

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The folder.
    pub path: String,
    /// The backup that was looked at, if it lies in a store.
    #[serde(skip)]
    pub of: Option<Snapshot>,
    /// The verdict.
    pub outcome: Outcome,
    /// How much was looked at.
    pub depth: Depth,
    /// The share of the files whose bytes were read, where it was not all of them.
    pub sample: Option<f64>,
    /// Files on the disk.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that the phone's list names; none when the list cannot be read without a password.
    pub listed: Option<u64>,
    /// Files whose bytes were read and compared with the list of hashes.
    pub hashed: u64,
    /// Files whose bytes were read, at least in part, for whatever reason.
    pub read: u64,
    /// Files whose bytes were compared with nothing: no hash or digest of them was read.
    pub not_compared: u64,
    /// Files of another size than the phone's list says.
    pub other_sizes: u64,
    /// There is a list of hashes.
    pub has_sums: bool,
    /// Files whose bytes were compared with a hash, by what that hash is worth.
    pub proof: Proof,
    /// The list of hashes is gone, or is not the one that was sealed: what it says proves nothing.
    pub has_damaged_list: bool,
    /// The files are encrypted.
    pub encrypted: bool,
    /// The password opened it.
    pub unlocked: bool,
    /// Files that were opened: decrypted where they are encrypted, and read to their end.
    pub opened: u64,
    /// Digests of the phone's list that were compared.
    pub digests: u64,
    /// What was looked into.
    pub inside: Inside,
    /// Whether a phone would take it back, as far as can be known without one; `None` where not all
    /// was looked at.
    pub restorable: Option<bool>,
    /// Damage, counted.
    pub damage: u64,
    /// Remarks, counted.
    pub remarks: u64,
    /// Both, as far as listed.
    pub findings: Vec<Finding>,
    /// What is in it.
    pub contents: Vec<Amount>,
}

impl Report {
    /// The first damage in words.
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

/// What has been found so far.
#[derive(Default)]
pub struct Findings {
    /// What means a loss, counted.
    pub damage: u64,
    /// What does not, counted.
    pub remarks: u64,
    /// Both, up to a limit.
    pub listed: Vec<Finding>,
    /// Kinds that were met, however many findings were listed.
    kinds: HashSet<Wrong>,
}

impl Findings {
    /// Returns true if there is one of this kind.
    pub fn has(&self, wrong: Wrong) -> bool {
        self.kinds.contains(&wrong)
    }

    /// Takes one.
    pub fn add(&mut self, finding: Finding) {
        let same = |f: &&mut Finding| f.wrong == Wrong::Missing && f.file == finding.file;
        if finding.wrong == Wrong::Missing
            && let Some(known) = self.listed.iter_mut().find(same)
        {
            // Both lists miss it; the phone's knows more of it.
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
            // Damage is never crowded out by remarks.
            self.listed[remark] = finding;
        }
    }
}
