//! Files and content of a backup written to a folder.

pub mod all;
pub(crate) mod attachments;
pub mod contacts;
pub mod destination;
mod error;
pub(crate) mod escape;
pub(crate) mod existing;
pub(crate) mod file_names;
pub mod files;
pub(crate) mod mark;
pub mod messages;
pub mod notes;
pub mod outcome;
pub(crate) mod page;
pub(crate) mod photo_details;
pub(crate) mod photo_library;
#[cfg(feature = "web")]
pub(crate) mod photo_roll;
pub mod photos;
pub(crate) mod record_file;
pub mod records;
pub mod whatsapp;
pub(crate) mod words;
pub(crate) mod workers;

pub use error::Error;

/// The report of an export, and the error that ended it early, if any.
pub struct Exported<Report> {
    /// The result so far.
    pub report: Report,
    /// The error that ended the export early.
    pub stopped: Option<Error>,
}
