//! `idev-backup usage`

use std::path::PathBuf;

use clap::builder::TypedValueParser;
use clap::{Args, ValueEnum};
use idev_backup::base::units::{counted, size};
use idev_backup::reader::totals::Sum;
use idev_backup::reader::usage::{self, Report};

use crate::cli::args::reading::{ReadArgs, tell_unread};
use crate::cli::args::store::path_parser;
use crate::cli::failure::Failure;
use crate::cli::render::{output, usage_html};
use crate::cli::{exit, new_file};

/// Show what takes the room in a backup, by kind and by app.
///
/// Example:  idev-backup usage latest --by app
///
/// Sizes are those of the phone, as its own list has them. An app counts with its extensions and
/// the folders that it shares.
#[derive(Args)]
pub struct Usage {
    #[command(flatten)]
    read: ReadArgs,
    /// Show only kinds, or only apps and all of them [default: kinds, and the largest apps]
    #[arg(long)]
    by: Option<By>,
    /// Write a page for a browser to this file; it needs no network
    #[arg(long, value_name = "FILE", value_parser = path_parser().try_map(usage_html::place))]
    html: Option<PathBuf>,
    /// Replace that file if it is there
    #[arg(long, requires = "html")]
    force: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum By {
    Kind,
    App,
}

/// A part of the backup, with the space that it takes.
pub struct Part {
    /// Name of the part.
    pub name: String,
    /// Further details, such as an application's bundle ID.
    pub note: Option<String>,
    /// Number and size of the files.
    pub sum: Sum,
}

impl Usage {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        let report = match self.added_up() {
            Err(e) => return output::failure(&e, None, self.json),
            Ok(report) => report,
        };
        if self.json {
            output::object("usage", report.udid.as_deref(), &report);
        } else if let Some(file) = &self.html {
            output::tell(&format!(
                "{} is written; open it in a browser",
                file.display()
            ));
        } else {
            self.text(&report)
                .iter()
                .for_each(|line| output::line(line));
        }
        tell_unread(&report.unread, exit::DONE)
    }

    fn added_up(&self) -> Result<Report, Failure> {
        if let Some(file) = &self.html {
            // Check this before prompting for the password and adding everything up.
            new_file::refuse_if_there(file, self.force)?;
        }
        let report = usage::usage(&self.read.open()?)?;
        if let Some(file) = &self.html {
            usage_html::write(file, &usage_html::of(&report), self.force)?;
        }
        Ok(report)
    }

    fn text(&self, report: &Report) -> Vec<String> {
        const APPS_SHOWN: usize = 10;
        let mut lines = vec![format!(
            "{}: {}, {}",
            output::one_line(report.name.as_deref().unwrap_or(&report.path)),
            size(report.all.bytes),
            counted(report.all.files, "file")
        )];
        if self.by != Some(By::App) {
            lines.push(String::new());
            lines.extend(chart(&kinds(report), report.all.bytes));
        }
        if self.by != Some(By::Kind) && !report.apps.is_empty() {
            let parts = apps(report);
            let shown = match self.by {
                Some(By::App) => parts.len(),
                _ => parts.len().min(APPS_SHOWN),
            };
            lines.push(String::new());
            lines.extend(chart(&parts[..shown], report.all.bytes));
            if shown < parts.len() {
                lines.push(format!(
                    "and {} more; `--by app` shows all",
                    counted((parts.len() - shown) as u64, "app")
                ));
            }
        }
        lines
    }
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
    let part = |app: &usage::App| Part {
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
fn chart(parts: &[Part], all: u64) -> Vec<String> {
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
