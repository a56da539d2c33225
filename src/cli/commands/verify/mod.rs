//! `idev-backup verify`

mod all;
mod copied;

use clap::Args;
use idev_backup::base::cancel::CancelToken;
use idev_backup::history::change;
use idev_backup::history::list::{self, Named};
use idev_backup::reader::passwords::{Known, Passwords};
use idev_backup::verify::{self, Depth, Options, Repair, Report, Sample};

use crate::cli::args::device::OfPhoneArgs;
use crate::cli::args::output::OutputArgs;
use crate::cli::args::password::PasswordArgs;
use crate::cli::args::repository::RepositorySettings;
use crate::cli::args::store::StoreArgs;
use crate::cli::ctrl_c::{self, interrupt};
use crate::cli::failure::Failure;
use crate::cli::render::output;
use crate::cli::render::progress::{Show, Watch};
use crate::cli::render::verify::{tell, tell_repair};

/// Verify that a backup is complete and unchanged, whichever program made it
///
/// There are three levels, and each includes the one before. With `--quick`: every file on the
/// phone's list is present, with the right name and size. By default: every byte is as it was
/// received, if idev-backup made the backup. With `--deep`: every file decrypts and has the right
/// length, and the databases and property lists inside open, so that the backup could be restored.
///
/// Example:  idev-backup verify ~/Backups/00008130-001A2B3C4D5E6F70
///
/// Exit code 0: no damage, and everything that was asked for was checked. 3: no damage, with
/// remarks, or something could not be checked (the list of an encrypted backup without its
/// password, the bytes of a backup without hashes). 1: damaged, or the check failed.
#[derive(Args)]
pub struct Verify {
    /// The backup: a folder, or in the store a phone's name, `latest`, a date (2026-11-27) or
    /// PHONE@DATE [default: the current backup, if the store has one phone]
    #[arg(conflicts_with = "all")]
    backup: Option<String>,
    /// Verify the newest backup of every phone in the store
    #[arg(long, conflicts_with_all = ["repair", "device"])]
    all: bool,
    /// With --all, verify the older backups too
    #[arg(long, requires = "all")]
    snapshots: bool,
    /// Check names and sizes only, without reading every byte
    #[arg(long, conflicts_with_all = ["deep", "sample"])]
    quick: bool,
    /// Decrypt every file, and open databases and property lists, to see if the backup could be
    /// restored
    #[arg(long)]
    deep: bool,
    /// Read only this share of the files, different ones each time: 5% or 0.5%
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    sample: Option<f64>,
    /// Repair damaged files from other snapshots of the phone that have them intact
    #[arg(long, conflicts_with = "sample")]
    repair: bool,
    /// The place of the backup: `repository` reads all of it there, without pulling it
    #[arg(long, value_name = "PLACE", value_parser = ["store", "repository"], default_value = "store", hide_default_value = true, conflicts_with_all = ["all", "quick", "deep", "sample", "repair"])]
    from: String,
    #[command(flatten)]
    repository: RepositorySettings,
    #[command(flatten)]
    password: PasswordArgs,
    #[command(flatten)]
    phone: OfPhoneArgs,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Parses "5%" or "5" as a fraction of 1.
fn percent(text: &str) -> Result<f64, String> {
    let number: f64 = text
        .strip_suffix('%')
        .unwrap_or(text)
        .trim_end()
        .parse()
        .map_err(|_| "expected a percentage, such as 5%".to_owned())?;
    if number > 0.0 && number <= 100.0 {
        Ok(number / 100.0)
    } else {
        Err("expected more than 0% and at most 100%".to_owned())
    }
}

impl Verify {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        ctrl_c::afterwards(if self.repair {
            "each file is repaired or as it was; run the same command again"
        } else {
            "nothing was changed, and the next check begins at the first file"
        });
        let show = Show::new(self.output.style());
        if self.all {
            return self.run_all(&show);
        }
        if self.from == "repository" {
            return copied::run(self, &show);
        }
        let watch = show.watch(None, None);
        let checked = self.check_named(&watch);
        watch.finish();
        match checked {
            Err(e) => output::failure(&e, None, self.output.json),
            Ok(Checked::Found(report)) => tell(&report, self.output.style()),
            Ok(Checked::Repaired(repair)) => tell_repair(&repair, self.output.style()),
        }
    }

    fn check_named(&self, watch: &Watch<'_>) -> Result<Checked, Failure> {
        // Needed only if the backup is not named by its path.
        let named = list::resolve_of(self.store.open(), self.backup.as_deref(), self.phone.of())?;
        let given = self.password.given()?.map(Known);
        self.check(named, given.as_ref(), watch)
    }

    fn check(
        &self,
        named: Named,
        given: Option<&Known>,
        watch: &Watch<'_>,
    ) -> Result<Checked, Failure> {
        let folder = named.folder;
        // Prompt on the terminal only if the check cannot do without the password.
        let passwords: Option<&dyn Passwords> = match given {
            Some(known) => Some(known),
            None if self.deep => Some(&self.password),
            None => None,
        };
        let options = Options {
            depth: match (self.quick, self.deep) {
                (true, _) => Depth::Quick,
                (_, true) => Depth::Deep,
                _ => Depth::Bytes,
            },
            sample: self.sample.map(|fraction| Sample {
                fraction,
                salt: salt(),
            }),
            passwords,
            id: named.id,
            // A password from the environment may belong to other backups, and of several phones
            // each may have its own.
            password_is_a_guess: self.all || !self.deep && !self.password.is_named(),
            token: Some(CancelToken::new(interrupt())),
            ..Options::default()
        };
        let checked = if self.repair {
            Checked::Repaired(verify::repair(&folder, &options, watch)?)
        } else {
            Checked::Found(verify::verify(&folder, &options, watch)?)
        };
        let (Checked::Repaired(Repair { report, .. }) | Checked::Found(report)) = &checked;
        change::record(report, watch);
        Ok(checked)
    }
}

enum Checked {
    Found(Report),
    Repaired(Repair),
}

/// Returns a new salt for each run, so that repeated runs eventually read every file.
fn salt() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as u64)
}

#[cfg(test)]
mod tests {
    use super::percent;

    #[test]
    fn sample_is_a_percentage() {
        assert_eq!(percent("5%"), Ok(0.05));
        assert_eq!(percent("0.5 %"), Ok(0.005));
        assert_eq!(percent("100"), Ok(1.0));
        for wrong in ["0", "-1%", "101%", "all", "", "NaN", "5%%", "%"] {
            assert!(percent(wrong).is_err(), "{wrong}");
        }
    }
}
