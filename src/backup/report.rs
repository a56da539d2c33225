//! The report of a backup run.

use serde::Serialize;

use crate::backup_format::categories::Amount;
use crate::device::connector::Facts;
use crate::reader::missing::Gap;
use crate::reader::shrink::Shrunk;
use crate::store::draft::Tally;
use crate::verify::Complaint;

/// Duration of each part of a run, in seconds.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Seconds {
    /// Cloning the current backup as the draft.
    pub clone: f64,
    /// Building Info.plist from the phone's answers.
    pub describe: f64,
    /// Waiting while the phone looks for changes.
    pub scan: f64,
    /// Receiving files from the phone.
    pub receive: f64,
    /// Waiting while the phone arranges and checks the files.
    pub finish: f64,
    /// Making the list of hashes.
    pub hashes: f64,
    /// Checking the backup ourselves.
    pub check: f64,
    /// Making everything durable on the disk. Zero in report.json, which is written before.
    pub sync: f64,
    /// Renaming the folders and dropping old snapshots. Zero in report.json, which is written
    /// before.
    pub seal: f64,
    /// The whole run.
    pub total: f64,
}

/// Outcome of a backup run: written as `report.json`, and printed as the object of `--json`.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Version of this object's format.
    pub version: u32,
    /// UDID of the phone.
    pub udid: String,
    /// Facts that the phone states about itself.
    pub phone: Facts,
    /// Name and version of this program.
    pub made_by: String,
    /// Start of the run, RFC 3339.
    pub started: String,
    /// End of the run, RFC 3339.
    pub finished: String,
    /// Folder of the backup.
    pub path: String,
    /// The phone was asked for a full backup.
    pub full: bool,
    /// Origin of the draft, in words.
    pub draft: String,
    /// The files of the backup are encrypted.
    pub encrypted: bool,
    /// True if the given password opens the backup; null if none was given or none is needed.
    pub password_opens: Option<bool>,
    /// Number of files in the backup.
    pub files: u64,
    /// Size of these files on the disk, in bytes.
    pub bytes: u64,
    /// Number of files that the phone's list names. Null if the list is encrypted and no password
    /// was given: the check cannot tell then whether a file is missing.
    pub listed: Option<u64>,
    /// Number of files whose size differs from the one in the phone's list.
    pub other_sizes: u64,
    /// Number of files that the phone sent.
    pub received_files: u64,
    /// Size of these files, in bytes.
    pub received_bytes: u64,
    /// Number of files that were removed because they are no longer on the phone.
    pub removed_files: u64,
    /// Number of hashes by their source.
    pub hashes: Tally,
    /// Contents of the backup by kind; empty if the list is encrypted.
    pub contents: Vec<Amount>,
    /// Data that people expect in a backup and this one lacks; empty if the list is encrypted and
    /// no password was given.
    pub missing: Vec<Gap>,
    /// Kinds of data that the previous backup held more than twice as much of.
    pub shrunk: Vec<Shrunk>,
    /// Problems that did not make the backup fail.
    pub problems: Vec<String>,
    /// Files that the phone could not read. They let `verify` tell a fault of the phone from a
    /// fault of the disk.
    pub complaints: Vec<Complaint>,
    /// Duration of each part of the run.
    pub seconds: Seconds,
    /// Number of older snapshots beside the backup. Zero in report.json, which is written before
    /// they are counted.
    pub older: u64,
    /// Snapshots that were dropped to free space or by the retention rules. In report.json only
    /// those that were dropped to free space.
    pub dropped: Vec<String>,
}
