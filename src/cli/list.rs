//! `idev-backup list`

use std::path::PathBuf;

use clap::Args;
use idev_backup::jobs::Error;
use idev_backup::jobs::list::{self, Backup};
use idev_backup::store::Store;
use idev_backup::units::{count, size};
use serde::Serialize;

use super::{StoreArgs, exit, output};

/// Show the backups in the store.
///
/// Example:  idev-backup list --store /srv/backups
#[derive(Args)]
pub struct List {
    #[command(flatten)]
    store: StoreArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl List {
    /// Runs it.
    pub fn run(&self) -> u8 {
        match self.listed() {
            Err(e) => output::failure(&e, None, self.json),
            Ok((listed, _)) if self.json => {
                output::object("backups", None, &listed);
                exit::DONE
            }
            Ok((listed, path)) => {
                show(&listed.backups, &path.display().to_string());
                for udid in &listed.drafts {
                    output::line(&format!(
                        "{udid}: a run is under way, or broke off and left a draft in {}; `idev-backup create` goes on \
                         with it",
                        path.join(".idev-backup").join(udid).display()
                    ));
                }
                exit::DONE
            }
        }
    }

    fn listed(&self) -> Result<(Listed, PathBuf), Error> {
        let path = self.store.path()?;
        if !self.store.is_named() && !path.exists() {
            // Nobody has made a backup yet.
            return Ok((Listed::default(), path));
        }
        let store = Store::open(&path)?;
        let listed = Listed {
            backups: list::list(&store)?,
            drafts: store.drafts()?.iter().map(ToString::to_string).collect(),
        };
        Ok((listed, path))
    }
}

#[derive(Serialize, Default)]
struct Listed {
    backups: Vec<Backup>,
    /// Phones of which a run broke off, or goes on.
    drafts: Vec<String>,
}

fn show(backups: &[Backup], store: &str) {
    if backups.is_empty() {
        output::line(&format!(
            "{store} holds no backups yet. Connect a phone and run `idev-backup create`."
        ));
        return;
    }
    let heads = [
        "NAME",
        "MODEL",
        "IOS",
        "MADE",
        "STATE",
        "ENCRYPTED",
        "FILES",
        "SIZE",
        "FOLDER",
    ];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    for backup in backups {
        let or_unknown = |text: &Option<String>| text.clone().unwrap_or_else(|| "?".to_owned());
        let state = match (backup.complete, backup.current, backup.ours) {
            (false, ..) => "unfinished",
            (true, true, true) => "current",
            (true, true, false) => "current, of another program",
            (true, false, true) => "snapshot",
            (true, false, false) => "snapshot, of another program",
        };
        let folder = backup
            .path
            .rsplit(['/', '\\'])
            .next()
            .unwrap_or(&backup.path);
        rows.push(vec![
            or_unknown(&backup.name),
            or_unknown(&backup.model),
            or_unknown(&backup.ios),
            backup
                .date
                .as_deref()
                .map_or_else(|| "?".to_owned(), output::when),
            state.to_owned(),
            backup
                .encrypted
                .map_or("?", |e| if e { "yes" } else { "no" })
                .to_owned(),
            backup.files.map_or_else(|| "?".to_owned(), count),
            backup.bytes.map_or_else(|| "?".to_owned(), size),
            folder.to_owned(),
        ]);
    }
    output::table(&rows)
        .iter()
        .filter(|line| !line.is_empty())
        .for_each(|line| output::line(line));
}
