//! Derivation of the keys from the password.
//!
//! ```text
//! key        PBKDF2-SHA1(PBKDF2-SHA256(password, DPSL, DPIC), SALT, ITER), 32 bytes
//!            before iOS 10.2: PBKDF2-SHA1(password, SALT, ITER)
//! class key  AES-256 key unwrap (RFC 3394) of WPKY with that key, if bit 1 of WRAP is set
//! file key   class as u32 little-endian, then the key of the file, wrapped in the same way with
//!            the class key
//! ```
//! RFC 3394 includes a check value, so a wrong password never yields a key. Sources: John the
//! Ripper (itunes_fmt_plug.c) and hashcat (modules 14700 and 14800), whose test vectors
//! tests/keys.rs opens.

use std::collections::BTreeMap;
use std::io::Read;

use aes::Aes256;
use aes_kw::AesKw;
use aes_kw::cipher::KeyInit;
use sha1::Sha1;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::cipher::Plain;
use super::parse::{ClassKey, KeyBag};
use crate::base::secret::Secret;

/// Most rounds of `DPIC` that we compute. Phones use 10,000,000, which takes some seconds.
const FIRST_ROUNDS_MAX: u32 = 50_000_000;
/// Most rounds of `ITER` that we compute. Phones use 10,000.
const LAST_ROUNDS_MAX: u32 = 10_000_000;
/// Length of a key, and below that of a wrapped key, in bytes.
const KEY_BYTES: usize = 32;
const WRAPPED_BYTES: usize = KEY_BYTES + 8;

/// A key in memory, wiped when dropped.
type Key = Zeroizing<[u8; KEY_BYTES]>;

/// Reason why a key bag cannot be unlocked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Locked {
    /// The password opens no key of the bag.
    WrongPassword,
    /// The bag demands more rounds than any phone uses, so that trying the password would take too
    /// long.
    Absurd {
        /// The field with the number of rounds, `DPIC` or `ITER`.
        field: &'static str,
        /// The number of rounds that it demands.
        rounds: u32,
    },
}

impl std::fmt::Display for Locked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Locked::WrongPassword => f.write_str("the password is wrong"),
            Locked::Absurd { field, rounds } => write!(
                f,
                "{field} of its key bag asks for {rounds} rounds, far more than phones use"
            ),
        }
    }
}

impl std::error::Error for Locked {}

/// Reason why a file cannot be decrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadKey {
    /// The key does not have the format of a wrapped key.
    Form,
    /// The password opens no key of this protection class.
    NoClass(u32),
    /// The check value of RFC 3394 does not match.
    Check,
}

impl std::fmt::Display for BadKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            BadKey::Form => f.write_str("its key does not have the form of a wrapped key"),
            BadKey::NoClass(class) => write!(
                f,
                "the password does not open a key of protection class {class} in the key bag"
            ),
            BadKey::Check => f.write_str("its wrapped key is damaged"),
        }
    }
}

impl std::error::Error for BadKey {}

/// The unlocked keys of the protection classes.
pub struct Keys {
    classes: BTreeMap<u32, Key>,
    unopened: Vec<u32>,
}

impl KeyBag {
    /// Unlocks every class key that is wrapped with the password. This takes seconds for a bag of
    /// iOS 10.2 or later.
    pub fn unlock(&self, password: &Secret) -> Result<Keys, Locked> {
        let key = self.derive(password)?;
        let mut keys = Keys {
            classes: BTreeMap::new(),
            unopened: Vec::new(),
        };
        for class in self.class_keys.iter().filter(|class| class.is_openable()) {
            match opened(class, &key) {
                Some(open) => drop(keys.classes.insert(class.class, open)),
                None => keys.unopened.push(class.class),
            }
        }
        if keys.classes.is_empty() {
            Err(Locked::WrongPassword)
        } else {
            Ok(keys)
        }
    }

    fn derive(&self, password: &Secret) -> Result<Key, Locked> {
        let absurd = |field, rounds| Err(Locked::Absurd { field, rounds });
        if self.iterations > LAST_ROUNDS_MAX {
            return absurd("ITER", self.iterations);
        }
        let mut key = Key::default();
        let first = self.first_derivation.as_ref().filter(|d| d.iterations > 0);
        let Some(first) = first else {
            let last = pbkdf2::pbkdf2_hmac::<Sha1>;
            last(password.expose(), &self.salt, self.iterations, &mut *key);
            return Ok(key);
        };
        if first.iterations > FIRST_ROUNDS_MAX {
            return absurd("DPIC", first.iterations);
        }
        let mut between = Key::default();
        let (salt, rounds) = (&first.salt, first.iterations);
        pbkdf2::pbkdf2_hmac::<Sha256>(password.expose(), salt, rounds, &mut *between);
        pbkdf2::pbkdf2_hmac::<Sha1>(&*between, &self.salt, self.iterations, &mut *key);
        Ok(key)
    }
}

fn opened(class: &ClassKey, key: &Key) -> Option<Key> {
    unwrapped(class.wrapped_key.as_ref()?.expose(), key).ok()
}

fn unwrapped(wrapped: &[u8], key: &Key) -> Result<Key, BadKey> {
    if wrapped.len() != WRAPPED_BYTES {
        return Err(BadKey::Form);
    }
    let kek = AesKw::<Aes256>::new((&**key).into());
    let mut open = Key::default();
    kek.unwrap_key(wrapped, &mut *open)
        .map_err(|_| BadKey::Check)?;
    Ok(open)
}

