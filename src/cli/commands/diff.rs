//! `idev-backup diff`

use std::cell::{Cell, RefCell};
use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use clap::Args;
use idev_backup::base::secret::Secret;
use idev_backup::content;
use idev_backup::content::items;
use idev_backup::history::list;
use idev_backup::reader::backup::Backup;
use idev_backup::reader::passwords::{Known, Passwords};
use idev_backup::reader::{self, diff};

use crate::cli::args::device::OfPhoneArgs;
use crate::cli::args::password::{self, PasswordArgs, unread};
use crate::cli::args::store::StoreArgs;
use crate::cli::ctrl_c::interrupt;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::render::diff::{Shown, text};
use crate::cli::render::unread::tell_unread;
use crate::cli::render::{compare, output};

/// Show what changed between two backups
///
/// Example:  idev-backup diff 20261120-221401 latest
///
/// Compares the size, time and hash that the phone recorded for each file. It does not read the
/// files, so it takes only seconds. With --content it reads messages, contacts, calls and other
/// content instead, and shows which entries were added, changed or are gone.
#[derive(Args)]
pub struct Diff {
    /// The first backup: a folder, or in the store a phone's name, `latest`, a date or PHONE@DATE
    before: String,
    /// The second backup, named in the same way
    after: String,
    #[command(flatten)]
    phone: OfPhoneArgs,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    password: PasswordArgs,
    /// Read the password of the second backup, if it has another one, from the first line of this
    /// file
    #[arg(long, value_name = "FILE", conflicts_with = "other_password_command", value_parser = crate::cli::args::store::path_parser())]
    other_password_file: Option<PathBuf>,
    /// Run this command and use the first line that it prints as the password of the second backup
    #[arg(long, value_name = "COMMAND")]
    other_password_command: Option<OsString>,
    /// Compare messages, contacts and other content instead of files
    #[arg(long)]
    content: bool,
    /// Show every changed file or entry
    #[arg(long, alias = "all")]
    all_files: bool,
    /// Print JSON: one line per changed file, then the totals
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
        let named = |name| list::resolve_of(self.store.open(), Some(name), self.phone.of());
        let (before, after) = (named(&self.before)?.folder, named(&self.after)?.folder);
        let asked = Asked {
            args: &self.password,
            known: RefCell::new(None),
            is_of_another: Cell::new(false),
        };
        let before = Backup::open(&before, &asked)?;
        let after = self.open_other(&after, &asked)?;
        if self.content {
            return Ok(self.compare_content(&before, &after));
        }
        let mut shown = Shown::new(self.all_files);
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

    /// Compares messages, contacts and other content, and returns the exit code.
    fn compare_content(&self, before: &Backup, after: &Backup) -> u8 {
        let interrupt = interrupt();
        let mut shown = compare::Shown::new(self.all_files);
        let compared = content::compare::compare(before, after, &items::kinds(), |difference| {
            if self.json {
                output::object("content_difference", None, difference);
            } else {
                shown.add(difference);
            }
            !interrupt.load(Ordering::Relaxed)
        });
        if interrupt.load(Ordering::Relaxed) {
            return output::failure(&Failure::Interrupted, None, self.json);
        }
        if self.json {
            output::object("content_diff", None, &compared);
        } else {
            shown.tell(&compared);
        }
        let is_good = compared.not_compared.iter().all(|one| one.absent);
        let code = if is_good {
            exit::DONE
        } else {
            exit::DONE_WITH_PROBLEMS
        };
        let mut unread = before.unread();
        unread.join(&after.unread());
        tell_unread(&unread, code)
    }

    /// Opens the second backup with its own password, or else with that of the first. If neither
    /// opens it, prompts on the terminal for another.
    fn open_other(&self, folder: &std::path::Path, asked: &Asked) -> Result<Backup, Failure> {
        let other = password::of(
            self.other_password_file.as_ref(),
            self.other_password_command.as_ref(),
        )?;
        if let Some(other) = other {
            return Ok(Backup::open(folder, &Known(other))?);
        }
        asked.is_of_another.set(asked.known.borrow().is_some());
        let opened = Backup::open(folder, asked);
        if matches!(opened, Err(reader::Error::WrongPassword { .. })) && !is_terminal() {
            output::tell(
                "problem: the password does not open both backups; give that of the second one \
                with --other-password-file or --other-password-command",
            );
        }
        Ok(opened?)
    }
}

/// Asks for the password once, and uses it for both backups.
struct Asked<'a> {
    args: &'a PasswordArgs,
    known: RefCell<Option<Secret>>,
    /// True if the known password was that of another backup, so that the present one may have its
    /// own.
    is_of_another: Cell<bool>,
}

fn is_terminal() -> bool {
    std::io::stdin().is_terminal()
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

    fn another(&self, of: &str) -> Result<Option<Secret>, reader::Error> {
        let password = if self.is_of_another.replace(false) {
            self.args.forget_attempts();
            let question = format!("Password of {of}");
            let asked = is_terminal().then(|| self.args.ask(&question));
            asked.transpose().map_err(unread)?
        } else {
            self.args.another(of)?
        };
        self.known.replace(password.clone());
        Ok(password)
    }
}
