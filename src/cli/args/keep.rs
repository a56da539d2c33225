//! Options of the commands that drop snapshots.

use std::collections::BTreeMap;

use clap::Args;
use idev_backup::base::udid::Udid;
use idev_backup::store::retention::{Policy, Within};

use crate::cli::args::config::Config;
use crate::cli::args::value_parsers::count;

/// Retention rules. A rule only ever keeps snapshots; several rules add up.
#[derive(Args, Clone, Default)]
pub struct KeepArgs {
    /// Keep the N newest snapshots in addition to the current backup [default: 3 if no rule is
    /// given]
    #[arg(
        long,
        value_name = "N",
        alias = "keep",
        env = "IDEV_BACKUP_RETENTION_KEEP_LAST",
        value_parser = count,
        allow_negative_numbers = true
    )]
    pub(crate) keep_last: Option<u32>,
    /// Keep the newest snapshot of each of the last N days that have one
    #[arg(long, value_name = "N", env = "IDEV_BACKUP_RETENTION_KEEP_DAILY", value_parser = count, allow_negative_numbers = true)]
    pub(crate) keep_daily: Option<u32>,
    /// Keep the newest snapshot of each of the last N weeks that have one
    #[arg(long, value_name = "N", env = "IDEV_BACKUP_RETENTION_KEEP_WEEKLY", value_parser = count, allow_negative_numbers = true)]
    pub(crate) keep_weekly: Option<u32>,
    /// Keep the newest snapshot of each of the last N months that have one
    #[arg(long, value_name = "N", env = "IDEV_BACKUP_RETENTION_KEEP_MONTHLY", value_parser = count, allow_negative_numbers = true)]
    pub(crate) keep_monthly: Option<u32>,
    /// Keep the newest snapshot of each of the last N years that have one
    #[arg(long, value_name = "N", env = "IDEV_BACKUP_RETENTION_KEEP_YEARLY", value_parser = count, allow_negative_numbers = true)]
    pub(crate) keep_yearly: Option<u32>,
    /// Keep all snapshots younger than this: 12h, 30d, 8w, 6m (months), 2y
    #[arg(long, value_name = "TIME", env = "IDEV_BACKUP_RETENTION_KEEP_WITHIN")]
    pub(crate) keep_within: Option<Within>,
    /// Rules of the phones that have their own in the config file.
    #[arg(skip)]
    pub(crate) of_phones: BTreeMap<Udid, Policy>,
}

impl KeepArgs {
    /// Reads the rules of individual phones from the config file. `typed` holds the command line's
    /// own options, without the config file; they take precedence.
    pub fn read(&mut self, config: &Config, typed: &KeepArgs) {
        let rule = |(udid, rules): (&Udid, &BTreeMap<&str, String>)| {
            let number = |key: &str| rules.get(key).and_then(|text| text.parse().ok());
            let within = rules.get("retention.keep-within");
            let policy = Policy {
                keep_last: typed.keep_last.or(number("retention.keep-last")),
                keep_daily: typed.keep_daily.or(number("retention.keep-daily")),
                keep_weekly: typed.keep_weekly.or(number("retention.keep-weekly")),
                keep_monthly: typed.keep_monthly.or(number("retention.keep-monthly")),
                keep_yearly: typed.keep_yearly.or(number("retention.keep-yearly")),
                keep_within: typed
                    .keep_within
                    .or(within.and_then(|text| text.parse().ok())),
            };
            (udid.clone(), policy)
        };
        self.of_phones = config.phones.iter().map(rule).collect();
    }

    /// Returns the retention rules of the phones that have their own.
    pub fn of_phones(&self) -> BTreeMap<Udid, Policy> {
        self.of_phones.clone()
    }

    /// Returns the given retention rules; without any, the default applies.
    pub fn policy(&self) -> Policy {
        Policy {
            keep_last: self.keep_last,
            keep_daily: self.keep_daily,
            keep_weekly: self.keep_weekly,
            keep_monthly: self.keep_monthly,
            keep_yearly: self.keep_yearly,
            keep_within: self.keep_within,
        }
    }
}
