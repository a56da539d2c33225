//! Defines the keys of the config file, reads it and changes it. `commands/config` shows it.
//!
//! A key has one meaning and three sources: a flag, an environment variable and a line of the file.
//! The name of the variable connects them: every command line option that reads the variable takes
//! its default from the file.

mod change;
pub(crate) mod file;
mod keys;
mod reader;
mod template;

use std::path::{Path, PathBuf};

use clap::builder::Resettable;
use clap::{ArgAction, Command};

use self::keys::{Form, Key};
use crate::cli::exit;
use crate::cli::render::output;

pub(crate) use self::change::{set, unset};
pub(crate) use self::keys::{KEYS, former_variables, is_place, literal, set_variable, variable};
pub(crate) use self::reader::{Config, Mistake};
#[cfg(test)]
pub(crate) use self::template::example;
pub(crate) use self::template::template;

impl Config {
    /// Returns the command with this file's values as its defaults.
    pub fn apply(&self, command: Command) -> Command {
        let names: Vec<String> = command
            .get_subcommands()
            .map(|c| c.get_name().to_owned())
            .collect();
        // Empty variables get their own error message, distinct from those of the command line.
        let is_empty = |arg: &&clap::Arg| {
            let value = arg.get_env().and_then(std::env::var_os);
            value.is_some_and(|value| value.is_empty())
        };
        let empty: Vec<clap::Id> = command
            .get_arguments()
            .filter(is_empty)
            .map(|arg| arg.get_id().clone())
            .collect();
        let ids: Vec<(clap::Id, &Key)> = command
            .get_arguments()
            .filter_map(|arg| Some((arg.get_id().clone(), key_of(arg)?)))
            .collect();
        let mut command = command;
        for (id, key) in ids {
            // clap knows only one variable for each option, so former variables come as defaults.
            let set = set_variable(key.name).filter(|(name, _)| *name != variable(key.name));
            let value = set.map(|(_, value)| value);
            let value = value.or_else(|| self.values.get(key.name).cloned());
            command = command.mut_arg(id, |mut arg| {
                if key.form == Form::Flag {
                    // Lets a flag also override the file with `=false`.
                    arg = arg
                        .action(ArgAction::Set)
                        .num_args(0..=1)
                        .require_equals(true)
                        .default_missing_value("true")
                        .default_value("false")
                        .hide_default_value(true)
                        .hide_possible_values(true)
                        .value_name("false");
                }
                match value {
                    // An empty list has no topics.
                    Some(value) if !value.is_empty() => arg.default_value(value),
                    _ => arg,
                }
            });
        }
        for id in empty {
            command = command.mut_arg(id, |arg| arg.env(Resettable::Reset));
        }
        for name in names {
            command = command.mut_subcommand(name, |c| self.apply(c));
        }
        command
    }
}

fn key_of(arg: &clap::Arg) -> Option<&'static Key> {
    let env = arg.get_env()?.to_str()?;
    KEYS.iter().find(|key| variable(key.name) == env)
}

/// Returns the environment variable from which an option took its value, unless the user typed the
/// value. `option` has the form that clap prints, such as "--retry <N>".
pub fn of_variable(command: &Command, option: &str, value: &str) -> Option<String> {
    let is_it = |word: &str| word == value || word.ends_with(&format!("={value}"));
    if std::env::args_os().any(|word| is_it(&word.to_string_lossy())) {
        return None;
    }
    let long = option.strip_prefix("--")?;
    let long = long.split([' ', '=', '[']).next()?;
    let own = command.get_arguments().find_map(|arg| {
        let own = arg.get_env()?.to_str()?;
        let of_key = key_of(arg).and_then(|key| set_variable(key.name));
        let (variable, text) = match of_key {
            Some(set) => set,
            None => (own.to_owned(), std::env::var(own).ok()?),
        };
        (arg.get_long() == Some(long) && text == value).then_some(variable)
    });
    let mut deeper = command.get_subcommands();
    own.or_else(|| deeper.find_map(|c| of_variable(c, option, value)))
}

/// Returns the path of the config file to use, and whether the user named it.
pub fn place(named: Option<&Path>) -> Option<(PathBuf, bool)> {
    if let Some(path) = named {
        return Some((std::path::absolute(path).ok()?, true));
    }
    let folder = crate::cli::args::folders::home()
        .ok()?
        .1
        .join("idev-backup");
    Some((folder.join("config.toml"), false))
}

/// Returns the position of a mistake in the form ", line 3".
pub(crate) fn at(mistake: &Mistake) -> String {
    match mistake.line {
        0 => String::new(),
        line => format!(", line {line}"),
    }
}

/// Reports mistakes, and returns the exit code of a command that is refused because of them.
pub fn refuse_mistakes(path: &Path, mistakes: &[Mistake]) -> u8 {
    tell_mistakes(path, mistakes, output::wants_json())
}

