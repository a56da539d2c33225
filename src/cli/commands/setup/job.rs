//! The scheduled job of `setup`.

use std::path::Path;

use idev_backup::automation::schedule;
use idev_backup::automation::schedule::job_state::{JobFile, Jobs};
use idev_backup::automation::schedule::jobs::NewJob;

use super::answers::When;
use crate::cli::commands::schedule::add;
use crate::cli::failure::Failure;
use crate::cli::render::output;

/// Name of the job, the default of `schedule add`.
pub const NAME: &str = "backup";

/// The change of the job that an answer asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Change {
    /// No job exists or is wanted.
    None,
    /// The job stays as it is.
    Keep,
    /// The job is removed.
    Remove,
    /// The job runs at these times with these arguments.
    Install(schedule::When, Vec<String>),
}

impl Change {
    /// Compares the answer with the present job.
    pub fn of(wanted: When, present: Option<&JobFile>) -> Change {
        let Some(when) = wanted.0 else {
            return present.map_or(Change::None, |_| Change::Remove);
        };
        let command = if when == schedule::When::Always {
            "watch"
        } else {
            "create"
        };
        let default = || {
            let options: &[&str] = match command {
                "create" => &["create", "--all", "--if-present"],
                _ => &["watch"],
            };
            options.iter().map(|word| (*word).to_owned()).collect()
        };
        let Some(present) = present else {
            return Change::Install(when, default());
        };
        if present.arguments.first().map(String::as_str) != Some(command) {
            return Change::Install(when, default());
        }
        // The config file names the store from now on.
        let arguments = without_store(&present.arguments);
        let has_variable = present.environment.contains_key("IDEV_BACKUP_STORE");
        let is_same = present.when == when.to_string() && arguments == present.arguments;
        if is_same && !has_variable {
            Change::Keep
        } else {
            Change::Install(when, arguments)
        }
    }

    /// Describes the change for the summary.
    pub fn words(&self) -> Option<String> {
        Some(match self {
            Change::None => return None,
            Change::Keep => format!("leave the scheduled job {NAME:?} as it is"),
            Change::Remove => format!("remove the scheduled job {NAME:?}"),
            Change::Install(when, arguments) => format!(
                "have the system run `idev-backup {}` {when}",
                arguments.join(" ")
            ),
        })
    }

    /// Makes the change, and reports it.
    pub fn make(
        self,
        jobs: &Jobs,
        config: Option<&Path>,
        present: Option<&JobFile>,
    ) -> Result<(), Failure> {
        match self {
            Change::None | Change::Keep => {}
            Change::Remove => {
                jobs.remove(NAME)?;
                output::line(&format!("The scheduled job {NAME:?} was removed."));
            }
            Change::Install(when, arguments) => {
                let new = NewJob {
                    name: NAME,
                    when,
                    with: present.and_then(|job| job.with.parse().ok()),
                    arguments,
                    environment: add::environment(config),
                    runner: &add::RUNNER,
                };
                let job = jobs.add(new, |why| super::tell_problem(why, None))?;
                add::show(&job);
            }
        }
        Ok(())
    }
}

/// Returns arguments without the option that names a store.
fn without_store(arguments: &[String]) -> Vec<String> {
    let mut left = Vec::new();
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        if word == "--store" {
            words.next();
        } else if !word.starts_with("--store=") {
            left.push(word.clone());
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(when: &str, words: &str, variable: bool) -> JobFile {
        let environment = if variable {
            serde_json::json!({"IDEV_BACKUP_STORE": "/x"})
        } else {
            serde_json::json!({})
        };
        let arguments: Vec<&str> = words.split(' ').collect();
        let file = serde_json::json!({
            "version": 1, "name": NAME, "when": when, "with": "cron", "arguments": arguments,
            "folder": "/", "environment": environment,
        });
        serde_json::from_value(file).unwrap()
    }

    #[test]
    fn job_keeps_its_own_options() {
        let install = |when: &str, words: &str| {
            let words = words.split(' ').map(str::to_owned).collect();
            Change::Install(when.parse().unwrap(), words)
        };
        for (wanted, present, expected) in [
            ("never", None, Change::None),
            (
                "never",
                Some(job("daily 21:30", "create", false)),
                Change::Remove,
            ),
            (
                "21:30",
                None,
                install("daily 21:30", "create --all --if-present"),
            ),
            ("plugged", None, install("always", "watch")),
            (
                "21:30",
                Some(job("daily 21:30", "create --all", false)),
                Change::Keep,
            ),
            (
                "22:00",
                Some(job("daily 21:30", "create --all --retry 3", false)),
                install("daily 22:00", "create --all --retry 3"),
            ),
            (
                "21:30",
                Some(job(
                    "daily 21:30",
                    "create --store /old --all --store=/x",
                    false,
                )),
                install("daily 21:30", "create --all"),
            ),
            (
                "21:30",
                Some(job("daily 21:30", "create --all", true)),
                install("daily 21:30", "create --all"),
            ),
            (
                "21:30",
                Some(job("always", "watch --due-after 3d", false)),
                install("daily 21:30", "create --all --if-present"),
            ),
        ] {
            let wanted = When::parse(wanted).unwrap();
            assert_eq!(
                Change::of(wanted, present.as_ref()),
                expected,
                "{present:?}"
            );
        }
    }
}
