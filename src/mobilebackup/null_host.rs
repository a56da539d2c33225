//! A host for dialogs without a backup, such as a password change.

use std::io::Read;

use super::{DeviceFault, Entry, Fault, Host, Request};
use crate::base::backup_path::BackupPath;

/// A host that keeps no backup: it has no files and accepts none. No phone is known to send
/// requests while a password is changed; if one does, it receives an answer, so that the dialog
/// stays synchronized.
pub(crate) struct NoBackup;

impl Host for NoBackup {
    fn begins(&mut self, _: &Request) {}

    fn free_space(&mut self) -> Result<u64, Fault> {
        Err(Fault::Unsupported)
    }

    fn purge(&mut self, _: u64) -> Result<u64, Fault> {
        Err(Fault::Unsupported)
    }

    fn receive(&mut self, _: &BackupPath, _: &mut dyn Read) -> Result<(), Fault> {
        Err(Fault::Unsupported)
    }

    fn settle(&mut self) -> Vec<(BackupPath, Fault)> {
        Vec::new()
    }

    fn device_fault(&mut self, _: DeviceFault) {}

    fn open(&mut self, _: &BackupPath) -> Result<Box<dyn Read + Send>, Fault> {
        Err(Fault::NotFound)
    }

    fn list(&mut self, _: &BackupPath) -> Result<Vec<Entry>, Fault> {
        Ok(Vec::new())
    }

    fn make_dir(&mut self, _: &BackupPath) -> Result<(), Fault> {
        Err(Fault::Unsupported)
    }

    fn rename(&mut self, _: &BackupPath, _: &BackupPath) -> Result<(), Fault> {
        Err(Fault::Unsupported)
    }

    fn copy(&mut self, _: &BackupPath, _: &BackupPath) -> Result<(), Fault> {
        Err(Fault::Unsupported)
    }

    fn remove(&mut self, _: &BackupPath) -> Result<(), Fault> {
        Err(Fault::Unsupported)
    }
}
