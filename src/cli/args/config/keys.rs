//! The keys of the config file.

/// Type of a key's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
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
    Address,
    /// An address with a port.
    Socket,
    /// Addresses without a port, as a list.
    Computers,
    /// Host names, as a list.
    Hosts,
    /// Topics of `doctor`, as a list.
    Topics,
    /// A duration; a number counts minutes.
    Patience,
}

pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) form: Form,
    pub(crate) help: &'static str,
}

impl Key {
    /// Returns the section and the name within it: "" and "store", "create" and "full".
    pub(crate) fn parts(&self) -> (&'static str, &'static str) {
        self.name.split_once('.').unwrap_or(("", self.name))
    }
}

const fn key(name: &'static str, form: Form, help: &'static str) -> Key {
    Key { name, form, help }
}

/// All keys. docs/guide/configuration.md has the same list.
#[rustfmt::skip]
pub(crate) const KEYS: &[Key] = &[
    key("store", Form::Place, "the store, the folder that holds all backups"),
    key("device", Form::Phone, "the phone: its UDID or name, or the beginning of either"),
    key("transport", Form::Way, "connect through usbmuxd, over usb, or over network (Wi-Fi) only"),
    key("address", Form::Address, "look for the phone over Wi-Fi at this address too"),
    key("overdue-after", Form::Span, "report a phone as overdue if its last good backup is older \
        than this"),
    key("create.full", Form::Flag, "ask the phone for a full backup each time"),
    key("create.no-apps", Form::Flag, "leave the list of applications and their icons out of \
        Info.plist"),
    key("create.read-again", Form::Flag, "read every byte of the finished backup again before \
        accepting it"),
    key("create.patience", Form::Patience, "give up if the phone sends nothing for this long"),
    key("create.may-sleep", Form::Flag, "let the computer sleep while a backup runs"),
    key("retention.keep-last", Form::Number(0, 100_000), "keep the N newest snapshots"),
    key("retention.keep-daily", Form::Number(0, 100_000), "keep the newest snapshot of each of \
        the last N days that have one"),
    key("retention.keep-weekly", Form::Number(0, 100_000), "keep the newest snapshot of each of \
        the last N weeks that have one"),
    key("retention.keep-monthly", Form::Number(0, 100_000), "keep the newest snapshot of each of \
        the last N months that have one"),
    key("retention.keep-yearly", Form::Number(0, 100_000), "keep the newest snapshot of each of \
        the last N years that have one"),
    key("retention.keep-within", Form::Within, "keep all snapshots younger than this: 30d, 6m, 2y"),
    key("conditions.if-older-than", Form::Span, "start only if the last backup is older than this"),
    key("conditions.if-charging", Form::Flag, "start only while the phone is charging"),
    key("conditions.min-battery", Form::Number(0, 100), "start only if the phone's battery is \
        charged to at least this percentage"),
    key("conditions.quiet-hours", Form::Hours, "start no backup during these hours, 23:00-07:00"),
    key("conditions.if-present", Form::Flag, "end with exit code 0 if the phone is not connected"),
    key("conditions.wait-for-device", Form::Span, "wait this long for the phone to be connected"),
    key("conditions.retry", Form::Number(0, 100), "retry a failed or interrupted backup up to N \
        times"),
    key("conditions.retry-wait", Form::Span, "wait this long before each retry"),
    key("conditions.passcode-wait", Form::Span, "wait this long for the passcode"),
    key("conditions.remind-every", Form::Span, "repeat the reminder of the passcode at this \
        interval"),
    key("hooks.on-start", Form::Text, "command to run when a backup starts"),
    key("hooks.on-waiting-for-passcode", Form::Text, "command to run when the phone waits for its \
        passcode"),
    key("hooks.on-success", Form::Text, "command to run when a backup is done"),
    key("hooks.on-failure", Form::Text, "command to run when a backup has failed"),
    key("hooks.on-overdue", Form::Text, "command to run when the last good backup is too old"),
    key("hooks.on-push-failure", Form::Text, "command to run when backups could not be pushed to \
        the repository"),
    key("hooks.time-limit", Form::Span, "kill a hook that runs longer than this"),
    key("hooks.notify", Form::Flag, "show desktop notifications"),
    key("watch.due-after", Form::Span, "back up a phone if its last backup is older than this"),
    key("doctor.ignore", Form::Topics, "topics of findings that `doctor` counts and does not show"),
    key("repository.location", Form::Text, "the repository for copies elsewhere, as restic \
        writes it"),
    key("repository.password-file", Form::Place, "file with the repository's password"),
    key("repository.password-command", Form::Text, "command that prints the repository's password"),
    key("repository.password-keyring", Form::Text, "name of the repository's password in the \
        system's credential store"),
    key("repository.restic", Form::Text, "the program restic"),
    key("repository.limit-upload", Form::Number(1, 4_000_000_000), "limit uploads to this rate in \
        KiB/s"),
    key("repository.limit-download", Form::Number(1, 4_000_000_000), "limit downloads to this rate \
        in KiB/s"),
    key("repository.patience", Form::Patience, "give up if restic shows no progress for this long"),
    key("repository.read-back", Form::Number(1, 100_000), "after a push, read back one of N parts \
        of the data"),
    key("repository.push", Form::Flag, "after each backup, push what is not in the repository yet"),
    key("repository.push-if", Form::Text, "push only if this command succeeds"),
    key("repository.quiet-hours", Form::Hours, "start no push during these hours, 08:00-18:00"),
    key("repository.retry", Form::Number(0, 100), "retry a push up to N times after a lost \
        connection"),
    key("repository.retry-wait", Form::Span, "wait this long before the first retry of a push, and \
        twice as long before each further one"),
    key("repository.overdue-after", Form::Span, "report a backup as overdue if it waits longer \
        than this for its push"),
    key("serve.listen", Form::Socket, "listen on this address"),
    key("serve.certificate", Form::Place, "speak TLS with this certificate and its chain, in PEM"),
    key("serve.key", Form::Place, "the key of the certificate, in PEM"),
    key("serve.behind-proxy", Form::Computers, "take requests only from proxies at these \
        addresses, which speak TLS to the browsers"),
    key("serve.hostname", Form::Hosts, "names by which browsers address the server"),
    key("serve.password-hash", Form::Place, "the file with the hash of the password"),
    key("serve.read-only", Form::Flag, "show the backups only: the pages have no actions"),
    key("log.file", Form::Place, "also append everything printed to stderr to this file"),
    key("log.level", Form::Level, "write only lines of this severity and above to the log: error, \
        warning or info"),
];

