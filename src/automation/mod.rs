//! Unattended backups: when one is due, the user's hooks, retries, and the jobs that the system's
//! scheduler starts.

pub mod conditions;
mod hook_runner;
pub mod hooks;
mod passcode_timer;
mod plan;
pub mod policy;
pub mod pushing;
pub mod schedule;
pub mod watch;
