//! The answers of `setup`, and what they change in the config file.

use std::fmt;
use std::path::{Path, PathBuf};

use idev_backup::automation::schedule;

use super::copies::Copies;
use crate::cli::args::config::{Config, Mistake, set, unset};

/// Number of older backups that are kept if the user does not say otherwise.
const KEEP_LAST: u32 = 3;
/// Time of the daily backup if the user does not say otherwise: most people are at home and awake,
/// and can enter the passcode.
const DAILY: schedule::When = schedule::When::Daily {
    hour: 21,
    minute: 30,
};
/// Age of a backup that is reported, if the config file has none.
const OVERDUE_AFTER: &str = "7d";

/// The times of backups; `None` if only the user starts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct When(pub Option<schedule::When>);

impl When {
    /// Parses an answer: "21:30", "Sun 21:30", "every 6h", "plugged" or "never".
    pub fn parse(text: &str) -> Result<When, String> {
        let text = text.trim();
        let is_time = text.contains(':');
        let schedule = match text.to_ascii_lowercase().as_str() {
            "never" | "no" | "none" => return Ok(When(None)),
            "plugged" | "plugged in" | "always" | "watch" => "always".to_owned(),
            _ if is_time && text.contains(' ') => format!("weekly {text}"),
            _ if is_time => format!("daily {text}"),
            _ if text.starts_with("every ") => text.to_owned(),
            _ if text.starts_with(|c: char| c.is_ascii_digit()) => format!("every {text}"),
            _ => {
                return Err(format!(
                    "expected 21:30, Sun 21:30, every 6h, plugged or never, and got {text:?}"
                ));
            }
        };
        schedule.parse().map(|when| When(Some(when)))
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(when) = self.0 else {
            return f.write_str("never");
        };
        let text = when.to_string();
        match text.strip_prefix("daily ").or(text.strip_prefix("weekly ")) {
            Some(time) => f.write_str(time),
            None if when == schedule::When::Always => f.write_str("plugged"),
            None => f.write_str(&text),
        }
    }
}

/// The way in which the user hears of problems.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notify {
    /// The program shows desktop notifications.
    Desktop,
    /// The output of commands is enough.
    Nothing,
    /// A command that runs if a backup failed or is overdue.
    Command(String),
}

impl Notify {
    /// Parses an answer: "desktop", "none", or a command.
    pub fn parse(text: &str) -> Result<Notify, String> {
        match text.trim() {
            "" => Err("write desktop, none, or a command".to_owned()),
            "desktop" => Ok(Notify::Desktop),
            "none" | "no" | "never" => Ok(Notify::Nothing),
            command => Ok(Notify::Command(command.to_owned())),
        }
    }

    /// Returns what the config file says; `None` if it says nothing.
    fn of(config: &Config) -> Option<Notify> {
        let value = |key| config.values.get(key);
        let command = value("hooks.on-failure").or(value("hooks.on-overdue"));
        if let Some(command) = command {
            return Some(Notify::Command(command.clone()));
        }
        Some(match value("hooks.notify")?.as_str() {
            "true" => Notify::Desktop,
            _ => Notify::Nothing,
        })
    }
}

impl fmt::Display for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Notify::Desktop => "desktop",
            Notify::Nothing => "none",
            Notify::Command(command) => command,
        })
    }
}

/// The answers to all questions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answers {
    /// The folder of the store.
    pub store: PathBuf,
    /// Number of older backups to keep.
    pub keep_last: u32,
    /// The times of backups.
    pub when: When,
    /// The way in which the user hears of problems.
    pub notify: Notify,
    /// The copies elsewhere.
    pub copies: Copies,
}

/// Facts that `setup` knows before it asks.
pub struct Known<'a> {
    /// The config file.
    pub config: &'a Config,
    /// The path of the config file.
    pub path: &'a Path,
    /// The store that is used now.
    pub store: PathBuf,
    /// The times at which a scheduled job makes backups now.
    pub job: Option<schedule::When>,
    /// True if other jobs make backups.
    pub has_other_jobs: bool,
    /// True if the computer has a desktop for notifications.
    pub has_desktop: bool,
}

impl Answers {
    /// Returns the present values, and defaults for those that are missing.
    pub fn present(known: Known<'_>) -> Answers {
        let Known { config, .. } = known;
        let keep_last = config.values.get("retention.keep-last");
        let has_rules = config
            .values
            .keys()
            .any(|key| key.starts_with("retention."));
        let keep_default = if has_rules { 0 } else { KEEP_LAST };
        let when_default = (!known.has_other_jobs).then_some(DAILY);
        let notify_default = if known.has_desktop {
            Notify::Desktop
        } else {
            Notify::Nothing
        };
        Answers {
            store: known.store,
            keep_last: keep_last.map_or(keep_default, |n| n.parse().unwrap_or(keep_default)),
            when: When(known.job.or(when_default)),
            notify: Notify::of(config).unwrap_or(notify_default),
            copies: Copies::of(config, known.path),
        }
    }

