//! `idev-backup cat`

use clap::Args;
use idev_backup::jobs::Error;
use idev_backup::jobs::opened::{Item, Opened};
use idev_backup::keybag::Ending;
use idev_backup::manifest::db::Kind;

use super::output::Unprinted;
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
        let item = self.find(&backup)?;
        let failed = |why: String| Error::File {
            name: item.name(),
            why,
        };
        match item.kind {
            Kind::Directory => return Err(failed("it is a folder".to_owned())),
            Kind::Link => {
                let to = item.record().ok().and_then(|record| record.target);
                let to = to.unwrap_or_else(|| "nowhere".to_owned());
                return Err(failed(format!("it is a link to {to}")));
            }
            Kind::File | Kind::Other => {}
        }
        let mut bytes = backup.bytes(&item)?;
        match output::bytes(&mut bytes) {
            Err(Unprinted::Read(e)) => return Err(failed(e.to_string())),
            Err(Unprinted::Write(e)) => {
                return Err(Error::Target {
                    path: "standard output".into(),
                    cause: e,
                });
            }
            Ok(()) => {}
        }
        match bytes.ending() {
            Some(Ending::Wrong) => Err(failed(
                "it does not end as an encrypted file does: its bytes or its key were altered, and so may be what was \
                 printed"
                    .to_owned(),
            )),
            _ => Ok(()),
        }
    }

    fn find(&self, backup: &Opened) -> Result<Item, Error> {
        let is_id = self.file.len() == 40 && self.file.bytes().all(|b| b.is_ascii_hexdigit());
        let found = match is_id {
            true => backup.find_id(&self.file.to_ascii_lowercase())?,
            false => {
                let (domain, path) = domain_and_path(&self.file);
                backup.find(domain, path)?
            }
        };
        found.ok_or_else(|| Error::Nothing {
            what: format!("the backup has no {}", self.file),
            hint: "it takes the domain and the whole path, as in HomeDomain/Library/SMS/sms.db"
                .to_owned(),
        })
    }
}
