//! `idev-backup restore --rehearse`: a whole restore, played to a simulated phone.

use std::path::Path;

use idev_backup::jobs::Error;
use idev_backup::jobs::restore::Options;

use super::progress::{Style, Watch};

/// Runs it.
pub fn run(
    _folder: &Path,
    _options: &Options,
    _style: Style,
    _watch: &Watch<'_>,
) -> Result<u8, Error> {
    Err(Error::Nothing {
        what: "not there yet".to_owned(),
        hint: "wait for it".to_owned(),
    })
}
