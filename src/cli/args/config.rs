//! Defines the keys of the config file and reads it. `config_command` shows it.
//!
//! A key has one meaning and three sources: a flag, an environment variable and a line of the file.
//! The name of the variable connects them: every command line option that reads the variable takes
//! its default from the file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::builder::Resettable;
use clap::{ArgAction, Command};
use idev_backup::automation::conditions::Hours;
use idev_backup::base::udid::Udid;
use idev_backup::base::units::parse_span;
use idev_backup::store::retention::Within;
use serde::Serialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::cli::exit;
use crate::cli::render::output;

/// Type of a key's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Place,
    Flag,
    Number(i64, i64),
    Span,
    Hours,
    Within,
    Phone,
    Level,
    Way,
}

pub(crate) struct Key {
    pub(crate) name: &'static str,
    form: Form,
    pub(crate) help: &'static str,
}

const fn key(name: &'static str, form: Form, help: &'static str) -> Key {
    Key { name, form, help }
}

/// All keys. docs/guide.md has the same list.
#[rustfmt::skip]
pub(crate) const KEYS: &[Key] = &[
    key("store", Form::Place, "the folder of backups"),
    key("device", Form::Phone, "the phone, by its UDID or its name, or how either begins"),
    key("transport", Form::Way, "usbmuxd or usb: the way to phones, where the best is not wanted"),
    key("create.full", Form::Flag, "have the phone send everything each time"),
    key("create.no-apps", Form::Flag, "leave applications and icons out of Info.plist"),
    key("create.read-again", Form::Flag, "read every byte of the finished backup once more"),
    key("create.patience", Form::Number(5, 600), "minutes of silence after which the phone is given up"),
    key("create.may-sleep", Form::Flag, "let the computer fall asleep while a backup runs"),
    key("retention.keep-last", Form::Number(0, 100_000), "so many of the newest snapshots stay"),
    key("retention.keep-daily", Form::Number(0, 100_000), "the newest of each of so many days stays"),
    key("retention.keep-weekly", Form::Number(0, 100_000), "the same by weeks"),
    key("retention.keep-monthly", Form::Number(0, 100_000), "the same by months"),
    key("retention.keep-yearly", Form::Number(0, 100_000), "the same by years"),
    key("retention.keep-within", Form::Within, "all that are younger stay: 30d, 6m, 2y"),
    key("conditions.if-older-than", Form::Span, "only if the last backup is older than this"),
    key("conditions.if-charging", Form::Flag, "only while the phone is charging"),
    key("conditions.min-battery", Form::Number(0, 100), "only with at least so many percent"),
    key("conditions.quiet-hours", Form::Hours, "begin no backup in these hours, 23:00-07:00"),
    key("conditions.if-present", Form::Flag, "a phone that is not there is no failure"),
    key("conditions.wait-for-device", Form::Span, "how long to wait for the phone to be connected"),
    key("conditions.retry", Form::Number(0, 100), "how often to try again"),
    key("conditions.retry-wait", Form::Span, "how long to wait before trying again"),
    key("conditions.passcode-wait", Form::Span, "how long to wait for the passcode"),
    key("conditions.remind-every", Form::Span, "how long between reminders of the passcode"),
    key("hooks.on-start", Form::Text, "command: a backup begins"),
    key("hooks.on-waiting-for-passcode", Form::Text, "command: the phone waits for its passcode"),
    key("hooks.on-success", Form::Text, "command: a backup is done"),
    key("hooks.on-failure", Form::Text, "command: a backup failed"),
    key("hooks.on-overdue", Form::Text, "command: the last good backup is too old"),
    key("hooks.time-limit", Form::Span, "how long a command may take"),
    key("hooks.notify", Form::Flag, "desktop notifications"),
    key("watch.due-after", Form::Span, "how old a backup must be to be made anew"),
    key("watch.overdue-after", Form::Span, "how old the last good backup may become"),
    key("log.file", Form::Place, "a file that gets what stderr gets"),
    key("log.level", Form::Level, "error, warning or info"),
];

/// Returns the environment variable of a key.
pub(crate) fn variable(name: &str) -> String {
    let upper = name.to_ascii_uppercase().replace(['.', '-'], "_");
    format!("IDEV_BACKUP_{upper}")
}

