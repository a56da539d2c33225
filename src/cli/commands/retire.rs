//! `idev-backup retire`

use clap::Args;
use idev_backup::history::retire;

use crate::cli::args::store::StoreArgs;
use crate::cli::exit;
use crate::cli::render::output;

/// Mark a phone as no longer in use, so that its backup is never overdue
///
/// Example:  idev-backup retire "Mira's old iPhone"
///
/// Its backups stay, and can be restored. The next backup of the phone ends its retirement.
#[derive(Args)]
pub struct Retire {
    /// The phone: its UDID or name, or the beginning of either
    #[arg(value_name = "PHONE", value_parser = crate::cli::args::device::phone_text)]
    phone: String,
    /// Expect backups of the phone again
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
        match store.and_then(|store| Ok(retire::retire(&store, &self.phone, self.undo)?)) {
            Err(e) => output::failure(&e, None, self.json),
            Ok(noted) if self.json => {
                output::object("retired", Some(&noted.udid), &noted);
                exit::DONE
            }
            Ok(noted) => {
                let name = noted.name.as_deref().unwrap_or(&noted.udid);
                let words = match noted.retired {
                    Some(_) => "is retired, and does not count as overdue. Its backups stay",
                    None => "is not retired any more",
                };
                output::line(&output::one_line(&format!("{name} {words}.")));
                exit::DONE
            }
        }
    }
}
