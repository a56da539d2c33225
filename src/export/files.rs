//! Extracts files of a backup into a folder, with the names, times and modes that they had on the
//! phone.
//!
//! ```text
//! DIR/<domain>/<path in it>
//! ```
//!
//! The module reads the list three times and never holds it in memory: first for files, then for
//! links (so that no file is ever written through a link), then for the times of folders (which
//! change with every file that is written into them).

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::{fs, io};

use serde::Serialize;

use crate::backup_format::manifest_db::{Filter, Kind};
use crate::backup_format::unreadable_rows::Unread;
use crate::base::progress::{Monitor, Phase, Silent};
use crate::export::destination::{Into, Target, no_place};
use crate::export::file_names::{PATH_BYTES_MAX, Place};
use crate::export::outcome::{Listing, Problem, Renamed, Tally, Wrong};
use crate::export::workers::{self, Manner, Task};
use crate::export::{Error, Exported};
use crate::reader::backup::{Backup, Item};
use crate::reader::selection::{Select, Wanted};

/// Options of an extraction.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Selection of files; all of them by default.
    pub wanted: Wanted,
    /// Rules for filling the folder.
    pub into: Into,
    /// Give group and others the rights that they had on the phone, too.
    pub all_modes: bool,
}

/// Result of an extraction.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// The folder that was filled.
    pub to: String,
    /// Nothing was written.
    pub dry_run: bool,
    /// The extraction ran to its end.
    pub complete: bool,
    /// Number of files that were chosen.
    pub chosen: u64,
    /// Number of files that were written.
    pub files: u64,
    /// Number of files and links that were there already, with the right contents.
    pub there: u64,
    /// Size of the written files in bytes.
    pub bytes: u64,
    /// Number of links that were made.
    pub links: u64,
    /// Problems with single files.
    pub problems: Listing<Problem>,
    /// Files that were given another name, because the folder's disk cannot hold the one on the
    /// phone.
    pub renamed: Listing<Renamed>,
    /// Links that were not made, because they lead out of their domain.
    pub links_left_out: Listing<Link>,
    /// The folder's disk stores no modes.
    pub lost_modes: bool,
    /// Parts of the backup's list that could not be read.
    pub unread: Unread,
}

/// A symbolic link on the phone.
#[derive(Debug, Clone, Serialize)]
pub struct Link {
    /// Domain of the link on the phone.
    pub domain: String,
    /// Path of the link in its domain.
    pub relative_path: String,
    /// Target of the link.
    pub target: String,
}

/// Extracts the selected part of a backup into a folder.
pub fn extract(
    backup: &Backup,
    to: &Path,
    options: &Options,
    interrupt: &AtomicBool,
    monitor: &dyn Monitor,
) -> Result<Exported<Report>, Error> {
    let select = Select::new(options.wanted.clone())?;
    let chosen = count(backup, &select)?;
    if chosen.all == 0 && !options.wanted.is_everything() {
        return Err(Error::NothingMatches);
    }
    let target = Target::open(to, backup.folder(), options.into)?;
    if target.must_be_known() && !holds_any(backup, &select, target.trial())? {
        return Err(Error::NotEmpty(target.root().to_path_buf()));
    }
    if !options.into.dry_run {
        monitor.phase(Phase::Extracting);
    }
    let mut run = Run {
        backup,
        select,
        target,
        options,
        tally: Tally::new(chosen.files, chosen.bytes, monitor, interrupt),
        report: Report {
            to: to.display().to_string(),
            dry_run: options.into.dry_run,
            chosen: chosen.files,
            ..Report::default()
        },
    };
    if !options.into.dry_run {
        backup.expect(|item| run.select.has(item))?;
    }
    run.files()?;
    run.each(Kind::Directory, Run::folder)?;
    run.each(Kind::Link, Run::link)?;
    run.each_folder()?;
    Ok(run.end())
}

/// Returns true if the place of any chosen file is taken: then an earlier run filled the folder.
fn holds_any(backup: &Backup, select: &Select, mut target: Target) -> Result<bool, Error> {
    let ignored = AtomicBool::new(false);
    let tally = Tally::new(0, 0, &Silent, &ignored);
    let mut holds = false;
    backup.each(&Filter::default(), |item| {
        if item.kind == Kind::File && select.has(&item) {
            let place = placed(&mut target, &tally, &item);
            holds = place.is_some_and(|path| fs::symlink_metadata(path).is_ok());
        }
        !holds
    })?;
    Ok(holds)
}

/// Number and size of the chosen items.
struct Chosen {
    all: u64,
    files: u64,
    bytes: u64,
}

