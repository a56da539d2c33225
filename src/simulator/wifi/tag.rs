//! Tags in the advert by which a paired computer recognizes the phone behind a private address.
//!
//! ```text
//! key = HKDF-SHA512(HostID, no salt, no info, 32 bytes)
//! tag = first 8 bytes of HMAC-SHA256(key, identifier)
//! ```
//! The source is pymobiledevice3 (issues 1969 to 1975), and so is the first known answer below.
//! HMAC and HKDF are written out here (RFC 2104, RFC 5869), because the computer's side takes them
//! from a library: with shared code, both sides would share a misunderstanding.

use sha2::digest::common::BlockSizeUser;
use sha2::{Digest, Sha256, Sha512};

/// Returns the tag for a computer, by the `HostID` of its pairing and the `identifier` of the
/// advert.
pub(super) fn tag(host_id: &str, identifier: &[u8]) -> [u8; 8] {
    let extracted = hmac::<Sha512>(&[0; 64], &[host_id.as_bytes()]);
    // The first block of the expansion is long enough: its number is the only input.
    let key = hmac::<Sha512>(&extracted, &[&[1]]);
    let mac = hmac::<Sha256>(&key[..32], &[identifier]);
    let mut tag = [0; 8];
    tag.copy_from_slice(&mac[..8]);
    tag
}

/// Computes an HMAC. The key must not be longer than a block of the hash.
fn hmac<D: Digest + BlockSizeUser>(key: &[u8], message: &[&[u8]]) -> Vec<u8> {
    let mut block = vec![0; D::block_size()];
    block[..key.len()].copy_from_slice(key);
    let padded = |with: u8| block.iter().map(|byte| byte ^ with).collect::<Vec<u8>>();
    let mut inner = D::new();
    inner.update(padded(0x36));
    for part in message {
        inner.update(part);
    }
    let mut outer = D::new();
    outer.update(padded(0x5c));
    outer.update(inner.finalize());
    outer.finalize().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;

    #[test]
    fn tags_match_known_answers() {
        const IDENTIFIER: &str = "2BE6E510-0325-4365-923E-B14C6F57DB3A";
        for (host_id, identifier, expected) in [
            (
                "11111111-2222-3333-4444-555555555555",
                IDENTIFIER,
                "DNKInlok1wk=",
            ),
            (
                "7B1F0C52-9C2E-4D43-8A6B-0D5E7F3A9C11",
                IDENTIFIER,
                "wZ1elcCN5RA=",
            ),
            (
                "7b1f0c52-9c2e-4d43-8a6b-0d5e7f3a9c11",
                IDENTIFIER,
                "pYmM6iLmHWw=",
            ),
            (
                "00000000-1111-2222-3333-444444444444",
                "abcdef",
                "J+GRRgZpe/g=",
            ),
        ] {
            let tag = tag(host_id, identifier.as_bytes());
            assert_eq!(BASE64_STANDARD.encode(tag), expected, "{host_id}");
        }
    }
}
