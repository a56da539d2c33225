//! Selects a part of a backup: writes a list of files that names only the wanted domains, and shows
//! it to the phone instead of the sealed list, which stays unchanged.

use std::io;
use std::path::{Path, PathBuf};

use globset::GlobSet;

use super::Options;
use crate::backup_format::plists::Unreadable;
use crate::backup_format::{domain_subset, manifest_db};
use crate::base::private_dir::PrivateDir;
use crate::doctor::ios_notes;
use crate::reader::{self, selection};
use crate::restore::Error;
use crate::restore::subject::{Source, Target};

/// The first iOS version that, when given a part, removes the rest of the system's data: settings,
/// messages, photos (docs/protocol.md).
const NO_PARTS_FROM: [u32; 3] = [27, 0, 0];

/// The list that the phone is shown instead of the backup's own. Dropping it deletes its folder.
pub struct Shown {
    /// The path of the list.
    pub list: PathBuf,
    /// Number of files in the list.
    pub files: u64,
    _folder: PrivateDir,
}

/// The reasons that a part of a backup is not restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoPart {
    /// The phone has iOS 27 or later.
    #[error(
        "since iOS 27 a phone that is given a part of a backup removes the rest of settings, messages and photos, so no part is restored to it"
    )]
    Ios27,
    /// The phone does not report its version of iOS.
    #[error("the phone does not tell its iOS, and from iOS 27 on parts of a backup do harm")]
    UnknownIos,
    /// The list of files is Manifest.mbdb.
    #[error(
        "parts are not restored of backups of iOS 9 and before: their list is Manifest.mbdb, of which no shorter one is made"
    )]
    OldList,
    /// The backup is encrypted, and so is its list of files.
    #[error(
        "parts are restored only of backups that are not encrypted: the phone's list of files would have to be encrypted anew"
    )]
    Encrypted,
    /// The phone was to remove everything that the part does not contain.
    #[error("a part together with --remove-others would remove all the rest from the phone")]
    RemoveOthers,
    /// The user has not accepted the risk.
    #[error(
        "no phone maker's program restores parts of a backup, and nobody here has tried it with a real phone: it may leave the phone in need of being erased"
    )]
    Untried,
}

/// Refuses a partial restore if it would do harm, or if the user has not accepted the risk.
pub fn admit(
    folder: &Path,
    source: &Source,
    target: &Target,
    options: &Options,
) -> Result<(), Error> {
    if options.only.is_empty() {
        return Ok(());
    }
    match ios_notes::version(&target.facts.ios) {
        Some(version) if version < NO_PARTS_FROM => {}
        Some(_) => return Err(NoPart::Ios27.into()),
        None => return Err(NoPart::UnknownIos.into()),
    }
    if !folder.join("Manifest.db").exists() && folder.join("Manifest.mbdb").exists() {
        return Err(NoPart::OldList.into());
    }
    if source.encrypted {
        return Err(NoPart::Encrypted.into());
    }
    if options.remove_others {
        return Err(NoPart::RemoveOthers.into());
    }
    if !options.partial_at_own_risk {
        return Err(NoPart::Untried.into());
    }
    Ok(())
}

/// Returns the patterns of the wanted domains; `None` if all are wanted.
pub fn domains(options: &Options) -> Result<Option<GlobSet>, Error> {
    let wanted: Vec<&String> = options.only.iter().collect();
    Ok(selection::set(&wanted, false)?)
}

/// Writes the list for a partial restore, if one is wanted.
pub fn show(folder: &Path, options: &Options) -> Result<Option<Shown>, Error> {
    let Some(domains) = domains(options)? else {
        return Ok(None);
    };
    let no_place = |cause: io::Error| Error::NoPlaceForList { cause };
    let unusable = |why: String| reader::Error::Metadata {
        path: folder.join("Manifest.db"),
        why: Unreadable::Damaged(why),
    };
    let private = PrivateDir::new("idev-backup-").map_err(no_place)?;
    let list = private.path().join("Manifest.db");
    let part = domain_subset::write(folder, &list, |domain| domains.is_match(domain));
    let part = part.map_err(|e| match e {
        manifest_db::Error::NoPlace(why) => no_place(io::Error::other(why)),
        e => unusable(e.to_string()).into(),
    })?;
    if part.rows == 0 {
        return Err(Error::NoDomain(options.only.clone()));
    }
    Ok(Some(Shown {
        list,
        files: part.files,
        _folder: private,
    }))
}
