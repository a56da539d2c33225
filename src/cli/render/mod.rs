//! Output for people and for scripts: reports, progress, log and pages.

pub(crate) mod closing;
pub(crate) mod create;
pub(crate) mod diff;
pub(crate) mod doctor;
pub(crate) mod encryption;
pub(crate) mod everywhere;
pub(crate) mod extract;
pub(crate) mod list;
pub(crate) mod log;
pub(crate) mod messages;
pub(crate) mod metrics;
pub(crate) mod missing;
pub(crate) mod output;
pub(crate) mod photos;
pub(crate) mod progress;
pub(crate) mod prune;
pub(crate) mod rehearsal;
pub(crate) mod restore;
pub(crate) mod table;
pub(crate) mod taken;
pub(crate) mod typed;
pub(crate) mod unread;
pub(crate) mod usage;
pub(crate) mod usage_html;
pub(crate) mod verify;
mod wrap;
