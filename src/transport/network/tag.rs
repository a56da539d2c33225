//! Computes the tags by which a phone with a private Wi-Fi address tells the computers that it is
//! paired with that it is theirs.
//!
//! K is HKDF-SHA512 of the HostID (no salt, no info, 32 bytes); the tag is the first eight bytes of
//! HMAC-SHA256 with K over the phone's `identifier`. Sources: jkcoxson/netmuxd #56 and #57,
//! pymobiledevice3 #1969 to #1975.

use aws_lc_rs::{hkdf, hmac};

/// Length of a tag in bytes.
pub(super) const TAG_BYTES: usize = 8;
/// Length of the key in bytes.
const KEY_BYTES: usize = 32;

/// Value by which a phone names one of the computers that it is paired with.
pub type Tag = [u8; TAG_BYTES];

/// Length of the key, in the form that the library expects.
struct KeyLength;

impl hkdf::KeyType for KeyLength {
    fn len(&self) -> usize {
        KEY_BYTES
    }
}

/// Returns the tag with which the phone that advertises `identifier` names the computer with this
/// HostID. Both are used as they stand: another case gives another tag.
pub fn tag(host_id: &str, identifier: &[u8]) -> Tag {
    let mac = hmac::sign(&key(host_id), identifier);
    let mut tag = Tag::default();
    tag.copy_from_slice(&mac.as_ref()[..TAG_BYTES]);
    tag
}

fn key(host_id: &str) -> hmac::Key {
    let mut bytes = zeroize::Zeroizing::new([0; KEY_BYTES]);
    let extracted = hkdf::Salt::new(hkdf::HKDF_SHA512, &[]).extract(host_id.as_bytes());
    let expanded = extracted.expand(&[], KeyLength);
    let filled = expanded.and_then(|key| key.fill(&mut *bytes));
    debug_assert!(filled.is_ok(), "32 bytes are within HKDF's limit");
    hmac::Key::new(hmac::HMAC_SHA256, &*bytes)
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    /// The first vector is from pymobiledevice3's tests; `openssl kdf` and `openssl dgst -mac HMAC`
    /// give the same values for all of them.
    #[test]
    fn tags_match_known_answers() {
        const PHONE: &str = "2BE6E510-0325-4365-923E-B14C6F57DB3A";
        for (host_id, identifier, expected) in [
            (
                "11111111-2222-3333-4444-555555555555",
                PHONE,
                "DNKInlok1wk=",
            ),
            (
                "7B1F0C52-9C2E-4D43-8A6B-0D5E7F3A9C11",
                PHONE,
                "wZ1elcCN5RA=",
            ),
            (
                "7b1f0c52-9c2e-4d43-8a6b-0d5e7f3a9c11",
                PHONE,
                "pYmM6iLmHWw=",
            ),
            (
                "00000000-1111-2222-3333-444444444444",
                "abcdef",
                "J+GRRgZpe/g=",
            ),
        ] {
            let tag = tag(host_id, identifier.as_bytes());
            assert_eq!(STANDARD.encode(tag), expected, "{host_id}");
        }
    }
}
