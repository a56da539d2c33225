//! `idev-backup info`

use clap::Args;
use idev_backup::base::time;
use idev_backup::base::units::{count, counted, size};
use idev_backup::content::counts::{Counts, counts};
use idev_backup::reader::backup::Backup;
use idev_backup::reader::info::{self, Contents, Options, Report};
use idev_backup::reader::passwords::{NoPasswords, Passwords};
use idev_backup::reader::totals::Sum;
use serde::Serialize;

use crate::cli::args::anywhere::AnywhereArgs;
use crate::cli::args::reading::ReadArgs;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::render::counts::counted_content;
use crate::cli::render::unread::tell_unread;
use crate::cli::render::{missing, output};

/// Show what a backup is and what it lacks
///
/// Example:  idev-backup info latest
///
/// Shows the phone, its iOS, the time, the size by kind of data, and what is missing, such as
/// photos that are only in iCloud. The contents of an encrypted backup are shown only if its
/// password is given; `info` never asks for it. Exit code 3: a list of the backup cannot be read.
#[derive(Args)]
pub struct Info {
    #[command(flatten)]
    read: AnywhereArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Info {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        let looked = match self.read.in_store() {
            Some(read) => self.of_store(read),
            None => self.of_repository(),
        };
        let (report, inside) = match looked {
            Err(e) => return output::failure(&e, None, self.json),
            Ok(looked) => looked,
        };
        if self.json {
            let report = &report;
            let inside = inside.as_ref();
            output::object("info", report.udid.as_deref(), &Shown { report, inside })
        } else {
            let words = match self.read.in_store() {
                Some(_) => IN_FOLDER,
                None => IN_REPOSITORY,
            };
            text(&report, inside.as_ref(), words)
                .iter()
                .for_each(|line| output::line(line))
        }
        for problem in &report.problems {
            output::tell(&format!("problem: {}", output::one_line(problem)));
        }
        let code = tell_unread(&report.unread, exit::DONE);
        if report.problems.is_empty() {
            return code;
        }
        output::tell("  hint: `idev-backup verify` tells what else of this backup is damaged");
        exit::DONE_WITH_PROBLEMS
    }
}

impl Info {
    fn of_store(&self, read: &ReadArgs) -> Result<(Report, Option<Counts>), Failure> {
        let folder = read.folder()?;
        let password = self.read.given_password()?;
        let password = password.as_ref().map(|known| known as &dyn Passwords);
        let options = Options {
            password,
            ..Options::default()
        };
        let report = info::info(&folder, &options)?;
        // What cannot be read is a problem that the report names already.
        let counts = report.contents.is_some().then(|| {
            let passwords = password.unwrap_or(&NoPasswords);
            Backup::open(&folder, passwords)
                .ok()
                .map(|backup| counts(&backup))
        });
        Ok((report, counts.flatten()))
    }

    /// Reads a backup in the repository. Does not count messages and other content, which would
    /// need to read many of its databases.
    fn of_repository(&self) -> Result<(Report, Option<Counts>), Failure> {
        let password = self.read.given_password()?;
        let (copy, lists) = self.read.lists()?;
        let source = lists.source();
        let path = source.name();
        let options = Options {
            password: password.as_ref().map(|known| known as &dyn Passwords),
            source: Some(source),
        };
        let report = info::info(lists.folder(), &options)?;
        let stored = copy.files.zip(copy.bytes);
        let report = Report {
            path,
            ours: true,
            stored: stored.map(|(files, bytes)| Sum { files, bytes }),
            ..report
        };
        Ok((report, None))
    }
}

/// The report, with the numbers of messages and other content.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    report: &'a Report,
    #[serde(skip_serializing_if = "Option::is_none")]
    inside: Option<&'a Counts>,
}

/// Words for the place of a backup in a folder.
const IN_FOLDER: [&str; 2] = ["On disk", "Folder"];
/// Words for the place of a backup in a repository.
const IN_REPOSITORY: [&str; 2] = ["Stored", "Copy"];

fn text(report: &Report, inside: Option<&Counts>, words: [&'static str; 2]) -> Vec<String> {
    let [stored, place] = words;
    let with = |text: &Option<String>, more: &Option<String>| match (text, more) {
        (Some(text), Some(more)) if text != more => Some(format!("{text} ({more})")),
        (Some(text), _) | (None, Some(text)) => Some(text.clone()),
        (None, None) => None,
    };
    let made = report.date.as_deref().map(|date| {
        let full = report
            .full
            .map_or("", |full| if full { " (full)" } else { " (incremental)" });
        format!("{}{full}", time::when(date))
    });
    let facts = [
        ("Model", with(&report.model, &report.product_type)),
        ("iOS", with(&report.ios, &report.build)),
        ("Serial", report.serial.clone()),
        ("UDID", report.udid.clone()),
        ("Made", made),
        ("State", state(report)),
        ("Encrypted", report.encrypted.map(yes_or_no)),
        ("Apps", report.apps.map(count)),
        ("Contents", contents(report)),
        ("Inside", inside.and_then(counted_content)),
        (
            stored,
            report.stored.map(|sum| {
                let files = counted(sum.files, "file");
                format!("{files} with the backup's own lists, {}", size(sum.bytes))
            }),
        ),
        (place, Some(report.path.clone())),
    ];
    let name = report.name.as_deref().unwrap_or("A phone without a name");
    let mut lines = vec![output::one_line(name)];
    for (head, fact) in facts {
        if let Some(fact) = fact {
            lines.push(format!("  {head:<10}  {}", output::one_line(&fact)));
        }
    }
    if let Some(contents) = &report.contents {
        lines.push(String::new());
        lines.extend(kinds(contents));
        if !contents.missing.is_empty() {
            lines.extend([String::new(), "Missing in this backup:".to_owned()]);
        }
        for gap in &contents.missing {
            let (what, hint) = missing::at_length(gap);
            lines.push(format!("  {what}"));
            lines.push(format!("    hint: {hint}"));
        }
    }
    lines
}

fn state(report: &Report) -> Option<String> {
    Some(
        match (report.complete?, report.ours) {
            (true, true) => "complete",
            (true, false) => "complete; another program made or changed it",
            (false, _) => "unfinished: the phone did not complete it",
        }
        .to_owned(),
    )
}

fn yes_or_no(is_so: bool) -> String {
    if is_so { "yes" } else { "no" }.to_owned()
}

fn contents(report: &Report) -> Option<String> {
    if report.needs_password {
        return Some("encrypted; give the password to see them (--password-file, ...)".to_owned());
    }
    let Some(contents) = &report.contents else {
        return Some("unknown: the list of files cannot be read".to_owned());
    };
    let mut text = format!(
        "{}, {}; {}, {}, {}",
        counted(contents.all.files, "file"),
        size(contents.all.bytes),
        counted(contents.folders, "folder"),
        counted(contents.links, "link"),
        counted(contents.domains, "domain"),
    );
    if contents.unreadable > 0 {
        let unreadable = counted(contents.unreadable, "record");
        text.push_str(&format!("; {unreadable} cannot be read"));
    }
    Some(text)
}

fn kinds(contents: &Contents) -> Vec<String> {
    let mut kinds = contents.kinds.clone();
    kinds.sort_by_key(|amount| std::cmp::Reverse(amount.bytes));
    kinds
        .iter()
        .map(|amount| {
            format!(
                "  {:<34} {:>10}  {}",
                amount.kind.words(),
                size(amount.bytes),
                counted(amount.files, "file")
            )
        })
        .collect()
}
