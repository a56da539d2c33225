//! Computes SHA-256 hashes of received data and of files on disk.
//!
//! `sha2` is used if the processor has instructions for SHA-256. Without them, `sha2` takes 1.9
//! times as long as code that uses AVX2, and every backup is hashed completely when it is made or
//! checked. In that case aws-lc is used, which is already a dependency for TLS.

use aws_lc_rs::digest::{Context, SHA256};
use sha2::Digest;

/// A hash that is being computed.
#[derive(Clone)]
pub(crate) struct Sha256(By);

#[derive(Clone)]
enum By {
    Sha2(sha2::Sha256),
    AwsLc(Context),
}

impl Sha256 {
    /// Begins a hash, of no bytes yet.
    pub(crate) fn new() -> Sha256 {
        Sha256(if has_instructions() {
            By::Sha2(sha2::Sha256::new())
        } else {
            By::AwsLc(Context::new(&SHA256))
        })
    }

    /// Adds bytes to the hash.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            By::Sha2(hash) => hash.update(bytes),
            By::AwsLc(hash) => hash.update(bytes),
        }
    }

    /// Returns the hash of all bytes added.
    pub(crate) fn finalize(self) -> [u8; 32] {
        match self.0 {
            By::Sha2(hash) => hash.finalize().into(),
            By::AwsLc(hash) => {
                let mut out = [0; 32];
                out.copy_from_slice(hash.finish().as_ref());
                out
            }
        }
    }
}

/// Returns true if the processor has the instructions that make `sha2` fast (see its `sha256.rs`).
fn has_instructions() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("sha") && is_x86_feature_detected!("sse4.1");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("sha2");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return false;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of FIPS 180-2, appendix B, including the million bytes of the third one, split
    /// into pieces of every length.
    #[test]
    fn both_backends_match_fips_examples() {
        let million = vec![b'a'; 1_000_000];
        let known: [(&[u8], &str); 3] = [
            (
                b"abc",
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ),
            (
                b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
            ),
            (
                &million,
                "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
            ),
        ];
        for (bytes, wanted) in known {
            for by in [
                By::Sha2(sha2::Sha256::new()),
                By::AwsLc(Context::new(&SHA256)),
            ] {
                let mut hash = Sha256(by);
                let (mut rest, mut length) = (bytes, 0);
                while !rest.is_empty() {
                    length = rest.len().min(length + 1);
                    hash.update(&rest[..length]);
                    rest = &rest[length..];
                }
                let found = hash.finalize().map(|byte| format!("{byte:02x}")).concat();
                assert_eq!(found, wanted);
            }
        }
    }
}
