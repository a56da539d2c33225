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
}

pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) form: Form,
    pub(crate) help: &'static str,
}

const fn key(name: &'static str, form: Form, help: &'static str) -> Key {
    Key { name, form, help }
}

/// All keys. docs/guide/configuration.md has the same list.
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
