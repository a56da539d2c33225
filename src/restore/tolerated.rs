//! Decides which damage a restore may tolerate, and lists the damaged files.

use crate::store;
use crate::verify::{self, Wrong};

/// Maximum number of files with tolerated damage that are listed by name.
const NAMED_MAX: usize = 50;

/// Returns true if phones do not notice the damage. They check names, sizes and keys, and the
/// contents only of files for which their list has a digest, of the backup's own list, and of its
/// property lists.
pub fn tolerated(report: &verify::Report) -> bool {
    let known = report.findings.iter().filter(|f| is_contents(f)).count();
    known as u64 == report.damage
}

fn is_contents(finding: &verify::Finding) -> bool {
    let name = finding.file.as_str();
    matches!(
        finding.wrong,
        Wrong::Altered | Wrong::Swapped | Wrong::Corrupt
    ) && !finding.shows_on_phone
        && !store::METADATA.contains(&name)
        && name != "Manifest.mbdb"
}

/// Lists the damaged files that are restored anyway, because nothing else will tell the user which
/// files on the phone are wrong.
pub(super) fn tolerated_files(report: &verify::Report) -> String {
    let damaged = report.findings.iter().filter(|f| is_contents(f));
    let name = |f: &verify::Finding| {
        let path = f.relative_path.as_ref();
        let path = path.map_or_else(String::new, |path| format!(" ({path})"));
        format!("{} is {}{path}", f.file, f.wrong.word())
    };
    let names: Vec<String> = damaged.take(NAMED_MAX).map(name).collect();
    let more = report.damage.saturating_sub(names.len() as u64);
    match more {
        0 => names.join("; "),
        more => format!("{}; and {more} more", names.join("; ")),
    }
}
