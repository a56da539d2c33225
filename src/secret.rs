//! Bytes that must not be seen: no `Debug`, no `Display`, gone from memory when dropped.

use plist::Value;
use zeroize::{Zeroize, Zeroizing};

/// A private key, an escrow bag or a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes; they are overwritten when the secret is dropped.
    pub fn new(bytes: Vec<u8>) -> Self {
        Secret(Zeroizing::new(bytes))
    }

    /// The bytes, for the one place that must use them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

/// Overwrites the data and texts of a property list that held a secret. What the library that reads
/// and writes such lists copied meanwhile is beyond our reach.
pub fn wipe(value: &mut Value) {
    match value {
        Value::Data(bytes) => bytes.zeroize(),
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Dictionary(fields) => fields.values_mut().for_each(wipe),
        _ => {}
    }
}
