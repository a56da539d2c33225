//! Opens the parts of a backup: its keys, if it is encrypted, and its list of files.

use std::fs;
use std::path::Path;

use crate::backup_format::keybag::{Keys, Locked};
use crate::backup_format::manifest_db::{self, Db};
use crate::backup_format::manifest_mbdb::Mbdb;
use crate::backup_format::plists::{self, Encryption, Info, ListForm, Status, Unreadable};
use crate::base::secret::Secret;
use crate::base::time;
use crate::reader::Error;
use crate::reader::manifest_feed::List;
use crate::reader::passwords::Passwords;
use crate::store;

/// Returns the error for a folder that does not hold a backup.
pub(crate) fn no_backup(folder: &Path) -> Error {
    // A folder that this user may not list could hold anything, so the missing permission is the
    // error.
    let seen = std::fs::read_dir(folder).map_err(|e| store::Error::io("list", folder, e));
    if let Err(refused) = seen
        && refused.is_refused()
    {
        return refused.into();
    }
    Error::NoBackup(folder.to_path_buf())
}

/// The keys that a password opens.
pub(crate) struct Unlocked {
    /// The keys of the protection classes.
    pub(crate) keys: Keys,
    /// The wrapped key of the list of files; `None` before iOS 10.2.
    pub(crate) manifest_key: Option<Vec<u8>>,
}

/// Returns the keys of the backup in `folder`; `None` if it is not encrypted.
pub(crate) fn unlock(folder: &Path, passwords: &dyn Passwords) -> Result<Option<Unlocked>, Error> {
    match encryption_of(folder)? {
        Some(encryption) => unlock_with(folder, encryption, passwords).map(Some),
        None => Ok(None),
    }
}

fn encryption_of(folder: &Path) -> Result<Option<Encryption>, Error> {
    match Encryption::read(folder) {
        Ok(encryption) => Ok(encryption),
        // iOS 4 and 5 wrote Manifest.plist only for encrypted backups.
        Err(Unreadable::Absent) => Ok(None),
        Err(why) => Err(Error::Metadata {
            path: folder.join("Manifest.plist"),
            why,
        }),
    }
}

pub(crate) fn unlock_with(
    folder: &Path,
    encryption: Encryption,
    passwords: &dyn Passwords,
) -> Result<Unlocked, Error> {
    let (keys, _) = open_keys(folder, &encryption, passwords)?;
    Ok(Unlocked {
        keys,
        manifest_key: encryption.manifest_key,
    })
}

/// Largest Info.plist that is read for the name in a question; those with many icons are larger.
const INFO_MAX: u64 = 4 << 20;

/// Describes a backup in a question for its password: by phone and time if they are known, else by
/// its folder.
fn described(folder: &Path) -> String {
    let is_small = fs::metadata(folder.join("Info.plist")).is_ok_and(|meta| meta.len() <= INFO_MAX);
    let info = is_small.then(|| Info::read(folder).ok()).flatten();
    let name = info.as_ref().and_then(|info| info.device_name.clone());
    let made = Status::read(folder).ok().and_then(|status| status.date);
    match (name, made) {
        (Some(name), Some(made)) => format!(
            "the backup of {name}, made {}",
            time::when(&time::rfc3339(made))
        ),
        _ => format!("the backup {}", folder.display()),
    }
}

/// Returns the keys of a backup and the password that opened them. Tries further passwords as long
/// as there are any.
fn open_keys(
    folder: &Path,
    encryption: &Encryption,
    passwords: &dyn Passwords,
) -> Result<(Keys, Secret), Error> {
    let of = described(folder);
    let mut password = passwords.backup_password(&of)?;
    loop {
        match encryption.bag.unlock(&password) {
            Ok(keys) => return Ok((keys, password)),
            Err(Locked::WrongPassword) => {}
            Err(why @ Locked::Absurd { .. }) => {
                return Err(Error::Metadata {
                    path: folder.join("Manifest.plist"),
                    why: Unreadable::Damaged(why.to_string()),
                });
            }
        }
        password = passwords
            .another(&of)?
            .ok_or_else(|| Error::WrongPassword {
                of: folder.display().to_string(),
            })?;
    }
}

/// Returns the password that opens the keys of the backup in `folder`; `None` if it is not
/// encrypted.
pub(crate) fn password_of(
    folder: &Path,
    passwords: &dyn Passwords,
) -> Result<Option<Secret>, Error> {
    match encryption_of(folder)? {
        None => Ok(None),
        Some(encryption) => {
            let (_, password) = open_keys(folder, &encryption, passwords)?;
            Ok(Some(password))
        }
    }
}

/// Returns true if the list of the backup in `folder` can be read without keys.
pub(crate) fn has_plain_list(folder: &Path) -> bool {
    let is_old = folder.join("Manifest.mbdb").exists() && !folder.join("Manifest.db").exists();
    is_old || plists::list_form(folder) == ListForm::Plain
}

pub(crate) fn no_manifest_plist(why: &Unreadable) -> String {
    format!("Manifest.plist: {why}; the backup is read as an unencrypted one")
}

/// Opens the list of the backup in `folder`. If it is damaged, recovers the rows that can be read.
pub(crate) fn open_list(folder: &Path, unlocked: Option<&Unlocked>) -> Result<List, Error> {
    let holds = |name| folder.join(name).exists();
    if holds("Manifest.mbdb") && !holds("Manifest.db") {
        // Unlike Manifest.db, Manifest.mbdb is never encrypted as a whole.
        let list = Mbdb::open(folder).or_else(|e| match e {
            manifest_db::Error::Damaged(_) => Mbdb::salvage(folder).map_err(|_| e),
            _ => Err(e),
        });
        return Ok(List::Mbdb(
            list.map_err(|e| bad_list(folder, "Manifest.mbdb", &e))?,
        ));
    }
    let list = match unlocked {
        Some(Unlocked {
            keys,
            manifest_key: Some(wrapped),
        }) => {
            let key = keys.open(wrapped).map_err(|why| Error::Metadata {
                path: folder.join("Manifest.plist"),
                why: Unreadable::Damaged(format!("the key of the list of files: {why}")),
            })?;
            Db::decrypt(folder, &key)
        }
        _ => Db::open(folder).or_else(|e| match e {
            manifest_db::Error::Damaged(_) => Db::salvage(folder).map_err(|_| e),
            _ => Err(e),
        }),
    };
    Ok(List::Db(
        list.map_err(|e| bad_list(folder, "Manifest.db", &e))?,
    ))
}

pub(crate) fn bad_list(folder: &Path, name: &str, e: &manifest_db::Error) -> Error {
    Error::Metadata {
        path: folder.join(name),
        why: match e {
            manifest_db::Error::Absent => Unreadable::Absent,
            other => Unreadable::Damaged(other.to_string()),
        },
    }
}
