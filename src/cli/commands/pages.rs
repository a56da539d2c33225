//! Connects the pages of `open` and `serve` with the program: the settings of `create`, the way to
//! phones, and advice.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use idev_backup::automation::conditions::Conditions;
use idev_backup::automation::policy::{Described, Plan};
use idev_backup::automation::schedule::jobs::NewJob;
use idev_backup::base::cancel::CancelToken;
use idev_backup::history::everywhere::Search;
use idev_backup::web::{Acting, Error, Options, Pushing, Schedule};

use super::push_after::{push, unread};
use super::schedule::add::{RUNNER, environment};
use super::setup::ParseCreate;
use crate::cli::args::folders;
use crate::cli::args::push_after::PushAfterArgs;
use crate::cli::args::repository::CopiesArgs;
use crate::cli::args::store::StoreArgs;
use crate::cli::args::unattended::OverdueArgs;
use crate::cli::failure::Failure;
use crate::cli::render::output;
use crate::cli::render::typed::quoted;
use crate::cli::{exit, hints};

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
pub(crate) fn reading(
    store: &StoreArgs,
    overdue: &OverdueArgs,
    copies: &CopiesArgs,
) -> Result<Options, Failure> {
    Ok(Options {
        search: Search {
            current: store.path()?,
            is_named: store.is_named(),
            known: folders::known_stores(),
            home: folders::user(),
            silence_max: SILENCE_MAX,
        },
        overdue: overdue.limit(),
        repository: copies.location()?,
        copy_overdue: copies.copy_overdue_after,
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
    let time_limit = plan.hooks.time_limit;
    Ok(Acting {
        connect: Box::new(move || {
            let connector = connection.connector_with(CancelToken::new(Arc::default()));
            connector.map_err(|e| hints::describe(&e))
        }),
        backup: create.backup.options(),
        plan,
        push: pushing(create.push(), time_limit),
        schedule: schedule(settings),
        describe,
        restore_command: |folder| {
            let folder = quoted(&folder.display().to_string());
            format!("idev-backup restore {folder}")
        },
        changed: folders::remember_contents,
    })
}

/// Returns the push after each backup, if the settings want one.
fn pushing(args: &PushAfterArgs, time_limit: Duration) -> Option<Pushing> {
    if !args.is_wanted() {
        return None;
    }
    let args = args.clone();
    Some(Pushing {
        // Without a place, the push fails and says why.
        location: args
            .repository
            .0
            .place()
            .ok()
            .map(|place| place.to_string()),
        conditions: args.conditions(time_limit),
        push: Box::new(move |store, token, monitor| {
            let done = push(&args, store, token.clone(), monitor);
            let done = done.and_then(|report| match report.failed {
                0 => Ok(report),
                _ => Err(unread(&report)),
            });
            done.map_err(|failure| Described {
                text: failure.to_string(),
                exit_code: exit::DONE_WITH_PROBLEMS,
                hint: hints::of(&failure),
            })
        }),
    })
}

/// Returns the jobs of this user, and how the pages change them.
fn schedule(settings: &Settings<'_>) -> Option<Schedule> {
    let jobs = folders::jobs().ok()?;
    let (to_add, to_remove) = (jobs.clone(), jobs.clone());
    let config = settings.named.map(Path::to_path_buf);
    let described = |e| hints::describe(&Failure::Schedule(e));
    Some(Schedule {
        jobs,
        add: Box::new(move |name, when, store| {
            let store = store.root().display().to_string();
            let options = ["create", "--all", "--if-present", "--store", &store];
            let new = NewJob {
                name,
                when,
                with: None,
                arguments: options.map(str::to_owned).to_vec(),
                environment: environment(config.as_deref()),
                runner: &RUNNER,
            };
            let problem = |why: &str| output::tell(&format!("problem: {why}"));
            to_add.add(new, problem).map(drop).map_err(described)
        }),
        remove: Box::new(move |name| to_remove.remove(name).map(drop).map_err(described)),
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
            exit_code: exit::code(e.kind()),
            hint: None,
        },
    }
}