impl Keys {
    /// Unwraps the key of a file or of Manifest.db, as stored in the record or in Manifest.plist.
    pub(crate) fn open(&self, wrapped: &[u8]) -> Result<FileKey, BadKey> {
        let (class, wrapped) = wrapped.split_first_chunk().ok_or(BadKey::Form)?;
        let class = u32::from_le_bytes(*class);
        let key = self.classes.get(&class).ok_or(BadKey::NoClass(class))?;
        unwrapped(wrapped, key).map(FileKey)
    }

    /// Returns true if `key` is the key of this class.
    pub fn holds(&self, class: u32, key: &[u8]) -> bool {
        (self.classes.get(&class)).is_some_and(|known| known[..] == *key)
    }

    /// Returns the classes whose keys should open with the password but do not. Their files are
    /// lost.
    pub(crate) fn unopened(&self) -> &[u32] {
        &self.unopened
    }
}

/// The unwrapped key of a file.
pub struct FileKey(Key);

impl FileKey {
    /// Decrypts the stored bytes of a file. `size` is the expected length of the plaintext, if
    /// known.
    pub(crate) fn decrypt<R: Read>(&self, from: R, size: Option<u64>) -> Plain<R> {
        Plain::new(from, &self.0, size)
    }

    /// Returns the bytes, for the one test that compares them.
    #[cfg(test)]
    pub(crate) fn expose(&self) -> &[u8] {
        &*self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup_format::keybag::Derivation;

    fn secret(bytes: &[u8]) -> Secret {
        Secret::new(bytes.to_vec())
    }

    fn wrap(kek: &[u8; 32], key: &[u8; 32]) -> Vec<u8> {
        let mut wrapped = [0; WRAPPED_BYTES];
        let kw = AesKw::<Aes256>::new(kek.into());
        kw.wrap_key(key, &mut wrapped).unwrap();
        wrapped.to_vec()
    }

    /// Builds a bag whose class keys are derived from their numbers, locked with the password
    /// "secret".
    fn bag(classes: &[u32], first_derivation: Option<Derivation>) -> KeyBag {
        let mut bag = KeyBag {
            salt: vec![3; 20],
            iterations: 10,
            first_derivation,
            ..KeyBag::default()
        };
        let key = bag.derive(&secret(b"secret")).unwrap();
        for &class in classes {
            bag.class_keys.push(ClassKey {
                class,
                wrap: 2,
                wrapped_key: Some(Secret::new(wrap(&key, &[class as u8; 32]))),
                ..ClassKey::default()
            });
        }
        bag
    }

    fn first() -> Option<Derivation> {
        Some(Derivation {
            iterations: 20,
            salt: vec![4; 20],
        })
    }

    #[test]
    fn password_unlocks_class_and_file_keys() {
        for first in [None, first()] {
            let keys = bag(&[1, 3], first).unlock(&secret(b"secret")).ok().unwrap();
            assert_eq!(keys.classes.keys().copied().collect::<Vec<_>>(), [1, 3]);
            assert!(keys.unopened().is_empty());
            let file = [&3u32.to_le_bytes()[..], &wrap(&[3; 32], &[9; 32])].concat();
            assert_eq!(keys.open(&file).ok().unwrap().expose(), [9; 32]);
        }
    }

    #[test]
    fn unlock_errors_name_their_cause() {
        let why = |bag: &KeyBag, password: &[u8]| bag.unlock(&secret(password)).err();
        let bag_of_two = bag(&[1, 3], first());
        for wrong in [&b"Secret"[..], b"", b"secret\n"] {
            assert_eq!(why(&bag_of_two, wrong), Some(Locked::WrongPassword));
        }
        let keys = bag_of_two.unlock(&secret(b"secret")).ok().unwrap();
        let why = |wrapped: &[u8]| keys.open(wrapped).err().unwrap();
        assert_eq!(why(b"abc"), BadKey::Form);
        assert_eq!(why(&[1, 0, 0, 0, 7]), BadKey::Form);
        assert_eq!(why(&[2, 0, 0, 0, 7]), BadKey::NoClass(2));
        let other_class = [&1u32.to_le_bytes()[..], &wrap(&[3; 32], &[9; 32])].concat();
        assert_eq!(why(&other_class), BadKey::Check);
    }

    #[test]
    fn damaged_class_leaves_others_unlocked() {
        let mut bag = bag(&[1, 3], None);
        bag.class_keys[0].wrapped_key = Some(Secret::new(vec![7; WRAPPED_BYTES]));
        let keys = bag.unlock(&secret(b"secret")).ok().unwrap();
        assert_eq!(keys.classes.keys().copied().collect::<Vec<_>>(), [3]);
        assert_eq!(keys.unopened(), [1]);
    }

    /// Checks that an excessive iteration count is refused before any key is derived.
    #[test]
    fn excessive_iteration_counts_are_refused() {
        let mut slow = bag(&[1], first());
        slow.iterations = u32::MAX;
        let why = slow.unlock(&secret(b"secret")).err();
        let (field, rounds) = ("ITER", u32::MAX);
        assert_eq!(why, Some(Locked::Absurd { field, rounds }));
        let mut slow = bag(&[1], first());
        slow.first_derivation.as_mut().unwrap().iterations = u32::MAX;
        let (field, rounds) = ("DPIC", u32::MAX);
        let why = slow.unlock(&secret(b"secret")).err();
        assert_eq!(why, Some(Locked::Absurd { field, rounds }));
    }
}
