//! Reads the words before the cursor: the store, the backup and the phone.

use clap::{ArgMatches, Command};
use idev_backup::store::Store;

use crate::cli::args::config::{self, Config};
use crate::cli::args::folders::home;
use crate::cli::args::store::path;

/// Meaning of the words before the cursor.
#[derive(Debug, Default)]
pub struct Context {
    /// The store, if it can be opened.
    pub store: Option<Store>,
    /// The word in the place of the backup.
    pub backup: Option<String>,
    /// The phone of the backup.
    pub phone: Option<String>,
}

impl Context {
    /// Reads the words before the cursor, the variables and the config file.
    pub fn of(command: &Command, before: &[String]) -> Context {
        let parse = |config: &Config| {
            let command = config.apply(command.clone()).ignore_errors(true);
            command.try_get_matches_from(before).ok()
        };
        let Some(matches) = parse(&Config::default()) else {
            return Context::default();
        };
        let named = value(&matches, "config").and_then(|text| path(text.into()).ok());
        let file = config::place(named.as_deref());
        let config = file.and_then(|(path, is_named)| Config::read(&path, is_named).ok());
        let matches = config.and_then(|config| parse(&config)).unwrap_or(matches);
        let store = match value(&matches, "store") {
            Some(text) => path(text.into()).ok(),
            None => home().ok().map(|(data, _)| data.join("idev-backup")),
        };
        Context {
            store: store.and_then(|store| Store::open(&store).ok()),
            backup: value(&matches, "backup"),
            phone: value(&matches, "device"),
        }
    }
}

/// Returns the value of an option or argument in the innermost command that has it.
fn value(matches: &ArgMatches, id: &str) -> Option<String> {
    let below = matches.subcommand();
    let inner = below.and_then(|(_, matches)| value(matches, id));
    inner.or_else(|| {
        let raw = matches.try_get_raw(id).ok()??.next()?;
        Some(raw.to_string_lossy().into_owned())
    })
}
