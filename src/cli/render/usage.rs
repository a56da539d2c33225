//! Draws what takes the room in a backup: the parts of a report, and a chart of them as text.

use idev_backup::base::units::size;
use idev_backup::reader::totals::Sum;
use idev_backup::reader::usage::{App, Report};

use super::output;

/// A part of the backup, with the space that it takes.
pub struct Part {
    /// Name of the part.
    pub name: String,
    /// Further details, such as an application's bundle ID.
    pub note: Option<String>,
    /// Number and size of the files.
    pub sum: Sum,
}

/// Returns the kinds of data as parts.
pub fn kinds(report: &Report) -> Vec<Part> {
    let parts = report.kinds.iter().map(|amount| Part {
        name: amount.kind.words().to_owned(),
        note: None,
        sum: Sum {
            files: amount.files,
            bytes: amount.bytes,
        },
    });
    parts.collect()
}

/// Returns the applications as parts.
pub fn apps(report: &Report) -> Vec<Part> {
    let part = |app: &App| Part {
        name: app.name.clone().unwrap_or_else(|| app.id.clone()),
        note: app.name.as_ref().map(|_| app.id.clone()),
        sum: app.sum,
    };
    report.apps.iter().map(part).collect()
}

/// Returns the share of `bytes` in `all` in percent.
pub fn percent(bytes: u64, all: u64) -> f64 {
    match all {
        0 => 0.0,
        all => bytes as f64 / all as f64 * 100.0,
    }
}

/// Returns a line for each part: name, size, share, and on a terminal a bar that fills the rest of
/// the line.
pub fn chart(parts: &[Part], all: u64) -> Vec<String> {
    const NAME_MAX: usize = 36;
    let names: Vec<String> = (parts.iter())
        .map(|part| {
            console::truncate_str(&output::one_line(&part.name), NAME_MAX, "...").into_owned()
        })
        .collect();
    let widths = names.iter().map(|name| console::measure_text_width(name));
    let width = widths.max().unwrap_or(0);
    let largest = parts.iter().map(|part| part.sum.bytes).max().unwrap_or(0);
    let terminal = console::Term::stdout();
    // Width of name, size and percentage, and the gaps between them.
    let taken = width + 2 + 10 + 2 + 6 + 2;
    let room = if terminal.is_term() {
        usize::from(terminal.size().1)
            .saturating_sub(taken + 1)
            .min(60)
    } else {
        0
    };
    (names.iter().zip(parts))
        .map(|(name, part)| {
            let bytes = part.sum.bytes;
            let gap = " ".repeat(width - console::measure_text_width(name));
            let share = percent(bytes, all);
            let bar = bar(percent(bytes, largest) / 100.0, room);
            let line = format!("{name}{gap}  {:>10}  {share:>4.1} %  {bar}", size(bytes));
            line.trim_end().to_owned()
        })
        .collect()
}

fn bar(share: f64, room: usize) -> String {
    let eighths = (share * room as f64 * 8.0).round() as usize;
    if !output::speaks_utf8() {
        return "#".repeat(eighths.div_ceil(8));
    }
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    "█".repeat(eighths / 8) + PARTS[eighths % 8]
}
