//! Reports a backup that `adopt` or `copy` took into a store.

use idev_backup::base::units::{counted, size};
use idev_backup::history::adopt::{Came, Taken};

use super::create::skipped;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::render::output::{self, Style};
use crate::cli::render::progress::{Show, Watch};

/// Reports how `job` ended, and returns the exit code.
pub fn reported(
    event: &str,
    style: Style,
    job: impl FnOnce(&Watch<'_>) -> Result<Came, Failure>,
) -> u8 {
    let show = Show::new(style);
    let watch = show.watch(None, None);
    let taken = job(&watch);
    watch.finish();
    let taken = match taken {
        Err(e) => return output::failure(&e, None, style == Style::Json),
        Ok(Came::There { udid, why }) => {
            skipped(Some(udid.as_str()), "", &why, style);
            return exit::DONE;
        }
        Ok(Came::Taken(taken)) => taken,
    };
    match style {
        Style::Json => output::object(event, Some(&taken.udid), &taken),
        Style::Quiet => {}
        Style::People => tell(&taken),
    }
    match (taken.damage, watch.problems()) {
        (0, 0) => exit::DONE,
        _ => exit::DONE_WITH_PROBLEMS,
    }
}

fn tell(taken: &Taken) {
    let copied = &taken.copied;
    let files = copied.copied + copied.there + copied.shared;
    let mut ways = vec![format!("{} copied", counted(copied.copied, "file"))];
    for (count, words) in [
        (copied.there, "already there"),
        (copied.shared, "shared with another snapshot there"),
        (copied.left_out, "left out that belong to no backup"),
    ] {
        if count > 0 {
            ways.push(format!("{count} {words}"));
        }
    }
    output::line(&format!(
        "{}, {}: {}. Each copy was read back and matches.",
        counted(files, "file"),
        size(copied.bytes),
        ways.join(", ")
    ));
    let what = if taken.current {
        "the phone's current backup"
    } else {
        "a snapshot of its own date"
    };
    output::line(&format!("  {} is {what}.", taken.path));
}