/// Returns true for variables that hold a path: a relative path would mean a different place in
/// each working directory.
pub(crate) fn is_place(of: &str) -> bool {
    let is_it = |key: &&Key| key.form == Form::Place && variable(key.name) == of;
    of == "IDEV_BACKUP_CONFIG" || KEYS.iter().any(|key| is_it(&key))
}

/// A mistake in a config file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mistake {
    /// Line number, counted from 1; 0 stands for the file as a whole.
    line: usize,
    pub(crate) text: String,
    pub(crate) hint: Option<String>,
}

/// The parsed contents of a config file.
#[derive(Debug, Default)]
pub struct Config {
    /// Values by key, written as a user would type them on the command line.
    pub(crate) values: BTreeMap<&'static str, String>,
    /// Retention rules of individual phones, by key in the same form.
    pub(crate) phones: BTreeMap<Udid, BTreeMap<&'static str, String>>,
}

impl Config {
    /// Reads a config file. A missing file counts as empty, unless the user named it.
    pub fn read(path: &Path, is_named: bool) -> Result<Config, Vec<Mistake>> {
        match std::fs::read_to_string(path) {
            Ok(text) => Config::parse(&text),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && !is_named => {
                Ok(Config::default())
            }
            Err(e) => Err(vec![Mistake {
                line: 0,
                text: format!("cannot read it: {e}"),
                hint: Some("name another with --config, or set IDEV_BACKUP_CONFIG".to_owned()),
            }]),
        }
    }

    /// Parses the text of a config file.
    pub fn parse(text: &str) -> Result<Config, Vec<Mistake>> {
        let mut reader = Reader {
            text: text.strip_prefix('\u{feff}').unwrap_or(text),
            config: Config::default(),
            mistakes: Vec::new(),
        };
        let parsed = DeTable::parse(reader.text);
        match parsed {
            Ok(table) => reader.table(table.get_ref(), ""),
            Err(e) => {
                let at = e.span().map_or(0, |span| span.start);
                reader.mistake(at, format!("not TOML: {}", e.message().trim()), None);
            }
        }
        reader.mistakes.sort_by_key(|mistake| mistake.line);
        if reader.mistakes.is_empty() {
            Ok(reader.config)
        } else {
            Err(reader.mistakes)
        }
    }

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
            let value = self.values.get(key.name).cloned();
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
                    Some(value) => arg.default_value(value),
                    None => arg,
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
    let long = long.split([' ', '=']).next()?;
    let own = command.get_arguments().find_map(|arg| {
        let variable = arg.get_env()?.to_str()?;
        let is_it = arg.get_long() == Some(long) && std::env::var(variable).ok()? == value;
        is_it.then(|| variable.to_owned())
    });
    let mut deeper = command.get_subcommands();
    own.or_else(|| deeper.find_map(|c| of_variable(c, option, value)))
}

struct Reader<'a> {
    text: &'a str,
    config: Config,
    mistakes: Vec<Mistake>,
}

