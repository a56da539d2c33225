//! The keys of an encrypted backup: parsing them, unlocking them with a password, and decrypting
//! files with them.

mod cipher;
mod parse;
mod unlock;

pub use cipher::{Ending, Plain};
pub use parse::{BadKeyBag, ClassKey, Derivation, KeyBag};
pub use unlock::{BadKey, FileKey, Keys, Locked};
