//! A finding, its severity, and the concern behind it.

use serde::Serialize;

use super::concern::{Concern, Trouble};
use crate::base::udid::Udid;

/// The subjects of the findings of an examination, of the config file and of jobs.
/// docs/guide/troubleshooting.md explains each.
pub const TOPICS: [&str; 26] = [
    "usbmuxd",
    "usb",
    "wifi",
    "programs",
    "config",
    "phone",
    "ios",
    "trust",
    "lock",
    "setup",
    "battery",
    "encryption",
    "phone_room",
    "clock",
    "sync",
    "notes",
    "service",
    "store",
    "disk",
    "draft",
    "backup",
    "verified",
    "copies",
    "wipe",
    "schedule",
    "room",
];

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Everything is in order.
    Ok,
    /// Backups work, or may work, but the user should do something.
    Warning,
    /// No backup can be made in this state, or the store has none.
    Problem,
}

/// A finding about the phone, the store or the computer.
#[derive(Debug, Clone, Serialize)]
pub struct Line<F = Concern> {
    /// The severity of the finding.
    pub level: Level,
    /// The subject, in one word. Stable: docs/guide/troubleshooting.md lists them.
    pub topic: &'static str,
    /// The UDID of the phone that it concerns, if any.
    pub udid: Option<String>,
    /// The finding, in words.
    pub says: String,
    /// The consequence, if any.
    pub means: Option<String>,
    /// The concern, if the user should do something.
    #[serde(skip)]
    pub concern: Option<F>,
}

impl<F> Line<F> {
    pub(crate) fn new(level: Level, topic: &'static str, says: impl Into<String>) -> Line<F> {
        Line {
            level,
            topic,
            udid: None,
            says: says.into(),
            means: None,
            concern: None,
        }
    }

    pub(crate) fn ok(topic: &'static str, says: impl Into<String>) -> Line<F> {
        Line::new(Level::Ok, topic, says)
    }

    pub(crate) fn warning(topic: &'static str, says: impl Into<String>) -> Line<F> {
        Line::new(Level::Warning, topic, says)
    }

    pub(crate) fn problem(topic: &'static str, says: impl Into<String>) -> Line<F> {
        Line::new(Level::Problem, topic, says)
    }

    pub(crate) fn means(mut self, means: impl Into<String>) -> Line<F> {
        self.means = Some(means.into());
        self
    }

    pub(crate) fn concern(mut self, concern: F) -> Line<F> {
        self.concern = Some(concern);
        self
    }
}

impl Line {
    pub(super) fn trouble(topic: &'static str, trouble: &Trouble) -> Line {
        Line::problem(topic, trouble.to_string()).concern(Concern::Trouble(trouble.clone()))
    }

    pub(super) fn of(mut self, udid: &Udid) -> Line {
        self.udid = Some(udid.to_string());
        self
    }
}
