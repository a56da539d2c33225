//! Reasons for which CFPropertyList refuses a property list of either form.

/// The list ends before its last object.
pub(super) const CUT: &str = "it is truncated";
