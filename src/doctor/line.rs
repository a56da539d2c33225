//! A finding and its severity.

use serde::Serialize;

use super::facts::Trouble;
use crate::base::udid::Udid;

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

/// A single finding about the phone, the store or the computer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The severity of the finding.
    pub level: Level,
    /// The subject, in one word. Stable: docs/guide/troubleshooting.md lists them.
    pub topic: &'static str,
    /// The UDID of the phone that it concerns, if any.
    pub udid: Option<String>,
    /// The finding itself.
    pub says: String,
    /// The consequence, if any.
    pub means: Option<String>,
    /// Advice for the user.
    pub hint: Option<String>,
}

impl Line {
    pub(crate) fn new(level: Level, topic: &'static str, says: impl Into<String>) -> Line {
        Line {
            level,
            topic,
            udid: None,
            says: says.into(),
            means: None,
            hint: None,
        }
    }

    pub(crate) fn ok(topic: &'static str, says: impl Into<String>) -> Line {
        Line::new(Level::Ok, topic, says)
    }

    pub(crate) fn warning(topic: &'static str, says: impl Into<String>) -> Line {
        Line::new(Level::Warning, topic, says)
    }

    pub(crate) fn problem(topic: &'static str, says: impl Into<String>) -> Line {
        Line::new(Level::Problem, topic, says)
    }

    pub(super) fn trouble(topic: &'static str, trouble: &Trouble) -> Line {
        Line {
            hint: trouble.hint.clone(),
            ..Line::problem(topic, &trouble.text)
        }
    }

    pub(super) fn of(mut self, udid: &Udid) -> Line {
        self.udid = Some(udid.to_string());
        self
    }

    pub(crate) fn means(mut self, means: impl Into<String>) -> Line {
        self.means = Some(means.into());
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Line {
        self.hint = Some(hint.into());
        self
    }
}