    /// Returns the keys of the config file that these answers change, each with its new value;
    /// `None` removes the key.
    pub fn changes(&self, config: &Config) -> Vec<(&'static str, Option<String>)> {
        let value = |key: &str| config.values.get(key);
        let mut changes: Vec<(&'static str, Option<String>)> = Vec::new();
        let mut set = |key: &'static str, wanted: String| {
            if value(key) != Some(&wanted) {
                changes.push((key, Some(wanted)));
            }
        };
        set("store", self.store.display().to_string());
        set("retention.keep-last", self.keep_last.to_string());
        let present = Notify::of(config);
        if present.as_ref() != Some(&self.notify) {
            match &self.notify {
                Notify::Desktop => set("hooks.notify", "true".to_owned()),
                Notify::Nothing => set("hooks.notify", "false".to_owned()),
                Notify::Command(command) => {
                    set("hooks.on-failure", command.clone());
                    set("hooks.on-overdue", command.clone());
                }
            }
        }
        for (key, wanted) in self.copies.changes(config) {
            set(key, wanted);
        }
        if self.notify != Notify::Nothing && value("overdue-after").is_none() {
            set("overdue-after", OVERDUE_AFTER.to_owned());
        }
        if let (Some(Notify::Command(former)), false) =
            (&present, matches!(self.notify, Notify::Command(_)))
        {
            for key in ["hooks.on-failure", "hooks.on-overdue"] {
                if value(key) == Some(former) {
                    changes.push((key, None));
                }
            }
        }
        changes
    }
}

/// Applies changes to the text of a config file.
pub fn applied(
    text: &str,
    changes: &[(&'static str, Option<String>)],
) -> Result<String, Vec<Mistake>> {
    let mut text = text.to_owned();
    for (key, value) in changes {
        text = match value {
            Some(value) => set(&text, key, value)?,
            None => unset(&text, key)?.unwrap_or(text),
        };
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::config::template;

    #[test]
    fn times_are_read_and_shown() {
        for (text, shown) in [
            ("21:30", "21:30"),
            ("9:05", "09:05"),
            ("sunday 21:30", "Sun 21:30"),
            ("6h", "every 6h"),
            ("every 30m", "every 30m"),
            ("plugged", "plugged"),
            ("Never", "never"),
        ] {
            let when = When::parse(text).unwrap();
            assert_eq!(when.to_string(), shown);
            assert_eq!(When::parse(shown), Ok(when));
        }
        for text in ["", "25:00", "Sonntag 21:30", "every 7h", "soon"] {
            assert!(When::parse(text).is_err(), "{text}");
        }
    }

    fn known(config: &Config) -> Known<'_> {
        Known {
            config,
            path: Path::new("/etc/config.toml"),
            store: "/srv/backups".into(),
            job: None,
            has_other_jobs: false,
            has_desktop: true,
        }
    }

    #[test]
    fn answers_change_only_what_differs() {
        let answers = Answers::present(known(&Config::default()));
        assert_eq!((answers.keep_last, answers.when), (3, When(Some(DAILY))));
        let root = if cfg!(windows) { "C:/" } else { "/" };
        let answers = Answers {
            store: format!("{root}srv/backups").into(),
            ..answers
        };
        let text = applied(&template(), &answers.changes(&Config::default())).unwrap();
        let config = Config::parse(&text).unwrap();
        let keys: Vec<&str> = config.values.keys().copied().collect();
        let expected = [
            "hooks.notify",
            "overdue-after",
            "retention.keep-last",
            "store",
        ];
        assert_eq!(keys, expected, "{text}");
        // Once more with the same answers, nothing changes.
        let again = Answers {
            store: answers.store.clone(),
            ..Answers::present(known(&config))
        };
        assert_eq!(again, answers);
        assert_eq!(again.changes(&config), []);
    }

    #[test]
    fn copies_name_a_password_once() {
        let config = Config::default();
        let mut answers = Answers::present(known(&config));
        assert_eq!(answers.copies.place, None);
        assert_eq!(answers.copies.changes(&config), []);
        answers.copies.place = Some("sftp:me@nas:/srv".to_owned());
        let keys = |config: &Config, answers: &Answers| -> Vec<&str> {
            let changes = answers.copies.changes(config);
            changes.iter().map(|(key, _)| *key).collect()
        };
        let file = "repository.password-file";
        let pushed = ["repository.location", "repository.push"];
        assert_eq!(keys(&config, &answers), [&pushed[..], &[file]].concat());
        // A command gives the password, so that none is asked for and no file names one.
        let config = Config::parse("[repository]\npassword-command = 'pass x'\n").unwrap();
        let place = answers.copies.place.take();
        answers.copies = Copies {
            place,
            ..Answers::present(known(&config)).copies
        };
        assert_eq!(answers.copies.password_file, None);
        assert_eq!(keys(&config, &answers), pushed);
        let text = "[repository]\nlocation = 'sftp:me@nas:/srv'\npush = true\n";
        let config = Config::parse(text).unwrap();
        assert_eq!(
            Answers::present(known(&config)).copies.place,
            answers.copies.place
        );
        assert_eq!(keys(&config, &answers), [""; 0]);
        answers.copies.place = None;
        assert_eq!(keys(&config, &answers), ["repository.push"]);
    }

    #[test]
    fn present_values_become_defaults() {
        let text = "[retention]\nkeep-daily = 7\n[hooks]\non-failure = 'mail me'\n\
            on-overdue = 'call me'\nnotify = true\n";
        let config = Config::parse(text).unwrap();
        let answers = Answers::present(known(&config));
        assert_eq!(answers.keep_last, 0);
        assert_eq!(answers.notify, Notify::Command("mail me".to_owned()));
        let quiet = Answers {
            notify: Notify::Nothing,
            ..answers.clone()
        };
        let changes = quiet.changes(&config);
        assert!(changes.contains(&("hooks.notify", Some("false".to_owned()))));
        assert!(changes.contains(&("hooks.on-failure", None)));
        // The user wrote another command there.
        assert!(!changes.iter().any(|(key, _)| *key == "hooks.on-overdue"));
        let same = answers.changes(&config);
        assert!(
            !same.iter().any(|(key, _)| key.starts_with("hooks.")),
            "{same:?}"
        );
    }
}