fn count(backup: &Backup, select: &Select) -> Result<Chosen, Error> {
    let mut chosen = Chosen {
        all: 0,
        files: 0,
        bytes: 0,
    };
    backup.each(&Filter::default(), |item| {
        if select.has(&item) {
            chosen.all += 1;
            if item.kind == Kind::File {
                chosen.files += 1;
                let size = item.size().unwrap_or(0);
                chosen.bytes = chosen.bytes.saturating_add(size);
            }
        }
        true
    })?;
    Ok(chosen)
}

struct Run<'a> {
    backup: &'a Backup,
    select: Select,
    target: Target,
    options: &'a Options,
    tally: Tally<'a>,
    report: Report,
}

impl Run<'_> {
    fn files(&mut self) -> Result<(), Error> {
        let manner = Manner {
            overwrite: self.options.into.overwrite,
            all_modes: self.options.all_modes,
            holds_files: self.target.holds_files(),
            dry_run: self.options.into.dry_run,
        };
        let (backup, tally, select) = (self.backup, &self.tally, &self.select);
        let target = &mut self.target;
        let root = target.root().to_path_buf();
        let filter = Filter {
            by_id: backup.is_elsewhere(),
            ..Filter::default()
        };
        let listed = workers::fill(backup.reader(), &root, manner, tally, |give| {
            backup.each(&filter, |item| {
                if item.kind != Kind::File || !select.has(&item) {
                    return !tally.is_over();
                }
                let task = placed(target, tally, &item).map(|to| Task {
                    item,
                    to,
                    modified: None,
                });
                match task {
                    Some(task) => give(task),
                    None => !tally.is_over(),
                }
            })
        });
        Ok(listed?)
    }

    /// Calls `each` with every selected item of a kind, until the run is over.
    fn each(&mut self, kind: Kind, each: fn(&mut Self, &Item)) -> Result<(), Error> {
        let filter = Filter {
            kind: Some(kind),
            ..Filter::default()
        };
        let backup = self.backup;
        Ok(backup.each(&filter, |item| {
            if !self.tally.is_over() && self.select.has(&item) {
                each(self, &item);
            }
            !self.tally.is_over()
        })?)
    }

    fn folder(&mut self, item: &Item) {
        let Some(place) = place_of(&self.target, &self.tally, item) else {
            return;
        };
        match self.target.folder(&place.parts) {
            Err(why) => self.tally.no_place(item, why),
            Ok(_) if place.is_altered => self.tally.renamed(item, place.path()),
            Ok(_) => {}
        }
    }

    fn link(&mut self, item: &Item) {
        let record = match item.record() {
            Ok(record) => record,
            Err(why) => {
                let detail = format!("its record: {why}");
                return self.tally.problem(item, Wrong::Unreadable, detail);
            }
        };
        let to = record.target.unwrap_or_default();
        let Some(harmless) = self.harmless(&item.relative_path, &to) else {
            // Report the same problems with the name as for a file.
            if place_of(&self.target, &self.tally, item).is_some() {
                self.report.links_left_out.add(Link {
                    domain: item.domain.clone(),
                    relative_path: item.relative_path.clone(),
                    target: to,
                });
            }
            return;
        };
        let Some(path) = placed(&mut self.target, &self.tally, item) else {
            return;
        };
        if self.options.into.dry_run {
            return;
        }
        if fs::read_link(&path).is_ok_and(|present| present == Path::new(&harmless)) {
            return self.tally.found();
        }
        match make_link(&harmless, &path, self.options.into.overwrite) {
            Ok(()) => self.report.links += 1,
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && self.target.holds_files() => {
                let detail = "something else is in its place, and was not replaced";
                self.tally
                    .problem(item, Wrong::Different, detail.to_owned());
            }
            Err(e) => self
                .tally
                .no_place(item, no_place(&path, "make the link", e)),
        }
    }

    /// Returns the text of a link if it cannot lead out of its domain: any number of `..`, then
    /// only names. A `..` behind a name is refused, since that name may itself be a link, and `..`
    /// would climb from its target.
    fn harmless(&self, relative_path: &str, to: &str) -> Option<String> {
        let depth = relative_path.split('/').filter(|n| !n.is_empty()).count();
        let parts: Vec<&str> = to
            .split('/')
            .filter(|name| !name.is_empty() && *name != ".")
            .collect();
        let climbs = parts.iter().take_while(|name| **name == "..").count();
        let rest = &parts[climbs..];
        // A link starts from its folder, which is one level above the link itself.
        let is_inside = !to.starts_with('/') && !to.contains('\0') && climbs < depth;
        if !is_inside || rest.contains(&"..") || to.is_empty() || to.len() > PATH_BYTES_MAX {
            return None;
        }
        let rules = self.target.rules();
        let held = rest.iter().map(|name| match rules.held(name) {
            Some(held) => held,
            None => (*name).to_owned(),
        });
        let text: Vec<String> = std::iter::repeat_n("..".to_owned(), climbs)
            .chain(held)
            .collect();
        if text.is_empty() {
            Some(".".to_owned())
        } else {
            Some(text.join("/"))
        }
    }

    /// Sets the times and modes of all folders that were made, both the selected ones and those
    /// made to hold selected files.
    fn each_folder(&mut self) -> Result<(), Error> {
        if self.options.into.dry_run {
            return Ok(());
        }
        let filter = Filter {
            kind: Some(Kind::Directory),
            ..Filter::default()
        };
        let listed = self.backup.each(&filter, |item| {
            if self.tally.is_over() {
                return false;
            }
            let rules = self.target.rules();
            let place = if item.leads_out() || item.relative_path.len() > PATH_BYTES_MAX {
                None
            } else {
                rules.place(&item.domain, &item.relative_path)
            };
            if let Some(place) = place
                && self.target.has_folder(&place)
                && let Ok(record) = item.record()
            {
                let path = self.target.path_of(&place);
                let mode = workers::mode(record.mode, 0o700, 0o700, self.options.all_modes);
                if let Err(e) = workers::describe_folder(&path, mode, record.last_modified) {
                    let why = no_place(&path, "set the time of", e);
                    self.tally.no_place(&item, why);
                }
            }
            true
        });
        Ok(listed?)
    }

    fn end(self) -> Exported<Report> {
        let (files, bytes) = self.tally.written();
        let there = self.tally.there();
        let unread = self.backup.unread();
        let lists = self.tally.into_lists(self.backup);
        let mut report = self.report;
        report.complete = lists.stopped.is_none();
        (report.files, report.bytes, report.there) = (files, bytes, there);
        report.problems = lists.problems;
        report.renamed = lists.renamed;
        report.lost_modes = lists.lost_modes;
        report.unread = unread;
        Exported {
            report,
            stopped: lists.stopped,
        }
    }
}

