//! Unattended backups: when one is due, the user's hooks, retries, and the jobs that the system's
//! scheduler starts.

pub mod conditions;
pub mod hooks;
pub mod policy;
pub mod schedule;
pub mod watch;
