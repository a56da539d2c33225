//! The trace that a command reads.

use std::path::Path;

use idev_backup::trace::Trace;

use crate::cli::failure::Failure;

/// Reads a trace.
pub fn read(path: &Path) -> Result<Trace, Failure> {
    let failed = |what: String| Failure::Command {
        what,
        hint: "name a trace file, as written by `idev-backup create --trace FILE`".to_owned(),
    };
    let text =
        std::fs::read(path).map_err(|e| failed(format!("cannot read {}: {e}", path.display())))?;
    Trace::parse(&String::from_utf8_lossy(&text))
        .map_err(|(line, e)| failed(format!("{}, line {line}: {e}", path.display())))
}
