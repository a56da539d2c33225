//! Completes the commands that messages suggest: repeats `--store` and `--config` if the user typed
//! them, so that a command works as it is printed.

use std::borrow::Cow;
use std::sync::OnceLock;

/// Start of a command in a message. A backtick ends it.
const COMMAND: &str = "`idev-backup ";

/// The options that the user typed.
#[derive(Debug, Default)]
pub struct Typed {
    /// The value of `--store`.
    pub store: Option<String>,
    /// The value of `--config`.
    pub config: Option<String>,
    /// The commands that take `--store`, such as "list" and "encryption status".
    pub with_store: Vec<String>,
}

static TYPED: OnceLock<Typed> = OnceLock::new();

/// Records the options. Only the first call has an effect.
pub fn note(typed: Typed) {
    TYPED.get_or_init(|| typed);
}

/// Completes the commands in a text for people.
pub fn in_text(text: &str) -> Cow<'_, str> {
    match TYPED.get() {
        Some(typed) => completed(text, typed, &str::to_owned),
        None => text.into(),
    }
}

/// Completes the commands in a hint about one of several phones: adds `-d PHONE`, or names its
/// backup, where the command does not do so yet.
pub fn for_phone(text: &str, phone: &str) -> String {
    let phone = quoted(phone);
    map_commands(text, &|words: &str| {
        let takes_device = FOR_DEVICE.iter().any(|command| begins(words, command));
        let names_one = ["-d", "--device", "--all"]
            .iter()
            .any(|option| has(words, option));
        if takes_device && !names_one {
            return format!("{words} -d {phone}");
        }
        if has(words, "latest") {
            let named = words.split(' ').map(|word| match word {
                "latest" => phone.as_str(),
                word => word,
            });
            return named.collect::<Vec<_>>().join(" ");
        }
        let is_bare = begins(words, "verify") && words.split(' ').skip(1).all(is_option);
        if is_bare {
            return format!("{words} {phone}");
        }
        words.to_owned()
    })
}

/// Commands that take `--device`, as far as messages suggest them.
const FOR_DEVICE: [&str; 9] = [
    "create",
    "doctor",
    "pair",
    "unpair",
    "encryption on",
    "encryption off",
    "encryption change",
    "encryption status",
    "restore",
];

fn is_option(word: &str) -> bool {
    word.starts_with('-')
}

/// Completes the commands in JSON.
pub fn in_json(text: &str) -> Cow<'_, str> {
    let escaped = |words: &str| {
        let json = serde_json::Value::from(words).to_string();
        json[1..json.len() - 1].to_owned()
    };
    match TYPED.get() {
        Some(typed) => completed(text, typed, &escaped),
        None => text.into(),
    }
}

fn completed<'a>(text: &'a str, typed: &Typed, escaped: &dyn Fn(&str) -> String) -> Cow<'a, str> {
    let is_any = typed.store.is_some() || typed.config.is_some();
    if !is_any || !text.contains(COMMAND) {
        return text.into();
    }
    let complete = |words: &str| format!("{words}{}", escaped(&added(words, typed)));
    map_commands(text, &complete).into()
}

/// Replaces the words of each command in a text, without the name of the program.
fn map_commands(text: &str, change: &dyn Fn(&str) -> String) -> String {
    let mut parts = text.split(COMMAND);
    let mut all = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        all.push_str(COMMAND);
        match part.split_once('`') {
            Some((words, rest)) => {
                all.push_str(&change(words));
                all.push('`');
                all.push_str(rest);
            }
            None => all.push_str(part),
        }
    }
    all
}

