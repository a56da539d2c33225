//! Files that other programs can open: small databases and property lists, each generated once.

use std::sync::{Arc, OnceLock};

use plist::{Dictionary, Value};
use rusqlite::{Connection, MAIN_DB};

/// A generated file: domain, path, contents.
pub(super) type Made = (&'static str, &'static str, Arc<[u8]>);

const HEALTH: &str = "
    CREATE TABLE samples (data_id INTEGER PRIMARY KEY, start_date REAL, end_date REAL, data_type INTEGER);
    CREATE TABLE quantity_samples (data_id INTEGER PRIMARY KEY, quantity REAL);
    INSERT INTO samples VALUES (1, 725846400.0, 725850000.0, 7), (2, 725850000.0, 725853600.0, 7);
    INSERT INTO quantity_samples VALUES (1, 812.0), (2, 1204.0);";

const HOME: &str = "
    CREATE TABLE ZMKFCKMODEL (Z_PK INTEGER PRIMARY KEY, ZNAME VARCHAR);
    INSERT INTO ZMKFCKMODEL VALUES (1, 'Hall lamp');";

/// Returns the generated files that every backup contains.
pub(super) fn in_all_backups() -> &'static [Made] {
    static MADE: OnceLock<Vec<Made>> = OnceLock::new();
    MADE.get_or_init(|| {
        vec![
            (
                "HomeDomain",
                "Library/Preferences/com.apple.preferences.datetime.plist",
                list([
                    ("timezone", "Europe/London".into()),
                    ("automatic", true.into()),
                ]),
            ),
            ("KeychainDomain", "keychain-backup.plist", keychain()),
        ]
    })
}

/// Returns the generated files that phones include only in encrypted backups.
pub(super) fn in_encrypted_backups() -> &'static [Made] {
    static MADE: OnceLock<Vec<Made>> = OnceLock::new();
    MADE.get_or_init(|| {
        let network = super::dict([
            ("JoinedByUserAt", "2024-01-01".into()),
            ("SupportedSecurityTypes", "WPA2/WPA3 Personal".into()),
        ]);
        vec![
            (
                "HealthDomain",
                "Health/healthdb_secure.sqlite",
                database(HEALTH),
            ),
            (
                "HomeKitDomain",
                "Library/homed/datastore.sqlite",
                database(HOME),
            ),
            (
                "SystemPreferencesDomain",
                "SystemConfiguration/com.apple.wifi.known-networks.plist",
                list([("wifi.network.ssid.Example", Value::Dictionary(network))]),
            ),
        ]
    })
}

/// Builds a database. It stays empty if that fails, which the tests would notice.
fn database(statements: &str) -> Arc<[u8]> {
    let made = Connection::open_in_memory().and_then(|db| {
        db.execute_batch(statements)?;
        db.serialize(MAIN_DB).map(|data| data.to_vec())
    });
    made.unwrap_or_default().into()
}

fn list<const N: usize>(entries: [(&str, Value); N]) -> Arc<[u8]> {
    binary(super::dict(entries))
}

fn binary(fields: Dictionary) -> Arc<[u8]> {
    let mut bytes = Vec::new();
    match Value::Dictionary(fields).to_writer_binary(&mut bytes) {
        Ok(()) => bytes.into(),
        Err(_) => Arc::default(),
    }
}

/// Builds a keychain in the form that phones write: the contents of each item are encrypted with a
/// key of the keychain's classes.
fn keychain() -> Arc<[u8]> {
    let item = |n: u8| {
        let mut data = vec![3, 0, 0, 0, 6 + n % 3, 0, 0, 0, 40, 0, 0, 0];
        data.extend((0..120u8).map(|at| at.wrapping_mul(37).wrapping_add(n)));
        Value::Dictionary(super::dict([
            ("v_Data", Value::Data(data)),
            ("v_PersistentRef", Value::Data(vec![n; 16])),
        ]))
    };
    let items = |from: u8, to: u8| Value::Array((from..to).map(item).collect());
    list([
        ("cert", items(0, 0)),
        ("genp", items(0, 24)),
        ("idnt", items(0, 0)),
        ("inet", items(24, 32)),
        ("keys", items(32, 34)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_files_match_their_extension() {
        for (_, path, bytes) in in_all_backups().iter().chain(in_encrypted_backups()) {
            if path.ends_with(".plist") {
                assert!(bytes.starts_with(b"bplist00"), "{path}")
            } else {
                assert!(bytes.starts_with(b"SQLite format 3\0"), "{path}")
            }
        }
    }
}
