//! The report of a restore.

use serde::Serialize;

use super::subject::{Source, Target};

/// The duration of each part of a restore, in seconds.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Seconds {
    /// Checking the backup.
    pub check: f64,
    /// The phone reading the lists and checking that it can restore.
    pub prepare: f64,
    /// Sending files to the phone, including the time it takes to put them in place.
    pub send: f64,
    /// Waiting for the phone to restart, if that was asked for.
    pub restart: f64,
    /// The whole run.
    pub total: f64,
}

/// The result of a restore; also the object that `--json` prints.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The phone, in its state before the restore.
    pub target: Target,
    /// The backup that was restored.
    pub source: Source,
    /// Number of files in the backup's list; null if the list could not be read.
    pub listed_files: Option<u64>,
    /// Number of files that were sent, each counted once.
    pub sent_files: u64,
    /// Total bytes of these files.
    pub sent_bytes: u64,
    /// Number of files whose contents matched the list of hashes while they were sent; null if the
    /// backup was checked before anything was sent.
    pub compared_files: Option<u64>,
    /// True if the list of applications was sent.
    pub apps: bool,
    /// True if the phone keeps its own settings.
    pub kept_settings: bool,
    /// True if system files were to be restored.
    pub system_files: bool,
    /// True if the phone was to remove what the backup does not have.
    pub removed_others: bool,
    /// True if the phone was to restart.
    pub reboot: bool,
    /// True if the phone came back after the restart; null if the wait for it was skipped or
    /// interrupted.
    pub is_back: Option<bool>,
    /// Problems that did not make the restore fail.
    pub problems: Vec<String>,
    /// The duration of each part.
    pub seconds: Seconds,
}
