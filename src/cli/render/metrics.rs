//! Writes the state of a store as metrics for Prometheus, in its text format, version 0.0.4.

use std::fmt::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use idev_backup::history::list::{Backup, Overview, Phone};

use crate::cli::render::output::escaped;

/// Returns the metrics of a store. `overview` is `None` if the store cannot be read.
pub fn text(store: &Path, overview: Option<&Overview>, now: SystemTime) -> String {
    let now = seconds(now);
    let mut out = String::new();
    let of_store = [("store", store.display().to_string())];
    let mut one = |name, help, value: Option<u64>| {
        let samples = value.map(|value| (&of_store[..], value));
        family(&mut out, name, help, samples);
    };
    one(
        "store_up",
        "1 if the store can be read, else 0.",
        Some(u64::from(overview.is_some())),
    );
    one(
        "metrics_timestamp_seconds",
        "Time at which these metrics were written.",
        Some(now),
    );
    one(
        "store_free_bytes",
        "Free space on the disk of the store.",
        overview.and_then(|overview| overview.free_bytes),
    );
    one(
        "store_phones",
        "Number of phones that have backups in the store.",
        overview.map(|overview| overview.phones.len() as u64),
    );
    let Some(overview) = overview else {
        return out;
    };
    let phones: Vec<_> = overview.phones.iter().collect();
    for Metric { name, help, value } in METRICS {
        let labelled: Vec<_> = phones
            .iter()
            .filter_map(|phone| {
                let backups: Vec<&Backup> = overview
                    .backups
                    .iter()
                    .filter(|backup| backup.udid == phone.udid)
                    .collect();
                let value = value(&OnePhone {
                    phone,
                    backups: &backups,
                    now,
                })?;
                let [store] = of_store.clone();
                let name = phone.name.clone().unwrap_or_default();
                let labels = [store, ("udid", phone.udid.clone()), ("name", name)];
                Some((labels, value))
            })
            .collect();
        let samples = labelled.iter().map(|(labels, value)| (&labels[..], *value));
        family(&mut out, name, help, samples);
    }
    out
}

/// A metric that each phone has.
struct Metric {
    name: &'static str,
    help: &'static str,
    /// Returns the value, or `None` if it is not known.
    value: fn(&OnePhone<'_>) -> Option<u64>,
}

/// The facts about one phone. Its backups are sorted, newest first.
struct OnePhone<'a> {
    phone: &'a Phone,
    backups: &'a [&'a Backup],
    now: u64,
}

impl OnePhone<'_> {
    fn last_good(&self) -> Option<u64> {
        timestamp(self.phone.last_good.as_deref()?)
    }

    fn verified(&self) -> Option<u64> {
        let times = self.backups.iter().filter_map(|b| b.verified.as_ref());
        times.filter_map(|verified| timestamp(&verified.time)).max()
    }

    fn copied(&self) -> Option<u64> {
        let dates = self
            .phone
            .copies
            .iter()
            .filter_map(|copy| copy.date.as_deref());
        dates.filter_map(timestamp).max()
    }

    /// Returns the age of a time. A time in the future has none, because a clock was wrong.
    fn age(&self, time: Option<u64>) -> Option<u64> {
        self.now.checked_sub(time?)
    }

    /// Returns a fact from the notes; `None` if these cannot be read.
    fn noted<T>(&self, fact: T) -> Option<T> {
        self.phone.trouble.is_none().then_some(fact)
    }
}

/// The metrics of a phone. docs/guide/scripts.md has the same list.
const METRICS: &[Metric] = &[
    Metric {
        name: "last_good_timestamp_seconds",
        help: "Time of the newest backup that is complete and not damaged.",
        value: |one| one.last_good(),
    },
    Metric {
        name: "last_good_age_seconds",
        help: "Age of that backup when these metrics were written.",
        value: |one| one.age(one.last_good()),
    },
    Metric {
        name: "overdue",
        help: "1 if the last good backup is too old or does not exist, else 0.",
        value: |one| Some(one.phone.overdue.into()),
    },
    Metric {
        name: "retired",
        help: "1 if no more backups of the phone are expected, else 0.",
        value: |one| Some(one.phone.retired.is_some().into()),
    },
    Metric {
        name: "notes_readable",
        help: "1 if the notes about checks and pins can be read, else 0.",
        value: |one| Some(one.phone.trouble.is_none().into()),
    },
    Metric {
        name: "verified_timestamp_seconds",
        help: "Time of the last check of all bytes that found a backup of the phone undamaged.",
        value: |one| one.verified(),
    },
    Metric {
        name: "verified_age_seconds",
        help: "Age of that check when these metrics were written.",
        value: |one| one.age(one.verified()),
    },
    Metric {
        name: "newest_damaged",
        help: "1 if a check found the newest backup damaged, else 0.",
        value: |one| {
            let newest = one.backups.first();
            one.noted(newest.is_some_and(|b| b.damaged.is_some()).into())
        },
    },
    Metric {
        name: "damaged",
        help: "Number of backups that a check found damaged.",
        value: |one| {
            let damaged = one.backups.iter().filter(|b| b.damaged.is_some());
            one.noted(damaged.count() as u64)
        },
    },
    Metric {
        name: "copy_timestamp_seconds",
        help: "Time of the newest backup that was pushed to a repository; none if none was.",
        value: |one| one.copied(),
    },
    Metric {
        name: "copy_age_seconds",
        help: "Age of that backup when these metrics were written.",
        value: |one| one.age(one.copied()),
    },
    Metric {
        name: "copy_overdue",
        help: "1 if a backup waits too long for its push to the repository, else 0.",
        value: |one| (!one.phone.copies.is_empty()).then_some(one.phone.copy_overdue.into()),
    },
    Metric {
        name: "snapshots",
        help: "Number of backups, the current one included.",
        value: |one| Some(one.phone.snapshots),
    },
    Metric {
        name: "size_bytes",
        help: "Size of the newest backup.",
        value: |one| one.backups.first()?.bytes,
    },
    Metric {
        name: "total_bytes",
        help: "Sum of the sizes of all backups; a file in several backups counts in each.",
        value: |one| Some(one.phone.bytes),
    },
    Metric {
        name: "disk_bytes",
        help: "Space on the disk; only with --sizes.",
        value: |one| one.phone.disk_bytes,
    },
];

