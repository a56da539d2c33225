//! Describes the verdict of a check for people.

use std::collections::BTreeSet;
use std::path::Path;

use super::{Depth, Outcome, Report};
use crate::base::units::{count, counted, size};

impl Report {
    /// Returns the verdict in a sentence or two, with the amount of data that it covers.
    pub fn verdict(&self) -> String {
        let files = format!("{}, {}", counted(self.files, "file"), size(self.bytes));
        match self.outcome {
            Outcome::Damaged => format!(
                "DAMAGED. {} of {} {} damaged or missing.",
                self.damage,
                counted(all_of(self), "file"),
                if self.damage == 1 { "is" } else { "are" },
            ),
            Outcome::Whole | Outcome::WholeWithRemarks => {
                format!("WHOLE. {files}: all complete and unchanged.")
            }
            Outcome::NoDamageFound if self.sample.is_some() => format!(
                "NO DAMAGE FOUND in the {} of {} that were read.",
                count(self.read),
                counted(self.files, "file")
            ),
            Outcome::NoDamageFound if self.depth == Depth::Quick => {
                format!("NO DAMAGE FOUND in the names and sizes of {files}.")
            }
            Outcome::NoDamageFound => format!(
                "NO DAMAGE FOUND. {files}, can be opened, but altered bytes in {} of them cannot be \
                detected.",
                count(self.not_compared)
            ),
            Outcome::Unchecked => format!(
                "UNCHECKED. No damage was found in {files}, but {}.",
                gaps(self)
            ),
        }
    }
}

/// Lists the checks that could not be made.
fn gaps(report: &Report) -> String {
    let mut gaps = Vec::new();
    if report.listed.is_none() {
        gaps.push(
            if report.encrypted {
                "missing files cannot be detected without the password"
            } else {
                "missing files cannot be detected"
            }
            .to_owned(),
        );
    }
    if report.has_damaged_list {
        gaps.push("the list of hashes is damaged or missing".to_owned());
    }
    if report.depth > Depth::Quick && report.not_compared > 0 {
        gaps.push(match report.read {
            0 => "there is nothing to compare their bytes with".to_owned(),
            _ => format!(
                "there is nothing to compare the bytes of {} with",
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
