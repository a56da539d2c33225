//! Keybags and encrypted backups made by others: published test vectors, and a complete backup.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;

use idev_backup::backup_format::keybag::{ClassKey, Derivation, Ending, KeyBag, Locked};
use idev_backup::backup_format::manifest_db::{Filter, Kind};
use idev_backup::base::failure_kind::FailureKind;
use idev_backup::base::secret::Secret;
use idev_backup::reader::Error;
use idev_backup::reader::backup::Backup;
use idev_backup::reader::passwords::{Known, NoPasswords};

use crate::advice::Advice as _;
use crate::rig;

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.map(|pair| byte(pair).expect("hex digits")).collect()
}

fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes().to_vec())
}

/// Checks that each published keybag vector unlocks with its password and not with a wrong one. The
/// unwrapped class key must match the expected one.
#[test]
fn published_vectors_require_their_password() {
    let Some(folder) = rig::others("openwall-john+hashcat") else {
        return;
    };
    let table = std::fs::read_to_string(folder.join("keybag-vectors.tsv")).unwrap();
    let (mut count, mut skipped) = (0, 0);
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [
            origin,
            wrapped,
            rounds,
            salt,
            first_rounds,
            first_salt,
            password,
            open,
        ] = fields[..]
        else {
            panic!("{line}");
        };
        // Ten million rounds take minutes under an emulator, and test nothing that a thousand do
        // not.
        if rig::cut_every() > 1 && first_rounds.len() > 6 {
            skipped += 1;
            continue;
        }
        let first_derivation = (!first_rounds.is_empty()).then(|| Derivation {
            iterations: first_rounds.parse().unwrap(),
            salt: unhex(first_salt),
        });
        let bag = KeyBag {
            salt: unhex(salt),
            iterations: rounds.parse().unwrap(),
            first_derivation,
            class_keys: vec![ClassKey {
                class: 11,
                wrap: 2,
                wrapped_key: Some(Secret::new(unhex(wrapped))),
                ..ClassKey::default()
            }],
            ..KeyBag::default()
        };
        let keys = bag.unlock(&secret(password));
        let keys = keys.unwrap_or_else(|why| panic!("{origin}: {why}"));
        assert!(keys.holds(11, &unhex(open)), "{origin}");
        let wrong = bag.unlock(&secret("wrong"));
        assert_eq!(wrong.err(), Some(Locked::WrongPassword), "{origin}");
        count += 1;
    }
    assert_eq!(count + skipped, 7);
    assert!(skipped < 2);
}

const MINI: &str = "pmeenan-golemine/e2e/fixtures/generated/ios-mini-encrypted-backup";

fn mini() -> Option<PathBuf> {
    let inside = std::fs::read_dir(rig::others(MINI)?).unwrap();
    inside.map(|e| e.unwrap().path()).find(|path| path.is_dir())
}

/// Checks that an encrypted backup made by another program decrypts to the files of its unencrypted
/// counterpart.
#[test]
fn encrypted_backup_opens_with_password() {
    let Some(folder) = mini() else { return };
    let opened = Backup::open(&folder, &Known(secret("G0lemine-M5!"))).unwrap();
    assert!(opened.is_encrypted());
    let mut found = BTreeMap::new();
    opened
        .each(&Filter::default(), |item| {
            if item.kind == Kind::File {
                let mut bytes = opened.bytes(&item).unwrap();
                let mut out = Vec::new();
                bytes.read_to_end(&mut out).unwrap();
                assert_eq!(bytes.ending(), Some(Ending::Padded), "{}", item.name());
                assert_eq!(out.len() as u64, item.size().unwrap(), "{}", item.name());
                found.insert(item.name(), out);
            }
            true
        })
        .unwrap();
    // Compare with the same files in the unencrypted backup beside it.
    let plain = PathBuf::from(
        folder
            .to_str()
            .unwrap()
            .replace("ios-mini-encrypted-backup", "ios-mini-backup"),
    );
    let plain = std::fs::read_dir(plain.parent().unwrap()).unwrap();
    let plain = plain
        .map(|e| e.unwrap().path())
        .find(|path| path.is_dir())
        .unwrap();
    let plain = Backup::open(&plain, &NoPasswords).unwrap();
    let mut same = 0;
    plain
        .each(&Filter::default(), |item| {
            if let Some(wanted) = found.get(&item.name()) {
                let mut out = Vec::new();
                plain.bytes(&item).unwrap().read_to_end(&mut out).unwrap();
                same += u32::from(out == *wanted);
            }
            true
        })
        .unwrap();
    assert!(found.len() >= 3 && same >= 1);
    let database = found
        .iter()
        .find(|(name, _)| name.ends_with("sms.db"))
        .unwrap();
    assert!(database.1.starts_with(b"SQLite format 3\0"));
}

/// Checks that a wrong and a missing password are different errors with the same error class and
/// exit code.
#[test]
fn wrong_or_missing_password_is_classified() {
    let Some(folder) = mini() else { return };
    let wrong = Backup::open(&folder, &Known(secret("G0lemine-M5")))
        .err()
        .unwrap();
    assert!(matches!(wrong, Error::WrongPassword { .. }), "{wrong}");
    let none = Backup::open(&folder, &NoPasswords).err().unwrap();
    assert!(matches!(none, Error::NoPassword { .. }), "{none}");
    for error in [wrong, none] {
        assert_eq!(error.kind(), FailureKind::WrongPassword);
        assert!(error.hint().is_some());
    }
}
