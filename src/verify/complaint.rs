//! The files that the phone could not read when a backup was made.

use std::path::Path;

use serde::Serialize;

use crate::base::plain_file;

/// A file that the phone could not read when the backup was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Complaint {
    /// Path that the file would have in the backup's folder.
    pub file: String,
    /// Path of the file on the phone.
    pub device_path: String,
    /// Error code of the phone.
    pub code: u8,
    /// Error message of the phone.
    pub text: String,
}

/// Reads the files that the phone could not read from the report of a run.
pub(crate) fn complaints(report: &Path) -> Vec<Complaint> {
    let read = || -> Option<Vec<Complaint>> {
        let report: serde_json::Value =
            serde_json::from_slice(&plain_file::read(report).ok()?).ok()?;
        let list = report.get("complaints")?.as_array()?;
        let complaint = |entry: &serde_json::Value| {
            let text = |key: &str| Some(entry.get(key)?.as_str()?.to_owned());
            Some(Complaint {
                file: text("file")?,
                device_path: text("device_path")?,
                code: u8::try_from(entry.get("code")?.as_u64()?).ok()?,
                text: text("text")?,
            })
        };
        Some(list.iter().filter_map(complaint).collect())
    };
    read().unwrap_or_default()
}
