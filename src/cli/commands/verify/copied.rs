//! Verifies a backup in the repository, which is not pulled for that.

use std::time::Duration;

use idev_backup::base::time;
use idev_backup::base::units::{count, counted, duration, size};
use idev_backup::repository::{self, Choice, Proof, Wrong, choose, prove};

use super::Verify;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::render::output::{self, Style};
use crate::cli::render::progress::{Show, Watch};

/// Number of findings that are shown without `--json`.
const SHOWN: usize = 20;

/// Runs the check and returns the exit code.
pub fn run(args: &Verify, show: &Show) -> u8 {
    let watch = show.watch(None, None);
    let checked = check(args, &watch);
    watch.finish();
    match checked {
        Err(e) => output::failure(&e, None, args.output.json),
        Ok(proof) => {
            match args.output.style() {
                Style::Json => output::object("copy_verified", Some(&proof.copy.udid), &proof),
                _ => tell(&proof),
            }
            match proof.damage {
                0 => exit::DONE,
                _ => exit::FAILED,
            }
        }
    }
}

fn check(args: &Verify, watch: &Watch<'_>) -> Result<Proof, Failure> {
    let restic = args.repository.0.open()?;
    let name = args.backup.as_deref().unwrap_or("latest");
    let listing = repository::list(&restic)?;
    match choose(&listing, name, args.phone.device.as_deref())? {
        Choice::Ours(copy) => Ok(prove(&restic, &copy, watch)?),
        Choice::Other(stored) => Err(repository::Error::NotPushed(stored.id).into()),
    }
}

fn tell(proof: &Proof) {
    for finding in proof.findings.iter().take(SHOWN) {
        let words = match finding.wrong {
            Wrong::Different => "differs from what the phone sent",
            Wrong::Missing => "is missing",
            Wrong::Unlisted => "is not in the list of hashes",
        };
        output::finding(&format!("{} {words}", output::one_line(&finding.file)));
    }
    let copy = &proof.copy;
    let name = copy.name.as_ref().unwrap_or(&copy.udid);
    let name = format!("{name}, {}", time::when(&copy.time.to_string()));
    let name = output::one_line(&name);
    let read = format!(
        "{}, {}, in {}",
        counted(proof.read_files, "file"),
        size(proof.read_bytes),
        duration(Duration::from_secs_f64(proof.seconds))
    );
    output::line(&if proof.damage == 0 {
        format!("{name}: every file in the repository matches its hash ({read}).")
    } else {
        let number = count(proof.damage);
        format!("{name}: DAMAGED in the repository: {number} of its files are wrong ({read}).")
    });
}
