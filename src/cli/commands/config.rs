//! `idev-backup config`

use std::path::Path;

use clap::{Args, Command, Subcommand};
use idev_backup::doctor::{Level, Line};
use serde::Serialize;

use crate::cli::args::config::{
    Config, KEYS, Mistake, at, place, set_variable, tell_mistakes, variable,
};
use crate::cli::args::variables;
use crate::cli::exit;
use crate::cli::render::{output, table};

/// Show and check the config file
///
/// Example:  idev-backup config show
///
/// An option takes precedence over an environment variable, and a variable over the file.
#[derive(Args)]
pub struct ConfigCommand {
    #[command(subcommand)]
    what: What,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand, Clone, Copy)]
enum What {
    /// Show every key, its value, and the source of the value
    Show,
    /// Print the path of the file, even if it does not exist
    Path,
    /// Check the file and report every mistake
    Check,
}

#[derive(Serialize)]
struct Shown {
    key: String,
    value: Option<String>,
    /// "environment", "file" or "default".
    from: &'static str,
    /// Environment variable of the key; `None` for a rule of one phone.
    variable: Option<String>,
    help: &'static str,
}

#[derive(Serialize)]
struct About {
    path: String,
    exists: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    mistakes: Option<Vec<Mistake>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<Vec<Shown>>,
}

impl ConfigCommand {
    /// Runs the command and returns its exit code. `command` is the command line, which has
    /// the variables and the default values.
    pub fn run(&self, named: Option<&Path>, command: Command) -> u8 {
        let Some((path, is_named)) = place(named) else {
            output::tell("error: your home folder is not known\n  hint: name a file with --config");
            return exit::FAILED;
        };
        let mut about = About {
            path: path.display().to_string(),
            exists: path.is_file(),
            mistakes: None,
            keys: None,
        };
        if let What::Path = self.what {
            if self.json {
                output::object("config", None, &about)
            } else {
                output::data(&about.path)
            }
            return exit::DONE;
        }
        let (config, mistakes) = match Config::read(&path, is_named) {
            Ok(config) => (config, Vec::new()),
            Err(mistakes) => (Config::default(), mistakes),
        };
        let code = tell_mistakes(&path, &mistakes, false);
        let of_variables = variables::mistakes(&command, std::env::vars_os());
        variables::tell(&of_variables, false);
        let plain = Config::default().apply(command);
        let is_wrong = !mistakes.is_empty() || !of_variables.is_empty();
        match (self.what, self.json) {
            (What::Check, false) if !is_wrong && about.exists => {
                output::line(&format!("{}: no mistakes", about.path));
            }
            (What::Check, false) if !is_wrong => {
                output::line(&format!(
                    "{}: the file does not exist, so the defaults apply",
                    about.path
                ));
            }
            (What::Show, false) if !is_wrong => {
                let rows = std::iter::once(["KEY", "VALUE", "FROM"].map(str::to_owned).to_vec());
                let rows = rows.chain(config.shown(&plain).into_iter().map(|shown| {
                    vec![
                        shown.key,
                        shown.value.unwrap_or_default(),
                        shown.from.into(),
                    ]
                }));
                table::table(&rows.collect::<Vec<_>>())
                    .iter()
                    .for_each(|line| line.split('\n').for_each(output::finding));
            }
            (What::Show, true) if !is_wrong => about.keys = Some(config.shown(&plain)),
            _ => {}
        }
        if self.json {
            about.mistakes = Some(mistakes);
            output::object("config", None, &about);
        }
        if is_wrong {
            exit::worst(&[code, exit::USAGE])
        } else {
            exit::DONE
        }
    }
}

impl Config {
    fn shown(&self, plain: &Command) -> Vec<Shown> {
        let of_phones = self.phones.iter().flat_map(|(udid, rules)| {
            rules.iter().map(move |(name, value)| Shown {
                key: format!("phone.{udid}.{name}"),
                value: Some(value.clone()),
                from: "file",
                variable: None,
                help: "a rule for this phone only",
            })
        });
        KEYS.iter()
            .map(|key| {
                let set = set_variable(key.name);
                let own = variable(key.name);
                let (value, from) = match (&set, self.values.get(key.name)) {
                    (Some((_, text)), _) => (Some(text.clone()), "environment"),
                    (None, Some(text)) => (Some(text.clone()), "file"),
                    (None, None) => (default_of(plain, &own), "default"),
                };
                let variable = set.map_or(own, |(variable, _)| variable);
                Shown {
                    key: key.name.to_owned(),
                    value,
                    from,
                    variable: Some(variable),
                    help: key.help,
                }
            })
            .chain(of_phones)
            .collect()
    }
}

fn default_of(command: &Command, variable: &str) -> Option<String> {
    let reads = |arg: &&clap::Arg| arg.get_env().is_some_and(|env| env == variable);
    let own = command.get_arguments().find(reads);
    let own = own.and_then(|arg| arg.get_default_values().first()?.to_str());
    let deeper = || {
        command
            .get_subcommands()
            .find_map(|c| default_of(c, variable))
    };
    own.map(str::to_owned).or_else(deeper)
}

/// Returns mistakes as findings of `doctor`.
pub fn findings(path: &Path, mistakes: &[Mistake]) -> Vec<Line> {
    let finding = |mistake: &Mistake| Line {
        level: Level::Problem,
        topic: "config",
        udid: None,
        says: format!(
            "config file {}{}: {}",
            path.display(),
            at(mistake),
            mistake.text
        ),
        means: Some("every other command that reads the file ends with exit code 2".to_owned()),
        hint: mistake.hint.clone(),
    };
    mistakes.iter().map(finding).collect()
}