fn begins(words: &str, command: &str) -> bool {
    let rest = words.strip_prefix(command);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

fn has(words: &str, option: &str) -> bool {
    words.split(' ').any(|word| word == option)
}

/// Returns the options that a command lacks, with a space before each.
fn added(words: &str, typed: &Typed) -> String {
    let begins = |command: &str| begins(words, command);
    let has = |option: &str| has(words, option);
    let option = |name: &str, value: &Option<String>| match value {
        Some(value) if !has(name) => format!(" {name} {}", quoted(value)),
        _ => String::new(),
    };
    let (store, config) = (
        option("--store", &typed.store),
        option("--config", &typed.config),
    );
    let takes_store = typed.with_store.iter().any(|command| begins(command));
    if begins("schedule add") {
        // The options of the job are those behind `--`.
        return match (has("--"), store.is_empty()) {
            (_, true) => config,
            (true, false) => store,
            (false, false) => format!("{config} --{store}"),
        };
    }
    if takes_store {
        return config + &store;
    }
    if ["config", "schedule", "setup"]
        .iter()
        .any(|command| begins(command))
    {
        return config;
    }
    String::new()
}

/// Returns a word as a shell takes it.
pub fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+,:@%=~".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    // Names of phones have an apostrophe more often than characters that double quotes keep
    // special.
    let is_simple = !word.contains(['"', '$', '`', '\\', '!']);
    if cfg!(windows) || word.contains('\'') && is_simple {
        return format!("\"{word}\"");
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(store: Option<&str>, config: Option<&str>) -> Typed {
        Typed {
            store: store.map(str::to_owned),
            config: config.map(str::to_owned),
            with_store: vec!["list".to_owned(), "encryption status".to_owned()],
        }
    }

    #[test]
    fn typed_store_is_repeated() {
        let typed = typed(Some("/srv/my backups"), None);
        for (text, expected) in [
            (
                "`idev-backup list` shows",
                "`idev-backup list --store '/srv/my backups'` shows",
            ),
            (
                "`idev-backup encryption status`, `idev-backup list --wide`",
                "`idev-backup encryption status --store '/srv/my backups'`, \
                    `idev-backup list --wide --store '/srv/my backups'`",
            ),
            (
                "`idev-backup list --store X`",
                "`idev-backup list --store X`",
            ),
            ("`idev-backup listen`", "`idev-backup listen`"),
            ("`idev-backup demo`", "`idev-backup demo`"),
            ("`idev-backup list", "`idev-backup list"),
            (
                "`idev-backup schedule add --daily 22:00`",
                "`idev-backup schedule add --daily 22:00 -- --store '/srv/my backups'`",
            ),
            (
                "`idev-backup schedule add --daily 22:00 -- --all`",
                "`idev-backup schedule add --daily 22:00 -- --all --store '/srv/my backups'`",
            ),
        ] {
            let expected = if cfg!(windows) {
                expected.replace('\'', "\"")
            } else {
                expected.to_owned()
            };
            assert_eq!(completed(text, &typed, &str::to_owned), expected);
        }
    }

    #[test]
    #[cfg(not(windows))]
    fn commands_name_the_phone() {
        for (text, expected) in [
            (
                "run `idev-backup create`",
                "run `idev-backup create -d 'Kitchen iPad'`",
            ),
            (
                "`idev-backup create --full -d X`",
                "`idev-backup create --full -d X`",
            ),
            (
                "`idev-backup encryption on`, `idev-backup encryption check latest`",
                "`idev-backup encryption on -d 'Kitchen iPad'`, \
                    `idev-backup encryption check 'Kitchen iPad'`",
            ),
            (
                "`idev-backup verify --repair`",
                "`idev-backup verify --repair 'Kitchen iPad'`",
            ),
            (
                "`idev-backup verify --repair \"/x\"`",
                "`idev-backup verify --repair \"/x\"`",
            ),
            ("`idev-backup list`", "`idev-backup list`"),
        ] {
            assert_eq!(for_phone(text, "Kitchen iPad"), expected);
        }
    }

    #[test]
    #[cfg(not(windows))]
    fn words_are_quoted_for_the_shell() {
        for (word, quoted_word) in [
            ("Mira", "Mira"),
            ("", "''"),
            ("Kitchen iPad", "'Kitchen iPad'"),
            ("Mira's iPhone", "\"Mira's iPhone\""),
            ("a'b $c", "'a'\\''b $c'"),
        ] {
            assert_eq!(quoted(word), quoted_word);
        }
    }

    #[test]
    fn typed_config_is_repeated() {
        let typed = typed(None, Some("a.toml"));
        for (text, expected) in [
            ("`idev-backup list`", "`idev-backup list --config a.toml`"),
            (
                "`idev-backup config show`",
                "`idev-backup config show --config a.toml`",
            ),
            ("`idev-backup man`", "`idev-backup man`"),
        ] {
            assert_eq!(completed(text, &typed, &str::to_owned), expected);
        }
    }
}
