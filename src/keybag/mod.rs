//! The keys of an encrypted backup: as they lie in it, what a password makes of them, and files
//! decrypted with them.

mod cipher;
mod parse;
mod unlock;

pub use cipher::{Ending, Plain};
pub use parse::{BadKeyBag, ClassKey, Derivation, KeyBag};
pub use unlock::{BadKey, FileKey, Keys, Locked};
