//! `BackupKeyBag` of Manifest.plist: one key for each protection class, wrapped with a key derived
//! from the password.
//!
//! ```text
//! bag     VERS TYPE UUID HMCK WRAP SALT ITER [DPWT DPIC DPSL], then for each class:
//!         UUID CLAS WRAP KTYP WPKY [PBKY]
//! field   tag, 4 letters; length u32 big-endian; that many bytes
//! ```
//! The second `UUID` begins the first class. Numbers have four bytes, big-endian. The layout is
//! known from iphone-dataprotection (keybag.py) and from bags that other programs wrote; DPWT, DPIC
//! and DPSL came with iOS 10.2. Unknown fields are ignored.

use crate::base::secret::Secret;

/// Longest key bag accepted, in bytes; a phone's has less than 2 KiB.
const BAG_BYTES_MAX: usize = 64 << 10;
/// Bit of `WRAP`: the key is wrapped with a key derived from the password.
const WRAPPED_WITH_PASSWORD: u32 = 2;

/// A key bag: the fields before the classes, and the classes.
#[derive(Default)]
pub struct KeyBag {
    /// `VERS`: the version; values from 3 to 5 have been seen.
    pub version: u32,
    /// `TYPE`: 1 for a backup. The two highest bits are flags.
    pub kind: u32,
    /// `UUID`: the identifier of the bag.
    pub uuid: Vec<u8>,
    /// `HMCK`: the wrapped key of a signature that backups do not have.
    pub hmac_key: Option<Secret>,
    /// `WRAP`: flags of the whole bag.
    pub wrap: u32,
    /// `SALT`: the salt of the last derivation.
    pub salt: Vec<u8>,
    /// `ITER`: the rounds of PBKDF2-SHA1 in the last derivation.
    pub iterations: u32,
    /// `DPIC` and `DPSL`: the derivation before the last one, since iOS 10.2.
    pub first_derivation: Option<Derivation>,
    /// The classes, in the order of the bag.
    pub class_keys: Vec<ClassKey>,
}

/// Parameters of the PBKDF2-SHA256 of the password.
#[derive(Default)]
pub struct Derivation {
    /// `DPIC`: the number of rounds.
    pub iterations: u32,
    /// `DPSL`: the salt of the derivation.
    pub salt: Vec<u8>,
}

/// The key of one protection class.
#[derive(Default)]
pub struct ClassKey {
    /// `UUID`: the identifier of the class key.
    pub uuid: Vec<u8>,
    /// `CLAS`: the class; 1 to 5 are for files, 6 to 11 for the keychain.
    pub class: u32,
    /// `WRAP`: bit 0 for a key that never leaves the phone, bit 1 for one wrapped with a key
    /// derived from the password.
    pub wrap: u32,
    /// `KTYP`: 0 for AES, 1 for Curve25519.
    pub key_type: u32,
    /// `WPKY`: the key, wrapped according to RFC 3394.
    pub wrapped_key: Option<Secret>,
    /// `PBKY`: the public key of a Curve25519 pair.
    pub public_key: Option<Vec<u8>>,
}

impl ClassKey {
    /// Returns true if a password can unlock the key.
    pub(super) fn is_openable(&self) -> bool {
        let has_key = (self.wrapped_key.as_ref()).is_some_and(|key| !key.expose().is_empty());
        has_key && self.wrap & WRAPPED_WITH_PASSWORD != 0
    }
}

/// Reason why bytes are not a key bag that a password can unlock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadKeyBag(&'static str);

impl std::fmt::Display for BadKeyBag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for BadKeyBag {}

