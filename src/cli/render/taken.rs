//! Reports a backup that `adopt` or `copy` took into a store.

use idev_backup::base::units::{counted, size};
use idev_backup::history::adopt::{Came, Taken};

use super::create::skipped;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::render::closing::{How, Part};
use crate::cli::render::output::{self, Style};
use crate::cli::render::progress::{Show, Watch};

/// Advice after an interruption of `adopt` and `copy`.
pub const CONTINUES: &str =
    "the original is unchanged; run the same command again, which copies only the missing files";

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
    match taken {
        Err(e) => output::failure(&e, None, style == Style::Json),
        Ok(taken) => came(event, &taken, &watch, style),
    }
}

/// Reports a backup that was taken, or was there before, and returns the exit code.
pub fn came(event: &str, came: &Came, watch: &Watch<'_>, style: Style) -> u8 {
    let taken = match came {
        Came::There { udid, why } => {
            skipped(Some(udid.as_str()), "", why, style);
            return exit::DONE;
        }
        Came::Taken(taken) => taken,
    };
    match style {
        Style::Json => output::object(event, Some(&taken.udid), taken),
        Style::Quiet => {}
        Style::People => tell(taken),
    }
    match (taken.damage, watch.problems()) {
        (0, 0) => exit::DONE,
        _ => exit::DONE_WITH_PROBLEMS,
    }
}

/// Reports in one line how one of several backups was taken.
pub fn briefly(event: &str, came: &Came, name: &str, watch: &Watch<'_>, style: Style) -> Part {
    let taken = match came {
        Came::There { udid, why } => {
            let udid = udid.as_str();
            if style == Style::Json {
                skipped(Some(udid), "", why, style);
            }
            return Part {
                result: How::NothingToDo,
                ..Part::ended(udid, name, exit::DONE, Some(why.clone()))
            };
        }
        Came::Taken(taken) => taken,
    };
    match style {
        Style::Json => output::object(event, Some(&taken.udid), taken),
        Style::Quiet => {}
        Style::People => {
            let (name, amount) = (output::one_line(name), amount(taken));
            let ways = match not_copied(taken) {
                ways if ways.is_empty() => String::new(),
                ways => format!(" ({})", ways.join(", ")),
            };
            output::line(&format!("{name}: {event} {amount}{ways}."));
        }
    }
    let problems = taken.damage + watch.problems() as u64;
    let (code, why) = match problems {
        0 => (exit::DONE, None),
        _ => (exit::DONE_WITH_PROBLEMS, Some(counted(problems, "problem"))),
    };
    Part::ended(&taken.udid, name, code, why)
}

fn tell(taken: &Taken) {
    let copied = taken.copied.copied;
    let mut ways = vec![format!("{} copied", counted(copied, "file"))];
    ways.extend(not_copied(taken));
    output::line(&format!(
        "{}: {}. Each copy was read back and matches.",
        amount(taken),
        ways.join(", ")
    ));
    let what = if taken.current {
        "the phone's current backup"
    } else {
        "a snapshot of its own date"
    };
    output::line(&format!("  {} is {what}.", taken.path));
}

/// Returns the number and size of the files of the backup.
fn amount(taken: &Taken) -> String {
    let copied = &taken.copied;
    let files = copied.copied + copied.there + copied.shared;
    format!("{}, {}", counted(files, "file"), size(copied.bytes))
}

/// Returns the numbers of the files that did not have to be copied.
fn not_copied(taken: &Taken) -> Vec<String> {
    let copied = &taken.copied;
    let ways = [
        (copied.there, "already there"),
        (copied.shared, "shared with another snapshot there"),
        (copied.left_out, "left out that belong to no backup"),
    ];
    let some = ways.into_iter().filter(|(count, _)| *count > 0);
    some.map(|(count, words)| format!("{count} {words}"))
        .collect()
}
