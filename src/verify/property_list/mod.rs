//! Decides whether CFPropertyList, with which apps read their property lists, would accept a file.
//!
//! A parser for values is too strict for that: it refuses dates that no calendar has
//! (`NSDate.distantPast`, or the largest number of seconds there is), text with half a surrogate
//! pair, and deep nesting. Backups of real phones have all of these. This scan builds no values. It
//! follows every object once, in a loop instead of by recursion, so its memory is bounded by the
//! file's size.

mod binary;
mod reasons;
mod scan;
mod xml;

pub(crate) use scan::{Scan, is_xml, scan};