/// Returns the place of an item, judged by its name alone. Reports an item that has none.
fn place_of(target: &Target, tally: &Tally<'_>, item: &Item) -> Option<Place> {
    let bad = |wrong, why: &str| {
        tally.problem(item, wrong, why.to_owned());
        None
    };
    if item.leads_out() {
        return bad(
            Wrong::LeadsOut,
            "its path leads out of the folder, so it was not written",
        );
    }
    if item.relative_path.len() > PATH_BYTES_MAX || item.domain.len() > PATH_BYTES_MAX {
        return bad(Wrong::Unwritable, "its name is longer than any path");
    }
    match target.rules().place(&item.domain, &item.relative_path) {
        None => bad(Wrong::Unwritable, "it has no name"),
        place => place,
    }
}

/// Reserves a place for a file or link, and makes its folder.
fn placed(target: &mut Target, tally: &Tally<'_>, item: &Item) -> Option<std::path::PathBuf> {
    let mut place = place_of(target, tally, item)?;
    let made = target.folder(&place.parts[..place.parts.len() - 1]);
    if let Err(why) = made {
        tally.no_place(item, why);
        return None;
    }
    if target.take(&mut place) || place.is_altered {
        tally.renamed(item, place.path());
    }
    Some(target.path_of(&place))
}

fn make_link(to: &str, path: &Path, overwrite: bool) -> io::Result<()> {
    if overwrite && fs::symlink_metadata(path).is_ok_and(|meta| !meta.is_dir()) {
        fs::remove_file(path)?;
    }
    #[cfg(unix)]
    return std::os::unix::fs::symlink(to, path);
    // Windows has one call for links to files and another for links to folders, and lets most users
    // make neither.
    #[cfg(windows)]
    {
        let to = to.replace('/', "\\");
        let leads_to_folder = path.parent().is_some_and(|dir| dir.join(&to).is_dir());
        if leads_to_folder {
            std::os::windows::fs::symlink_dir(to, path)
        } else {
            std::os::windows::fs::symlink_file(to, path)
        }
    }
    #[cfg(not(any(unix, windows)))]
    {
        let _unused = (to, path);
        Err(io::ErrorKind::Unsupported.into())
    }
}
