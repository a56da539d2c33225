//! The interval of bounded waits.

use std::time::Duration;

/// Interval at which a wait checks its limits.
pub(super) const TICK: Duration = Duration::from_millis(100);
