//! Output for people and for scripts: reports, progress, log and pages.

pub(crate) mod log;
pub(crate) mod output;
pub(crate) mod progress;
pub(crate) mod table;
pub(crate) mod usage;
pub(crate) mod usage_html;
