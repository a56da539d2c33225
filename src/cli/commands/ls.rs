//! `idev-backup ls`

use clap::Args;
use idev_backup::base::units::{count, size};
use idev_backup::reader::backup::{Backup, Unread};
use idev_backup::reader::browse::{self, Domains, Entry};
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::cli::args::anywhere::AnywhereArgs;
use crate::cli::args::reading::domain_and_path;
use crate::cli::args::value_parsers;
use crate::cli::exit;
use crate::cli::failure::Failure;
use crate::cli::render::output::{self, Lines};
use crate::cli::render::table;
use crate::cli::render::unread::tell_unread;

/// List the domains of a backup, or the contents of a folder in it
///
/// Example:  idev-backup ls -l latest CameraRollDomain/Media/DCIM
#[derive(Args)]
pub struct Ls {
    #[command(flatten)]
    read: AnywhereArgs,
    /// A domain, or a folder or file in it [default: list the domains]
    #[arg(value_name = "DOMAIN[/PATH]")]
    place: Option<String>,
    /// Show type, permissions, size and date; folders and links are marked
    #[arg(long, short)]
    long: bool,
    /// List everything below the folder
    #[arg(long, short = 'R')]
    recursive: bool,
    /// Print JSON: one object per entry, then the number of entries
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Listed {
    entries: u64,
    unread: Unread,
}

#[derive(Serialize)]
struct OfDomains<'a> {
    #[serde(flatten)]
    domains: &'a Domains,
    unread: Unread,
}

impl Ls {
    /// Uses the current backup if the only word is a folder instead of a backup's name.
    pub fn settle(&mut self) {
        if self.place.is_none() {
            self.place = self.read.take_word(&[]);
        }
    }

    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        let listed = self
            .read
            .open_briefly()
            .and_then(|opened| match &self.place {
                None => Ok(self.domains(&opened, &browse::domains(&opened)?)),
                Some(place) => self.folder(&opened, place),
            });
        listed.unwrap_or_else(|e| output::failure(&e, None, self.json))
    }

    fn domains(&self, opened: &Backup, domains: &Domains) -> u8 {
        let unread = opened.unread();
        let mut lines = Lines::new();
        if self.json {
            let unread = unread.clone();
            lines.object("domains", &OfDomains { domains, unread });
        } else {
            table(domains, &mut lines);
        }
        let code = lines.end(exit::DONE);
        tell_unread(&unread, code)
    }

    fn folder(&self, opened: &Backup, place: &str) -> Result<u8, Failure> {
        let (domain, path) = domain_and_path(place);
        let zone = TimeZone::system();
        let mut lines = Lines::new();
        let entries = browse::list(opened, domain, path, self.recursive, |entry| {
            match (self.json, self.long) {
                (true, _) => lines.object("entry", &entry),
                (false, true) => lines.line(&long(&entry, self.name(&entry, path), &zone)),
                (false, false) => lines.line(self.name(&entry, path)),
            }
        })?;
        let unread = opened.unread();
        if self.json {
            let unread = unread.clone();
            lines.object("listed", &Listed { entries, unread });
        }
        let code = lines.end(exit::DONE);
        Ok(tell_unread(&unread, code))
    }

    /// Returns the entry's name, or its path relative to the listed folder if the listing is
    /// recursive.
    fn name<'a>(&self, entry: &'a Entry, folder: &str) -> &'a str {
        let last = entry.path.rsplit('/').next().unwrap_or_default();
        match entry.path.strip_prefix(folder) {
            Some(rest) if self.recursive && !rest.is_empty() => {
                rest.strip_prefix('/').unwrap_or(rest)
            }
            _ => last,
        }
    }
}

fn table(domains: &Domains, lines: &mut Lines) {
    let mut rows = vec![
        ["DOMAIN", "FILES", "SIZE", "APP"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for domain in &domains.domains {
        rows.push(vec![
            domain.domain.clone(),
            count(domain.sum.files),
            size(domain.sum.bytes),
            domain.app.clone().unwrap_or_default(),
        ]);
    }
    if domains.unnamed.files > 0 {
        let unnamed = "(more than can be listed)".to_owned();
        rows.push(vec![
            unnamed,
            count(domains.unnamed.files),
            size(domains.unnamed.bytes),
        ]);
    }
    for line in table::table(&rows).iter().filter(|line| !line.is_empty()) {
        // A row that is too wide for the terminal spans several lines.
        if !line.split('\n').all(|line| lines.line(line)) {
            break;
        }
    }
}

/// Formats a line of a long listing: "-rw-r--r--    480.0 MB  2026-01-31 18:00  sms.db".
fn long(entry: &Entry, name: &str, zone: &TimeZone) -> String {
    let modified = entry.modified.as_deref();
    let modified = modified.map_or_else(|| "?".to_owned(), |time| value_parsers::local(time, zone));
    let bytes = match entry.kind {
        "file" | "other" => entry.size.map_or_else(|| "?".to_owned(), size),
        _ => "-".to_owned(),
    };
    let (mark, target) = match (entry.kind, &entry.target) {
        ("folder", _) => ("/", String::new()),
        ("link", Some(target)) => ("", format!(" -> {target}")),
        _ => ("", String::new()),
    };
    format!(
        "{}  {bytes:>12}  {modified:<16}  {name}{mark}{target}",
        mode(entry)
    )
}

/// Formats type and permissions as "drwxr-xr-x".
fn mode(entry: &Entry) -> String {
    let kind = match entry.kind {
        "folder" => 'd',
        "link" => 'l',
        "file" => '-',
        _ => '?',
    };
    let Some(mode) = entry.mode else {
        return format!("{kind}?????????");
    };
    let permission = |bit: u32| match mode & (1 << bit) {
        0 => '-',
        _ => ['x', 'w', 'r'][bit as usize % 3],
    };
    std::iter::once(kind)
        .chain((0..9).rev().map(permission))
        .collect()
}
