//! `idev-backup diff`

use std::cell::RefCell;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;

use clap::Args;
use idev_backup::base::secret::Secret;
use idev_backup::base::time;
use idev_backup::base::units::{count, counted, size};
use idev_backup::history::list;
use idev_backup::reader;
use idev_backup::reader::backup::Opened;
use idev_backup::reader::diff::{self, Amount, Change, Difference, Report, Side};
use idev_backup::reader::passwords::{Known, Passwords};

use crate::cli::args::password::{self, PasswordArgs};
use crate::cli::args::reading::tell_unread;
use crate::cli::args::store::StoreArgs;
use crate::cli::ctrl_c::interrupt;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::render::output;

/// Number of differences shown without `--all`.
const SHOWN_MAX: usize = 40;
/// Limit on the differences that are sorted, since sorting holds them in memory.
const SORTED_MAX: usize = 100_000;

/// Show what changed between two backups.
///
/// Example:  idev-backup diff 20261120-221401 latest
///
/// Compares what the phone noted of each file: size, time, hash. Files are not read, so it takes
/// seconds.
#[derive(Args)]
pub struct Diff {
    /// The first backup: a folder; or in the store: `latest`, a phone, a time, or the beginning of
    /// either
    before: String,
    /// The second one
    after: String,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    password: PasswordArgs,
    /// Where the second backup has another password: read it from the first line of this file
    #[arg(long, value_name = "FILE", conflicts_with = "other_password_command", value_parser = crate::cli::args::store::path_parser())]
    other_password_file: Option<PathBuf>,
    /// Run this command and take what it prints as the password of the second backup
    #[arg(long, value_name = "COMMAND")]
    other_password_command: Option<OsString>,
    /// Show every file that changed
    #[arg(long)]
    all: bool,
    /// Print JSON: a line for every file that changed, then what changed in all
    #[arg(long)]
    json: bool,
}

impl Diff {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        match self.compare() {
            Ok(code) => code,
            Err(e) => output::failure(&e, None, self.json),
        }
    }

    fn compare(&self) -> Result<u8, Failure> {
        let folder = |name| list::find(self.store.open(), Some(name));
        let (before, after) = (folder(&self.before)?, folder(&self.after)?);
        let asked = Asked {
            args: &self.password,
            known: RefCell::new(None),
        };
        let before = Opened::open(&before, &asked)?;
        let after = self.open_other(&after, &asked)?;
        let mut shown = Shown::new(self.all);
        let report = diff::diff(before, after, &interrupt(), |difference| {
            if self.json {
                output::object("difference", None, &difference)
            } else {
                shown.add(difference)
            }
        })?;
        if self.json {
            output::object("diff", None, &report)
        } else {
            let text = text(&report);
            shown.tell(&text);
        }
        let mut unread = report.before.unread;
        unread.join(&report.after.unread);
        Ok(tell_unread(&unread, exit::DONE))
    }

    /// Opens the second backup with its own password, or else with that of the first. If neither
    /// opens it, prompts on the terminal for another.
    fn open_other(&self, folder: &std::path::Path, asked: &Asked) -> Result<Opened, Failure> {
        let other = password::of(
            self.other_password_file.as_ref(),
            self.other_password_command.as_ref(),
        )?;
        if let Some(other) = other {
            return Ok(Opened::open(folder, &Known(other))?);
        }
        match Opened::open(folder, asked) {
            Err(reader::Error::WrongPassword { of }) => {
                let is_given = self.password.given()?.is_some();
                // Without a terminal to prompt on, report that the password is wrong.
                if is_given && !std::io::stdin().is_terminal() {
                    output::tell(
                        "problem: one password does not open both; --other-password-file and --other-password-command name \
                         that of the second backup",
                    );
                    return Err(reader::Error::WrongPassword { of }.into());
                }
                let other = password::prompt(&format!("Password of {of}: "))?;
                Ok(Opened::open(folder, &Known(other))?)
            }
            opened => Ok(opened?),
        }
    }
}

/// Asks for the password once, and uses it for both backups.
struct Asked<'a> {
    args: &'a PasswordArgs,
    known: RefCell<Option<Secret>>,
}

impl Passwords for Asked<'_> {
    fn backup_password(&self, of: &str) -> Result<Secret, reader::Error> {
        if let Some(known) = &*self.known.borrow() {
            return Ok(known.clone());
        }
        let password = self.args.backup_password(of)?;
        self.known.replace(Some(password.clone()));
        Ok(password)
    }
}

