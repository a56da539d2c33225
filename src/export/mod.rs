//! Files of a backup written to a folder, under the names that they have on the phone.

pub mod destination;
mod error;
pub(crate) mod existing;
pub mod file_names;
pub mod files;
pub mod outcome;
pub(crate) mod photo_library;
pub mod photos;
pub(crate) mod workers;

pub use error::Error;
