//! `idev-backup config`

mod change;
mod edit;

use std::path::Path;

use clap::{Args, Command, Subcommand};
use idev_backup::doctor::Level;
use serde::Serialize;

use crate::cli::args::config::{
    Config, KEYS, Mistake, at, literal, place, set_variable, tell_mistakes, variable,
};
use crate::cli::args::{folders, variables};
use crate::cli::exit;
use crate::cli::render::doctor::Line;
use crate::cli::render::output;

/// Show, check and change the config file
///
/// Example:  idev-backup config set retention.keep-last 5
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

#[derive(Subcommand)]
enum What {
    /// Show every key, its value, and the source of the value
    Show,
    /// Print the path of the file, even if it does not exist
    Path,
    /// Check the file and report every mistake
    Check,
    /// Write a file that names and explains every key
    Init {
        /// Replace the file if it exists
        #[arg(long, alias = "force")]
        overwrite: bool,
    },
    /// Set a key, and keep everything else in the file
    ///
    /// Example:  idev-backup config set store /srv/backups
    Set {
        /// The key, for example retention.keep-last or phone.UDID.retention.keep-last
        key: String,
        /// The value, as for the option of the same meaning
        #[arg(allow_hyphen_values = true)]
        value: String,
    },
    /// Remove a key, so that its default applies
    Unset {
        /// The key
        key: String,
    },
    /// Open the file in an editor, and save it only without mistakes
    ///
    /// The variables VISUAL and EDITOR name the editor.
    Edit,
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
        let done = match &self.what {
            What::Show => Ok(self.examine(&path, is_named, command, true)),
            What::Check => Ok(self.examine(&path, is_named, command, false)),
            What::Path => {
                self.tell_path(&path);
                Ok(exit::DONE)
            }
            What::Init { overwrite } => change::init(&path, *overwrite, self.json),
            What::Set { key, value } => change::set_key(&path, key, value, self.json),
            What::Unset { key } => change::unset_key(&path, key, self.json),
            What::Edit => edit::run(&path),
        };
        done.unwrap_or_else(|e| output::failure(&e, None, self.json))
    }

    fn tell_path(&self, path: &Path) {
        let about = About::of(path);
        if self.json {
            output::object("config", None, &about)
        } else {
            output::data(&about.path)
        }
    }

    /// Checks the file and the variables, and returns the exit code. Shows all keys if `is_show` is
    /// set and nothing is wrong.
    fn examine(&self, path: &Path, is_named: bool, command: Command, is_show: bool) -> u8 {
        let mut about = About::of(path);
        let (config, mistakes) = match Config::read(path, is_named) {
            Ok(config) => (config, Vec::new()),
            Err(mistakes) => (Config::default(), mistakes),
        };
        let code = tell_mistakes(path, &mistakes, false);
        let of_variables = variables::mistakes(&command, std::env::vars_os());
        variables::tell(&of_variables, false);
        let is_wrong = !mistakes.is_empty() || !of_variables.is_empty();
        let plain = Config::default().apply(command);
        match (is_show, self.json) {
            _ if is_wrong => {}
            (true, true) => about.keys = Some(config.shown(&plain)),
            (true, false) => {
                let shown = config.shown(&plain);
                shown
                    .iter()
                    .for_each(|shown| output::finding(&shown.line()));
            }
            (false, _) if self.json => {}
            (false, _) if about.exists => output::line(&format!("{}: no mistakes", about.path)),
            (false, _) => output::line(&format!(
                "{}: the file does not exist, so the defaults apply",
                about.path
            )),
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

impl About {
    fn of(path: &Path) -> About {
        About {
            path: path.display().to_string(),
            exists: path.is_file(),
            mistakes: None,
            keys: None,
        }
    }
}

impl Shown {
    /// Returns the key as it would stand in the file, with the source of its value.
    fn line(&self) -> String {
        let from = match (self.from, &self.variable) {
            ("environment", Some(variable)) => variable,
            (from, _) => from,
        };
        match &self.value {
            Some(value) => format!("{} = {}   ({from})", self.key, literal(&self.key, value)),
            None => format!("{} is not set", self.key),
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
                    (None, None) if key.name == "store" => (default_store(), "default"),
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

/// Returns the folder that is the store if nothing names one.
fn default_store() -> Option<String> {
    let (data, _) = folders::home().ok()?;
    Some(data.join("idev-backup").display().to_string())
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
        ignored: false,
    };
    mistakes.iter().map(finding).collect()
}
