//! `idev-backup usage`

use std::path::PathBuf;

use clap::builder::TypedValueParser;
use clap::{Args, ValueEnum};
use idev_backup::base::units::{counted, size};
use idev_backup::content::counts::{Counts, counts};
use idev_backup::reader::usage::{self, Report};
use serde::Serialize;

use crate::cli::args::reading::ReadArgs;
use crate::cli::args::store::path_parser;
use crate::cli::failure::Failure;
use crate::cli::render::counts::counted_content;
use crate::cli::render::unread::tell_unread;
use crate::cli::render::usage::{apps, chart, kinds};
use crate::cli::render::{output, usage_html};
use crate::cli::{exit, new_file};

/// Show what uses the space in a backup, by kind and by app
///
/// Example:  idev-backup usage latest --by app
///
/// Sizes are those on the phone, taken from its list of files. The size of an app includes its
/// extensions and shared folders.
#[derive(Args)]
pub struct Usage {
    #[command(flatten)]
    read: ReadArgs,
    /// Show only kinds, or only apps (all of them) [default: kinds and the largest apps]
    #[arg(long)]
    by: Option<By>,
    /// Write a web page to this file; it needs no network
    #[arg(long, value_name = "FILE", value_parser = path_parser().try_map(usage_html::place))]
    html: Option<PathBuf>,
    /// Replace the --html file if it exists
    #[arg(long, alias = "force", requires = "html")]
    overwrite: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The report, with the numbers of messages and other content.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    report: &'a Report,
    inside: &'a Counts,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum By {
    Kind,
    App,
}

impl Usage {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        let (report, inside) = match self.added_up() {
            Err(e) => return output::failure(&e, None, self.json),
            Ok(added_up) => added_up,
        };
        if self.json {
            let udid = report.udid.as_deref();
            let (report, inside) = (&report, &inside);
            output::object("usage", udid, &Shown { report, inside });
        } else if let Some(file) = &self.html {
            if !output::is_quiet() {
                output::tell(&format!("Wrote {}; open it in a browser", file.display()));
            }
        } else {
            let lines = self.text(&report, &inside);
            lines.iter().for_each(|line| output::line(line));
        }
        tell_unread(&report.unread, exit::DONE)
    }

    fn added_up(&self) -> Result<(Report, Counts), Failure> {
        if let Some(file) = &self.html {
            // Check this before prompting for the password and adding everything up.
            new_file::refuse_if_there(file, self.overwrite)?;
        }
        let backup = self.read.open()?;
        let report = usage::usage(&backup)?;
        if let Some(file) = &self.html {
            usage_html::write(file, &usage_html::of(&report), self.overwrite)?;
        }
        Ok((report, counts(&backup)))
    }

    fn text(&self, report: &Report, inside: &Counts) -> Vec<String> {
        const APPS_SHOWN: usize = 10;
        let mut lines = vec![format!(
            "{}: {}, {}",
            output::one_line(report.name.as_deref().unwrap_or(&report.path)),
            size(report.all.bytes),
            counted(report.all.files, "file")
        )];
        lines.extend(counted_content(inside).map(|inside| output::one_line(&inside)));
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
