//! Shows the findings of `doctor` and of a dry run.

use idev_backup::base::units::counted;
use idev_backup::doctor::{self, Level};
use serde::Serialize;

use crate::cli::render::output;

/// A finding with the program's advice.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    pub level: Level,
    pub topic: &'static str,
    pub udid: Option<String>,
    pub says: String,
    pub means: Option<String>,
    pub hint: Option<String>,
}

impl Line {
    /// Adds the advice to a finding of the library.
    pub fn new<F>(line: &doctor::Line<F>, advise: impl Fn(&F) -> Option<String>) -> Line {
        Line {
            level: line.level,
            topic: line.topic,
            udid: line.udid.clone(),
            says: line.says.clone(),
            means: line.means.clone(),
            hint: line.concern.as_ref().and_then(advise),
        }
    }
}

/// The findings of `doctor` or of a dry run, with the program's advice.
#[derive(Debug, Serialize)]
pub struct Report {
    pub level: Level,
    pub lines: Vec<Line>,
    pub not_looked_at: Vec<String>,
}

impl Report {
    /// Adds the advice to a report of the library.
    pub fn new<F>(
        report: doctor::Report<F>,
        advise: impl Fn(&F) -> Option<String> + Copy,
    ) -> Report {
        Report {
            level: report.level,
            lines: report
                .lines
                .iter()
                .map(|line| Line::new(line, advise))
                .collect(),
            not_looked_at: report.not_looked_at,
        }
    }
}

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
