//! The phone's side of encrypted backups: generates, wraps and uses keys. The code that opens them
//! is in `keybag`, and shares nothing with this module: with shared code, a misunderstanding on one
//! side would go unnoticed on the other.
//!
//! ```text
//! password --PBKDF2-SHA256 (DPSL, DPIC)--> --PBKDF2-SHA1 (SALT, ITER)--> wraps class keys
//!          (BackupKeyBag)
//! class key --wraps--> key of Manifest.db (ManifestKey), keys of files (EncryptionKey of their
//!          records)
//! ```
//! Before iOS 10.2 the first step is missing, and Manifest.db is plaintext. All keys are derived
//! from the phone's seed and from the number of password changes, so that an unchanged file is
//! encrypted to the same bytes as before.

use std::{fmt, io};

use aes::Aes256;
use aes::cipher::{Array, BlockModeEncrypt, KeyInit, KeyIvInit};
use aes_kw::KwAes256;
use sha2::{Digest, Sha256};

use super::entry::{Entry, mix};
use crate::base::secret::Secret;

const BLOCK_BYTES: u64 = 16;
/// Highest value of `ITER`, the one that all real phones use.
const LAST_ROUNDS: u32 = 10_000;
/// Protection class of Manifest.db's key.
const MANIFEST_CLASS: u32 = 4;

/// Classes of a backup's key bag and their `WRAP`: 2 means wrapped with the password alone; 3 means
/// wrapped also with a key that never leaves the phone.
const CLASSES: [(u32, u32); 11] = [
    (1, 2),
    (2, 2),
    (3, 2),
    (4, 2),
    (5, 3),
    (6, 2),
    (7, 2),
    (8, 2),
    (9, 3),
    (10, 3),
    (11, 3),
];

/// A backup password of the simulated phone.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Secret);

impl Password {
    /// Creates a password from its bytes.
    pub fn new(text: impl Into<Vec<u8>>) -> Password {
        Password(Secret::new(text.into()))
    }

    /// Returns true if `text` is this password. `None` never matches.
    pub(super) fn is(&self, text: Option<&str>) -> bool {
        text.is_some_and(|text| text.as_bytes() == self.0.expose())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// All keys that belong to one password.
pub(super) struct Keys {
    /// Seed from which all keys are derived, together with `change`.
    seed: u64,
    /// Number of passwords that the phone has had.
    change: u64,
    pub(super) password: Password,
    /// Rounds of the first derivation (`DPIC`), since iOS 10.2.
    first_rounds: Option<u32>,
    last_rounds: u32,
    /// Key that wraps the class keys.
    root: [u8; 32],
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys of password {}", self.change)
    }
}

impl Keys {
    /// Derives the keys. `rounds` is the number of rounds of the first derivation, 10,000,000 on
    /// real phones.
    pub(super) fn new(ios: &str, seed: u64, change: u64, rounds: u32, password: Password) -> Keys {
        let rounds = rounds.max(1);
        let mut keys = Keys {
            seed,
            change,
            password,
            first_rounds: has_two_derivations(ios).then_some(rounds),
            last_rounds: rounds.min(LAST_ROUNDS),
            root: [0; 32],
        };
        let mut first = Secret::new(keys.password.0.expose().to_vec());
        if let Some(rounds) = keys.first_rounds {
            let mut derived = [0; 32];
            pbkdf2::pbkdf2_hmac::<Sha256>(first.expose(), &keys.salt(2), rounds, &mut derived);
            first = Secret::new(derived.to_vec());
        }
        let (salt, rounds) = (keys.salt(1), keys.last_rounds);
        pbkdf2::pbkdf2_hmac::<sha1::Sha1>(first.expose(), &salt, rounds, &mut keys.root);
        keys
    }

    /// Returns the `BackupKeyBag`. A fault can make it claim `claimed` rounds instead of the real
    /// number.
    pub(super) fn bag(&self, claimed: Option<u32>) -> Vec<u8> {
        let mut bag = Bag::begin(self.made("bag", 0));
        bag.number(b"WRAP", 1);
        bag.field(b"SALT", &self.salt(1));
        bag.number(b"ITER", self.last_rounds);
        if let Some(rounds) = self.first_rounds {
            bag.number(b"DPWT", 0);
            bag.number(b"DPIC", claimed.unwrap_or(rounds));
            bag.field(b"DPSL", &self.salt(2));
        }
        for (class, wrap) in CLASSES {
            bag.class(class, wrap, &wrapped(&self.root, &self.class_key(class)));
        }
        bag.0
    }

