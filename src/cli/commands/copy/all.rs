//! `idev-backup copy --all`

use idev_backup::history::adopt;
use idev_backup::history::change::Chosen;
use idev_backup::history::each::{One, each};
use idev_backup::store::Store;

use super::{Copy, of_copy};
use crate::cli::args::folders;
use crate::cli::failure::Failure;
use crate::cli::render::closing::{self, Part, Work};
use crate::cli::render::output::{self, Style};
use crate::cli::render::progress::{Show, Watch};
use crate::cli::render::taken::briefly;

const WORK: Work = Work {
    command: "copy",
    things: "backups",
    done: "copied",
    with_problems: "with problems:",
    nothing_to_do: "already there:",
};

impl Copy {
    /// Copies a backup of every phone in the store, one after another, and returns the exit code.
    pub(super) fn run_all(&self) -> u8 {
        let style = self.output.style();
        let show = Show::new(style);
        let watch = show.watch(None, None);
        match self.prepare(&watch) {
            Err(e) => output::failure(&e, None, style == Style::Json),
            Ok((source, target, all)) => {
                let copy = |one| copy_one(one, &source, &target, &show, style);
                let parts: Vec<Part> = all.into_iter().map(copy).collect();
                folders::remember_contents(&target);
                closing::tell(&WORK, &parts, style)
            }
        }
    }

    fn prepare(&self, watch: &Watch<'_>) -> Result<(Store, Store, Vec<One>), Failure> {
        let source = self.store.open()?;
        let all = each(&source, self.snapshots)?;
        let target = self.target_for(&source, watch)?;
        Ok((source, target, all))
    }
}

fn copy_one(one: One, source: &Store, target: &Store, show: &Show, style: Style) -> Part {
    let udid = one.snapshot.udid().to_string();
    let watch = show.watch(Some(&udid), Some(one.name.clone()));
    let chosen = Chosen {
        store: source.clone(),
        snapshot: one.snapshot,
    };
    let came = adopt::copy(&chosen, target, &watch);
    watch.finish();
    match came {
        Ok(came) => briefly("copied", &came, &one.name, &watch, style),
        Err(e) => {
            let e = of_copy(e, target);
            let code = output::failure_of(&watch.prefix(), &e, Some(&udid), style == Style::Json);
            Part::ended(&udid, &one.name, code, Some(e.to_string()))
        }
    }
}
