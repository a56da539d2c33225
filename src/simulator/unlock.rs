//! The phone's side of restoring an encrypted backup: the password opens the key bag, the bag opens
//! class keys, and those open the keys of files. Like `keys`, this is an independent implementation
//! that shares no code with `keybag`: otherwise a mistake of ours could go unnoticed, because both
//! sides would make it.

use std::collections::HashMap;
use std::io::{self, Read};

use aes::Aes256;
use aes::cipher::{Array, BlockModeDecrypt, KeyInit, KeyIvInit};
use aes_kw::KwAes256;
use sha2::Sha256;
use zeroize::Zeroizing;

const BLOCK: usize = 16;
/// Limit on the rounds of key derivation. Real phones use 10,010,000; a bag that claims more than
/// this limit would keep a rehearsal busy for minutes.
const ROUNDS_MAX: u32 = 30_000_000;

/// Reason for which a key bag cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closed {
    /// The password is wrong.
    Password,
    /// The bytes are not a key bag, or not one that a password opens.
    Damaged,
}

/// The class keys of one backup.
pub(super) struct Backup(HashMap<u32, Zeroizing<[u8; 32]>>);

#[derive(Default)]
struct Bag<'a> {
    salt: Option<&'a [u8]>,
    rounds: Option<u32>,
    first_salt: Option<&'a [u8]>,
    first_rounds: Option<u32>,
    /// Number, `WRAP`, wrapped key.
    classes: Vec<(u32, u32, &'a [u8])>,
}

impl<'a> Bag<'a> {
    fn read(mut bytes: &'a [u8]) -> Option<Bag<'a>> {
        let mut bag = Bag::default();
        let mut class: Option<(u32, u32)> = None;
        while let Some((head, rest)) = bytes.split_first_chunk::<8>() {
            let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
            let (value, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            bytes = rest;
            let number = || Some(u32::from_be_bytes(value.try_into().ok()?));
            match &head[..4] {
                b"SALT" => bag.salt = Some(value),
                b"ITER" => bag.rounds = Some(number()?),
                b"DPSL" => bag.first_salt = Some(value),
                b"DPIC" => bag.first_rounds = Some(number()?),
                b"CLAS" => class = Some((number()?, 0)),
                // The first one, before any class, is the bag's own.
                b"WRAP" => {
                    if let Some((_, wrap)) = &mut class {
                        *wrap = number()?;
                    }
                }
                b"WPKY" => {
                    let (class, wrap) = class?;
                    bag.classes.push((class, wrap, value));
                }
                _ => {}
            }
        }
        bytes.is_empty().then_some(bag)
    }

    /// Derives from the password the key that opens class keys.
    fn root(&self, password: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
        let mut first = Zeroizing::new([0; 32]);
        let mut start = password;
        if let (Some(salt), Some(rounds)) = (self.first_salt, self.first_rounds) {
            let rounds = Some(rounds).filter(|rounds| *rounds <= ROUNDS_MAX)?;
            pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, rounds, first.as_mut());
            start = first.as_ref();
        }
        let rounds = self.rounds.filter(|rounds| *rounds <= ROUNDS_MAX)?;
        let mut root = Zeroizing::new([0; 32]);
        pbkdf2::pbkdf2_hmac::<sha1::Sha1>(start, self.salt?, rounds, root.as_mut());
        Some(root)
    }
}

/// Opens `BackupKeyBag` with a password.
pub(super) fn open(bag: &[u8], password: &[u8]) -> Result<Backup, Closed> {
    let bag = Bag::read(bag).ok_or(Closed::Damaged)?;
    // Skip class keys that are also wrapped with the phone's own key: only that phone can open
    // them.
    let by_password = || bag.classes.iter().filter(|(_, wrap, _)| *wrap == 2);
    if by_password().count() == 0 {
        return Err(Closed::Damaged);
    }
    let root = bag.root(password).ok_or(Closed::Damaged)?;
    let opened = by_password().map(|(class, _, wrapped)| {
        let key = unwrapped(&root, wrapped).ok_or(Closed::Password)?;
        Ok((*class, key))
    });
    opened.collect::<Result<_, _>>().map(Backup)
}

impl Backup {
    /// Unwraps a key of the form `[class u32 LE][wrapped key, 40 bytes]`.
    pub(super) fn key(&self, wrapped: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
        let (class, wrapped) = wrapped.split_first_chunk::<4>()?;
        unwrapped(self.0.get(&u32::from_le_bytes(*class))?, wrapped)
    }
}

/// Unwraps a key according to RFC 3394.
fn unwrapped(with: &[u8; 32], wrapped: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    let wrapped: &[u8; 40] = wrapped.try_into().ok()?;
    let mut key = Zeroizing::new([0; 32]);
    KwAes256::new(&Array(*with))
        .unwrap_key(wrapped, key.as_mut())
        .ok()?;
    Some(key)
}

/// Decrypts data in pieces: AES-256-CBC with a zero IV, padded or not.
pub(super) struct Decryption {
    cipher: cbc::Decryptor<Aes256>,
    /// An incomplete block, or one that may be the last.
    held: Vec<u8>,
}

impl Decryption {
    pub(super) fn new(key: &[u8; 32]) -> Decryption {
        Decryption {
            cipher: cbc::Decryptor::new(&Array(*key), &Array([0; BLOCK])),
            held: Vec::new(),
        }
    }

