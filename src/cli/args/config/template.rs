//! The commented config file that names every key.

use super::keys::KEYS;

/// Longest line of a comment.
const COLUMNS: usize = 96;

/// Explanations of the sections.
const SECTIONS: &[(&str, &str)] = &[
    ("create", "How a backup is made."),
    (
        "retention",
        "Older backups that are kept. The rules add up: `create` drops the snapshots that none of \
        them keeps. Without any rule, the 3 newest stay.",
    ),
    (
        "conditions",
        "When a backup may start, and how long it waits.",
    ),
    (
        "hooks",
        "How you are notified. A command gets a JSON object on its standard input.",
    ),
    ("watch", "For `idev-backup watch`."),
    (
        "doctor",
        "Findings of `idev-backup doctor` that you accept. It counts them, and they do not change \
        its exit code.",
    ),
    (
        "repository",
        "Copies elsewhere, for `idev-backup repository`. Logins of storages belong into the \
        variables that restic reads.",
    ),
    (
        "serve",
        "The pages of `idev-backup serve`. The password is set by `idev-backup serve --set-password`.",
    ),
    ("log", "A log for unattended jobs."),
];

/// The value of each key in TOML: its default, or an example if it has no default.
const EXAMPLES: &[(&str, &str)] = &[
    ("store", "\"~/Backups\""),
    ("device", "\"Mira's iPhone\""),
    ("transport", "\"usb\""),
    ("address", "\"192.168.1.20\""),
    ("overdue-after", "\"7d\""),
    ("create.full", "false"),
    ("create.no-apps", "false"),
    ("create.read-again", "false"),
    ("create.patience", "\"31m\""),
    ("create.may-sleep", "false"),
    ("retention.keep-last", "3"),
    ("retention.keep-daily", "7"),
    ("retention.keep-weekly", "4"),
    ("retention.keep-monthly", "12"),
    ("retention.keep-yearly", "2"),
    ("retention.keep-within", "\"30d\""),
    ("conditions.if-older-than", "\"20h\""),
    ("conditions.if-charging", "false"),
    ("conditions.min-battery", "30"),
    ("conditions.quiet-hours", "\"23:00-07:00\""),
    ("conditions.if-present", "false"),
    ("conditions.wait-for-device", "\"0s\""),
    ("conditions.retry", "0"),
    ("conditions.retry-wait", "\"5m\""),
    ("conditions.passcode-wait", "\"10m\""),
    ("conditions.remind-every", "\"3m\""),
    ("hooks.on-start", "\"/usr/local/bin/on-start\""),
    (
        "hooks.on-waiting-for-passcode",
        "\"/usr/local/bin/ask-for-passcode\"",
    ),
    ("hooks.on-success", "\"/usr/local/bin/on-success\""),
    ("hooks.on-failure", "\"/usr/local/bin/on-failure\""),
    ("hooks.on-overdue", "\"/usr/local/bin/on-overdue\""),
    (
        "hooks.on-push-failure",
        "\"/usr/local/bin/on-push-failure\"",
    ),
    ("hooks.time-limit", "\"60s\""),
    ("hooks.notify", "false"),
    ("watch.due-after", "\"20h\""),
    ("doctor.ignore", "[\"encryption\"]"),
    ("repository.location", "\"sftp:me@nas:/srv/phones\""),
    (
        "repository.password-file",
        "\"~/.config/idev-backup/repository-password\"",
    ),
    ("repository.password-command", "\"pass show phones\""),
    ("repository.password-keyring", "\"repository\""),
    ("repository.restic", "\"restic\""),
    ("repository.limit-upload", "2048"),
    ("repository.limit-download", "8192"),
    ("repository.patience", "\"31m\""),
    ("repository.read-back", "30"),
    ("repository.push", "false"),
    ("repository.push-if", "\"/usr/local/bin/is-unmetered\""),
    ("repository.quiet-hours", "\"08:00-18:00\""),
    ("repository.retry", "5"),
    ("repository.retry-wait", "\"1m\""),
    ("repository.overdue-after", "\"7d\""),
    ("serve.listen", "\"127.0.0.1:8300\""),
    (
        "serve.certificate",
        "\"~/.config/idev-backup/fullchain.pem\"",
    ),
    ("serve.key", "\"~/.config/idev-backup/privkey.pem\""),
    ("serve.behind-proxy", "[\"127.0.0.1\"]"),
    ("serve.hostname", "[\"backups.example.org\"]"),
    (
        "serve.password-hash",
        "\"~/.config/idev-backup/serve-password\"",
    ),
    ("serve.read-only", "false"),
    ("log.file", "\"~/idev-backup.log\""),
    ("log.level", "\"info\""),
];

/// Returns the value that the template shows for a key.
pub(crate) fn example(key: &str) -> &'static str {
    let found = EXAMPLES.iter().find(|(name, _)| *name == key);
    found.map_or("", |(_, value)| value)
}

/// Returns the text of a config file in which every key is a comment.
pub(crate) fn template() -> String {
    let mut text = String::new();
    comment(
        &mut text,
        "Settings of idev-backup. A key that begins with # has no effect: remove the # to set it. \
        The values shown are the defaults, or examples for keys without a default.",
    );
    comment(
        &mut text,
        "`idev-backup config show` prints what applies, and `idev-backup config set KEY VALUE` \
        changes one key.",
    );
    let mut present = "";
    for key in KEYS {
        let (section, name) = key.parts();
        if section != present {
            if present == "retention" {
                one_phone(&mut text);
            }
            text.push('\n');
            let about = SECTIONS.iter().find(|(name, _)| *name == section);
            comment(&mut text, about.map_or("", |(_, about)| about));
            line(&mut text, &format!("[{section}]"));
            present = section;
        } else if section.is_empty() {
            text.push('\n');
        }
        let (first, rest) = key.help.split_at(1);
        comment(&mut text, &format!("{}{rest}.", first.to_uppercase()));
        line(&mut text, &format!("#{name} = {}", example(key.name)));
    }
    text
}

fn one_phone(text: &mut String) {
    text.push('\n');
    comment(
        text,
        "Rules for one phone, which replace those above. `idev-backup devices` shows its UDID.",
    );
    line(text, "#[phone.00008130-001A2B3C4D5E6F70.retention]");
    line(text, "#keep-last = 1");
}

fn comment(text: &mut String, words: &str) {
    let mut row = String::new();
    for word in words.split_whitespace() {
        if !row.is_empty() && row.chars().count() + word.chars().count() >= COLUMNS {
            line(text, &format!("#{row}"));
            row.clear();
        }
        row.push(' ');
        row.push_str(word);
    }
    if !row.is_empty() {
        line(text, &format!("#{row}"));
    }
}

fn line(text: &mut String, words: &str) {
    text.push_str(words);
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::config::Config;

    #[test]
    fn template_sets_nothing() {
        let text = template();
        let config = Config::parse(&text).unwrap();
        assert!(config.values.is_empty() && config.phones.is_empty());
        assert!(
            text.lines().all(|line| line.chars().count() <= 100),
            "{text}"
        );
    }

    #[test]
    fn template_names_every_key() {
        let is_setting = |line: &&str| line.starts_with('#') && !line.starts_with("# ");
        let set = |line: &str| match line.strip_prefix('#') {
            Some(rest) if is_setting(&line) => format!("{rest}\n"),
            _ => format!("{line}\n"),
        };
        let text: String = template().lines().map(set).collect();
        let config = Config::parse(&text).unwrap();
        assert_eq!(config.values.len(), KEYS.len());
        assert_eq!(config.phones.len(), 1);
    }
}
