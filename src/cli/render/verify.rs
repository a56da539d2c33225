//! Reports what `verify` found, and what it repaired.

use idev_backup::base::units::{count, counted};
use idev_backup::store::Store;
use idev_backup::verify::{Depth, Finding, Outcome, Proof, Repair, Report, Wrong};

use crate::cli::exit;
use crate::cli::render::log::Level;
use crate::cli::render::output;

/// Reports the findings and returns the exit code.
pub fn tell(report: &Report, style: output::Style) -> u8 {
    match style {
        output::Style::Json => output::object("verified", None, report),
        output::Style::Quiet if code(report) == exit::DONE => {}
        _ => text(report).iter().for_each(|line| output::finding(line)),
    }
    code(report)
}

/// Reports the verdict on one of several backups in one line, and returns the exit code.
pub fn tell_briefly(report: &Report, udid: &str, name: &str, style: output::Style) -> u8 {
    let code = code(report);
    match style {
        output::Style::Json => output::object("verified", Some(udid), report),
        output::Style::Quiet if code == exit::DONE => {}
        _ => {
            let level = match code {
                exit::DONE => Level::Info,
                exit::DONE_WITH_PROBLEMS => Level::Warning,
                _ => Level::Error,
            };
            let name = output::one_line(name);
            output::line_at(&format!("{name}: {}", report.verdict()), level);
            if code != exit::DONE {
                let path = &report.path;
                let text = format!("  hint: `idev-backup verify \"{path}\"` shows the details");
                output::line_at(&text, level);
            }
        }
    }
    code
}

/// Returns the reason that a check did not end with a verdict of `WHOLE`, for a line about several
/// backups.
pub fn reason(report: &Report) -> String {
    let text = report.verdict();
    let (word, rest) = text.split_once(". ").unwrap_or(("", &text));
    match report.outcome {
        Outcome::Damaged => rest.trim_end_matches('.').to_owned(),
        _ => word.to_owned(),
    }
}

/// Reports what was repaired and what was found, and returns the exit code.
pub fn tell_repair(repair: &Repair, style: output::Style) -> u8 {
    const SHOWN_MAX: usize = 20;
    if matches!(style, output::Style::Json) {
        output::object("repaired", None, repair);
        return code(&repair.report);
    }
    for repaired in repair.repaired.iter().take(SHOWN_MAX) {
        output::tell(&format!(
            "  repaired    {} from {}",
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
                "Repaired {}, with exactly the bytes that were received.",
                counted(count as u64, "file")
            ),
        };
        output::tell(&format!(
            "{repaired}{}",
            match repair.report.damage {
                0 => "",
                _ if repair.hindered.is_empty() =>
                    " No other snapshot has intact copies of the rest.",
                _ => " Solve the problems above to repair the rest.",
            }
        ));
    }
    tell(&repair.report, style)
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
    let mut lines = vec![report.verdict()];
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
        const NEW: &str = "make a new backup with `idev-backup create --full`";
        lines.push(if !is_in_store(report) {
            "  hint: look for another copy of this backup, for example where it comes from"
                .to_owned()
        } else if report.has_sums {
            format!(
                "  hint: repair files from older snapshots with `idev-backup verify --repair \
                \"{}\"`, or {NEW}",
                report.path
            )
        } else {
            format!("  hint: find older snapshots with `idev-backup list`, or {NEW}")
        });
    }
    lines
}

/// Returns true if the checked backup is in a store of this program, and not only in a folder of
/// Apple's layout.
fn is_in_store(report: &Report) -> bool {
    let root = report.of.as_ref().and_then(|of| of.path().parent());
    root.is_some_and(|root| Store::open(root).is_ok_and(|store| store.is_marked()))
}

/// Lists the checks on which the verdict is based.
fn proof(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    lines.push(match (report.listed, report.encrypted) {
        (Some(listed), _) => format!(
            "  The phone's list has {}; the name and size of each were checked.",
            counted(listed, "file")
        ),
        (None, true) => {
            "  The backup is encrypted: without the password, the phone's list of files cannot be \
            read and missing files cannot be detected. `idev-backup verify --deep` asks for the \
            password, and --password-file gives it."
                .to_owned()
        }
        (None, false) => "  The phone's list of files could not be read.".to_owned(),
    });
    let sample = report.sample.map_or_else(String::new, |share| {
        format!(" (a sample of {})", words_of(share))
    });
    lines.push(match (report.has_sums, report.hashed) {
        (true, 0) => "  File contents were not read; a list of hashes exists to compare them with."
            .to_owned(),
        (true, hashed) => format!(
            "  Every byte of {} was read{sample}: {}.",
            counted(hashed, "file"),
            compared(report.proof)
        ),
        (false, _) => {
            "  The backup has no list of hashes, so altered bytes cannot be detected.".to_owned()
        }
    });
    if report.depth != Depth::Deep {
        return lines;
    }
    if report.encrypted && !report.unlocked {
        lines.push("  Nothing in the backup could be decrypted.".to_owned());
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
            "{} with a length that differs from the phone's list",
            count(others)
        ),
    };
    lines.push(format!(
        "  {} {how}, {lengths}{sample}; {} of the phone's digests were compared.",
        counted(report.opened, "file"),
        count(report.digests)
    ));
    let inside = report.inside;
    let unknown = match inside.unknown {
        0 => String::new(),
        more => format!("; {} could not be checked", count(more)),
    };
    lines.push(format!(
        "  {} and {} inside open cleanly{unknown}.",
        counted(inside.databases, "database"),
        counted(inside.property_lists, "property list")
    ));
    match report.restorable {
        Some(true) => lines.push(
            "  It can be restored, as far as this can be checked without a phone.".to_owned(),
        ),
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

/// Returns a fraction as a percentage, rounded to a thousandth.
fn words_of(share: f64) -> String {
    let thousandths = (share * 100_000.0).round();
    if thousandths >= 1.0 {
        format!("{} %", thousandths / 1000.0)
    } else {
        "less than 0.001 %".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::{Proof, compared, words_of};

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
    fn sample_is_shown_as_percentage() {
        for (share, shown) in [
            (0.07, "7 %"),
            (0.005, "0.5 %"),
            (1.0, "100 %"),
            (1e-302, "less than 0.001 %"),
        ] {
            assert_eq!(words_of(share), shown);
        }
    }
}
