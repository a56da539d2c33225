//! `idev-backup delete`

use std::io::{BufRead, IsTerminal};

use clap::Args;
use idev_backup::base::time;
use idev_backup::base::units::size;
use idev_backup::history::delete::{self, Deleted};
use idev_backup::history::list::{self, Backup};

use crate::cli::args::snapshot::SnapshotArgs;
use crate::cli::ctrl_c;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::render::output::{self, Style};
use crate::cli::render::progress::{Show, Watch};

/// Delete a snapshot permanently
///
/// Example:  idev-backup delete 20261120
#[derive(Args)]
pub struct Delete {
    #[command(flatten)]
    of: SnapshotArgs,
    /// Skip the confirmation
    #[arg(long, short)]
    yes: bool,
}

impl Delete {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        ctrl_c::afterwards("`idev-backup list` shows whether the snapshot is still there");
        let style = if self.of.json {
            Style::Json
        } else {
            Style::People
        };
        let show = Show::new(style);
        let watch = show.watch(None, None);
        let deleted = self.delete(&watch);
        watch.finish();
        match deleted {
            Err(e) => output::failure(&e, None, self.of.json),
            Ok(deleted) => {
                match style {
                    Style::Json => output::object("deleted", Some(&deleted.udid), &deleted),
                    _ => output::line(&format!("{} was deleted.", deleted.path)),
                }
                match watch.problems() {
                    0 => exit::DONE,
                    _ => exit::DONE_WITH_PROBLEMS,
                }
            }
        }
    }

    fn delete(&self, watch: &Watch) -> Result<Deleted, Failure> {
        let chosen = self.of.find()?;
        let seen = delete::consider(&chosen, watch)?;
        // Finish the progress display first, so that it does not redraw below the question.
        watch.finish();
        if !self.yes && !agrees(&seen, &list::describe(&chosen.snapshot))? {
            return Err(Failure::Declined("Nothing was deleted"));
        }
        Ok(delete::delete(&chosen, seen, watch)?)
    }
}

/// States what cannot be undone and asks for confirmation.
fn agrees(seen: &Deleted, of: &Backup) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Command {
            what: format!(
                "deleting {} cannot be undone, and the program cannot ask for confirmation \
                without a terminal",
                seen.path
            ),
            hint: "run it in a terminal, or add --yes".to_owned(),
        });
    }
    let room = seen
        .frees_bytes
        .map_or_else(String::new, |bytes| format!(" This frees {}.", size(bytes)));
    let name = of.name.as_deref().unwrap_or(&seen.udid);
    let made = of.date.as_deref().map(time::when);
    let made = made.map_or_else(String::new, |when| format!(", made {when},"));
    output::tell(&format!(
        "This deletes the backup of {name}{made} permanently.{room}\n  {}",
        seen.path
    ));
    for warning in seen.warnings() {
        output::tell(&format!("  {warning}"));
    }
    output::tell("Type `yes` to delete it:");
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    Ok(read.is_ok() && answer.trim() == "yes")
}
