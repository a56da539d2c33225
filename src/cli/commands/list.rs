//! `idev-backup list`

use std::path::PathBuf;
use std::time::SystemTime;

use clap::Args;
use idev_backup::history::change;
use idev_backup::history::list::{self, Look, Overview, Phone};

use super::everywhere;
use crate::cli::args::device::OfPhoneArgs;
use crate::cli::args::repository::CopiesArgs;
use crate::cli::args::store::{StoreArgs, path_parser};
use crate::cli::args::unattended::OverdueArgs;
use crate::cli::failure::Failure;
use crate::cli::render::list::show;
use crate::cli::render::{metrics, output};
use crate::cli::{exit, new_file};

/// Show the backups in the store
///
/// Lists each backup with its state, its size, its last check and what keeps it, then each phone
/// with the total of its backups and whether it is overdue. `*` marks a backup that another program
/// made or changed.
///
/// Example:  idev-backup list --store /srv/backups
///           idev-backup list --everywhere
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub struct List {
    /// Show the backups of all stores that were used before and of Finder, iTunes, Apple Devices
    /// and iMazing
    #[arg(long, conflicts_with_all = ["check", "device", "metrics", "sizes", "wide"])]
    everywhere: bool,
    /// Exit with 1 if a phone is overdue, if its newest backup is damaged or waits too long for its
    /// push to the repository of the config file, or without any backup
    #[arg(long)]
    check: bool,
    /// Show more columns: model, iOS, encryption, number of files, folder
    #[arg(long, short)]
    wide: bool,
    /// Print metrics for Prometheus instead of the table
    #[arg(long, conflicts_with_all = ["json", "wide"])]
    metrics: bool,
    /// Write to this file, replacing it as a whole
    #[arg(short, long, alias = "to", value_name = "FILE", requires = "metrics", value_parser = path_parser())]
    output: Option<PathBuf>,
    /// Read the size of every file to show how much space each backup alone takes
    #[arg(long)]
    sizes: bool,
    #[command(flatten)]
    overdue: OverdueArgs,
    #[command(flatten)]
    phone: OfPhoneArgs,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    repository: CopiesArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl List {
    /// Runs the command and returns its exit code.
    pub fn run(&self) -> u8 {
        let now = SystemTime::now();
        if self.everywhere {
            let done = everywhere::run(&self.store, self.json);
            return done.unwrap_or_else(|e| output::failure(&e, None, self.json));
        }
        if self.metrics {
            return self.export(now);
        }
        match self.overview(now) {
            Err(e) => output::failure(&e, None, self.json),
            Ok((overview, _)) if self.json => {
                output::object("backups", None, &overview);
                self.code(&overview)
            }
            Ok((overview, path)) => {
                show(&overview, &path, self.wide);
                self.code(&overview)
            }
        }
    }

    fn code(&self, overview: &Overview) -> u8 {
        let phones = &overview.phones;
        let is_unread = phones.iter().any(|phone| phone.trouble.is_some());
        let problems = if is_unread || overview.copies_trouble.is_some() {
            exit::DONE_WITH_PROBLEMS
        } else {
            exit::DONE
        };
        if self.check && !is_well(overview) {
            return exit::worst(&[exit::FAILED, problems]);
        }
        problems
    }

    /// Writes the metrics and returns the exit code. A store that cannot be read has metrics too: a
    /// monitor that finds none would keep showing the values of the last time.
    fn export(&self, now: SystemTime) -> u8 {
        let store = match self.store.path() {
            Ok(store) => store,
            Err(e) => return output::failure(&e, None, false),
        };
        let overview = self.overview(now);
        let overview = overview.as_ref().map(|(overview, _)| overview);
        let text = metrics::text(&store, overview.ok(), now);
        let written = match &self.output {
            Some(file) => new_file::replace(file, &text),
            None => {
                text.lines().for_each(output::data);
                Ok(())
            }
        };
        let unwritten = written.map_err(|e| output::failure(&e, None, false)).err();
        let code = match overview {
            Ok(overview) => self.code(overview),
            Err(e) => output::failure(e, None, false),
        };
        unwritten.unwrap_or(code)
    }

    fn overview(&self, now: SystemTime) -> Result<(Overview, PathBuf), Failure> {
        let path = self.store.path()?;
        let look = Look {
            sizes: self.sizes,
            overdue: self.overdue.limit(),
            now,
        };
        let store = self.store.open()?;
        let mut overview = list::overview(&store, &look)?;
        let repository = self.repository.location()?;
        let limit = self.repository.copy_overdue_after;
        overview.look_elsewhere(&store, repository.as_deref(), limit, now);
        if let Some(phone) = &self.phone.device {
            overview.retain(&change::phone(&store, phone)?);
        }
        Ok((overview, path))
    }
}

/// Returns true if every phone has a recent backup, and no check found its newest one damaged.
fn is_well(overview: &Overview) -> bool {
    let newest_is_damaged = |phone: &Phone| {
        let mut backups = overview.backups.iter();
        let newest = backups.find(|backup| backup.udid == phone.udid);
        newest.is_some_and(|backup| backup.damaged.is_some())
    };
    let phones = &overview.phones;
    let is_well = |p: &Phone| !p.overdue && !p.copy_overdue && !newest_is_damaged(p);
    !phones.is_empty() && phones.iter().all(is_well)
}
