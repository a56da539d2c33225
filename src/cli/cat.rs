//! `idev-backup cat`

use clap::Args;
use idev_backup::jobs::{Error, cat};

use super::reading::{ReadArgs, domain_and_path};
use super::{exit, output};

/// Print a file of a backup, as it is on the phone.
///
/// Example:  idev-backup cat latest HomeDomain/Library/SMS/sms.db > sms.db
///
/// What was printed of a file that turns out to be damaged stays printed; the exit code is 1 then.
#[derive(Args)]
pub struct Cat {
    #[command(flatten)]
    read: ReadArgs,
    /// The file: domain and path, or its file id (40 hex digits)
    #[arg(value_name = "DOMAIN/PATH")]
    file: String,
}

impl Cat {
    /// Runs it.
    pub fn run(&self) -> u8 {
        match self.print() {
            Ok(()) => exit::DONE,
            Err(e) => output::failure(&e, None, false),
        }
    }

    fn print(&self) -> Result<(), Error> {
        let backup = self.read.open()?;
        let is_id = self.file.len() == 40 && self.file.bytes().all(|b| b.is_ascii_hexdigit());
        let mut body = if is_id {
            cat::open_id(&backup, &self.file)?
        } else {
            let (domain, path) = domain_and_path(&self.file);
            cat::open(&backup, domain, path)?
        };
        match output::bytes(&mut body) {
            Ok(()) => body.check(),
            Err(e) => Err(body.failed(&e.to_string())),
        }
    }
}