impl KeyBag {
    /// Parses a bag. Fails unless it has at least one class key that a password can unlock, and the
    /// parameters to derive a key from the password.
    pub fn parse(bytes: &[u8]) -> Result<KeyBag, BadKeyBag> {
        if bytes.is_empty() {
            return Err(BadKeyBag("the key bag is missing"));
        }
        if bytes.len() > BAG_BYTES_MAX {
            return Err(BadKeyBag("the key bag is too large"));
        }
        let mut bag = KeyBag::default();
        let mut rest = bytes;
        while !rest.is_empty() {
            let (tag, value, after) = field(rest).ok_or(BadKeyBag("the key bag is truncated"))?;
            rest = after;
            bag.take(tag, value)?;
        }
        if bag.salt.is_empty() || bag.iterations == 0 {
            return Err(BadKeyBag("the key bag lacks the salt or the rounds"));
        }
        if !bag.class_keys.iter().any(ClassKey::is_openable) {
            return Err(BadKeyBag(
                "none of the keys in the key bag belong to a password",
            ));
        }
        Ok(bag)
    }

    fn take(&mut self, tag: &[u8; 4], value: &[u8]) -> Result<(), BadKeyBag> {
        if tag == b"UUID" && !self.uuid.is_empty() {
            self.class_keys.push(ClassKey {
                uuid: value.to_vec(),
                ..ClassKey::default()
            });
            return Ok(());
        }
        match (self.class_keys.last_mut(), tag) {
            (Some(class), b"CLAS") => class.class = number(value)?,
            (Some(class), b"WRAP") => class.wrap = number(value)?,
            (Some(class), b"KTYP") => class.key_type = number(value)?,
            (Some(class), b"WPKY") => class.wrapped_key = Some(Secret::new(value.to_vec())),
            (Some(class), b"PBKY") => class.public_key = Some(value.to_vec()),
            (None, b"VERS") => self.version = number(value)?,
            (None, b"TYPE") => self.kind = number(value)?,
            (None, b"UUID") => self.uuid = value.to_vec(),
            (None, b"HMCK") => self.hmac_key = Some(Secret::new(value.to_vec())),
            (None, b"WRAP") => self.wrap = number(value)?,
            (None, b"SALT") => self.salt = value.to_vec(),
            (None, b"ITER") => self.iterations = number(value)?,
            (None, b"DPIC") => self.first().iterations = number(value)?,
            (None, b"DPSL") => self.first().salt = value.to_vec(),
            _ => {}
        }
        Ok(())
    }

    fn first(&mut self) -> &mut Derivation {
        self.first_derivation.get_or_insert_default()
    }
}

/// Splits off the first field and returns its tag, its value, and the remaining bytes.
fn field(bytes: &[u8]) -> Option<(&[u8; 4], &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (value, rest) = rest.split_at_checked(length)?;
    Some((tag, value, rest))
}

