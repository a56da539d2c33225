//! `idev-backup verify`

use std::collections::BTreeSet;
use std::path::Path;

use clap::Args;
use idev_backup::base::units::{count, counted, size};
use idev_backup::history::{change, list};
use idev_backup::reader::passwords::{Known, Passwords};
use idev_backup::verify::{
    self, Depth, Finding, Options, Outcome, Proof, Repair, Report, Sample, Wrong,
};

use crate::cli::args::output::OutputArgs;
use crate::cli::args::password::PasswordArgs;
use crate::cli::args::store::StoreArgs;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::render::output;
use crate::cli::render::progress::{Show, Watch};

/// Check that a backup is whole: ours, Finder's, iTunes' or any other program's.
///
/// Three levels, each of which does all that the one before does. `--quick`: everything that the
/// phone listed is there, with the right name and size. Without a flag: every byte is what was
/// received, where we made the backup. `--deep`: every file decrypts and has the right length, and
/// the databases and property lists inside open, so that it could be restored.
///
/// Example:  idev-backup verify ~/Backups/00008130-001A2B3C4D5E6F70
///
/// Exit code 0: no damage, and everything that was asked for was checked. 3: no damage, with
/// remarks, or something could not be checked (the list of an encrypted backup without its
/// password, the bytes of a backup without hashes). 1: damaged, or the check failed.
#[derive(Args)]
pub struct Verify {
    /// The backup's folder; or in the store: `latest`, a phone, a time, or the beginning of either
    backup: Option<String>,
    /// Check names and sizes only, without reading every byte
    #[arg(long, conflicts_with_all = ["deep", "sample"])]
    quick: bool,
    /// Decrypt every file, and look into databases and property lists: could this be restored?
    #[arg(long)]
    deep: bool,
    /// Read only so many of the files, others each time: 5% or 0.5%
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    sample: Option<f64>,
    /// Take back what is damaged from other snapshots of the phone that hold it whole
    #[arg(long, conflicts_with = "sample")]
    repair: bool,
    #[command(flatten)]
    password: PasswordArgs,
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
        .map_err(|_| "it is no percentage, like 5%".to_owned())?;
    if number > 0.0 && number <= 100.0 {
        Ok(number / 100.0)
    } else {
        Err("it must be more than 0% and at most 100%".to_owned())
    }
}

/// Returns a fraction as a percentage, rounded to a thousandth.
fn words_of(share: f64) -> String {
    let thousandths = (share * 100_000.0).round();
    if thousandths >= 1.0 {
        format!("{} %", thousandths / 1000.0)
    } else {
        "less than 0.001 %".to_owned()
    }
}

