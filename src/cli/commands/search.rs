//! `idev-backup search`

use std::cell::RefCell;

use clap::Args;
use clap::builder::{NonEmptyStringValueParser, PossibleValuesParser, TypedValueParser};
use idev_backup::base::secret::Secret;
use idev_backup::content::Kind;
use idev_backup::content::items::{self, Item};
use idev_backup::content::query::Query;
use idev_backup::content::search::Search as Run;
use idev_backup::reader;
use idev_backup::reader::backup::Backup;
use idev_backup::reader::passwords::Passwords;
use serde::Serialize;

use crate::cli::args::password::PasswordArgs;
use crate::cli::args::reading::ReadArgs;
use crate::cli::ctrl_c::interrupt;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::render::output::{self, Lines};
use crate::cli::render::search::{Searched, hit, summary};
use crate::cli::render::unread::tell_unread;

/// Search messages, contacts, calls and other content for a text
///
/// Example:  idev-backup search 'front door key' -i --all-backups
///
/// Prints two lines for each hit: its time, kind and people, then the text around the match. With
/// --all-backups it searches all snapshots of the phone, newest first, and prints each hit once,
/// with the newest backup that still has it: what was deleted on the phone is found too. Exit code
/// 3: some content cannot be read.
#[derive(Args)]
pub struct Search {
    /// The text to find
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    text: String,
    #[command(flatten)]
    read: ReadArgs,
    /// Search only these kinds, separated by commas [default: all]
    #[arg(long = "in", value_name = "KIND", value_delimiter = ',', value_parser = kind())]
    kinds: Vec<Kind>,
    /// Search all backups of the phone, newest first
    #[arg(long)]
    all_backups: bool,
    /// Ignore upper and lower case
    #[arg(short = 'i', long)]
    ignore_case: bool,
    /// Print JSON: one object per hit, then the totals
    #[arg(long)]
    json: bool,
}

/// Parses the name of a kind.
fn kind() -> impl TypedValueParser<Value = Kind> {
    let names: Vec<String> = items::kinds().iter().map(|kind| kind.name()).collect();
    PossibleValuesParser::new(names).map(|name| {
        let kinds = items::kinds();
        let found = kinds.iter().find(|kind| kind.name() == name);
        found.copied().unwrap_or(Kind::Messages)
    })
}

#[derive(Serialize)]
struct Hit<'a> {
    /// The backup, if several are searched.
    #[serde(skip_serializing_if = "Option::is_none")]
    backup: Option<&'a str>,
    #[serde(flatten)]
    item: &'a Item,
}

impl Search {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        self.searched()
            .unwrap_or_else(|e| output::failure(&e, None, self.json))
    }

    fn searched(&self) -> Result<u8, Failure> {
        let kinds = if self.kinds.is_empty() {
            items::kinds()
        } else {
            self.kinds.clone()
        };
        let mut run = Run::new(Query::new(&self.text, self.ignore_case), kinds);
        let query = run.query().clone();
        let passwords = Remembering::new(self.read.password());
        let mut lines = Lines::new();
        let mut totals = Searched::default();
        let interrupt = interrupt();
        let is_interrupted = || interrupt.load(std::sync::atomic::Ordering::Relaxed);
        let backups = if self.all_backups {
            self.read.snapshots()?
        } else {
            vec![(self.read.folder()?, None)]
        };
        let is_several = backups.len() > 1;
        for (folder, name) in backups {
            let backup = Backup::open(&folder, &passwords)?;
            let mut goes_on = true;
            let name = name.filter(|_| is_several);
            let skipped = run.backup(&backup, |item| {
                totals.hits += 1;
                goes_on = if self.json {
                    let backup = name.as_deref();
                    lines.object("hit", &Hit { backup, item })
                } else {
                    // The newest backup is the usual one, and needs no name.
                    let older = name.as_deref().filter(|_| totals.backups > 0);
                    let [first, second] = hit(item, &query, older);
                    lines.line(&first) && lines.line(&second)
                };
                goes_on = goes_on && !is_interrupted();
                goes_on
            });
            for one in skipped {
                // That a kind is absent interests only once.
                if !one.absent || totals.backups == 0 {
                    totals.not_searched.push(one);
                }
            }
            totals.backups += 1;
            totals.unread.join(&backup.unread());
            if is_interrupted() {
                return Err(Failure::Interrupted);
            }
            if !goes_on {
                break;
            }
        }
        if self.json {
            lines.object("content_searched", &totals);
        }
        let is_good = totals.not_searched.iter().all(|one| one.absent);
        let code = if is_good {
            exit::DONE
        } else {
            exit::DONE_WITH_PROBLEMS
        };
        let code = lines.end(code);
        if !output::is_quiet() || !is_good {
            summary(&totals, self.ignore_case, !self.kinds.is_empty());
        }
        Ok(tell_unread(&totals.unread, code))
    }
}

/// Asks for a password once, and uses it for all backups of a phone that it opens.
struct Remembering<'a> {
    args: &'a PasswordArgs,
    known: RefCell<Option<Secret>>,
}

impl<'a> Remembering<'a> {
    fn new(args: &'a PasswordArgs) -> Remembering<'a> {
        Remembering {
            args,
            known: RefCell::new(None),
        }
    }
}

impl Passwords for Remembering<'_> {
    fn backup_password(&self, of: &str) -> Result<Secret, reader::Error> {
        if let Some(known) = &*self.known.borrow() {
            return Ok(known.clone());
        }
        let password = self.args.backup_password(of)?;
        self.known.replace(Some(password.clone()));
        Ok(password)
    }

    fn another(&self, of: &str) -> Result<Option<Secret>, reader::Error> {
        let password = self.args.another(of)?;
        self.known.replace(password.clone());
        Ok(password)
    }
}