    /// Returns the key of Manifest.db, plain and wrapped as in `ManifestKey`; `None` before iOS
    /// 10.2.
    pub(super) fn of_manifest(&self) -> Option<([u8; 32], Vec<u8>)> {
        self.first_rounds?;
        let key = self.made("Manifest.db", 0);
        Some((key, self.under_class(MANIFEST_CLASS, &key)))
    }

    /// Returns a file's key wrapped as in its record. Empty files have none.
    pub(super) fn wrapped_for(&self, file: &Entry) -> Option<Vec<u8>> {
        let class = u32::from(file.protection_class());
        (file.size() > 0).then(|| self.under_class(class, &self.of_file(file)))
    }

    /// Returns a file's key, which differs after each change of the contents.
    pub(super) fn of_file(&self, file: &Entry) -> [u8; 32] {
        let id = file.id();
        let mut hash = Sha256::new();
        hash.update(self.made("file", u64::from(file.version)));
        hash.update(id);
        hash.finalize().into()
    }

    fn class_key(&self, class: u32) -> [u8; 32] {
        self.made("class", u64::from(class))
    }

    /// Returns `[class u32 LE][wrapped key, 40 bytes]`.
    fn under_class(&self, class: u32, key: &[u8; 32]) -> Vec<u8> {
        let mut bytes = class.to_le_bytes().to_vec();
        bytes.extend(wrapped(&self.class_key(class), key));
        bytes
    }

    fn salt(&self, which: u64) -> Vec<u8> {
        self.made("salt", which)[..20].to_vec()
    }

    /// Returns pseudo-random bytes for a purpose.
    fn made(&self, what: &str, which: u64) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(what);
        for number in [self.seed, self.change, which] {
            hash.update(number.to_be_bytes());
        }
        hash.finalize().into()
    }
}

/// Returns the key bag in backups of a phone without a password: correct in form, but impossible to
/// open.
pub(super) fn bag_without_password(seed: u64) -> Vec<u8> {
    let bytes = |salt: u64, count: u64| -> Vec<u8> {
        (0..count).map(|n| mix(&[seed, salt, n]) as u8).collect()
    };
    let mut uuid = [0; 32];
    uuid[..16].copy_from_slice(&bytes(1, 16));
    let mut bag = Bag::begin(uuid);
    bag.number(b"WRAP", 0);
    bag.field(b"SALT", &bytes(3, 20));
    bag.number(b"ITER", LAST_ROUNDS);
    bag.number(b"DPWT", 0);
    bag.number(b"DPIC", 10_000_000);
    bag.field(b"DPSL", &bytes(4, 20));
    for (class, _) in CLASSES {
        bag.class(class, 3, &bytes(32 + u64::from(class), 40));
    }
    bag.0
}

/// A key bag that is being written: `[tag, 4 letters][length u32 BE][value]`.
struct Bag(Vec<u8>);

impl Bag {
    fn begin(unique: [u8; 32]) -> Bag {
        let mut bag = Bag(Vec::new());
        bag.number(b"VERS", 5);
        bag.number(b"TYPE", 1);
        bag.field(b"UUID", &unique[..16]);
        bag.field(b"HMCK", &[&unique[..], &unique[..8]].concat());
        bag
    }

    fn field(&mut self, tag: &[u8; 4], value: &[u8]) {
        self.0.extend(tag);
        self.0.extend((value.len() as u32).to_be_bytes());
        self.0.extend(value);
    }

    fn number(&mut self, tag: &[u8; 4], number: u32) {
        self.field(tag, &number.to_be_bytes());
    }

    fn class(&mut self, class: u32, wrap: u32, wrapped: &[u8]) {
        let uuid = Sha256::digest(wrapped);
        self.field(b"UUID", &uuid[..16]);
        self.number(b"CLAS", class);
        self.number(b"WRAP", wrap);
        self.number(b"KTYP", 0);
        self.field(b"WPKY", wrapped);
    }
}

/// Wraps a key according to RFC 3394.
fn wrapped(with: &[u8; 32], key: &[u8; 32]) -> Vec<u8> {
    let mut bytes = [0; 40];
    match KwAes256::new(&Array(*with)).wrap_key(key, &mut bytes) {
        Ok(wrapped) => wrapped.to_vec(),
        Err(_) => unreachable!("32 bytes are four blocks, and there is room for five"),
    }
}

/// Returns true for iOS 10.2 and later, which have the first derivation and the encrypted
/// Manifest.db.
fn has_two_derivations(ios: &str) -> bool {
    let mut parts = ios.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    version >= (10, 2)
}

