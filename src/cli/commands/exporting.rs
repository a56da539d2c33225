//! Runs `extract` and the `export` commands: opens the backup, shows the progress, and reports.

use std::sync::atomic::AtomicBool;

use idev_backup::base::progress::Monitor;
use idev_backup::export::{Error, Exported};
use idev_backup::reader::Backup;

use crate::cli::args::output::OutputArgs;
use crate::cli::ctrl_c::interrupt;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::render::output;
use crate::cli::render::progress::Show;

/// Runs `export` on the backup that `open` returns, and `tell` on its report. Returns the exit
/// code.
pub(crate) fn run<R>(
    open: impl FnOnce() -> Result<Backup, Failure>,
    output: &OutputArgs,
    export: impl FnOnce(&Backup, &AtomicBool, &dyn Monitor) -> Result<Exported<R>, Error>,
    tell: impl FnOnce(&R, output::Style) -> u8,
) -> u8 {
    let show = Show::new(output.style());
    let watch = show.watch(None, None);
    // While the user is prompted for a password, Ctrl-C ends the program at once.
    let exported = open().and_then(|backup| Ok(export(&backup, &interrupt(), &watch)?));
    watch.finish();
    match exported {
        Err(e) => output::failure(&e, None, output.json),
        Ok(exported) => {
            let code = tell(&exported.report, output.style());
            match exported.stopped {
                Some(e) => output::failure(&e.into(), None, output.json),
                None if watch.had_problems() => exit::DONE_WITH_PROBLEMS,
                None => code,
            }
        }
    }
}

/// Converts the formats that were asked for, each once.
pub(crate) fn formats<F: Copy, T: PartialEq>(asked: &[F], to: impl Fn(F) -> T) -> Vec<T> {
    let mut formats = Vec::new();
    for format in asked {
        let format = to(*format);
        if !formats.contains(&format) {
            formats.push(format);
        }
    }
    formats
}
