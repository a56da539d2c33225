//! `idev-backup verify --all`

use std::sync::atomic::Ordering;

use idev_backup::history::each::{One, each};
use idev_backup::history::list::Named;
use idev_backup::reader::passwords::Known;
use idev_backup::verify::Repair;

use super::{Checked, Verify};
use crate::cli::ctrl_c::interrupt;
use crate::cli::exit;
use crate::cli::render::closing::{self, Part, Work};
use crate::cli::render::output::{self, Style};
use crate::cli::render::progress::Show;
use crate::cli::render::verify::{reason, tell_briefly};

const WORK: Work = Work {
    command: "verify",
    things: "backups",
    done: "without damage",
    with_problems: "not fully checked, or with remarks:",
    nothing_to_do: "",
};

impl Verify {
    /// Verifies a backup of every phone in the store, one after another, and returns the exit code.
    pub(super) fn run_all(&self, show: &Show) -> u8 {
        let style = self.output.style();
        let prepared = self.store.open().and_then(|store| {
            let all = each(&store, self.snapshots)?;
            Ok((all, self.password.given()?.map(Known)))
        });
        match prepared {
            Err(e) => output::failure(&e, None, style == Style::Json),
            Ok((all, given)) => {
                let check = |one| self.check_one(one, given.as_ref(), show);
                let mut parts: Vec<Part> = Vec::new();
                for one in &all {
                    parts.push(check(one));
                    if interrupt().load(Ordering::Relaxed) {
                        break;
                    }
                }
                closing::tell(&WORK, &parts, style)
            }
        }
    }

    fn check_one(&self, one: &One, given: Option<&Known>, show: &Show) -> Part {
        let style = self.output.style();
        let udid = one.snapshot.udid().as_str();
        let watch = show.watch(Some(udid), Some(one.name.clone()));
        let named = Named {
            folder: one.snapshot.path().to_path_buf(),
            id: Some(one.snapshot.id().clone()),
        };
        let checked = self.check(named, given, &watch);
        watch.finish();
        match checked {
            Ok(Checked::Found(report) | Checked::Repaired(Repair { report, .. })) => {
                let code = tell_briefly(&report, udid, &one.name, style);
                let why = (code != exit::DONE).then(|| reason(&report));
                Part::ended(udid, &one.name, code, why)
            }
            Err(e) => {
                let code =
                    output::failure_of(&watch.prefix(), &e, Some(udid), style == Style::Json);
                Part::ended(udid, &one.name, code, Some(e.to_string()))
            }
        }
    }
}