/// Differences to show, sorted by name.
struct Shown {
    all: bool,
    /// The first differences by name, or all of them.
    held: Vec<Difference>,
    more: u64,
    /// True if there are too many to sort, so that they are printed as they come.
    is_unsorted: bool,
}

impl Shown {
    fn new(all: bool) -> Shown {
        Shown {
            all,
            held: Vec::new(),
            more: 0,
            is_unsorted: false,
        }
    }

    fn add(&mut self, difference: Difference) {
        if self.is_unsorted {
            return output::line(&line(&difference));
        }
        self.held.push(difference);
        match self.all {
            true if self.held.len() > SORTED_MAX => {
                output::tell("there are so many that they come unsorted");
                self.is_unsorted = true;
                let held = std::mem::take(&mut self.held);
                held.iter().for_each(|one| output::line(&line(one)));
            }
            false if self.held.len() >= 2 * SHOWN_MAX => self.keep_the_first(),
            _ => {}
        }
    }

    fn keep_the_first(&mut self) {
        self.sort();
        let length = self.held.len();
        self.held.truncate(SHOWN_MAX);
        self.more += (length - self.held.len()) as u64;
    }

    fn sort(&mut self) {
        let key = |one: &Difference| (one.domain.clone(), one.relative_path.clone());
        self.held.sort_by_cached_key(key);
    }

    fn tell(mut self, text: &[String]) {
        if self.all {
            self.sort()
        } else {
            self.keep_the_first()
        }
        text.iter().for_each(|line| output::line(line));
        self.held.iter().for_each(|one| output::line(&line(one)));
        if self.more > 0 {
            output::line(&format!(
                "  ... and {} more; --all shows them",
                count(self.more)
            ));
        }
    }
}

fn line(difference: &Difference) -> String {
    let bytes = |noted: &Option<diff::Noted>| noted.as_ref().map_or(0, |noted| noted.bytes);
    let (before, after) = (bytes(&difference.before), bytes(&difference.after));
    let (sign, sizes) = match difference.change {
        Change::Added => ('+', size(after)),
        Change::Removed => ('-', size(before)),
        Change::Changed if before == after => ('~', size(after)),
        Change::Changed => ('~', format!("{} -> {}", size(before), size(after))),
    };
    let name = output::one_line(&format!(
        "{}/{}",
        difference.domain, difference.relative_path
    ));
    format!("  {sign} {name}  {sizes}")
}

fn text(report: &Report) -> Vec<String> {
    let amounts = &report.amounts;
    let part = |what: &str, amount: Amount| match amount.files {
        0 => format!("{what} none"),
        files => format!("{what} {} ({})", count(files), size(amount.bytes)),
    };
    let parts = |amounts: &diff::Amounts| {
        let parts = [
            part("added", amounts.added),
            part("removed", amounts.removed),
            part("changed", amounts.changed),
        ];
        parts.join(", ")
    };
    let is_same = *amounts == diff::Amounts::default();
    let mut lines = vec![if is_same {
        format!(
            "SAME. {} in both, by what the phone noted of them.",
            counted(report.unchanged, "file")
        )
    } else {
        format!(
            "DIFFERENT. Files {}; {} unchanged.",
            parts(amounts),
            count(report.unchanged)
        )
    }];
    for (word, side) in [("from", &report.before), ("to", &report.after)] {
        lines.push(format!("  {word:<5} {}", side_words(side)));
    }
    for (word, apps) in [
        ("added", &report.apps_added),
        ("removed", &report.apps_removed),
    ] {
        if !apps.is_empty() {
            let names: Vec<_> = apps
                .iter()
                .take(SHOWN_MAX)
                .map(|app| output::one_line(app))
                .collect();
            let more = match apps.len().saturating_sub(SHOWN_MAX) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            lines.push(format!(
                "  {} {word}: {}{more}",
                counted(apps.len() as u64, "app"),
                names.join(", ")
            ));
        }
    }
    for of_kind in &report.kinds {
        lines.push(format!(
            "  {:<34} {}",
            of_kind.kind.words(),
            parts(&of_kind.amounts)
        ));
    }
    lines
}

fn side_words(side: &Side) -> String {
    let date = side.date.as_deref().map(time::when);
    let ios = side.ios.as_ref().map(|ios| format!("iOS {ios}"));
    let encrypted = side.encrypted.then(|| "encrypted".to_owned());
    let facts: Vec<String> = [side.name.clone(), date, ios, encrypted]
        .into_iter()
        .flatten()
        .collect();
    if facts.is_empty() {
        side.path.clone()
    } else {
        output::one_line(&format!("{} ({})", side.path, facts.join(", ")))
    }
}