/// Reports mistakes and returns the exit code.
pub fn tell_mistakes(path: &Path, mistakes: &[Mistake], as_json: bool) -> u8 {
    for mistake in mistakes {
        let what = format!(
            "config file {}{}: {}",
            path.display(),
            at(mistake),
            mistake.text
        );
        output::failed(&what, mistake.hint.as_deref(), exit::USAGE, as_json);
    }
    exit::USAGE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<(usize, String, String)> {
        let mistakes = Config::parse(text).err().unwrap_or_default();
        let told = |m: Mistake| (m.line, m.text, m.hint.unwrap_or_default());
        mistakes.into_iter().map(told).collect()
    }

    #[test]
    fn config_errors_name_line_and_key() {
        for (text, line, says, hint) in [
            ("stroe = 'x'", 1, "unknown key \"stroe\"", "\"store\""),
            (
                "\n[create]\nful = true\n",
                3,
                "unknown key \"create.ful\"",
                "\"full\"",
            ),
            (
                "[creat]\nfull = true",
                1,
                "unknown key \"creat\"",
                "[create]",
            ),
            (
                "keep-last = 3",
                1,
                "unknown key \"keep-last\"",
                "\"keep-last\" in [retention]",
            ),
            ("[hooks]\non_start='x'", 2, "on_start", "\"on-start\""),
            (
                "[retention]\r\nkeep-last = \"3\"\r\n",
                2,
                "from 0 to 100000",
                "snapshots",
            ),
            ("[conditions]\nif-older-than = 20", 2, "\"20h\"", "older"),
            (
                "[conditions]\nquiet-hours = '25:00-7'",
                2,
                "25:00-7",
                "start",
            ),
            ("[create]\nfull = 1", 2, "true or false", "full backup"),
            ("create = 3", 1, "is a section", "[create]"),
            ("store = ''", 1, "empty", "folder"),
            ("a = \n", 1, "not TOML", ""),
            ("store = 'a'\nstore = 'b'", 2, "not TOML", ""),
            ("[retention]\n\nkeep-within = '30x'", 3, "30x", "younger"),
            ("device = ' '", 1, "UDID or name", "phone"),
            ("device = 7", 1, "in quotes", "phone"),
            (
                "keep_last = 3",
                1,
                "unknown key",
                "\"keep-last\" in [retention]",
            ),
            (
                "[doctor]\nignore = ['encrypt']",
                2,
                "\"encrypt\" is not a topic of `doctor`",
                "topics",
            ),
            ("[doctor]\nignore = 'lock'", 2, "a list", "topics"),
            ("[serve]\nlisten = '0.0.0.0'", 2, "8443", "address"),
            ("[serve]\nhostname = 'a'", 2, "a list of names", "browsers"),
            (
                "[serve]\nhostname = ['a,b']",
                2,
                "not a host name",
                "browsers",
            ),
            (
                "[serve]\nbehind-proxy = ['nas']",
                2,
                "not an address",
                "proxies",
            ),
            ("[log]\nlevel = 'loud'", 2, "\"warning\"", "error"),
        ] {
            let told = told(text);
            assert_eq!(told.len(), 1, "{text:?}: {told:?}");
            assert_eq!(told[0].0, line, "{text:?}: {told:?}");
            assert!(told[0].1.contains(says), "{text:?}: {told:?}");
            assert!(told[0].2.contains(hint), "{text:?}: {told:?}");
        }
        let phone = "[phone.00008130-001A2B3C4D5E6F70";
        for (text, line, says) in [
            (format!("{phone}.retention]\nkeep-lst = 3"), 2, "keep-lst"),
            (format!("{phone}.retention]\nkeep-last = 'x'"), 2, "from 0"),
            (format!("{phone}.hooks]\non-start = 'x'"), 1, "hooks"),
            (
                "[phone.mine.retention]\nkeep-last = 3".to_owned(),
                1,
                "phone.mine",
            ),
        ] {
            let told = told(&text);
            assert_eq!((told.len(), told[0].0), (1, line), "{text:?}: {told:?}");
            assert!(told[0].1.contains(says), "{text:?}: {told:?}");
            assert!(!told[0].2.is_empty(), "{text:?}: {told:?}");
        }
        assert_eq!(told("a = 1\nb = 2\n[create]\nc = 3").len(), 3);
        assert!(told("\u{feff}# nothing\r\n").is_empty());
    }

    #[test]
    fn config_accepts_every_key() {
        let mut text = String::new();
        let mut section = "";
        for key in KEYS {
            let (of, leaf) = key.name.split_once('.').unwrap_or(("", key.name));
            if of != section {
                text += &format!("[{of}]\n");
                section = of;
            }
            let value = match key.form {
                Form::Text => "'x'",
                Form::Place if cfg!(windows) => "'C:\\x'",
                Form::Place => "'/x'",
                Form::Flag => "true",
                Form::Number(..) => "7",
                Form::Span => "'1h30m'",
                Form::Hours => "'23:00-07:00'",
                Form::Within => "'30d'",
                Form::Phone => "'00008130'",
                Form::Level => "'info'",
                Form::Way => "'usb'",
                Form::Address => "'192.168.1.20'",
                Form::Patience => "'31m'",
                Form::Topics => "['encryption', 'verified']",
                Form::Socket => "'[::]:8443'",
                Form::Computers => "['127.0.0.1', '::1']",
                Form::Hosts => "['nas.local', 'nas']",
            };
            text += &format!("{leaf} = {value}\n");
        }
        assert_eq!(Config::parse(&text).unwrap().values.len(), KEYS.len());
    }

    #[test]
    fn guide_shows_exactly_the_config_keys() {
        let guide = include_str!("../../../../docs/guide/configuration.md");
        let root = if cfg!(windows) { "\"C:/" } else { "\"/" };
        let blocks = guide.split("```toml\n").skip(1);
        let texts = blocks.map(|b| b.split("```").next().unwrap().replace("\"/", root));
        let keys = texts.map(|text| Config::parse(&text).unwrap().values.len());
        assert_eq!(keys.max(), Some(KEYS.len()));
    }
}
