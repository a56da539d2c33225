//! `idev-backup export`

use clap::{Args, Subcommand};
use idev_backup::base::units::{counted, size};
use idev_backup::export::photos::{self, Options, Report};

use super::extract::{IntoArgs, problems, renamed};
use crate::cli::args::output::OutputArgs;
use crate::cli::args::reading::{ReadArgs, tell_unread};
use crate::cli::ctrl_c::interrupt;
use crate::cli::exit;
use crate::cli::render::output;
use crate::cli::render::progress::Show;

/// Write photos and videos of a backup into a folder, in a form that people use.
#[derive(Args)]
pub struct Export {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    Photos(Photos),
}

/// Write the camera roll into a folder by year and month, with original names and dates.
///
/// Example:  idev-backup export photos latest --to ~/Pictures/iPhone
///
/// The still and the moving part of a Live Photo stay together under one name. Exit code 3: done,
/// but some files are not as they should be.
#[derive(Args)]
pub struct Photos {
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    into: IntoArgs,
    /// All files in one folder, without years and months
    #[arg(long)]
    flat: bool,
    /// Export photos in "Recently Deleted" too, into a folder of that name
    #[arg(long)]
    deleted: bool,
    /// Export hidden photos too, into a folder named Hidden
    #[arg(long)]
    hidden: bool,
    #[command(flatten)]
    output: OutputArgs,
}

impl Export {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        match &self.what {
            What::Photos(photos) => photos.run(),
        }
    }
}

impl Photos {
    fn run(&self) -> u8 {
        let show = Show::new(self.output.style());
        let watch = show.watch(None, None);
        let options = Options {
            into: self.into.how(),
            flat: self.flat,
            deleted: self.deleted,
            hidden: self.hidden,
        };
        let exported = self.read.open().and_then(|backup| {
            let to = &self.into.to;
            Ok(photos::export(&backup, to, &options, &interrupt(), &watch)?)
        });
        watch.finish();
        let json = self.output.json;
        match exported {
            Err(e) => output::failure(&e, None, json),
            Ok(exported) => {
                let code = tell(&exported.report, self.output.style());
                match exported.stopped {
                    Some(e) => output::failure(&e.into(), None, json),
                    None if watch.had_problems() => exit::DONE_WITH_PROBLEMS,
                    None => code,
                }
            }
        }
    }
}

fn tell(report: &Report, style: output::Style) -> u8 {
    let is_good = report.problems.count == 0 && report.complete;
    match style {
        output::Style::Json => output::object("exported", None, report),
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
    let amount = format!(
        "{} in {}, {},",
        match report.photos {
            1 => "1 photo or video".to_owned(),
            many => format!(
                "{} photos and videos",
                idev_backup::base::units::count(many)
            ),
        },
        counted(report.files, "file"),
        size(report.bytes)
    );
    let mut lines = vec![match (report.dry_run, report.complete) {
        (true, _) => format!("Would export {amount} into {}.", report.to),
        (false, true) => format!("Exported {amount} into {}.", report.to),
        (false, false) => format!(
            "STOPPED. Exported {} of {} into {}.",
            counted(report.files, "file"),
            idev_backup::base::units::count(report.chosen),
            report.to
        ),
    }];
    if report.only_in_icloud > 0 {
        lines.push(format!(
            "  {} more {} only in iCloud: the phone had no file of {} that a backup could hold.",
            idev_backup::base::units::count(report.only_in_icloud),
            if report.only_in_icloud == 1 {
                "is"
            } else {
                "are"
            },
            if report.only_in_icloud == 1 {
                "it"
            } else {
                "them"
            },
        ));
    }
    if !report.has_library {
        lines.push(
            "  The phone's photo library could not be asked: names and dates are those of its files, and deleted and hidden \
             photos are among the others."
                .to_owned(),
        );
    }
    for (left_out, word, option) in [
        (report.deleted_left_out, "recently deleted", "--deleted"),
        (report.hidden_left_out, "hidden", "--hidden"),
    ] {
        if left_out > 0 {
            let photos = counted(left_out, &format!("{word} photo"));
            lines.push(format!("  Left out: {photos}; {option} exports them too."));
        }
    }
    lines.extend(problems(&report.problems));
    lines.extend(renamed(&report.renamed));
    lines
}
