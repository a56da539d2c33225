//! Secret bytes that cannot be printed (no `Debug`, no `Display`) and are overwritten when dropped.

use plist::Value;
use zeroize::{Zeroize, Zeroizing};

/// A private key, an escrow bag or a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes. They are overwritten when the secret is dropped.
    pub fn new(bytes: Vec<u8>) -> Self {
        Secret(Zeroizing::new(bytes))
    }

    /// Returns the bytes, for the place that must use them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

/// Overwrites the data and strings of a property list that held a secret. Copies made by the
/// library that reads and writes property lists cannot be reached.
pub(crate) fn wipe(value: &mut Value) {
    match value {
        Value::Data(bytes) => bytes.zeroize(),
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Dictionary(fields) => fields.values_mut().for_each(wipe),
        _ => {}
    }
}
