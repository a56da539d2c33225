//! `idev-backup retire`

use clap::Args;
use idev_backup::history::change;

use crate::cli::args::store::StoreArgs;
use crate::cli::exit;
use crate::cli::render::output;

/// Say that a phone is gone for good: its last backup is not overdue any more.
///
/// Example:  idev-backup retire "Mira's old iPhone"
///
/// Its backups stay, and can be restored. A phone that is backed up again is no longer retired.
#[derive(Args)]
pub struct Retire {
    /// The phone, by its UDID or its name, or how either begins
    #[arg(value_name = "PHONE", value_parser = crate::cli::args::device::phone_text)]
    phone: String,
    /// Take it back: the phone is expected again
    #[arg(long)]
    undo: bool,
    #[command(flatten)]
    store: StoreArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Retire {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        let store = self.store.open();
        match store.and_then(|store| Ok(change::retire(&store, &self.phone, self.undo)?)) {
            Err(e) => output::failure(&e, None, self.json),
            Ok(noted) if self.json => {
                output::object("retired", Some(&noted.udid), &noted);
                exit::DONE
            }
            Ok(noted) => {
                let name = noted.name.as_deref().unwrap_or("the phone");
                let words = match noted.retired {
                    Some(_) => "is retired, and not overdue any more. Its backups stay",
                    None => "is not retired any more",
                };
                let line = format!("{name} ({}) {words}.", noted.udid);
                output::line(&output::one_line(&line));
                exit::DONE
            }
        }
    }
}
