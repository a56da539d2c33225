//! `idev-backup extract`

use std::path::PathBuf;

use clap::Args;
use idev_backup::base::units::{count, counted, size};
use idev_backup::export::destination::Into;
use idev_backup::export::files::{self, Options, Report};
use idev_backup::export::outcome::{Listing, Problem, Renamed};
use idev_backup::reader::selection::Wanted;

use crate::cli::args::output::OutputArgs;
use crate::cli::args::reading::{ReadArgs, tell_unread};
use crate::cli::args::value_parsers;
use crate::cli::ctrl_c::interrupt;
use crate::cli::exit;
use crate::cli::render::output;
use crate::cli::render::progress::Show;

/// Number of problems, and of renamed files, that are shown.
const SHOWN_MAX: usize = 20;

/// Write files of a backup into a folder, with the names, times and modes that they had on the
/// phone.
///
/// Example:  idev-backup extract latest --to photos 'CameraRollDomain/Media/DCIM/**'
///
/// A pattern with a `/` is for domain and path, one without for the last name alone; without any it
/// is everything. Exit code 3: done, but some files are not as they should be.
#[derive(Args)]
pub struct Extract {
    #[command(flatten)]
    read: ReadArgs,
    /// Which files: *.HEIC, 'HomeDomain/Library/{SMS,Notes}/**'
    #[arg(value_name = "PATTERN", value_parser = value_parsers::pattern)]
    patterns: Vec<String>,
    /// Only of these domains: 'AppDomain*-net.whatsapp.*'
    #[arg(long, value_name = "PATTERN", value_parser = value_parsers::pattern)]
    domain: Vec<String>,
    /// Letters' case makes no difference in patterns
    #[arg(long)]
    any_case: bool,
    #[command(flatten)]
    into: IntoArgs,
    /// Give group and others the rights that they had on the phone; without it only you can read
    /// the files
    #[arg(long)]
    modes: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// Where to, and whether.
#[derive(Args, Clone)]
pub struct IntoArgs {
    /// The folder to fill; must be empty or not there yet
    #[arg(long, value_name = "DIR", value_parser = crate::cli::args::store::path_parser())]
    pub to: PathBuf,
    /// Replace files that are in the folder already
    #[arg(long)]
    overwrite: bool,
    /// Only tell what would be written
    #[arg(long, short = 'n')]
    dry_run: bool,
}

impl IntoArgs {
    /// Returns the options in the form that the job takes.
    pub fn how(&self) -> Into {
        Into {
            overwrite: self.overwrite,
            dry_run: self.dry_run,
        }
    }
}

impl Extract {
    /// Lets the words begin with what is wanted: without a backup's name it is the current one.
    pub fn settle(&mut self) {
        if let Some(word) = self.read.take_word(&self.patterns) {
            self.patterns.insert(0, word);
        }
    }

    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        let show = Show::new(self.output.style());
        let watch = show.watch(None, None);
        let options = Options {
            wanted: Wanted {
                patterns: self.patterns.clone(),
                domains: self.domain.clone(),
                any_case: self.any_case,
                ..Wanted::default()
            },
            into: self.into.how(),
            all_modes: self.modes,
        };
        // While the user is prompted for a password, Ctrl-C ends the program at once.
        let extracted = self.read.open().and_then(|backup| {
            let to = &self.into.to;
            Ok(files::extract(&backup, to, &options, &interrupt(), &watch)?)
        });
        watch.finish();
        let json = self.output.json;
        match extracted {
            Err(e) => output::failure(&e, None, json),
            Ok(extracted) => {
                let code = tell(&extracted.report, self.output.style());
                match extracted.stopped {
                    Some(e) => output::failure(&e.into(), None, json),
                    None => code,
                }
            }
        }
    }
}

fn tell(report: &Report, style: output::Style) -> u8 {
    let is_good = report.problems.count == 0 && report.complete;
    match style {
        output::Style::Json => output::object("extracted", None, report),
        output::Style::Quiet if is_good => {}
        _ => text(report).iter().for_each(|line| output::line(line)),
    }
    let code = if is_good {
        exit::DONE
    } else {
        exit::DONE_WITH_PROBLEMS
    };
    tell_unread(&report.unread, code)
}

fn text(report: &Report) -> Vec<String> {
    let amount = format!("{}, {},", counted(report.files, "file"), size(report.bytes));
    let mut lines = vec![match (report.dry_run, report.complete) {
        (true, _) => format!("Would extract {amount} into {}.", report.to),
        (false, true) => format!("Extracted {amount} into {}.", report.to),
        (false, false) => format!(
            "STOPPED. Extracted {amount} of {} into {}.",
            counted(report.chosen, "file"),
            report.to
        ),
    }];
    lines.extend(problems(&report.problems));
    lines.extend(renamed(&report.renamed));
    let left_out = &report.links_left_out;
    if left_out.count > 0 {
        lines.push(format!(
            "  {} not made, since {} of {}:",
            counted(left_out.count, "link"),
            if left_out.count == 1 {
                "it leads out"
            } else {
                "they lead out"
            },
            if left_out.count == 1 {
                "its domain"
            } else {
                "their domains"
            },
        ));
        lines.extend(shown(left_out, |link| {
            format!("{}/{} -> {}", link.domain, link.relative_path, link.target)
        }));
    }
    if report.lost_modes {
        lines.push("  The disk keeps no modes: who can read the files is up to it.".to_owned());
    }
    lines
}

/// Describes the files with problems.
pub fn problems(problems: &Listing<Problem>) -> Vec<String> {
    if problems.count == 0 {
        return Vec::new();
    }
    let mut lines = vec![format!(
        "  {} not as {} should be:",
        match problems.count {
            1 => "1 is".to_owned(),
            many => format!("{} are", count(many)),
        },
        if problems.count == 1 { "it" } else { "they" },
    )];
    lines.extend(shown(problems, |problem| {
        format!(
            "{:<11} {}  {}: {}",
            problem.wrong.word(),
            problem.domain,
            problem.relative_path,
            problem.detail
        )
    }));
    lines
}

/// Describes the files that were renamed.
pub fn renamed(renamed: &Listing<Renamed>) -> Vec<String> {
    if renamed.count == 0 {
        return Vec::new();
    }
    let mut lines = vec![format!(
        "  {} another name than on the phone:",
        match renamed.count {
            1 => "1 has".to_owned(),
            many => format!("{} have", count(many)),
        }
    )];
    lines.extend(shown(renamed, |one| {
        format!("{}/{} is {}", one.domain, one.relative_path, one.to)
    }));
    lines
}

fn shown<T>(listing: &Listing<T>, words: impl Fn(&T) -> String) -> Vec<String> {
    let lines = listing.first.iter().take(SHOWN_MAX);
    let mut lines: Vec<String> = lines
        .map(|one| format!("    {}", output::one_line(&words(one))))
        .collect();
    let more = listing.count.saturating_sub(lines.len() as u64);
    if more > 0 {
        lines.push(format!(
            "    ... and {} more; --json lists up to 1,000",
            count(more)
        ));
    }
    lines
}
