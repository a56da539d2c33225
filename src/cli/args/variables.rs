//! Checks the environment variables that begin with this program's prefix. Each must be known and
//! have a value: a misspelled one would have no effect, and an empty one is usually a mistake in a
//! script.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;

use clap::Command;
use idev_backup::automation::schedule::job_state;
use idev_backup::base::child;
use idev_backup::doctor::Level;

use super::config;
use crate::cli::args::store;
use crate::cli::exit;
use crate::cli::render::doctor::Line;
use crate::cli::render::output;

const PREFIX: &str = "IDEV_BACKUP_";

/// Variables of the project's own tests, which the program may find in its environment during a
/// test.
const OF_TESTS: [&str; 14] = [
    "IDEV_BACKUP_CABLE_CUTS",
    "IDEV_BACKUP_CUT_EVERY",
    "IDEV_BACKUP_DAMAGED",
    "IDEV_BACKUP_DISK_FAULTS",
    "IDEV_BACKUP_FUZZ_SECONDS",
    "IDEV_BACKUP_FUZZ_SEED",
    "IDEV_BACKUP_JUDGE_ON_ITS_OWN_BUS",
    "IDEV_BACKUP_KILLS",
    "IDEV_BACKUP_PAIRS",
    "IDEV_BACKUP_POWER_CUTS",
    "IDEV_BACKUP_REPOSITORY_KILLS",
    "IDEV_BACKUP_SHARED",
    "IDEV_BACKUP_STRANGERS",
    "IDEV_BACKUP_TEST_SEED",
];

/// A mistake in an environment variable.
#[derive(Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Description of the mistake.
    pub text: String,
    /// Advice for the user.
    pub hint: String,
}

/// Returns the mistakes in an environment. The options of `command` name the known variables.
pub fn mistakes(
    command: &Command,
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> Vec<Mistake> {
    let known = known(command);
    let mut mistakes: Vec<Mistake> = environment
        .filter_map(|(name, value)| {
            let name = name.to_string_lossy().into_owned();
            // On Windows, the case of names does not matter.
            let name = if cfg!(windows) {
                name.to_uppercase()
            } else {
                name
            };
            name.starts_with(PREFIX)
                .then(|| mistake(&name, &value, &known))?
        })
        .collect();
    mistakes.sort_by(|a, b| a.text.cmp(&b.text));
    mistakes
}

/// Reports the mistakes, and returns the exit code of a command that is refused because of them.
pub fn refuse(mistakes: &[Mistake]) -> u8 {
    tell(mistakes, output::wants_json())
}

/// Reports the mistakes and returns the exit code.
pub fn tell(mistakes: &[Mistake], as_json: bool) -> u8 {
    for mistake in mistakes {
        output::failed(&mistake.text, Some(&mistake.hint), exit::USAGE, as_json);
    }
    exit::USAGE
}

/// Returns the mistakes as findings of `doctor`.
pub fn findings(mistakes: &[Mistake]) -> Vec<Line> {
    let finding = |mistake: &Mistake| Line {
        level: Level::Problem,
        topic: "variables",
        udid: None,
        says: mistake.text.clone(),
        means: Some("every other command ends with exit code 2".to_owned()),
        hint: Some(mistake.hint.clone()),
        ignored: false,
    };
    mistakes.iter().map(finding).collect()
}

fn known(command: &Command) -> BTreeSet<String> {
    let own = command.get_arguments().filter_map(clap::Arg::get_env);
    let mut names: BTreeSet<String> = own.map(|env| env.to_string_lossy().into_owned()).collect();
    for subcommand in command.get_subcommands() {
        names.extend(known(subcommand));
    }
    names.extend(child::SECRETS.map(str::to_owned));
    names.extend(config::former_variables());
    names.insert(job_state::JOB.to_owned());
    names
}

fn mistake(name: &str, value: &OsString, known: &BTreeSet<String>) -> Option<Mistake> {
    if OF_TESTS.contains(&name) {
        return None;
    }
    if !known.contains(name) {
        let near = known
            .iter()
            .map(|other| (strsim::damerau_levenshtein(other, name), other))
            .filter(|(distance, _)| *distance <= (name.len() - PREFIX.len()).div_ceil(3))
            .min();
        // The section of a key is easily forgotten.
        let ending = format!("_{}", &name[PREFIX.len()..]);
        let near = near
            .map(|(_, other)| other)
            .or_else(|| known.iter().find(|other| other.ends_with(&ending)));
        return Some(Mistake {
            text: format!("unknown variable {name}"),
            hint: match near {
                Some(other) => format!("did you mean {other}?"),
                None => {
                    "unset it; `idev-backup config show --json` lists the variables of all settings"
                        .to_owned()
                }
            },
        });
    }
    if value.is_empty() {
        return Some(Mistake {
            text: format!("the variable {name} is empty"),
            hint: "give it a value, or unset it; in a script, check where the value comes from"
                .to_owned(),
        });
    }
    if config::is_place(name) && store::path(value.clone()).is_ok_and(|path| !is_whole(&path)) {
        return Some(Mistake {
            text: format!(
                "the variable {name} is not an absolute path: {}",
                value.display()
            ),
            hint: "write an absolute path: a relative one depends on the current folder".to_owned(),
        });
    }
    None
}

fn is_whole(path: &Path) -> bool {
    path.is_absolute()
}
