//! Shows the findings of `doctor` and of a dry run.

use idev_backup::base::units::counted;
use idev_backup::doctor::{Level, Line, Report};

use crate::cli::render::output;

/// Prints the findings and their number. `--quiet` leaves only warnings and problems.
pub fn show(report: &Report) {
    let quiet = output::is_quiet();
    let shown = |line: &&Line| !quiet || line.level != Level::Ok;
    for line in report.lines.iter().filter(shown) {
        let word = match line.level {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::Problem => "problem",
        };
        output::finding(&format!("{word:<8} {}", output::one_line(&line.says)));
        if let Some(means) = &line.means {
            output::finding(&format!("           {means}"));
        }
        if let Some(hint) = &line.hint {
            output::finding(&format!("           hint: {hint}"));
        }
    }
    for what in &report.not_looked_at {
        output::line(&format!("not checked: {what}"));
    }
    let of = |level| report.lines.iter().filter(|l| l.level == level).count() as u64;
    output::line(&match (of(Level::Problem), of(Level::Warning)) {
        (0, 0) => "All is well.".to_owned(),
        (0, warnings) => format!("{}, 0 problems.", counted(warnings, "warning")),
        (problems, warnings) => {
            format!(
                "{}, {}.",
                counted(problems, "problem"),
                counted(warnings, "warning")
            )
        }
    });
}