impl Reader<'_> {
    fn table(&mut self, table: &DeTable<'_>, section: &str) {
        for (name, value) in table {
            let at = name.span().start;
            let full = match section {
                "" => name.get_ref().to_string(),
                section => format!("{section}.{}", name.get_ref()),
            };
            if let ("phone", DeValue::Table(phones)) = (full.as_str(), value.get_ref()) {
                self.phones(phones);
                continue;
            }
            let is_section = KEYS.iter().any(|k| k.name.starts_with(&format!("{full}.")));
            match (value.get_ref(), KEYS.iter().find(|k| k.name == full)) {
                (DeValue::Table(inner), None) if is_section => self.table(inner, &full),
                (_, Some(key)) => match typed(key.form, value) {
                    Ok(text) => drop(self.config.values.insert(key.name, text)),
                    Err(why) => {
                        self.mistake(at, format!("{full}: {why}"), Some(key.help.to_owned()));
                    }
                },
                (_, None) if is_section => {
                    let hint = format!("write [{full}] on a line of its own");
                    self.mistake(at, format!("{full} is a section, not a key"), Some(hint));
                }
                (_, None) => self.unknown(at, &full, section),
            }
        }
    }

    /// Reads the `[phone.UDID.retention]` sections.
    fn phones(&mut self, phones: &DeTable<'_>) {
        for (name, of_phone) in phones {
            let at = name.span().start;
            let full = format!("phone.{}", name.get_ref());
            let (Ok(udid), Some(of_phone)) =
                (name.get_ref().parse(), of_phone.get_ref().as_table())
            else {
                let hint = "write [phone.UDID.retention] with the whole UDID, as `idev-backup devices` shows it";
                self.mistake(at, format!("{full} is no phone"), Some(hint.to_owned()));
                continue;
            };
            let is_same =
                |other: &Udid| *other != udid && other.as_str().eq_ignore_ascii_case(udid.as_str());
            if self.config.phones.keys().any(is_same) {
                let hint = Some("leave one of them: capitals make no other phone".to_owned());
                self.mistake(at, format!("{full} stands here twice"), hint);
                continue;
            }
            for (name, rules) in of_phone {
                match (name.get_ref().as_ref(), rules.get_ref()) {
                    ("retention", DeValue::Table(rules)) => self.rules(&udid, rules),
                    (other, _) => {
                        let hint = "a phone can have rules of its own: [phone.UDID.retention]";
                        let text = format!("there is no key \"{full}.{other}\"");
                        self.mistake(name.span().start, text, Some(hint.to_owned()));
                    }
                }
            }
        }
    }

    fn rules(&mut self, udid: &Udid, rules: &DeTable<'_>) {
        for (name, value) in rules {
            let at = name.span().start;
            let full = format!("retention.{}", name.get_ref());
            let Some(key) = KEYS.iter().find(|key| key.name == full) else {
                self.unknown(at, &full, "retention");
                continue;
            };
            match typed(key.form, value) {
                Ok(text) => {
                    let of_phone = self.config.phones.entry(udid.clone()).or_default();
                    of_phone.insert(key.name, text);
                }
                Err(why) => {
                    let text = format!("phone.{udid}.{full}: {why}");
                    self.mistake(at, text, Some(key.help.to_owned()));
                }
            }
        }
    }

    fn unknown(&mut self, at: usize, full: &str, section: &str) {
        let names = KEYS.iter().map(|key| key.name);
        let sections = KEYS
            .iter()
            .filter_map(|key| Some(key.name.split_once('.')?.0));
        let meant = full.replace('_', "-");
        let leaf = meant.rsplit('.').next().unwrap_or(&meant);
        // A key in the wrong section counts as near as one with a typo in the right section.
        let near = |name: &str| {
            let same_leaf = name.rsplit('.').next() == Some(leaf);
            let distance = strsim::damerau_levenshtein(name, &meant);
            if same_leaf { distance.min(1) } else { distance }
        };
        let nearest = names
            .chain(sections)
            .map(|name| (near(name), name))
            .filter(|(distance, name)| *distance <= name.len().div_ceil(3))
            .min();
        let hint = nearest.map(|(_, name)| match name.rsplit_once('.') {
            Some((of, leaf)) if of == section => format!("did you mean {leaf:?}?"),
            Some((of, leaf)) => format!("did you mean {leaf:?} in [{of}]?"),
            None if KEYS.iter().any(|key| key.name == name) => format!("did you mean {name:?}?"),
            None => format!("did you mean [{name}]?"),
        });
        let hint = hint.or(Some("`idev-backup config show` lists all keys".to_owned()));
        self.mistake(at, format!("there is no key {full:?}"), hint);
    }

    fn mistake(&mut self, at: usize, text: String, hint: Option<String>) {
        let before = self.text.get(..at).unwrap_or(self.text);
        self.mistakes.push(Mistake {
            line: before.matches('\n').count() + 1,
            text,
            hint,
        });
    }
}

