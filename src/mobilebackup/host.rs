//! The computer's side of the dialog, which a backup and a restore implement differently.

use std::io::Read;

use super::entry::Entry;
use super::fault::{DeviceFault, Fault};
use super::message::Request;
use crate::base::backup_path::BackupPath;

/// The computer's side of the dialog: the operations that the phone may request.
pub trait Host {
    /// Announces a request before it is carried out.
    fn begins(&mut self, request: &Request);

    /// Returns the bytes available for the backup.
    fn free_space(&mut self) -> Result<u64, Fault>;

    /// Tries to free `amount` bytes that the phone is missing; returns how many were freed.
    fn purge(&mut self, amount: u64) -> Result<u64, Fault>;

    /// Stores a file that the phone sends. `body` ends where the file ends. An error of `body`
    /// means that the phone did not send the complete file; then no file may remain under its name.
    ///
    /// A host may finish the file later, but before [`Host::settle`] returns.
    fn receive(&mut self, path: &BackupPath, body: &mut dyn Read) -> Result<(), Fault>;

    /// Waits until every received file is in its place; returns the failures.
    fn settle(&mut self) -> Vec<(BackupPath, Fault)>;

    /// Records that the phone could not read one of its files.
    fn device_fault(&mut self, fault: DeviceFault);

    /// Opens a file for the phone to read.
    fn open(&mut self, path: &BackupPath) -> Result<Box<dyn Read + Send + '_>, Fault>;

    /// Confirms that the phone may count the files of a request as sent. Called before the end of
    /// the answer, so an error ends the session while the phone still waits for that end.
    fn confirm_sent(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    /// Lists a folder. An absent folder counts as empty.
    fn list(&mut self, path: &BackupPath) -> Result<Vec<Entry>, Fault>;

    /// Creates a folder unless it exists.
    fn make_dir(&mut self, path: &BackupPath) -> Result<(), Fault>;

    /// Moves a file or folder, replacing an existing target and creating its parent folders.
    fn rename(&mut self, from: &BackupPath, to: &BackupPath) -> Result<(), Fault>;

    /// Copies a file or a whole folder.
    fn copy(&mut self, from: &BackupPath, to: &BackupPath) -> Result<(), Fault>;

    /// Removes a file or a whole folder. An absent one is not an error.
    fn remove(&mut self, path: &BackupPath) -> Result<(), Fault>;
}