/// Former names of keys, which the file and the environment may still use, and their new names.
const FORMER: &[(&str, &str)] = &[("watch.overdue-after", "overdue-after")];

/// Returns the key of this name or former name.
pub(crate) fn find(name: &str) -> Option<&'static Key> {
    let renamed = FORMER.iter().find(|(former, _)| *former == name);
    let name = renamed.map_or(name, |(_, name)| name);
    KEYS.iter().find(|key| key.name == name)
}

/// Returns the names under which a file may have the key of this name: its present name first.
pub(crate) fn names(name: &str) -> Vec<&'static str> {
    let Some(key) = find(name) else {
        return Vec::new();
    };
    let former = FORMER.iter().filter(|(_, present)| *present == key.name);
    std::iter::once(key.name)
        .chain(former.map(|(former, _)| *former))
        .collect()
}

/// Returns a value as TOML, from the form in which a user types it. `name` may be a rule of one
/// phone, such as `phone.UDID.retention.keep-last`.
pub(crate) fn literal(name: &str, value: &str) -> String {
    let rule = name
        .strip_prefix("phone.")
        .and_then(|rest| rest.split_once('.'));
    let key = find(rule.map_or(name, |(_, rule)| rule));
    match key.map(|key| key.form) {
        Some(Form::Flag) if ["true", "false"].contains(&value) => value.to_owned(),
        Some(Form::Number(..) | Form::Patience) if value.parse::<i64>().is_ok() => value.to_owned(),
        Some(Form::Topics | Form::Computers | Form::Hosts) => {
            let items = value.split(',').map(str::trim);
            let items = items.filter(|item| !item.is_empty());
            toml_edit::Value::from_iter(items).to_string()
        }
        _ => toml_edit::Value::from(value).to_string(),
    }
}

/// Returns the variables of all former names.
pub(crate) fn former_variables() -> impl Iterator<Item = String> {
    FORMER.iter().map(|(former, _)| variable(former))
}

/// Returns the environment variable that sets a key, and its value. An empty variable sets nothing.
pub(crate) fn set_variable(key: &str) -> Option<(String, String)> {
    let former = FORMER.iter().filter(|(_, name)| *name == key);
    let names = std::iter::once(key).chain(former.map(|(former, _)| *former));
    names.map(variable).find_map(|variable| {
        let value = std::env::var(&variable).ok()?;
        (!value.is_empty()).then_some((variable, value))
    })
}

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
