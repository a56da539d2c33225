//! `idev-backup find`

use std::ops::RangeInclusive;

use clap::{Args, ValueEnum};
use idev_backup::reader::backup::Unread;
use idev_backup::reader::browse::{self, Entry};
use idev_backup::reader::selection::{self, Select, Wanted};
use serde::Serialize;

use crate::cli::args::anywhere::AnywhereArgs;
use crate::cli::args::value_parsers;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::render::output::{self, Lines};
use crate::cli::render::unread::tell_unread;

/// Find files in a backup by name, domain, size and date
///
/// Example:  idev-backup find latest '*.HEIC' --size +5M --newer 2026-01-31
///
/// Prints one name per line, as DOMAIN/PATH, in the order of the phone's list. A pattern with a
/// slash must match the domain and the whole path ('CameraRollDomain/**/*.MOV'), one without a
/// slash only the file name. A file needs to match one of several patterns, but all of the options.
#[derive(Args)]
pub struct Find {
    #[command(flatten)]
    read: AnywhereArgs,
    /// Patterns as in a shell: * ** ? [a-z] {a,b} [default: everything]
    #[arg(value_name = "PATTERN", value_parser = value_parsers::pattern)]
    patterns: Vec<String>,
    /// Only domains that match this pattern; may be repeated
    #[arg(long, value_name = "PATTERN", value_parser = value_parsers::pattern)]
    domain: Vec<String>,
    /// Find only files of this size: +10M (or more), -1k (or less), 1M..2M
    #[arg(long, value_parser = value_parsers::sizes, allow_hyphen_values = true)]
    size: Option<RangeInclusive<u64>>,
    /// Find only what changed at this time or later: 2026-01-31, RFC 3339, or 7d (ago)
    #[arg(long, value_name = "DATE", value_parser = value_parsers::date)]
    newer: Option<i64>,
    /// Find only what changed before this time
    #[arg(long, value_name = "DATE", value_parser = value_parsers::date)]
    older: Option<i64>,
    /// Find only entries of this kind
    #[arg(long)]
    kind: Option<Kind>,
    /// Ignore upper and lower case
    #[arg(short = 'i', long)]
    ignore_case: bool,
    /// End each name with a zero byte, for `xargs -0`
    #[arg(short = '0', long, alias = "print0", conflicts_with = "json")]
    null: bool,
    /// Print JSON: one object per match, then the number of matches
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    File,
    Folder,
    Link,
}

#[derive(Serialize)]
struct Searched {
    found: u64,
    unread: Unread,
}

impl Find {
    /// Uses the current backup if the first word is a pattern instead of a backup's name.
    pub fn settle(&mut self) {
        if let Some(word) = self.read.take_word(&self.patterns) {
            self.patterns.insert(0, word);
        }
    }

    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        self.found()
            .unwrap_or_else(|e| output::failure(&e, None, self.json))
    }

    fn found(&self) -> Result<u8, Failure> {
        let select = Select::new(self.wanted())?;
        let opened = self.read.open_briefly()?;
        let mut lines = Lines::new();
        let found = browse::find(&opened, &select, self.only_domain(), |item| {
            match (self.json, self.null) {
                (true, _) => lines.object("found", &Entry::of(&opened, item)),
                (false, true) => lines.ended_by_null(&item.name()),
                (false, false) => lines.line(&item.name()),
            }
        })?;
        let unread = opened.unread();
        if self.json {
            let unread = unread.clone();
            lines.object("searched", &Searched { found, unread });
        }
        let code = lines.end(exit::DONE);
        if found == 0 && output::is_terminal() && !output::is_quiet() {
            output::tell(if self.ignore_case {
                "No file matches."
            } else {
                "No file matches. Upper and lower case differ; -i ignores that."
            });
        }
        Ok(tell_unread(&unread, code))
    }

    fn wanted(&self) -> Wanted {
        let has_dates = self.newer.is_some() || self.older.is_some();
        let from = self.newer.unwrap_or(i64::MIN);
        let to = self.older.map_or(i64::MAX, |time| time.saturating_sub(1));
        // A search by size concerns files only: folders and links have no useful size.
        let kind = self.kind.or(self.size.as_ref().map(|_| Kind::File));
        Wanted {
            patterns: self.patterns.clone(),
            domains: self.domain.clone(),
            any_case: self.ignore_case,
            size: self.size.clone(),
            modified: has_dates.then_some(from..=to),
            kind: kind.map(|kind| match kind {
                Kind::File => selection::Kind::File,
                Kind::Folder => selection::Kind::Directory,
                Kind::Link => selection::Kind::Link,
            }),
        }
    }

    /// Returns the domain if there is exactly one and it is not a pattern: the phone's list has an
    /// index by domain.
    fn only_domain(&self) -> Option<&str> {
        let is_plain = |text: &str| !text.contains(['*', '?', '[', ']', '{', '}', '\\', '!']);
        match &self.domain[..] {
            [one] if is_plain(one) && !self.ignore_case => Some(one),
            _ => None,
        }
    }
}
