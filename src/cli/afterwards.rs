//! Holds what an interrupted command leaves and what its next run does: the advice after Ctrl-C.

use std::sync::OnceLock;

static TEXT: OnceLock<&str> = OnceLock::new();

/// Records the advice of a command. Only the first call has an effect.
pub fn note(text: &'static str) {
    TEXT.get_or_init(|| text);
}

/// Returns the advice of the command, if it has any.
pub fn get() -> Option<&'static str> {
    TEXT.get().copied()
}
