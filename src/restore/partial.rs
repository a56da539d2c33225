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
use crate::error::Error;
use crate::reader::selection;
use crate::restore::rehearse::ELSEWHERE;
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
    let refused = |what: &str, hint: &str| {
        Err(Error::Nothing {
            what: what.to_owned(),
            hint: hint.to_owned(),
        })
    };
    const WHOLE: &str = "restore the whole backup, or take single files out of it with `idev-backup extract` and `idev-backup export photos`";
    match ios_notes::version(&target.facts.ios) {
        Some(version) if version < NO_PARTS_FROM => {}
        Some(_) => {
            return refused(
                "since iOS 27 a phone that is given a part of a backup removes the rest of settings, messages and photos, so no part is restored to it",
                WHOLE,
            );
        }
        None => {
            return refused(
                "the phone does not tell its iOS, and from iOS 27 on parts of a backup do harm",
                WHOLE,
            );
        }
    }
    if !folder.join("Manifest.db").exists() && folder.join("Manifest.mbdb").exists() {
        return refused(
            "parts are not restored of backups of iOS 9 and before: their list is Manifest.mbdb, of which no shorter one is made",
            WHOLE,
        );
    }
    if source.encrypted {
        return refused(
            "parts are restored only of backups that are not encrypted: the phone's list of files would have to be encrypted anew",
            WHOLE,
        );
    }
    if options.remove_others {
        return refused(
            "a part together with --remove-others would remove all the rest from the phone",
            "leave --remove-others out",
        );
    }
    if !options.partial_at_own_risk {
        return refused(
            "no phone maker's program restores parts of a backup, and nobody here has tried it with a real phone: it may leave the phone in need of \
             being erased",
            "have a whole backup of what is on the phone now, and say --partial-at-my-own-risk; or use `idev-backup extract`",
        );
    }
    Ok(())
}

/// Returns the patterns of the wanted domains; `None` if all are wanted.
pub fn domains(options: &Options) -> Result<Option<GlobSet>, Error> {
    let wanted: Vec<&String> = options.only.iter().collect();
    selection::set(&wanted, false)
}

/// Writes the list for a partial restore, if one is wanted.
pub fn show(folder: &Path, options: &Options) -> Result<Option<Shown>, Error> {
    let Some(domains) = domains(options)? else {
        return Ok(None);
    };
    let no_place = |e: io::Error| Error::Nothing {
        what: format!(
            "the list of the part cannot be kept in {}: {e}",
            std::env::temp_dir().display()
        ),
        hint: ELSEWHERE.to_owned(),
    };
    let unusable = |why: String| Error::Backup {
        path: folder.join("Manifest.db"),
        why: Unreadable::Damaged(why),
    };
    let private = PrivateDir::new("idev-backup-").map_err(no_place)?;
    let list = private.path().join("Manifest.db");
    let part = domain_subset::write(folder, &list, |domain| domains.is_match(domain));
    let part = part.map_err(|e| match e {
        manifest_db::Error::NoPlace(why) => no_place(io::Error::other(why)),
        e => unusable(e.to_string()),
    })?;
    if part.rows == 0 {
        return Err(Error::Nothing {
            what: format!(
                "no domain of the backup matches {}",
                options.only.join(", ")
            ),
            hint: "`idev-backup ls` shows the domains of a backup".to_owned(),
        });
    }
    Ok(Some(Shown {
        list,
        files: part.files,
        _folder: private,
    }))
}