/// Returns a value as a user would type it for the flag.
fn typed(form: Form, value: &Spanned<DeValue<'_>>) -> Result<String, String> {
    let value = value.get_ref();
    let kind = value.type_str();
    let text = || value.as_str().ok_or(kind);
    match form {
        Form::Text => match text() {
            Ok("") => Err("it is empty".to_owned()),
            Ok(text) => Ok(text.to_owned()),
            Err(kind) => Err(format!("expected a text in quotes, found {kind}")),
        },
        // A relative path would mean a different place in each folder, and cron runs in none of
        // them.
        Form::Place => match text() {
            Ok("") => Err("it is empty".to_owned()),
            Ok(text) => match crate::cli::args::store::path(text.into()) {
                Ok(path) if path.is_absolute() => Ok(path.display().to_string()),
                _ => Err(
                    "expected a whole path, from the root on, or one that begins with `~/`"
                        .to_owned(),
                ),
            },
            Err(kind) => Err(format!("expected a path in quotes, found {kind}")),
        },
        Form::Flag => match value.as_bool() {
            Some(flag) => Ok(flag.to_string()),
            None => Err(format!("expected true or false, found {kind}")),
        },
        Form::Number(min, max) => {
            let number = value.as_integer();
            let number = number.and_then(|n| i64::from_str_radix(n.as_str(), n.radix()).ok());
            match number {
                Some(n) if (min..=max).contains(&n) => Ok(n.to_string()),
                _ => Err(format!("expected a whole number from {min} to {max}")),
            }
        }
        Form::Span => {
            let text = text().map_err(|_| "expected a span of time in quotes: \"20h\"")?;
            parse_span(text).map(|_| text.to_owned())
        }
        Form::Hours => {
            let text = text().map_err(|_| "expected hours in quotes: \"23:00-07:00\"")?;
            text.parse::<Hours>().map(|_| text.to_owned())
        }
        Form::Within => {
            let text = text().map_err(|_| "expected a stretch of time in quotes: \"30d\"")?;
            text.parse::<Within>().map(|_| text.to_owned())
        }
        Form::Phone => {
            let text = text().map_err(|_| "expected a phone's UDID or name in quotes")?;
            crate::cli::args::device::phone_text(text)
        }
        Form::Level => match text() {
            Ok(text) if ["error", "warning", "info"].contains(&text) => Ok(text.to_owned()),
            _ => Err("expected \"error\", \"warning\" or \"info\"".to_owned()),
        },
        Form::Way => match text() {
            Ok(text) if ["usbmuxd", "usb"].contains(&text) => Ok(text.to_owned()),
            _ => Err("expected \"usbmuxd\" or \"usb\"".to_owned()),
        },
    }
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

/// Reports mistakes and returns the exit code.
pub fn tell_mistakes(path: &Path, mistakes: &[Mistake]) -> u8 {
    for mistake in mistakes {
        output::tell(&format!(
            "error: config file {}{}: {}",
            path.display(),
            at(mistake),
            mistake.text
        ));
        if let Some(hint) = &mistake.hint {
            output::tell(&format!("  hint: {hint}"));
        }
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
            ("stroe = 'x'", 1, "no key \"stroe\"", "\"store\""),
            (
                "\n[create]\nful = true\n",
                3,
                "no key \"create.ful\"",
                "\"full\"",
            ),
            ("[creat]\nfull = true", 1, "no key \"creat\"", "[create]"),
            (
                "keep-last = 3",
                1,
                "no key \"keep-last\"",
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
                "begin",
            ),
            ("[create]\nfull = 1", 2, "true or false", "everything"),
            ("create = 3", 1, "is a section", "[create]"),
            ("store = ''", 1, "empty", "folder"),
            ("a = \n", 1, "not TOML", ""),
            ("store = 'a'\nstore = 'b'", 2, "not TOML", ""),
            ("[retention]\n\nkeep-within = '30x'", 3, "30x", "younger"),
            ("device = ' '", 1, "UDID or name", "phone"),
            ("device = 7", 1, "in quotes", "phone"),
            ("keep_last = 3", 1, "no key", "\"keep-last\" in [retention]"),
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
            };
            text += &format!("{leaf} = {value}\n");
        }
        assert_eq!(Config::parse(&text).unwrap().values.len(), KEYS.len());
    }

    #[test]
    fn guide_shows_exactly_the_config_keys() {
        let guide = include_str!("../../../docs/guide.md");
        let root = if cfg!(windows) { "\"C:/" } else { "\"/" };
        let blocks = guide.split("```toml\n").skip(1);
        let texts = blocks.map(|b| b.split("```").next().unwrap().replace("\"/", root));
        let keys = texts.map(|text| Config::parse(&text).unwrap().values.len());
        assert_eq!(keys.max(), Some(KEYS.len()));
    }
}
