//! Selects a part of a backup: writes a list of files that names only the wanted domains, and shows
//! it to the phone instead of the sealed list, which stays unchanged.

use std::io;
use std::path::{Path, PathBuf};

use globset::GlobSet;

use super::options::Options;
use crate::backup_format::plists::Unreadable;
use crate::backup_format::{domain_subset, manifest_db};
use crate::base::private_dir::PrivateDir;
use crate::doctor::ios_notes;
use crate::reader::{self, selection};
use crate::restore::Error;
use crate::restore::subject::{Source, Target};

pub use super::no_part::NoPart;

/// The first iOS version that, when given a part, removes the rest of the system's data: settings,
/// messages, photos (docs/protocol.md).
const NO_PARTS_FROM: [u32; 3] = [27, 0, 0];

/// The list that the phone is shown instead of the backup's own. Dropping it deletes its folder.
pub(crate) struct Shown {
    /// The path of the list.
    pub list: PathBuf,
    /// Number of files in the list.
    pub files: u64,
    _folder: PrivateDir,
}

/// Refuses a partial restore if it would do harm, or if the user has not accepted the risk.
pub(crate) fn admit(
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
pub(crate) fn domains(options: &Options) -> Result<Option<GlobSet>, Error> {
    let wanted: Vec<&String> = options.only.iter().collect();
    Ok(selection::set(&wanted, false)?)
}

/// Writes the list for a partial restore, if one is wanted.
pub(crate) fn show(folder: &Path, options: &Options) -> Result<Option<Shown>, Error> {
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