    /// Decrypts a piece, and appends the plaintext of all blocks that cannot be the last to
    /// `plain`.
    pub(super) fn feed(&mut self, piece: &[u8], plain: &mut Vec<u8>) {
        self.held.extend(piece);
        let whole = self.held.len().saturating_sub(1) / BLOCK * BLOCK;
        self.decrypt(whole);
        plain.extend(self.held.drain(..whole));
    }

    /// Appends the remaining plaintext. Returns true if it was followed by padding. Some lists of
    /// files have none: then the last block consists of data.
    pub(super) fn finish(mut self, plain: &mut Vec<u8>) -> bool {
        let mut is_padded = false;
        if self.held.len() == BLOCK {
            self.decrypt(BLOCK);
            let pad = self.held.last().copied().unwrap_or(0);
            let kept = BLOCK.saturating_sub(usize::from(pad));
            is_padded = pad > 0 && self.held[kept..].iter().all(|byte| *byte == pad);
            self.held.truncate(if is_padded { kept } else { BLOCK });
        }
        plain.append(&mut self.held);
        is_padded
    }

    fn decrypt(&mut self, length: usize) {
        let (blocks, _) = Array::slice_as_chunks_mut(&mut self.held[..length]);
        self.cipher.decrypt_blocks(blocks);
    }
}

/// Decrypts the data of a reader, as [`Decryption`] does for pieces.
pub(super) struct Decrypted<R> {
    from: R,
    open: Option<Decryption>,
    plain: Vec<u8>,
    given: usize,
}

impl<R: Read> Decrypted<R> {
    pub(super) fn new(from: R, key: &[u8; 32]) -> Decrypted<R> {
        Decrypted {
            from,
            open: Some(Decryption::new(key)),
            plain: Vec::new(),
            given: 0,
        }
    }
}

impl<R: Read> Read for Decrypted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut piece = [0; 16 << 10];
        while self.given == self.plain.len() {
            let Some(open) = &mut self.open else {
                return Ok(0);
            };
            self.plain.clear();
            self.given = 0;
            match self.from.read(&mut piece)? {
                0 => {
                    if let Some(open) = self.open.take() {
                        open.finish(&mut self.plain);
                    }
                }
                count => open.feed(&piece[..count], &mut self.plain),
            }
        }
        let count = buf.len().min(self.plain.len() - self.given);
        buf[..count].copy_from_slice(&self.plain[self.given..self.given + count]);
        self.given += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::entry::{Entry, Kind};
    use crate::simulator::keys::{Encrypted, Keys, Password};

    #[test]
    fn only_right_password_opens_key_bag() {
        let file = Entry {
            domain: "HomeDomain".into(),
            path: "a".into(),
            kind: Kind::File { size: 9, key: 1 },
            version: 0,
            inode: 1,
        };
        for ios in ["9.3.5", "18.6.2"] {
            let keys = Keys::new(ios, 1, 1, 2, Password::new("right"));
            let opened = open(&keys.bag(None), b"right").ok().unwrap();
            let wrapped = keys.wrapped_for(&file).unwrap();
            assert_eq!(*opened.key(&wrapped).unwrap(), keys.of_file(&file), "{ios}");
            assert!(opened.key(&wrapped[1..]).is_none());
            assert_eq!(
                open(&keys.bag(None), b"wrong").err(),
                Some(Closed::Password)
            );
            let endless = keys.bag(Some(u32::MAX));
            if ios == "18.6.2" {
                assert_eq!(open(&endless, b"right").err(), Some(Closed::Damaged));
            }
        }
    }

    #[test]
    fn damaged_bag_is_not_wrong_password() {
        let keys = Keys::new("18.6.2", 1, 1, 2, Password::new("x")).bag(None);
        let without_password = crate::simulator::keys::bag_without_password(1);
        for bag in [
            &b""[..],
            b"VERS",
            &keys[..keys.len() - 1],
            &without_password,
        ] {
            assert_eq!(open(bag, b"x").err(), Some(Closed::Damaged));
        }
    }

    #[test]
    fn decryption_accepts_any_piece_length() {
        for size in [0usize, 1, 15, 16, 17, 4095, 70_000] {
            let plain: Vec<u8> = (0..size).map(|n| n as u8).collect();
            let mut rest = &plain[..];
            let mut encrypted = Encrypted::new([7; 32], |room: &mut [u8]| {
                let count = room.len().min(rest.len());
                room[..count].copy_from_slice(&rest[..count]);
                rest = &rest[count..];
                Ok(count)
            });
            let mut sent = vec![0; size + 64];
            let mut length = 0;
            loop {
                match encrypted
                    .fill(&mut sent[length..length / 16 * 16 + 32])
                    .unwrap()
                {
                    0 => break,
                    count => length += count,
                }
            }
            for step in [1, 7, 16, 4096] {
                let (mut opening, mut opened) = (Decryption::new(&[7; 32]), Vec::new());
                for piece in sent[..length].chunks(step) {
                    opening.feed(piece, &mut opened);
                }
                opening.finish(&mut opened);
                assert_eq!(opened, plain, "{size} in pieces of {step}");
            }
            let mut read = Vec::new();
            let mut whole = Decrypted::new(&sent[..length], &[7; 32]);
            whole.read_to_end(&mut read).unwrap();
            assert_eq!(read, plain, "{size}");
        }
    }
}
