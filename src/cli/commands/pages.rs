//! What the pages of `open` and `serve` need from the program: the settings of `create`, the way to
//! phones, and advice.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use idev_backup::automation::conditions::Conditions;
use idev_backup::automation::policy::{Described, Plan};
use idev_backup::base::cancel::CancelToken;
use idev_backup::history::everywhere::Search;
use idev_backup::web::{Acting, Error, Options};

use super::setup::ParseCreate;
use crate::cli::args::folders;
use crate::cli::args::store::StoreArgs;
use crate::cli::args::unattended::OverdueArgs;
use crate::cli::failure::Failure;
use crate::cli::hints;
use crate::cli::render::typed::quoted;

/// Time without progress after which a disk of other backups counts as silent.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// The way to the settings of `create`: the config file that was named, and the parser.
pub(crate) struct Settings<'a> {
    /// The config file named with `--config`.
    pub(crate) named: Option<&'a Path>,
    /// Parses the command line of `create`.
    pub(crate) parse: ParseCreate,
}

/// Returns the options of pages that only read.
pub(crate) fn reading(store: &StoreArgs, overdue: &OverdueArgs) -> Result<Options, Failure> {
    Ok(Options {
        search: Search {
            current: store.path()?,
            is_named: store.is_named(),
            known: folders::known_stores(),
            home: folders::user(),
            silence_max: SILENCE_MAX,
        },
        overdue: overdue.limit(),
        acting: None,
    })
}

/// Returns the means to act. A backup is made as `create` makes it without options.
pub(crate) fn acting(settings: &Settings<'_>) -> Result<Acting, Failure> {
    let create = (settings.parse)(&["create".to_owned()], settings.named)?;
    let connection = create.connector.clone();
    let plan = Plan {
        // The user asked for it now.
        conditions: Conditions::default(),
        yields: false,
        ..create.plan()
    };
    Ok(Acting {
        connect: Box::new(move || {
            let connector = connection.connector_with(CancelToken::new(Arc::default()));
            connector.map_err(|e| hints::describe(&e))
        }),
        backup: create.backup.options(),
        plan,
        scheduled: folders::jobs().ok(),
        describe,
        restore_command: |folder| {
            let folder = quoted(&folder.display().to_string());
            format!("idev-backup restore {folder}")
        },
        changed: folders::remember_contents,
    })
}

fn describe(error: Error) -> Described {
    match error {
        Error::Backup(e) => hints::describe_backup(&e),
        Error::Device(e) => hints::describe(&e.into()),
        Error::Verify(e) => hints::describe(&e.into()),
        Error::Restore(e) => hints::describe(&e.into()),
        Error::History(e) => hints::describe(&e.into()),
        Error::Store(e) => hints::describe(&e.into()),
        e => Described {
            text: e.to_string(),
            exit_code: crate::cli::exit::code(e.kind()),
            hint: None,
        },
    }
}
