//! The keys of an encrypted backup, as they lie in it. What opens them is not there yet.

mod parse;

pub use parse::{BadKeyBag, ClassKey, KeyBag};