/// Returns the size of a file after encryption: padding is always added, except to an empty file.
pub(super) fn encrypted_size(size: u64) -> u64 {
    match size {
        0 => 0,
        size => (size / BLOCK_BYTES + 1) * BLOCK_BYTES,
    }
}

/// Fills a buffer as far as bytes are left, and returns their number.
pub(super) type Fill = Box<dyn FnMut(&mut [u8]) -> io::Result<usize>>;

/// Encrypts data as it is read: AES-256-CBC with a zero IV, PKCS#7 padding at the end.
pub(super) struct Encrypted<R> {
    plain: R,
    cipher: cbc::Encryptor<Aes256>,
    ended: bool,
}

impl<R: FnMut(&mut [u8]) -> io::Result<usize>> Encrypted<R> {
    /// Creates a reader. `plain` fills a buffer as far as bytes are left.
    pub(super) fn new(key: [u8; 32], plain: R) -> Encrypted<R> {
        Encrypted {
            plain,
            cipher: cbc::Encryptor::new(&Array(key), &Array([0; 16])),
            ended: false,
        }
    }

    /// Fills the buffer as far as bytes are left. Its length must be a multiple of the block size.
    pub(super) fn fill(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ended {
            return Ok(0);
        }
        let (blocks, odd) = Array::slice_as_chunks_mut(buffer);
        debug_assert!(odd.is_empty(), "whole blocks");
        let room = Array::slice_as_flattened_mut(blocks);
        let filled = (self.plain)(room)?;
        let mut length = filled;
        if filled < room.len() {
            let pad = 16 - filled % 16;
            length += pad;
            room[filled..length].fill(pad as u8);
            self.ended = true;
        }
        self.cipher.encrypt_blocks(&mut blocks[..length / 16]);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::entry::Kind;
    use aes::cipher::BlockModeDecrypt;
    use cbc::cipher::block_padding::Pkcs7;

    #[test]
    fn piecewise_encryption_decrypts_as_whole() {
        for size in [1u64, 15, 16, 17, 4095, 4096, 4097, 70_000] {
            let plain: Vec<u8> = (0..size).map(|n| n as u8).collect();
            let mut rest = &plain[..];
            let mut encrypted = Encrypted::new([7; 32], |room: &mut [u8]| {
                let count = room.len().min(rest.len());
                room[..count].copy_from_slice(&rest[..count]);
                rest = &rest[count..];
                Ok(count)
            });
            let mut whole = Vec::new();
            let mut piece = [0; 4096];
            loop {
                match encrypted.fill(&mut piece).unwrap() {
                    0 => break,
                    count => whole.extend(&piece[..count]),
                }
            }
            assert_eq!(whole.len() as u64, encrypted_size(size));
            let cipher = cbc::Decryptor::<Aes256>::new(&Array([7; 32]), &Array([0; 16]));
            let opened = cipher.decrypt_padded::<Pkcs7>(&mut whole).unwrap();
            assert_eq!(opened, plain, "{size}");
        }
    }

    #[test]
    fn new_version_or_password_changes_key() {
        let keys = |change| Keys::new("18.6.2", 1, change, 2, Password::new("x"));
        let file = |version| Entry {
            domain: "HomeDomain".into(),
            path: "a".into(),
            kind: Kind::File { size: 9, key: 1 },
            version,
            inode: 1,
        };
        let first = keys(1);
        assert_eq!(first.of_file(&file(0)), keys(1).of_file(&file(0)));
        assert_ne!(first.of_file(&file(0)), first.of_file(&file(1)));
        assert_ne!(first.of_file(&file(0)), keys(2).of_file(&file(0)));
        assert_ne!(first.root, keys(2).root);
        assert_eq!(first.wrapped_for(&file(0)).unwrap().len(), 44);
    }

    /// Checks that backups from before iOS 10.2 have a key bag with one derivation and lack a
    /// manifest key.
    #[test]
    fn old_ios_has_no_manifest_key() {
        for (ios, two) in [
            ("9.3.5", false),
            ("10.1", false),
            ("10.2", true),
            ("26", true),
        ] {
            let keys = Keys::new(ios, 1, 1, 2, Password::new("x"));
            assert_eq!(keys.of_manifest().is_some(), two, "{ios}");
            let bag = keys.bag(None);
            assert_eq!(bag.windows(4).any(|tag| tag == b"DPIC"), two, "{ios}");
        }
    }
}
