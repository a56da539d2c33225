//! Reports the parts of a backup that could not be read.

use idev_backup::base::units::count;
use idev_backup::reader::backup::Unread;

use crate::cli::exit;
use crate::cli::render::output;

/// Maximum number of rows named on the terminal; `--json` names more.
const NAMED_MAX: usize = 20;

/// Reports the parts of a backup that could not be read. Returns the exit code of a command that
/// otherwise ends with `code`.
pub fn tell_unread(unread: &Unread, code: u8) -> u8 {
    if unread.is_empty() {
        return code;
    }
    for note in &unread.notes {
        output::tell(&format!("problem: {}", output::one_line(note)));
    }
    let named = unread.first.iter().take(NAMED_MAX);
    for row in named.clone() {
        let line = output::one_line(&format!("{}: {}", row.name, row.why));
        output::tell(&format!("problem: {line}"));
    }
    let more = unread.count.saturating_sub(named.len() as u64);
    if more > 0 {
        let least = if unread.is_more { "at least " } else { "" };
        output::tell(&format!(
            "problem: {least}{} more rows of the list of files cannot be read",
            count(more)
        ));
    }
    output::tell(
        "  hint: everything else was read; run `idev-backup verify` to see what is damaged",
    );
    exit::worst(&[code, exit::DONE_WITH_PROBLEMS])
}
