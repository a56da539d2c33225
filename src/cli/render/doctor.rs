//! Shows the findings of `doctor` and of a dry run.

use idev_backup::base::phone_names;
use idev_backup::base::units::counted;
use idev_backup::doctor::{self, Level};
use serde::Serialize;

use crate::cli::render::{output, typed};

/// A finding with the program's advice.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    pub level: Level,
    pub topic: &'static str,
    pub udid: Option<String>,
    pub says: String,
    pub means: Option<String>,
    pub hint: Option<String>,
    /// True if the user ignores this topic, and the finding is not in order.
    pub ignored: bool,
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
            ignored: false,
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
        let phones: Vec<_> = report
            .phones
            .iter()
            .map(|(udid, name)| (udid.as_str(), name.as_deref()))
            .collect();
        let advised = |line| {
            let mut line = Line::new(line, advise);
            if let (Some(hint), Some(udid), 2..) = (&line.hint, &line.udid, phones.len()) {
                let phone = phone_names::selector(&phones, udid);
                line.hint = Some(typed::for_phone(hint, &phone));
            }
            line
        };
        Report {
            level: report.level,
            lines: report.lines.iter().map(advised).collect(),
            not_looked_at: report.not_looked_at,
        }
    }

    /// Marks the findings of these topics as ignored, and determines the highest severity of the
    /// others.
    pub fn ignore(&mut self, topics: &[String]) {
        for line in &mut self.lines {
            let is_meant = topics.iter().any(|topic| topic == line.topic);
            line.ignored = is_meant && line.level != Level::Ok;
        }
        let others = self.lines.iter().filter(|line| !line.ignored);
        self.level = others.map(|line| line.level).max().unwrap_or(Level::Ok);
    }
}

/// Prints the findings and their number. `--quiet` leaves only warnings and problems.
pub fn show(report: &Report) {
    let quiet = output::is_quiet();
    let shown = |line: &&Line| !line.ignored && (!quiet || line.level != Level::Ok);
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
    let ignored: Vec<&Line> = report.lines.iter().filter(|line| line.ignored).collect();
    if !ignored.is_empty() {
        let mut topics: Vec<&str> = ignored.iter().map(|line| line.topic).collect();
        topics.sort_unstable();
        topics.dedup();
        output::line(&format!(
            "{} ignored: {}",
            counted(ignored.len() as u64, "finding"),
            topics.join(", ")
        ));
    }
    let counts = |line: &&Line, level| !line.ignored && line.level == level;
    let of = |level| report.lines.iter().filter(|l| counts(l, level)).count() as u64;
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
