//! The password of a server, as a hash that a file may hold, and the check of what a browser sends.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use aws_lc_rs::{pbkdf2, rand};

use crate::base::secret::Secret;
use crate::store::sums::hex;

/// Rounds of PBKDF2 with HMAC-SHA-256, as the OWASP Password Storage Cheat Sheet advises
/// (<https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html>). A check
/// takes some tenths of a second.
const ROUNDS: u32 = 600_000;
/// Most rounds that a file may ask for: more would only keep the processor busy.
const ROUNDS_MAX: u32 = 20_000_000;
/// Fewest characters of a password.
pub const CHARS_MIN: usize = 8;
/// The algorithm, as the text of a hash names it.
const NAME: &str = "pbkdf2-sha256";

/// The hash of the password that a server asks for.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    rounds: NonZeroU32,
    salt: [u8; 32],
    hash: [u8; 32],
}

impl PasswordHash {
    /// Hashes a password with a new salt.
    pub fn new(password: &Secret) -> Result<PasswordHash, aws_lc_rs::error::Unspecified> {
        let mut salt = [0; 32];
        rand::fill(&mut salt)?;
        let rounds = NonZeroU32::new(ROUNDS).unwrap_or(NonZeroU32::MIN);
        let mut hash = [0; 32];
        let password = password.expose();
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA256,
            rounds,
            &salt,
            password,
            &mut hash,
        );
        Ok(PasswordHash { rounds, salt, hash })
    }

    /// Returns true if this is the password.
    pub(super) fn admits(&self, password: &Secret) -> bool {
        let (algorithm, password) = (pbkdf2::PBKDF2_HMAC_SHA256, password.expose());
        pbkdf2::verify(algorithm, self.rounds, &self.salt, password, &self.hash).is_ok()
    }
}

/// Shows nothing of the hash.
impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

/// Returns the text for a file: algorithm, rounds, salt and hash.
impl fmt::Display for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (salt, hash) = (hex(&self.salt), hex(&self.hash));
        write!(f, "{NAME}${}${salt}${hash}", self.rounds)
    }
}

/// The error for a text that is not a hash of a password.
#[derive(Debug, thiserror::Error)]
#[error("the text is not the hash of a password")]
pub struct NotAHash;

impl FromStr for PasswordHash {
    type Err = NotAHash;

    fn from_str(text: &str) -> Result<PasswordHash, NotAHash> {
        let parts: Vec<&str> = text.trim().split('$').collect();
        let [NAME, rounds, salt, hash] = parts[..] else {
            return Err(NotAHash);
        };
        let rounds = rounds.parse().map_err(|_| NotAHash)?;
        if rounds > NonZeroU32::new(ROUNDS_MAX).unwrap_or(NonZeroU32::MAX) {
            return Err(NotAHash);
        }
        let (salt, hash) = (bytes(salt).ok_or(NotAHash)?, bytes(hash).ok_or(NotAHash)?);
        Ok(PasswordHash { rounds, salt, hash })
    }
}

fn bytes(hex: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.as_bytes().to_vec())
    }

    #[test]
    fn hashes_admit_only_their_password() {
        let hash = PasswordHash::new(&secret("a good one")).unwrap();
        let text = hash.to_string();
        assert!(text.starts_with("pbkdf2-sha256$600000$") && !text.contains("good"));
        let read: PasswordHash = text.parse().unwrap();
        assert!(read == hash && read.admits(&secret("a good one")));
        assert!(!read.admits(&secret("a good two")) && !read.admits(&secret("")));
        assert!(PasswordHash::new(&secret("a good one")).unwrap() != hash);
        let zeros = "0".repeat(64);
        for wrong in [
            String::new(),
            text[1..].to_owned(),
            text[..text.len() - 1].to_owned(),
            format!("{text}$"),
            format!("pbkdf2-sha256$0${zeros}${zeros}"),
            format!("pbkdf2-sha256$4000000000${zeros}${zeros}"),
            format!("pbkdf2-sha256$1${zeros}${}", "é".repeat(32)),
        ] {
            assert!(wrong.parse::<PasswordHash>().is_err(), "{wrong}");
        }
    }
}