impl Verify {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        let show = Show::new(self.output.style());
        let watch = show.watch(None, None);
        let checked = self.check(&watch);
        watch.finish();
        match checked {
            Err(e) => output::failure(&e, None, self.output.json),
            Ok(Checked::Found(report)) => tell(&report, self.output.style()),
            Ok(Checked::Repaired(repair)) => tell_repair(&repair, self.output.style()),
        }
    }

    fn check(&self, watch: &Watch<'_>) -> Result<Checked, Failure> {
        // Needed only if the backup is not named by its path.
        let named = list::resolve(self.store.open(), self.backup.as_deref())?;
        let folder = named.folder;
        // Prompt on the terminal only if the check cannot do without the password.
        let given = self.password.given()?.map(Known);
        let passwords: Option<&dyn Passwords> = match &given {
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
            // A password from the environment may belong to other backups.
            password_is_a_guess: !self.deep && !self.password.is_named(),
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

fn tell_repair(repair: &Repair, style: output::Style) -> u8 {
    const SHOWN_MAX: usize = 20;
    if matches!(style, output::Style::Json) {
        output::object("repaired", None, repair);
        return code(&repair.report);
    }
    for repaired in repair.repaired.iter().take(SHOWN_MAX) {
        output::tell(&format!(
            "  took back   {} from {}",
            repaired.file, repaired.from
        ));
    }
    let count = repair.repaired.len();
    if count > SHOWN_MAX {
        output::tell(&format!("  ... and {} more", count - SHOWN_MAX));
    }
    for why in repair.hindered.iter().take(SHOWN_MAX) {
        output::tell(&format!("  problem: {why}"));
    }
    if repair.report.damage == 0 && count == 0 {
        if !matches!(style, output::Style::Quiet) {
            output::tell("Nothing to repair.");
        }
    } else {
        let repaired = match count {
            0 => "Nothing could be repaired.".to_owned(),
            _ => format!(
                "Repaired: {}, with the very bytes that were received.",
                counted(count as u64, "file")
            ),
        };
        output::tell(&format!(
            "{repaired}{}",
            match repair.report.damage {
                0 => "",
                _ if repair.hindered.is_empty() => " No other snapshot holds the rest whole.",
                _ => " Of the rest, what is in the way must go first.",
            }
        ));
    }
    tell(&repair.report, style)
}

/// Reports the findings and returns the exit code.
pub fn tell(report: &Report, style: output::Style) -> u8 {
    match style {
        output::Style::Json => output::object("verified", None, report),
        output::Style::Quiet if code(report) == exit::DONE => {}
        _ => text(report).iter().for_each(|line| output::line(line)),
    }
    code(report)
}

fn code(report: &Report) -> u8 {
    match report.outcome {
        Outcome::Whole => exit::DONE,
        Outcome::NoDamageFound if report.remarks == 0 => exit::DONE,
        Outcome::WholeWithRemarks | Outcome::NoDamageFound | Outcome::Unchecked => {
            exit::DONE_WITH_PROBLEMS
        }
        Outcome::Damaged => exit::FAILED,
    }
}

fn text(report: &Report) -> Vec<String> {
    const SHOWN_MAX: usize = 20;
    let mut lines = vec![verdict(report)];
    lines.extend(proof(report));
    for finding in report.findings.iter().take(SHOWN_MAX) {
        let name = match (&finding.domain, &finding.relative_path) {
            (Some(domain), Some(path)) => format!("{domain}  {path}  ({})", finding.file),
            _ => finding.file.clone(),
        };
        lines.push(format!(
            "  {:<11} {name}: {}",
            finding.wrong.word(),
            finding.detail
        ));
    }
    let all = report.damage + report.remarks;
    if all > SHOWN_MAX as u64 {
        lines.push(format!(
            "  ... and {} more; --json lists up to 1,000",
            all - SHOWN_MAX as u64
        ));
    }
    if report.outcome == Outcome::Damaged {
        lines.push(if report.has_sums {
format!(
                "  hint: what an older snapshot holds whole can be taken back: `idev-backup verify --repair \"{}\"`; a new backup: \
                 `idev-backup create --full`",
                report.path
            )
} else {
"  hint: `idev-backup list` shows older snapshots; a new backup: `idev-backup create --full`"
                .to_owned()
});
    }
    lines
}

/// Returns the first line: the verdict, and the amount of data that it covers.
fn verdict(report: &Report) -> String {
    let files = format!("{}, {}", counted(report.files, "file"), size(report.bytes));
    match report.outcome {
        Outcome::Damaged => format!(
            "DAMAGED. {} of {} {} not what {} should be.",
            report.damage,
            counted(all_of(report), "file"),
            if report.damage == 1 { "is" } else { "are" },
            if report.damage == 1 { "it" } else { "they" },
        ),
        Outcome::Whole | Outcome::WholeWithRemarks => {
            format!("WHOLE. {files}, are what they should be.")
        }
        Outcome::NoDamageFound if report.sample.is_some() => format!(
            "NO DAMAGE FOUND in {} of {} read.",
            count(report.read),
            counted(report.files, "file")
        ),
        Outcome::NoDamageFound if report.depth == Depth::Quick => {
            format!("NO DAMAGE FOUND in the names and sizes of {files}.")
        }
        Outcome::NoDamageFound => format!(
            "NO DAMAGE FOUND. {files}, can be opened; an altered byte in {} of them may go unnoticed.",
            count(report.not_compared)
        ),
        Outcome::Unchecked => format!(
            "UNCHECKED. No damage was found in {files}, but {}.",
            gaps(report)
        ),
    }
}

/// Lists the checks that could not be made.
fn gaps(report: &Report) -> String {
    let mut gaps = Vec::new();
    if report.listed.is_none() {
        gaps.push(
            if report.encrypted {
                "whether a file is missing is not known without the password"
            } else {
                "whether a file is missing is not known"
            }
            .to_owned(),
        );
    }
    if report.has_damaged_list {
        gaps.push("the list of hashes is damaged or gone".to_owned());
    }
    if report.depth > Depth::Quick && report.not_compared > 0 {
        gaps.push(match report.read {
            0 => "no byte of them could be compared with anything".to_owned(),
            _ => format!(
                "the bytes of {} could be compared with nothing",
                counted(report.not_compared, "file")
            ),
        });
    }
    if gaps.is_empty() {
        "not everything could be checked".to_owned()
    } else {
        gaps.join("; ")
    }
}

/// Returns the number of files that the backup should have: those present and those missing.
fn all_of(report: &Report) -> u64 {
    let folder = Path::new(&report.path);
    let damaged = report.findings.iter().filter(|f| f.wrong.is_damage());
    let gone: BTreeSet<&str> = damaged
        .map(|finding| finding.file.as_str())
        .filter(|file| !folder.join(file).exists())
        .collect();
    let known = (report.files + gone.len() as u64).max(report.listed.unwrap_or(0));
    known.max(report.damage)
}

/// Lists the checks on which the verdict is based.
fn proof(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    lines.push(match (report.listed, report.encrypted) {
        (Some(listed), _) => format!(
            "  The phone's list names {}; each was looked for by name and size.",
            counted(listed, "file")
        ),
        (None, true) => {
            "  It is encrypted: the phone's own list of files was not read, and whether a file of it is missing is not known. \
             Give the password (--password-file) to have it read."
                .to_owned()
        }
        (None, false) => "  The phone's own list of files could not be read.".to_owned(),
    });
    let sample = report.sample.map_or_else(String::new, |share| {
        format!(" (a sample of {})", words_of(share))
    });
    lines.push(match (report.has_sums, report.hashed) {
        (true, 0) => {
            "  Bytes were not read; there is a list of hashes to compare them with.".to_owned()
        }
        (true, hashed) => format!(
            "  Every byte of {} was read{sample}: {}.",
            counted(hashed, "file"),
            compared(report.proof)
        ),
        (false, _) => {
            "  There is no list of hashes, so altered bytes cannot be found out.".to_owned()
        }
    });
    if report.depth != Depth::Deep {
        return lines;
    }
    if report.encrypted && !report.unlocked {
        lines.push("  Nothing in it could be decrypted.".to_owned());
        return lines;
    }
    let how = match (report.encrypted, report.opened) {
        (true, 1) => "decrypts",
        (true, _) => "decrypt",
        (false, 1) => "was read to its end",
        (false, _) => "were read to their end",
    };
    let is_other =
        |f: &Finding| matches!(f.wrong, Wrong::OtherSize | Wrong::Short | Wrong::Truncated);
    let lengths = match report.other_sizes {
        0 if report.findings.iter().any(is_other) => "not all with the right length".to_owned(),
        0 => "with the right length".to_owned(),
        others => format!(
            "{} with another length than the phone's list says",
            count(others)
        ),
    };
    lines.push(format!(
        "  {} {how}, {lengths}{sample}; {} of the phone's own digests were compared.",
        counted(report.opened, "file"),
        count(report.digests)
    ));
    let inside = report.inside;
    let unknown = match inside.unknown {
        0 => String::new(),
        more => format!("; of {} nothing can be said", count(more)),
    };
    lines.push(format!(
        "  {} and {} inside open cleanly{unknown}.",
        counted(inside.databases, "database"),
        counted(inside.property_lists, "property list")
    ));
    match report.restorable {
        Some(true) => lines
            .push("  It can be restored, as far as that can be known without a phone.".to_owned()),
        Some(false) => lines.push("  It cannot be restored as it is.".to_owned()),
        None => {}
    }
    lines
}

/// Names the sources of the hashes that were compared.
fn compared(proof: Proof) -> String {
    let Proof {
        received,
        read_later,
        unproven,
    } = proof;
    let kinds = [
        (received, "with what the phone sent"),
        (read_later, "with what was read from the disk later"),
        (
            unproven,
            "with a damaged list of hashes, which proves nothing",
        ),
    ];
    let told = kinds.iter().filter(|(number, _)| *number > 0);
    let told = told.enumerate().map(|(at, (number, what))| match at {
        0 => format!("{} compared {what}", counted_hashes(*number)),
        _ => format!("{} {what}", count(*number)),
    });
    told.collect::<Vec<_>>().join(", ")
}

fn counted_hashes(number: u64) -> String {
    match number {
        1 => "1 hash".to_owned(),
        more => format!("{} hashes", count(more)),
    }
}

#[cfg(test)]
mod tests {
    use super::{Proof, compared, percent, words_of};

    /// Checks that the summary claims no stronger comparison than was made: hashes read later and
    /// unproven ones are named as such.
    #[test]
    fn hash_summary_names_each_source() {
        for (received, read_later, unproven, words) in [
            (83, 0, 0, "83 hashes compared with what the phone sent"),
            (1, 0, 0, "1 hash compared with what the phone sent"),
            (
                0,
                83,
                0,
                "83 hashes compared with what was read from the disk later",
            ),
            (
                80,
                3,
                0,
                "80 hashes compared with what the phone sent, 3 with what was read from the disk later",
            ),
            (
                0,
                0,
                5,
                "5 hashes compared with a damaged list of hashes, which proves nothing",
            ),
        ] {
            let proof = Proof {
                received,
                read_later,
                unproven,
            };
            assert_eq!(compared(proof), words);
        }
    }

    #[test]
    fn sample_share_is_a_percentage() {
        assert_eq!(percent("5%"), Ok(0.05));
        assert_eq!(percent("0.5 %"), Ok(0.005));
        assert_eq!(percent("100"), Ok(1.0));
        for wrong in ["0", "-1%", "101%", "all", "", "NaN", "5%%", "%"] {
            assert!(percent(wrong).is_err(), "{wrong}");
        }
        for (typed, shown) in [
            ("7%", "7 %"),
            ("0.5", "0.5 %"),
            ("100%", "100 %"),
            ("1e-300", "less than 0.001 %"),
        ] {
            assert_eq!(words_of(percent(typed).unwrap()), shown);
        }
    }
}