fn number(value: &[u8]) -> Result<u32, BadKeyBag> {
    let bytes = value.try_into();
    let bytes = bytes.map_err(|_| BadKeyBag("a number in the key bag does not have four bytes"))?;
    Ok(u32::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Fields = Vec<([u8; 4], Vec<u8>)>;

    fn number_field(tag: &[u8; 4], number: u32) -> ([u8; 4], Vec<u8>) {
        (*tag, number.to_be_bytes().to_vec())
    }

    /// Returns a bag in the format of iOS 10.2 and later, with one class of each form.
    fn fields() -> Fields {
        vec![
            number_field(b"VERS", 5),
            number_field(b"TYPE", 0x4000_0001),
            (*b"UUID", vec![1; 16]),
            (*b"HMCK", vec![2; 40]),
            number_field(b"WRAP", 1),
            (*b"SALT", vec![3; 20]),
            number_field(b"ITER", 10_000),
            number_field(b"DPWT", 0),
            number_field(b"DPIC", 10_000_000),
            (*b"DPSL", vec![4; 20]),
            (*b"NEWS", vec![]),
            (*b"UUID", vec![5; 16]),
            number_field(b"CLAS", 2),
            number_field(b"WRAP", 3),
            number_field(b"KTYP", 1),
            (*b"WPKY", vec![6; 40]),
            (*b"PBKY", vec![7; 32]),
            (*b"UUID", vec![8; 16]),
            number_field(b"CLAS", 11),
            number_field(b"WRAP", 2),
            number_field(b"KTYP", 0),
            (*b"WPKY", vec![9; 40]),
        ]
    }

    fn bag(fields: &Fields) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (tag, value) in fields {
            bytes.extend(tag);
            bytes.extend((value.len() as u32).to_be_bytes());
            bytes.extend(value);
        }
        bytes
    }

    fn refused(bytes: &[u8]) -> BadKeyBag {
        KeyBag::parse(bytes).err().expect("it was taken")
    }

    #[test]
    fn key_bag_fields_are_parsed() {
        let bag = KeyBag::parse(&bag(&fields())).unwrap();
        assert_eq!((bag.version, bag.kind, bag.wrap), (5, 0x4000_0001, 1));
        assert_eq!((bag.uuid, bag.salt), (vec![1; 16], vec![3; 20]));
        assert_eq!(bag.hmac_key.unwrap().expose(), [2; 40]);
        assert_eq!(bag.iterations, 10_000);
        let first = bag.first_derivation.unwrap();
        assert_eq!((first.iterations, first.salt), (10_000_000, vec![4; 20]));
        let [two, eleven] = &bag.class_keys[..] else {
            panic!("{} classes", bag.class_keys.len());
        };
        assert_eq!((two.class, two.wrap, two.key_type), (2, 3, 1));
        assert_eq!(two.uuid, [5; 16]);
        assert_eq!(two.wrapped_key.as_ref().unwrap().expose(), [6; 40]);
        assert_eq!(two.public_key, Some(vec![7; 32]));
        assert_eq!((eleven.class, eleven.wrap, eleven.key_type), (11, 2, 0));
        assert_eq!(eleven.wrapped_key.as_ref().unwrap().expose(), [9; 40]);
        assert_eq!(eleven.public_key, None);
    }

    #[test]
    fn older_key_bag_has_one_derivation() {
        let mut fields = fields();
        fields.retain(|(tag, _)| !tag.starts_with(b"DP"));
        let bag = KeyBag::parse(&bag(&fields)).unwrap();
        assert!(bag.first_derivation.is_none());
        assert_eq!(bag.class_keys.len(), 2);
    }

    #[test]
    fn truncated_key_bag_is_refused() {
        let fields = fields();
        let whole = bag(&fields);
        let ends: Vec<_> = (0..=fields.len())
            .map(|n| bag(&fields[..n].to_vec()).len())
            .collect();
        for cut in (1..whole.len()).filter(|cut| !ends.contains(cut)) {
            assert_eq!(
                refused(&whole[..cut]),
                BadKeyBag("the key bag is truncated")
            );
        }
        let lengthy = [&whole[..], b"LONG\xff\xff\xff\xff"].concat();
        assert_eq!(refused(&lengthy), BadKeyBag("the key bag is truncated"));
    }

    #[test]
    fn bags_without_password_keys_are_refused() {
        let without = |gone: &[u8; 4]| {
            let mut fields = fields();
            fields.retain(|(tag, _)| tag != gone);
            bag(&fields)
        };
        for gone in [b"SALT", b"ITER", b"WPKY", b"WRAP"] {
            let why = refused(&without(gone)).to_string();
            assert!(why.contains("salt") || why.contains("password"), "{why}");
        }
        // Bags with keys of the phone itself only, with empty keys, or without classes.
        let mut others = fields();
        for (tag, value) in &mut others {
            if tag == b"WRAP" {
                *value = vec![0, 0, 0, 1];
            }
        }
        let mut empty = fields();
        for (tag, value) in &mut empty {
            if tag == b"WPKY" {
                value.clear();
            }
        }
        for fields in [others, empty, fields()[..11].to_vec()] {
            let wanted = BadKeyBag("none of the keys in the key bag belong to a password");
            assert_eq!(refused(&bag(&fields)), wanted);
        }
    }

    #[test]
    fn malformed_key_bags_are_refused() {
        let mut short = fields();
        short[6].1.pop();
        for bytes in [
            vec![],
            vec![0; 7],
            vec![0; 64],
            b"bplist00".to_vec(),
            bag(&short),
            [bag(&fields()), vec![0; BAG_BYTES_MAX]].concat(),
        ] {
            refused(&bytes);
        }
    }
}
