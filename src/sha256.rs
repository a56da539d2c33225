//! SHA-256 of what is received and of what lies on the disk.
//!
//! By `sha2` where the processor has instructions for it. `sha2` without them takes 1.9 times the
//! time of code that uses AVX2, and a whole backup is hashed each time it is made or checked: there
//! aws-lc does it, which TLS brings along.

use aws_lc_rs::digest::{Context, SHA256};
use sha2::Digest;

/// A hash in the making.
#[derive(Clone)]
pub struct Sha256(By);

#[derive(Clone)]
enum By {
    Sha2(sha2::Sha256),
    AwsLc(Context),
}

impl Sha256 {
    /// Of no bytes yet.
    #[expect(clippy::new_without_default, reason = "nobody asks for a default hash")]
    pub fn new() -> Sha256 {
        Sha256(match has_instructions() {
            true => By::Sha2(sha2::Sha256::new()),
            false => By::AwsLc(Context::new(&SHA256)),
        })
    }

    /// More bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            By::Sha2(hash) => hash.update(bytes),
            By::AwsLc(hash) => hash.update(bytes),
        }
    }

    /// The hash of all of them.
    pub fn finalize(self) -> [u8; 32] {
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

/// Whether `sha2` finds what it needs to be fast (its `sha256.rs`).
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

    /// FIPS 180-2, appendix B, and the million of its third example; in pieces of every length.
    #[test]
    fn both_give_the_hashes_of_the_standard() {
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