/// Writes a metric with its samples, each with its labels.
fn family<'a>(
    out: &mut String,
    name: &str,
    help: &str,
    samples: impl IntoIterator<Item = (&'a [(&'static str, String)], u64)>,
) {
    let mut line = |text: std::fmt::Arguments<'_>| {
        // Writing to a `String` cannot fail.
        writeln!(out, "{text}").ok();
    };
    line(format_args!("# HELP idev_backup_{name} {help}"));
    line(format_args!("# TYPE idev_backup_{name} gauge"));
    for (labels, value) in samples {
        let labels: Vec<String> = labels
            .iter()
            .map(|(label, text)| format!("{label}=\"{}\"", quoted(text)))
            .collect();
        line(format_args!(
            "idev_backup_{name}{{{}}} {value}",
            labels.join(",")
        ));
    }
}

/// Escapes the value of a label. Control characters are written as in all output of the program.
fn quoted(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '"' => out.push_str("\\\""),
            c => out.push_str(&escaped(c).replace('\\', "\\\\")),
        }
    }
    out
}

fn timestamp(text: &str) -> Option<u64> {
    let time: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(time.as_second()).ok()
}

fn seconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use idev_backup::store::notes::Verified;

    use super::*;

    fn phone(udid: &str, name: &str) -> Phone {
        Phone {
            udid: udid.to_owned(),
            name: Some(name.to_owned()),
            snapshots: 2,
            bytes: 700,
            disk_bytes: None,
            last_good: Some("1970-01-01T00:01:00Z".to_owned()),
            overdue: true,
            retired: None,
            trouble: None,
            copies: Vec::new(),
            copy_overdue: false,
        }
    }

    fn told(overview: Option<&Overview>) -> String {
        let now = UNIX_EPOCH + Duration::from_secs(100);
        text(Path::new("/srv/a \"b\"\\c"), overview, now)
    }

    #[test]
    fn metrics_name_each_phone() {
        let verified = |second: u32| Verified {
            time: format!("1970-01-01T00:00:{second:02}Z"),
            how: "bytes".to_owned(),
        };
        let backup = |verified, damaged: Option<&str>| Backup {
            udid: "A".to_owned(),
            bytes: Some(400),
            verified,
            damaged: damaged.map(str::to_owned),
            ..Backup::default()
        };
        let overview = Overview {
            backups: vec![
                backup(Some(verified(20)), Some("1970-01-01T00:00:30Z")),
                backup(Some(verified(40)), None),
            ],
            phones: vec![
                phone("A", "Mira's\n\"iPhone\" \\ \u{1b}"),
                Phone {
                    trouble: Some("cannot read".to_owned()),
                    last_good: Some("1970-01-01T00:05:00Z".to_owned()),
                    ..phone("B", "B")
                },
            ],
            free_bytes: Some(5),
            ..Overview::default()
        };
        let told = told(Some(&overview));
        let store = r#"store="/srv/a \"b\"\\c""#;
        let a = format!(r#"{store},udid="A",name="Mira's\n\"iPhone\" \\ \\u{{1b}}""#);
        let b = format!(r#"{store},udid="B",name="B""#);
        for (name, labels, value) in [
            ("store_up", store, Some(1)),
            ("store_free_bytes", store, Some(5)),
            ("store_phones", store, Some(2)),
            ("metrics_timestamp_seconds", store, Some(100)),
            ("last_good_timestamp_seconds", &a, Some(60)),
            ("last_good_age_seconds", &a, Some(40)),
            ("overdue", &a, Some(1)),
            ("retired", &a, Some(0)),
            ("verified_timestamp_seconds", &a, Some(40)),
            ("verified_age_seconds", &a, Some(60)),
            ("newest_damaged", &a, Some(1)),
            ("damaged", &a, Some(1)),
            ("snapshots", &a, Some(2)),
            ("size_bytes", &a, Some(400)),
            ("total_bytes", &a, Some(700)),
            ("notes_readable", &b, Some(0)),
            // A date in the future has no age, and without notes no damage is known.
            ("last_good_timestamp_seconds", &b, Some(300)),
            ("last_good_age_seconds", &b, None),
            ("newest_damaged", &b, None),
            ("disk_bytes", &a, None),
        ] {
            let head = format!("idev_backup_{name}{{{labels}}} ");
            let line = told.lines().find_map(|line| line.strip_prefix(&head));
            assert_eq!(line, value.map(|v| v.to_string()).as_deref(), "{head}");
        }
    }

    #[test]
    fn unreadable_store_is_down() {
        let told = told(None);
        assert!(told.contains("idev_backup_store_up{store="), "{told}");
        let samples: Vec<&str> = told.lines().filter(|l| !l.starts_with('#')).collect();
        assert_eq!(samples.len(), 2, "{told}");
        assert!(samples[0].ends_with(" 0"), "{told}");
    }
}
