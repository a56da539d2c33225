//! Reads the values of a config file, and finds every mistake.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use idev_backup::automation::conditions::Hours;
use idev_backup::base::udid::Udid;
use idev_backup::base::units::parse_span;
use idev_backup::store::retention::Within;
use idev_backup::transport::network::Address;
use serde::Serialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::cli::args::value_parsers;

use super::keys::{self, Form, KEYS};

/// A mistake in a config file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mistake {
    /// Line number, counted from 1; 0 stands for the file as a whole.
    pub(crate) line: usize,
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
}

/// The text of a config file, and what was read of it.
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
            match (value.get_ref(), keys::find(&full)) {
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
                self.mistake(at, format!("{full} is not a phone"), Some(hint.to_owned()));
                continue;
            };
            let is_same =
                |other: &Udid| *other != udid && other.as_str().eq_ignore_ascii_case(udid.as_str());
            if self.config.phones.keys().any(is_same) {
                let hint = Some(
                    "remove one of them: upper and lower case do not matter in a UDID".to_owned(),
                );
                self.mistake(at, format!("{full} appears twice"), hint);
                continue;
            }
            for (name, rules) in of_phone {
                match (name.get_ref().as_ref(), rules.get_ref()) {
                    ("retention", DeValue::Table(rules)) => self.rules(&udid, rules),
                    (other, _) => {
                        let hint = "a phone can only have retention rules: [phone.UDID.retention]";
                        let text = format!("unknown key \"{full}.{other}\"");
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
        self.mistake(at, format!("unknown key {full:?}"), hint);
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

/// Returns the items of a list, with commas between them.
fn items(
    value: &DeValue<'_>,
    expected: &str,
    parse: impl Fn(&str) -> Result<String, String>,
) -> Result<String, String> {
    let wrong = || format!("expected a list of {expected}");
    let list = value.as_array().ok_or_else(wrong)?;
    let items = list.iter().map(|item| {
        let text = item.get_ref().as_str();
        parse(text.ok_or_else(wrong)?)
    });
    Ok(items.collect::<Result<Vec<_>, _>>()?.join(","))
}

/// Returns a value as a user would type it for the flag.
fn typed(form: Form, value: &Spanned<DeValue<'_>>) -> Result<String, String> {
    let value = value.get_ref();
    let kind = value.type_str();
    let text = || value.as_str().ok_or(kind);
    match form {
        Form::Text => match text() {
            Ok("") => Err("the value is empty".to_owned()),
            Ok(text) => Ok(text.to_owned()),
            Err(kind) => Err(format!("expected text in quotes, found {kind}")),
        },
        // A relative path would mean a different place in each folder, and cron runs in none of
        // them.
        Form::Place => match text() {
            Ok("") => Err("the value is empty".to_owned()),
            Ok(text) => match crate::cli::args::store::path(text.into()) {
                Ok(path) if path.is_absolute() => Ok(path.display().to_string()),
                _ => Err("expected an absolute path, or one that begins with `~/`".to_owned()),
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
            let text = text().map_err(|_| "expected a duration in quotes: \"20h\"")?;
            parse_span(text).map(|_| text.to_owned())
        }
        Form::Patience => {
            let text = match value.as_integer() {
                Some(n) => i64::from_str_radix(n.as_str(), n.radix())
                    .map_err(|_| "expected a duration in quotes: \"31m\"")?
                    .to_string(),
                None => (text().map_err(|_| "expected a duration in quotes: \"31m\"")?).to_owned(),
            };
            value_parsers::patience(&text).map(|_| text)
        }
        Form::Hours => {
            let text = text().map_err(|_| "expected hours in quotes: \"23:00-07:00\"")?;
            text.parse::<Hours>().map(|_| text.to_owned())
        }
        Form::Within => {
            let text = text().map_err(|_| "expected a duration in quotes: \"30d\"")?;
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
        Form::Socket => match text()?.parse::<SocketAddr>() {
            Ok(address) => Ok(address.to_string()),
            Err(_) => Err("expected an address with its port: \"0.0.0.0:8443\"".to_owned()),
        },
        Form::Topics => items(value, "topics: [\"encryption\"]", value_parsers::topic),
        Form::Computers => items(value, "addresses: [\"127.0.0.1\"]", |text| {
            let address = text.parse::<IpAddr>();
            let address = address.map_err(|_| format!("{text:?} is not an address"))?;
            Ok(address.to_string())
        }),
        Form::Hosts => items(
            value,
            "names: [\"backups.example.org\"]",
            value_parsers::host_name,
        ),
        Form::Way => match text() {
            Ok(text) if ["usbmuxd", "usb", "network"].contains(&text) => Ok(text.to_owned()),
            _ => Err("expected \"usbmuxd\", \"usb\" or \"network\"".to_owned()),
        },
        Form::Address => match text()?.parse::<Address>() {
            Ok(address) => Ok(address.to_string()),
            Err(why) => Err(format!("{why}: \"192.168.1.20\", \"iphone.local:62078\"")),
        },
    }
}
